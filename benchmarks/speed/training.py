"""How many utterances a second are learnt from: a step of each system, its crops already on the device.

    .venv/bin/python -m benchmarks.speed.training [--device cuda] [--speakers 128] [--crop-s 2] [--steps 20]
    .venv/bin/python -m benchmarks.speed.training --speakers 20 --crop-s 10 --no-compiled \\
        --recipes w2v2-asr-ls w2v2-skr-10s-mean w2v2-dj-10s-0.5

Beside the engine's way (bfloat16, compiled) stands a plain loop over the same network: float32, as it is. Operations
are counted by torch over forward and backward; the share of the limit is of `--peak` TFLOP/s, such as 790 of an H200 in
bfloat16, or of what a large product of matrices reaches here, which is measured where it is not said.

What reads has a text of 15 characters a second; a disjoint step has a batch of so many to read and one of so many to
tell. What is frozen at first has thawed.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.turns import machine
from models.common.augment import SpecAugmentSettings
from models.common.features import SAMPLE_RATE_HZ
from models.data.labels import classes_of
from models.mixup_distillation.recipe import save_encoder
from models.training.recipe import Recipe
from models.training.system import Labels, System
from models.training.systems import module_of, recipes

RECIPES = ("vietsv-amp-arc-0.2", "mtml-eta-0.3")
CHARACTERS_PER_S = 15  # of read English, about
THAWED = 10**9  # steps
Batch = tuple[Tensor, Labels]
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
        system = made(recipe, asked.speakers, device)
        step_of = batches(recipes()[recipe], system, asked.speakers, asked.crop_s, device)
        flops = sum(counted(system, *one) for one in step_of)
        num = sum(len(wave) for wave, _ in step_of)
        print(f"{recipe}: {num} crops of {asked.crop_s:g} s a step, {flops / num / 1e9:.1f} GFLOP each")
        ways = [("plain loop, float32", False, False), ("bfloat16, channels last", True, False)]
        if asked.compiled:
            ways.append(("the same, compiled", True, True))
        plain = 0.0
        for way, is_bfloat16, is_compiled in ways:
            step = stepping(made(recipe, asked.speakers, device), step_of, is_bfloat16, is_compiled)
            rate = num / seconds_of(step, asked.steps, device)
            memory = f"  {torch.cuda.max_memory_allocated(device) / 1e9:5.1f} GB" if device.type == "cuda" else ""
            plain = plain or rate
            share = rate * flops / num / (peak * 1e12)
            print(
                f"  {way:<26} {rate:9.1f} utterances/s  {rate * asked.crop_s:8.0f} x real time  "
                f"{rate / plain:5.2f} x plain  {100 * share:5.1f} % of the limit{memory}"
            )


def made(name: str, num_people: int, device: torch.device) -> System:
    """A system in training mode, with a teacher by chance where it learns from one."""
    torch.manual_seed(0)
    recipe, spec_augment = recipes()[name], SpecAugmentSettings()
    module, settings = module_of(recipe.system), dict(recipe.settings)
    with TemporaryDirectory() as scratch:
        if settings.get("distance") is not None:
            settings["teacher"] = f"{scratch}/teacher"
            teacher = recipes()[f"mixup-{settings['architecture']}-teacher"]
            network = module.made(teacher.settings, num_people=num_people, spec_augment=spec_augment)
            save_encoder(Path(settings["teacher"]), network)
        system = module.made(settings, num_people=num_people, spec_augment=spec_augment)
    system.begin_step(THAWED)
    return system.to(device).train()


def batches(recipe: Recipe, system: System, num_people: int, crop_s: float, device: torch.device) -> list[Batch]:
    """Noise (B, N) and its labels, those of one step: of whom it tells, of what it reads, of both, or one of each."""
    found = []
    if recipe.whole is not None:
        wave, labels = heard(system, num_people, 1, crop_s)
        assert system.vocabulary is not None  # noqa: S101  # it reads
        letters = torch.arange(round(CHARACTERS_PER_S * crop_s)) % (len(system.vocabulary) - 1) + 1
        known = labels | {"text": letters.repeat(num_people, 1)}
        found.append((wave, {str(name): known[name] for name in recipe.whole.learns}))
    if recipe.batches is not None:
        found.append(heard(system, num_people, recipe.batches.utterances_each, crop_s))
    return [(wave.to(device), {name: one.to(device) for name, one in labels.items()}) for wave, labels in found]


def heard(system: System, num_people: int, each: int, crop_s: float) -> Batch:
    """Noise (B, N), who speaks it (B,), and labels of whatever else the system tells, class after class."""
    generator = torch.Generator().manual_seed(0)
    wave = 0.1 * torch.randn(num_people * each, round(crop_s * SAMPLE_RATE_HZ), generator=generator)
    labels = {"person": torch.arange(num_people).repeat_interleave(each)}
    of_ages = {} if system.age_scheme is None else classes_of(system.age_scheme)
    for name, classes in {**{name: of_ages[name] for name in system.labels_needed}, **system.tasks}.items():
        labels[name] = torch.arange(num_people * each) % len(classes)
    return wave, labels


def stepping(system: System, step_of: list[Batch], is_bfloat16: bool, is_compiled: bool) -> Callable[[], object]:
    """A step of Adam on these batches, whose gradients are averaged."""
    optimizer = torch.optim.Adam(system.parameters(), lr=1e-4)
    if is_compiled:
        system.network.compile()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        for wave, labels in step_of:
            with torch.autocast(wave.device.type, torch.bfloat16, enabled=is_bfloat16):
                loss = system(wave, labels)["loss"] / len(step_of)
            loss.backward()
        nn.utils.clip_grad_norm_(system.parameters(), float("inf"))
        optimizer.step()

    return step


def seconds_of(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """The mean of so many, after three that are not counted; the most memory is told anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(3):
        step()
    wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return (time.perf_counter() - started) / steps


def counted(system: System, wave: Tensor, labels: Labels) -> int:
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
