"""How many utterances a second are learnt from: a step of each system, its crops already on the device.

    .venv/bin/python -m benchmarks.speed.training [--device cuda] [--speakers 128] [--crop-s 2] [--steps 20]

Beside the engine's way (bfloat16, compiled) stands a plain loop over the same network: float32, as it is. Operations
are counted by torch over forward and backward; the share of the limit is of `--peak` TFLOP/s, such as 790 of an H200 in
bfloat16, or of what a large product of matrices reaches here, which is measured where it is not said.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.turns import machine
from models.common.augment import SpecAugmentSettings
from models.common.features import SAMPLE_RATE_HZ
from models.data.labels import classes_of
from models.training.system import System
from models.training.systems import module_of, recipes

RECIPES = ("vietsv-amp-arc-0.2", "mtml-eta-0.3")
SIDE = 8192  # of the matrices whose product tells the peak; on a processor a quarter of it


def main() -> None:
    """Print a line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--speakers", type=int, default=128)
    parser.add_argument("--crop-s", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peak", type=float, help="TFLOP/s; else measured, in bfloat16")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine()
    print(f"torch {torch.__version__}, {name}")
    peak = asked.peak or measured_peak(device)
    print(f"peak: {peak:.1f} TFLOP/s in bfloat16{'' if asked.peak else ', measured'}")
    for recipe in asked.recipes:
        batches = recipes()[recipe].batches
        each = 1 if batches is None else batches.utterances_each
        system = made(recipe, asked.speakers, device)
        wave, labels = batch(system, asked.speakers, each, asked.crop_s, device)
        flops = counted(system, wave, labels)
        num = len(wave)
        print(f"{recipe}: {asked.speakers} x {each} crops of {asked.crop_s:g} s, {flops / num / 1e9:.1f} GFLOP each")
        ways = [("plain loop, float32", False, False), ("bfloat16, channels last", True, False)]
        if asked.compiled:
            ways.append(("the same, compiled", True, True))
        plain = 0.0
        for way, is_bfloat16, is_compiled in ways:
            step = stepping(made(recipe, asked.speakers, device), wave, labels, is_bfloat16, is_compiled)
            rate = num / seconds_of(step, asked.steps, device)
            plain = plain or rate
            share = rate * flops / num / (peak * 1e12)
            print(
                f"  {way:<26} {rate:9.1f} utterances/s  {rate / plain:5.2f} x plain  {100 * share:5.1f} % of the limit"
            )


def made(name: str, num_people: int, device: torch.device) -> System:
    """A system in training mode."""
    torch.manual_seed(0)
    recipe = recipes()[name]
    module = module_of(recipe.system)
    system = module.made(recipe.settings, num_people=num_people, spec_augment=SpecAugmentSettings())
    return system.to(device).train()


def batch(
    system: System, num_people: int, each: int, crop_s: float, device: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    """Noise (B, N), who speaks it (B,), and labels of whatever else the system learns, class after class."""
    generator = torch.Generator().manual_seed(0)
    wave = 0.1 * torch.randn(num_people * each, round(crop_s * SAMPLE_RATE_HZ), generator=generator)
    labels = {"person": torch.arange(num_people).repeat_interleave(each)}
    of_ages = {} if system.age_scheme is None else classes_of(system.age_scheme)
    for name, classes in {**{name: of_ages[name] for name in system.labels_needed}, **system.tasks}.items():
        labels[name] = torch.arange(num_people * each) % len(classes)
    return wave.to(device), {name: codes.to(device) for name, codes in labels.items()}


def stepping(
    system: System, wave: Tensor, labels: dict[str, Tensor], is_bfloat16: bool, is_compiled: bool
) -> Callable[[], object]:
    """A step of Adam on the batch."""
    optimizer = torch.optim.Adam(system.parameters(), lr=1e-4)
    if is_compiled:
        system.network.compile()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(wave.device.type, torch.bfloat16, enabled=is_bfloat16):
            loss = system(wave, labels)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(system.parameters(), float("inf"))
        optimizer.step()

    return step


def seconds_of(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """The mean of so many, after three that are not counted."""
    for _ in range(3):
        step()
    wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return (time.perf_counter() - started) / steps


def counted(system: System, wave: Tensor, labels: dict[str, Tensor]) -> int:
    """Floating-point operations of forward and backward."""
    with FlopCounterMode(display=False) as counter:
        system(wave, labels)["loss"].backward()
    return int(counter.get_total_flops())


def measured_peak(device: torch.device) -> float:
    """TFLOP/s of a large product of matrices in bfloat16."""
    side = SIDE if device.type == "cuda" else SIDE // 4
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: one @ other, 10, device) / 1e12


def wait(device: torch.device) -> None:
    """Until all that was asked is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
