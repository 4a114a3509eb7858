"""How ECAPA-TDNN is fine-tuned with hard prototype mining: the reference rows of VietSV's table 3 (Vi et al. 2022).

They are VietSV's "self-implemented version" of Thienpondt, Desplanques and Demuynck 2020 (arXiv:2007.07689), from the
ECAPA weights "available on Hugging Face", which are SpeechBrain's. From each source is taken:

- VietSV, section 5.1.3, which speaks of all its models: batches of 200, a random 2 s of each speaker, 2,000 epochs, a
  rate of 0.005 that loses a quarter every 50 of them; table 3: Adam, or SGD.
- Thienpondt et al.: whom a batch holds, by the prototypes of AAM-softmax.
- SpeechBrain's spkrec-ecapa-voxceleb: features, network (C = 1024, embedding of 192), margin 0.2 and scale 30.

Neither paper at hand says how many similar people come with one who is drawn: 7 here, 8 with him. No momentum and no
weight decay is named, none is taken, as in `models.angular_prototypical`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from curate.corpora.described import STRICT
from curate.errors import ExtractorError, TrainingError
from models import checkpoint
from models.common.augment import SpecAugment, SpecAugmentSettings
from models.common.classification import AdditiveAngularMargin, hard_speakers
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.features import SpeechBrainFbank
from models.data.speech import Integers
from models.extractors.ecapa_weights import FEATURES, ecapa_at
from models.extractors.speechbrain_modules import EXAMPLE
from models.training.recipe import Batches, Optimizer, Recipe
from models.training.schedules import Step
from models.training.system import Labels, Parts, System, checked, long_enough, written_out

NUM_SIMILAR = 7


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """What a recipe says of the system."""

    network: EcapaSettings = EcapaSettings()
    margin_rad: float = Field(default=0.2, ge=0)
    scale: float = Field(default=30.0, gt=0)


@final
class HardPrototypeSystem(System):
    """SpeechBrain's filter banks, ECAPA-TDNN and AAM-softmax, whose prototypes say who is like whom."""

    network: Ecapa
    prototypes_at_start: Tensor  # (P, D), of the epoch: a run that goes on within it plans the same batches by them

    def __init__(self, settings: Settings, *, num_people: int, spec_augment: SpecAugmentSettings) -> None:
        super().__init__()
        self.features = SpeechBrainFbank(settings.network.num_bands)
        self.masks = SpecAugment(spec_augment)
        self.network = Ecapa(settings.network)
        self.loss = AdditiveAngularMargin(
            settings.network.dimension, num_people, margin_rad=settings.margin_rad, scale=settings.scale
        )
        self.register_buffer("prototypes_at_start", self.loss.prototypes.detach().clone())

    def begin_epoch(self) -> None:
        """Note the prototypes, by which the batches of the epoch are planned."""
        self.prototypes_at_start.copy_(self.loss.prototypes.detach())

    def similar(self, people: Integers, num: int) -> Integers:
        """(S, num): for each of these people those of the others among them whose prototypes are the most similar.

        Among them, as not every prototype is of somebody who may come into a batch: a voice at another speed may have
        one of its own. Raises TrainingError where they are too few.
        """
        among = np.unique(people)
        if num >= len(among):
            raise TrainingError(
                f"batches.hard {num}: similar people of {len(among)}; expected {len(among) - 1} at most, all the others"
            )
        prototypes_PD = self.prototypes_at_start[torch.from_numpy(among).to(self.prototypes_at_start.device)]
        places = hard_speakers(prototypes_PD.cpu().numpy(), np.searchsorted(among, people), num_alike=num + 1)
        others: Integers = among[places[:, 1:]]  # the first is the person
        return others

    def losses(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """AAM-softmax over all people; features are in float32 under autocast too."""
        with torch.autocast(wave_BN.device.type, enabled=False):
            feats_BTM, _ = self.features(wave_BN.float())
        return {"loss": self.loss(self.network(self.masks(feats_BTM)), labels["person"])}

    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D)."""
        least = self.features.min_samples(self.network.settings.min_frames)
        vector_BD: Tensor = self.network(*self.features(*long_enough(wave_BN, samples_B, least)))
        return vector_BD


def made(settings: Mapping[str, Any], *, num_people: int, spec_augment: SpecAugmentSettings) -> HardPrototypeSystem:
    """See `Settings`. Raises ValueError."""
    return HardPrototypeSystem(checked(Settings, settings), num_people=num_people, spec_augment=spec_augment)


# ------------------------------------------------------------------------------------------------ weights to begin with


def begin_with(system: System, place: Path) -> list[str]:
    """Weights of ours (a folder), or SpeechBrain's: a folder as it is published, or its `embedding_model.ckpt`.

    The softmax layer begins anew. Raises ExtractorError for weights of other sizes, or of a network on other features.
    """
    assert isinstance(system, HardPrototypeSystem)  # noqa: S101  # `made` made it
    network, left = ecapa_at(place, system.network.settings.dilations)
    if network.settings != system.network.settings:
        raise ExtractorError(f"{place}: {network.settings}; expected {system.network.settings}")
    state = network.state_dict()
    system.network.load_state_dict(state)
    return [
        f"{place}: {len(state)} tensors of the network matched, all; left: {', '.join(left) or 'none'}; the softmax "
        "layer begins anew"
    ]


def save_encoder(folder: Path, system: System) -> None:
    """Its network."""
    assert isinstance(system, HardPrototypeSystem)  # noqa: S101  # `made` made it
    checkpoint.save(folder, system.network, features=FEATURES)


def _recipe(name: str, source: str, optimizer: Optimizer) -> Recipe:
    return Recipe(
        name=f"vietsv-ecapa-hpm-{name}",
        system="hard_prototypes",
        settings={"margin_rad": 0.2, "scale": 30.0, "network": written_out(EcapaSettings())},
        source=f"{source} (Vi et al. 2022, table 3)",
        begins_with=f"SpeechBrain's weights, {EXAMPLE}",
        batches=Batches(speakers=200, utterances_each=1, crop_s=(2.0, 2.0), hard=NUM_SIMILAR),
        optimizer=optimizer,
        schedule=Step(rate=0.005, factor=0.75, num_epochs=50),
        epochs=2000,
        validate_every=20,
    )


RECIPES = (
    _recipe("adam", "ECAPA, fine-tuned, hard prototype mining, Adam: 4.017 % EER on VietSV", Optimizer(kind="adam")),
    _recipe("sgd", "ECAPA, fine-tuned, hard prototype mining, SGD: 4.299 % EER on VietSV", Optimizer(kind="sgd")),
)
