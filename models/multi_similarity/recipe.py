"""How the multi-task paper's systems are trained: every row of tables 2 and 3 (Chen et al. 2021).

Section 4.1.3: 32 speakers x 4 utterances of 2 to 4 s, one length a batch; Adam from 1e-3 down to 1e-4. How many epochs,
how much weight decay ("L2 weight decay described in [19]") and which augmentation table 2 has are not told: 20 epochs,
1e-4, and of each speaker as many draws an epoch as `passes`; for table 2, `--set augmentation.noise_folder=...` and the
rest name a user's own noises and rooms, without which its rows are those of table 3.

Frames that are no speech are dropped within a crop, and the moving mean is the crop's: Kaldi drops them before it cuts,
so that its 2 to 4 s are all speech.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from curate.corpora.described import STRICT
from curate.errors import ExtractorError
from models import checkpoint
from models.common.augment import SpecAugment, SpecAugmentSettings
from models.common.mfcc import Mfcc, repeated
from models.multi_similarity.loss import MultiSimilarity, multi_task
from models.multi_similarity.model import MfccResNet, MfccResNetSettings, SpeakerHead, XVector, XVectorSettings
from models.training.recipe import Batches, Optimizer, Recipe
from models.training.schedules import Exponential
from models.training.system import Labels, Parts, System, checked, written_out

FEATURES: checkpoint.Features = "mfcc"


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """What a recipe says of the system."""

    architecture: Literal["resnet", "tdnn"]
    network: dict[str, Any] = Field(default_factory=dict)  # its sizes, where they are not the paper's
    eta: float = Field(ge=0, le=1)  # of the metric loss, eq. 7
    alpha: float = Field(default=2.0, gt=0)
    beta: float = Field(default=50.0, gt=0)
    threshold: float = 1.0  # lambda
    margin: float = Field(default=0.1, ge=0)  # epsilon
    normalised: bool = True


@final
class MultiSimilaritySystem(System):
    """Cepstra of speech, a network, and cross-entropy with the multi-similarity loss."""

    network: MfccResNet | XVector

    def __init__(self, settings: Settings, *, num_people: int, spec_augment: SpecAugmentSettings) -> None:
        super().__init__()
        network: MfccResNet | XVector
        if settings.architecture == "resnet":
            network = MfccResNet(checked(MfccResNetSettings, settings.network, "network"))
        else:
            network = XVector(checked(XVectorSettings, settings.network, "network"))
        self.settings = settings
        self.features = Mfcc(network.settings.num_bands)
        self.masks = SpecAugment(spec_augment)
        self.network = network
        self.head = SpeakerHead(network.settings.dimension, num_people)
        self.metric = MultiSimilarity(
            alpha=settings.alpha,
            beta=settings.beta,
            threshold=settings.threshold,
            margin=settings.margin,
            normalised=settings.normalised,
        )

    def losses(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """Both losses, also where one has no weight; their sum of eq. 7 is `loss`."""
        feats_BTM, length_B = self.features(wave_BN)
        feats_BTM = repeated(feats_BTM, length_B, feats_BTM.shape[1])
        vector_BD = self.network(self.masks(feats_BTM))
        cross_entropy = self.head(vector_BD, labels["person"])
        metric = self.metric(vector_BD, labels["person"])
        loss = multi_task(metric, cross_entropy, eta=self.settings.eta)
        return {"loss": loss, "cross_entropy": cross_entropy, "multi_similarity": metric}

    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D)."""
        feats_BTM, length_B = self.features(wave_BN, samples_B)
        least = self.network.settings.min_frames
        if int(length_B.min()) < least:
            feats_BTM = repeated(feats_BTM, length_B, max(least, feats_BTM.shape[1]))
            length_B = length_B.clamp(min=least)
        vector_BD: Tensor = self.network(feats_BTM, length_B)
        return vector_BD


def made(settings: Mapping[str, Any], *, num_people: int, spec_augment: SpecAugmentSettings) -> MultiSimilaritySystem:
    """See `Settings`. Raises ValueError."""
    return MultiSimilaritySystem(checked(Settings, settings), num_people=num_people, spec_augment=spec_augment)


def begin_with(system: System, place: Path) -> list[str]:
    """Weights of ours (a folder); the softmax layer begins anew. Raises ExtractorError for those of other sizes."""
    assert isinstance(system, MultiSimilaritySystem)  # noqa: S101  # `made` made it
    loaded = checkpoint.load(place)
    if (loaded.network.settings, loaded.description.features) != (system.network.settings, FEATURES):
        found = f"{loaded.network.settings} on {loaded.description.features}"
        raise ExtractorError(f"{place}: {found}; expected {system.network.settings} on {FEATURES}")
    system.network.load_state_dict(loaded.network.state_dict())
    num = len(loaded.network.state_dict())
    return [f"{place}: {num} tensors of the network matched, all; the softmax layer begins anew"]


def save_encoder(folder: Path, system: System) -> None:
    """Its network: the embedding is the first of the two 512 layers."""
    assert isinstance(system, MultiSimilaritySystem)  # noqa: S101  # `made` made it
    checkpoint.save(folder, system.network, features=FEATURES)


def _recipe(name: str, source: str, architecture: str, eta: float) -> Recipe:
    return Recipe(
        name=f"mtml-{name}",
        system="multi_similarity",
        settings={
            "architecture": architecture,
            "eta": eta,
            "network": written_out(XVectorSettings() if architecture == "tdnn" else MfccResNetSettings()),
        },
        source=f"{source} (Chen et al. 2021, tables 2 and 3)",
        batches=Batches(speakers=32, utterances_each=4, crop_s=(2.0, 4.0), passes=40),
        optimizer=Optimizer(kind="adam", weight_decay=1e-4),
        schedule=Exponential(first_rate=1e-3, last_rate=1e-4),
        epochs=20,
    )


RECIPES = (
    _recipe("tdnn", "x-vector TDNN: 3.34 % EER on SITW eval with augmentation, 4.21 % without", "tdnn", 0.0),
    _recipe("resnet", "ResNet, cross-entropy: 2.92 %, 3.69 %", "resnet", 0.0),
    _recipe("eta-0.1", "ResNet, eta = 0.1: 2.54 %, 3.28 %", "resnet", 0.1),
    _recipe("eta-0.3", "ResNet, eta = 0.3: 2.35 %, 3.14 %", "resnet", 0.3),
    _recipe("eta-1", "ResNet, eta = 1, the metric loss alone: 7.27 %, 9.89 %", "resnet", 1.0),
)
