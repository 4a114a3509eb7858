"""How VietSV's systems are trained: every row of table 3 that trains its ResNet (Vi, Pham and Nguyen 2022).

Section 5.1.3: batches of 200, epochs that are one pass through the speakers, 2,000 of them, a rate of 0.005 that loses
a quarter every 50. What it leaves out: M, the utterances of each speaker (2, as in voxceleb_trainer), the momentum of
SGD (none is named, none is taken) and weight decay (none).
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, final

import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from curate.corpora.described import STRICT
from curate.errors import ExtractorError
from models import checkpoint
from models.angular_prototypical.key_map import read_voxceleb_trainer
from models.angular_prototypical.loss import AngularPrototypical, Kind, raw_scale_of
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.augment import SpecAugment, SpecAugmentSettings
from models.common.log_mel import LogMel
from models.training.recipe import Batches, Optimizer, Recipe
from models.training.schedules import Step
from models.training.system import Labels, Parts, System, checked, long_enough, written_out

MARGINS = (0.1, 0.2, 0.3, 0.4, 0.5)
FEATURES: checkpoint.Features = "log-mel"
SECONDS = 31_999 / 16_000  # 200 frames: "roughly 2s"


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """What a recipe says of the system."""

    loss: Kind
    margin: float = 0.0  # m of eq. 4 or 5
    network: HalfResNetSettings = field(default_factory=HalfResNetSettings)  # its sizes, where not the paper's


@final
class AngularPrototypicalSystem(System):
    """Log-mel bands, the half-channel ResNet-34 and a loss over the prototypes of a batch."""

    network: HalfResNet

    def __init__(self, settings: Settings, *, spec_augment: SpecAugmentSettings) -> None:
        super().__init__()
        self.features = LogMel(settings.network.num_bands)
        self.masks = SpecAugment(spec_augment)
        self.network = HalfResNet(settings.network)
        self.loss = AngularPrototypical(settings.loss, margin=settings.margin)

    def losses(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """Of batches in which the utterances of a person lie side by side, of each as many.

        The scale w of eq. 2 is told beside the loss. Raises ValueError for other batches.
        """
        feats_BTM, _ = self.features(wave_BN)
        vector_BD = self.network(self.masks(feats_BTM))
        person_B = labels["person"]
        num_people = len(torch.unique_consecutive(person_B))
        if len(person_B) % num_people or len(person_B) == num_people:
            raise ValueError(f"{len(person_B)} utterances of {num_people} people: expected two or more, alike, of each")
        loss = self.loss(vector_BD.unflatten(0, (num_people, -1)))
        return {"loss": loss, "scale": self.loss.scale.detach()}

    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D)."""
        least = self.features.min_samples(self.network.settings.min_frames)
        vector_BD: Tensor = self.network(*self.features(*long_enough(wave_BN, samples_B, least)))
        return vector_BD


def made(
    settings: Mapping[str, Any], *, num_people: int, spec_augment: SpecAugmentSettings
) -> AngularPrototypicalSystem:
    """See `Settings`. Raises ValueError; how many people there are does not matter to it."""
    return AngularPrototypicalSystem(checked(Settings, settings), spec_augment=spec_augment)


def begin_with(system: System, place: Path) -> list[str]:
    """Weights of ours (a folder), or voxceleb_trainer's (a file). Raises ExtractorError for those of other sizes."""
    assert isinstance(system, AngularPrototypicalSystem)  # noqa: S101  # `made` made it
    ours = system.network.settings
    if not place.exists():
        raise ExtractorError(f"{place}: is not there; expected a folder of ours, or a file of voxceleb_trainer")
    if place.is_dir():
        loaded = checkpoint.load(place)
        if (loaded.network.settings, loaded.description.features) != (ours, FEATURES):
            found = f"{loaded.network.settings} on {loaded.description.features}"
            raise ExtractorError(f"{place}: {found}; expected {ours} on {FEATURES}")
        system.network.load_state_dict(loaded.network.state_dict())
        return [
            f"{place}: {len(loaded.network.state_dict())} tensors of the network matched, all; the loss begins anew"
        ]
    theirs = read_voxceleb_trainer(place)
    if theirs.network.settings != ours:
        raise ExtractorError(f"{place}: {theirs.network.settings}; expected {ours}")
    system.network.load_state_dict(theirs.network.state_dict())
    with torch.no_grad():
        if theirs.scale is not None and theirs.scale > 0:
            system.loss.raw_scale.fill_(raw_scale_of(theirs.scale))
        if theirs.bias is not None:
            system.loss.bias.fill_(theirs.bias)
    return [f"{place}: {theirs.report}"]


def save_encoder(folder: Path, system: System) -> None:
    """Its network."""
    assert isinstance(system, AngularPrototypicalSystem)  # noqa: S101  # `made` made it
    checkpoint.save(folder, system.network, features=FEATURES)


def _recipe(name: str, source: str, optimizer: str, loss: str, margin: float = 0.0) -> Recipe:
    return Recipe(
        name=f"vietsv-{name}",
        system="angular_prototypical",
        settings={"loss": loss, "margin": margin, "network": written_out(HalfResNetSettings())},
        source=f"{source} (Vi et al. 2022, table 3)",
        begins_with=None if name.startswith("scratch") else "Clova's weights of ResNetSE34V2, baseline_v2_ap.model",
        batches=Batches(speakers=200, utterances_each=2, crop_s=(SECONDS, SECONDS)),
        optimizer=Optimizer(kind="sgd" if optimizer == "sgd" else "adam"),
        schedule=Step(rate=0.005, factor=0.75, num_epochs=50),
        epochs=2000,
        validate_every=20,
    )


RECIPES = (
    _recipe("scratch-ap-adam", "from nothing, AP, Adam: 7.602 % EER on VietSV, 10.934 % on Common Voice", "adam", "ap"),
    _recipe("ap-adam", "fine-tuned, AP, Adam: 5.446 %, 8.002 %", "adam", "ap"),
    _recipe("ap-sgd", "fine-tuned, AP, SGD: 3.539 %, 5.542 %", "sgd", "ap"),
    *(
        _recipe(f"{kind}-{margin}", f"fine-tuned, {kind.upper()}, m = {margin}, SGD: {eers}", "sgd", kind, margin)
        for kind, all_eers in {
            "amp-cos": (
                "3.319 %, 5.100 %",
                "3.269 %, 5.702 %",
                "3.232 %, 6.687 %",
                "3.211 %, 6.436 %",
                "3.331 %, 8.102 %",
            ),
            "amp-arc": (
                "3.240 %, 4.789 %",
                "3.115 %, 5.391 %",
                "3.194 %, 5.914 %",
                "3.298 %, 6.757 %",
                "3.352 %, 7.755 %",
            ),
        }.items()
        for margin, eers in zip(MARGINS, all_eers, strict=True)
    ),
)
