"""How the adversarial multi-task systems are trained: every row of table 2 (Baeg et al. 2023, arXiv:2301.09058).

Section 3.2: mixed precision, gradients of five batches together, clipped at 4, a rate of 1e-4 that loses 20 % when two
epochs have gained nothing, speed perturbation and SpecAugment; ECAPA from SpeechBrain's weights (section 2.2). What it
does not say, and what is taken:

- Adam, batches of 12, ten epochs, labels of discriminators smoothed by 0.1: as the first author's next paper has them,
  on such a network with such heads ("Mixup-Based Knowledge Distillation with Causal Intervention", 2023). A batch has
  utterances at random, whoever speaks them; an epoch is one pass through all. No weight decay.
- "Automatic mixed precision" is bfloat16, which needs no scaling of losses.
- Crops of 3 s, as SpeechBrain trained the weights.
- "The speed perturbation methods of SpecAugment": that paper has none. Both are taken: speeds of 0.9, 1 and 1.1, which
  make no new people, and ECAPA's own masks (arXiv:2005.07143), one of up to 5 frames and one of up to 10 bands.
- AM-softmax with a margin of 0.2 and a scale of 30, on f itself: cosines of f are what table 3 scores.
- Single-task learning is the loss of the age group alone: eq. 5 has nothing to balance.

Shape letters: B batch, N samples, D feature, K age groups.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, final

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from curate.ages import Scheme
from curate.corpora.described import STRICT
from curate.errors import ExtractorError
from models import checkpoint
from models.age_adversarial.joined import Joined, JoinedSettings
from models.age_adversarial.loss import AutomaticWeights
from models.age_adversarial.model import Discriminators, Head
from models.age_adversarial.rawnet2 import RawNet2
from models.common.augment import AugmentationSettings, SpecAugment, SpecAugmentSettings
from models.common.classification import AdditiveMargin, mean_of_known, precise, smoothed_cross_entropy
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.features import SpeechBrainFbank
from models.common.waveform import Waveform
from models.data.labels import UNKNOWN, classes_of
from models.extractors.ecapa_weights import FEATURES, ecapa_at
from models.extractors.speechbrain_modules import EXAMPLE
from models.training.recipe import Batches, Optimizer, Recipe
from models.training.schedules import Plateau
from models.training.system import Labels, Parts, System, checked, long_enough, written_out

DIMENSION = 256  # of ECAPA's embedding


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """What a recipe says of the system."""

    scheme: Scheme
    extractor: Literal["ecapa", "joined"]  # E or E-R
    network: dict[str, Any] = Field(default_factory=dict)  # its sizes, where they are not the paper's
    speakers: bool = True  # are learnt too; else the age group alone
    discriminators: tuple[str, ...] = ()  # of these groups
    alpha: float = Field(default=0.01, ge=0)  # eq. 6
    margin: float = Field(default=0.2, ge=0)
    scale: float = Field(default=30.0, gt=0)
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    hidden: int = Field(default=256, ge=1)  # of heads and discriminators
    dropout: float = Field(default=0.5, ge=0, lt=1)

    def __post_init__(self) -> None:
        if len(set(self.discriminators)) < len(self.discriminators):
            raise ValueError(f"discriminators {', '.join(self.discriminators)}; expected groups, each once")


@final
class AdversarialSystem(System):
    """What tells speakers and age groups by a feature, and what finds in it as little as may be of age subgroups."""

    network: Ecapa | Joined

    def __init__(self, settings: Settings, *, num_people: int, spec_augment: SpecAugmentSettings) -> None:
        super().__init__()
        self.alpha = settings.alpha
        self.age_scheme = settings.scheme
        self.tasks = {"age_group": classes_of(settings.scheme)["age_group"]}
        self.labels_needed = ("age_subgroup",) if settings.discriminators else ()
        self.features: SpeechBrainFbank | Waveform
        if settings.extractor == "ecapa":
            sizes = checked(EcapaSettings, {"dimension": DIMENSION} | settings.network, "network")
            self.features, self.network = SpeechBrainFbank(sizes.num_bands), Ecapa(sizes)
        else:
            self.features, self.network = Waveform(), Joined(checked(JoinedSettings, settings.network, "network"))
        self.masks = SpecAugment(spec_augment)
        dimension, hidden, dropout = self.network.settings.dimension, settings.hidden, settings.dropout
        self.age_head = Head(dimension, len(self.tasks["age_group"]), hidden=hidden, dropout=dropout)
        self.speaker_head, self.weights = None, None
        if settings.speakers:
            self.speaker_head = AdditiveMargin(dimension, num_people, margin=settings.margin, scale=settings.scale)
            self.weights = AutomaticWeights(2)
        groups, smoothing = settings.discriminators, settings.smoothing
        # last: all conditions then begin with the same weights in what they share
        self.discriminators = Discriminators(
            settings.scheme, groups, dimension, hidden=hidden, dropout=dropout, smoothing=smoothing
        )

    def losses(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """The sum of eq. 6 is `loss`; beside it the loss of each label predictor and each discriminator, unweighted.

        Features, heads and losses are in float32 under autocast too.
        """
        with torch.autocast(wave_BN.device.type, enabled=False):
            heard, _ = self.features(wave_BN.float())
        if isinstance(self.network, Joined):
            feature_BD = self.network(heard, masks=self.masks)
        else:
            feature_BD = self.network(self.masks(heard))
        with torch.autocast(wave_BN.device.type, enabled=False):
            return self._parts(precise(feature_BD), labels)

    def _parts(self, feature_BD: Tensor, labels: Labels) -> Parts:
        group_B = labels["age_group"]
        logits_BK = self.age_head(feature_BD)
        told = {"age_group": mean_of_known(smoothed_cross_entropy(logits_BK, group_B), group_B != UNKNOWN)}
        loss = told["age_group"]
        if self.speaker_head is not None and self.weights is not None:
            told["am_softmax"] = self.speaker_head(feature_BD, labels["person"])
            is_known = (group_B != UNKNOWN).any()
            loss = self.weights(torch.stack([*told.values()]), torch.stack([is_known, torch.ones_like(is_known)]))
        if self.discriminators.heads:
            hidden = self.discriminators(feature_BD, logits_BK.softmax(dim=1), labels["age_subgroup"])
            loss = loss + self.alpha * torch.stack([*hidden.values()]).sum()
            told |= hidden
        return {"loss": loss, **told}

    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D): f."""
        least = self.features.min_samples(self.network.settings.min_frames)
        feature_BD: Tensor = self.network(*self.features(*long_enough(wave_BN, samples_B, least)))
        return feature_BD

    def tell(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> dict[str, Tensor]:
        """(B, K) of the age group."""
        feature_BD = self.embed(wave_BN, samples_B)
        with torch.autocast(wave_BN.device.type, enabled=False):
            return {"age_group": self.age_head(precise(feature_BD)).softmax(dim=1)}


def made(settings: Mapping[str, Any], *, num_people: int, spec_augment: SpecAugmentSettings) -> AdversarialSystem:
    """See `Settings`. Raises ValueError."""
    return AdversarialSystem(checked(Settings, settings), num_people=num_people, spec_augment=spec_augment)


# ------------------------------------------------------------------------------------------------ weights to begin with


def begin_with(system: System, place: Path) -> list[str]:
    """Weights of ours (a folder: of ECAPA, RawNet2 or both), or SpeechBrain's ECAPA: its folder, or its file.

    An embedding may have another size than ours, as SpeechBrain's 192: its last layer then begins anew, as heads and
    discriminators always do. Raises ExtractorError for weights of other sizes, or of a network on other features.
    """
    assert isinstance(system, AdversarialSystem)  # noqa: S101  # `made` made it
    ours = _parts_of(system.network)
    ecapa = system.network.ecapa if isinstance(system.network, Joined) else system.network
    found, left = _parts_at(place, ecapa.settings.dilations)
    pairs = {name: (ours[name], theirs) for name, theirs in found.items() if name in ours}
    for one, theirs in pairs.values():
        if replace(theirs.settings, dimension=one.settings.dimension) != one.settings:
            raise ExtractorError(f"{place}: {theirs.settings}; expected {one.settings}, but for the dimension")
    if not pairs:
        raise ExtractorError(f"{place}: weights of {', '.join(found)}; expected those of {' or '.join(ours)}")
    lines = [_taken(place, name, *pair) for name, pair in pairs.items()]
    anew = [name for name in ours if name not in pairs] + ["heads", "discriminators"]
    return [*lines, f"{place}: left: {', '.join(left) or 'none'}; {', '.join(anew)} begin anew"]


def _taken(place: Path, name: str, ours: Ecapa | RawNet2, theirs: Ecapa | RawNet2) -> str:
    """Put all weights that fit into ours; what matched, in words."""
    state, own = theirs.state_dict(), ours.state_dict()
    fits = {key: tensor for key, tensor in state.items() if tensor.shape == own[key].shape}
    ours.load_state_dict(own | fits)
    matched = f"{place}: {len(fits)} of {len(own)} tensors of {name} matched"
    if len(fits) == len(own):
        return f"{matched}, all"
    sizes = f"its embedding has {theirs.settings.dimension} values, ours {ours.settings.dimension}"
    return f"{matched}; {', '.join(sorted(own.keys() - fits.keys()))} begin anew: {sizes}"


def _parts_of(network: Ecapa | Joined) -> dict[str, Ecapa | RawNet2]:
    return {"ecapa": network.ecapa, "rawnet2": network.rawnet2} if isinstance(network, Joined) else {"ecapa": network}


def _parts_at(place: Path, dilations: tuple[int, ...]) -> tuple[dict[str, Ecapa | RawNet2], list[str]]:
    """The networks, and what else of the place is not loaded."""
    if (place / checkpoint.DESCRIPTION).is_file():
        network = checkpoint.load(place).network
        if isinstance(network, Joined):
            return _parts_of(network), []
        if isinstance(network, RawNet2):
            return {"rawnet2": network}, []
    network, left = ecapa_at(place, dilations)
    return {"ecapa": network}, left


def save_encoder(folder: Path, system: System) -> None:
    """Its network: of ECAPA on filter banks, or of both, which hear the wave."""
    assert isinstance(system, AdversarialSystem)  # noqa: S101  # `made` made it
    checkpoint.save(folder, system.network, features="wave" if isinstance(system.network, Joined) else FEATURES)


# --------------------------------------------------------------------------------------------------------- the recipes

CONDITIONS: dict[str, tuple[str, ...]] = {
    "woD": (),
    "YD": ("young",),
    "SD": ("senior",),
    "YSD": ("young", "senior"),
    "AD": ("adult",),
}
PRECISIONS = {  # of young, adult and senior in %, table 2
    "leq29": {
        "STL E-woD": (44.89, 91.37, 53.88),
        "MTL E-woD": (84.11, 97.93, 95.61),
        "MTL E-YD": (90.40, 99.62, 90.66),
        "MTL E-SD": (88.77, 99.56, 94.51),
        "MTL E-YSD": (79.15, 98.60, 91.42),
        "MTL E-AD": (94.76, 98.85, 97.31),
        "MTL E-R-woD": (95.95, 99.34, 96.96),
        "MTL E-R-YD": (99.29, 99.83, 99.65),
        "MTL E-R-SD": (94.61, 98.23, 98.37),
        "MTL E-R-YSD": (93.55, 99.16, 94.58),
        "MTL E-R-AD": (95.28, 99.29, 96.85),
    },
    "leq17": {
        "STL E-woD": (24.39, 95.90, 65.36),
        "MTL E-woD": (86.97, 99.79, 91.33),
        "MTL E-YD": (70.33, 99.82, 85.95),
        "MTL E-SD": (79.17, 99.60, 93.42),
        "MTL E-YSD": (82.55, 99.71, 94.93),
        "MTL E-AD": (87.95, 99.50, 96.00),
        "MTL E-R-woD": (89.54, 99.87, 93.33),
        "MTL E-R-YD": (93.58, 99.82, 97.03),
        "MTL E-R-SD": (87.50, 99.88, 91.15),
        "MTL E-R-YSD": (87.94, 99.90, 92.67),
        "MTL E-R-AD": (81.59, 99.85, 96.04),
    },
}


def _recipe(scheme: str, row: str) -> Recipe:
    learning, method = row.split(" ")
    extractor, _, condition = method.rpartition("-")
    young, adult, senior = PRECISIONS[scheme][row]
    sizes: EcapaSettings | JoinedSettings = EcapaSettings(dimension=DIMENSION) if extractor == "E" else JoinedSettings()
    return Recipe(
        name=f"age-{scheme}-{extractor}-{'stl' if learning == 'STL' else condition}".lower(),
        system="age_adversarial",
        settings={
            "scheme": scheme,
            "extractor": "ecapa" if extractor == "E" else "joined",
            "speakers": learning == "MTL",
            "discriminators": list(CONDITIONS[condition]),
            "alpha": 0.01,
            "margin": 0.2,
            "scale": 30.0,
            "smoothing": 0.1,
            "hidden": 256,
            "dropout": 0.5,
            "network": written_out(sizes),
        },
        source=(
            f"{scheme}, {row}: precision of young {young:.2f} %, adult {adult:.2f} %, senior {senior:.2f} % "
            "(Baeg et al. 2023, table 2)"
        ),
        begins_with=f"SpeechBrain's weights of ECAPA, {EXAMPLE}",
        batches=Batches(utterances=12, crop_s=(3.0, 3.0)),
        optimizer=Optimizer(kind="adam"),
        schedule=Plateau(rate=1e-4, factor=0.8, patience=2),
        epochs=10,
        augmentation=AugmentationSettings(
            speeds=(1.0, 0.9, 1.1),
            spec_augment=SpecAugmentSettings(num_time_masks=1, max_frames=5, num_frequency_masks=1, max_bands=10),
        ),
        accumulate=5,
        clip_norm=4.0,
        precision="bfloat16",
    )


RECIPES = tuple(_recipe(scheme, row) for scheme, rows in PRECISIONS.items() for row in rows)
