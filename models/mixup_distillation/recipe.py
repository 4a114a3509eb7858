"""How the mixup distillation paper's systems are trained: the public rows of table 1 (Baeg et al. 2023).

Section 4: 80 filter banks, embeddings of 256, batches of 12, ten epochs, Adam, a rate of 1e-4, cross-entropy smoothed
by 0.1; lambda of eq. 1 is 0.7 and of eq. 3 0.25. "A step decay of rate 0.8 was employed for every 4 epochs from the 2nd
to the 10th epoch": read as in the 2nd, 6th and 10th.

Readings, where the paper says nothing or its text has a gap:

- "Two different inputs were generated from the same speech": the teacher, trained on clean speech, hears the features
  as they are, the student their mixup (eq. 1). Both hear them as they are where nothing is trained.
- What goes into the classifiers: of section 3.1 a line is lost ("... to convert the feature were of the teacher and
  student models were concatenated to train the student classifiers"). Distilled are the pooled features, as it says;
  concatenated are the embeddings of 256 that follow them in each encoder ("the hidden size of the embeddings from the
  encoders was 256 after the extraction"), so that the student's is trained and is what `embed` gives. Pooled features
  would make classifiers of 10,000 to 20,000 inputs, beside which the student is not small. Without a teacher the
  classifiers have the student's embedding alone. To tell sex and age a distilled system needs its teacher too.
- The base and CH rows are of the student's size, so that each row adds one thing to that above it; the rows of FCVG are
  of the teacher's.
- "(cos up, mse down)": the upper figures of ECAPA's MKD row are of cosine, and square error is less by those below.
  The MKD + CH rows do not say which: cosine, as it is the better one.
- Not told: the window T of eq. 1 (15 frames, about a syllable), the masks of SpecAugment (its policy LB: one of up to
  27 bands, one of up to 100 frames), the width of the classifiers (256) and their dropout (0.5, as in the authors'
  arXiv:2301.09058).
- The paper hears utterances of 1 to 20 s whole, 12 to a batch; these recipes hear 3 s of each, as SpeechBrain's do.
- The paper takes its studio speech down to 8 kHz, as its telephone speech is. Features here are those of 16 kHz, as of
  all systems: of a telephone the bands above 4 kHz are silent. Who trains the teacher on 16 kHz and the student on 8
  should resample the teacher's corpus too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from benchmarks.sexes import SEXES
from curate.ages import Scheme
from curate.corpora.described import STRICT
from models import checkpoint
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.augment import AugmentationSettings, SpecAugment, SpecAugmentSettings
from models.common.classification import mean_of_known, smoothed_cross_entropy
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.features import SpeechBrainFbank
from models.data.labels import OF_AGES, UNKNOWN, classes_of, group_of_subgroup
from models.extractors.ecapa_weights import FEATURES
from models.mixup_distillation.loss import (
    Distance,
    asymmetric,
    dependency,
    distance,
)
from models.mixup_distillation.model import (
    STUDENTS,
    TEACHERS,
    Architecture,
    PooledEncoder,
    classifier,
    mixed,
    projection,
)
from models.mixup_distillation.weights import taken, teacher_at
from models.training.recipe import Batches, Optimizer, Recipe
from models.training.schedules import Step
from models.training.system import Labels, Parts, System, checked, long_enough, written_out

SCHEME = "decades"


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """What a recipe says of the system."""

    architecture: Architecture
    network: dict[str, Any] = Field(default_factory=dict)  # its sizes, where they are not the student's
    distance: Distance | None = None  # of eq. 2; None: nothing is distilled
    teacher: str | None = None  # the folder of an encoder of ours
    distance_weight: float = Field(default=0.25, ge=0)  # lambda of eq. 3
    mixup_share: float = Field(default=0.7, ge=0, le=1)  # lambda of eq. 1
    mixup_window: int = Field(default=15, ge=1)  # T, in frames of 10 ms
    hierarchical: bool = False  # CH: the asymmetric losses of both ages, and their dependency loss
    gamma_positive: float = Field(default=0.0, ge=0)
    gamma_negative: float = Field(default=4.0, ge=0)
    margin: float = Field(default=0.05, ge=0, lt=1)  # m of eq. 4
    smoothing: float = Field(default=0.1, ge=0, lt=1)  # of the cross-entropies
    hidden: int = Field(default=256, ge=1)  # of each classifier
    dropout: float = Field(default=0.5, ge=0, lt=1)
    scheme: Scheme = SCHEME

    def __post_init__(self) -> None:
        if self.mixup_window % 2 == 0:
            raise ValueError(f"mixup_window {self.mixup_window}; expected an odd number, as many before as after")
        if self.teacher is not None and self.distance is None:
            raise ValueError(f"teacher {self.teacher} without a distance; expected mse or cosine")


@final
class MixupDistillationSystem(System):
    """SpeechBrain's filter banks, a student, perhaps its teacher, and a classifier each for sex, group and subgroup."""

    network: PooledEncoder
    group_of_subgroup_K: Tensor  # noqa: N815

    def __init__(self, settings: Settings, *, spec_augment: SpecAugmentSettings) -> None:
        super().__init__()
        network = _network(settings)
        teacher = None
        if settings.distance is not None:
            teacher = teacher_at(settings.teacher, settings.architecture, num_bands=network.settings.num_bands)
        self.settings = settings
        self.age_scheme = settings.scheme
        self.tasks = {"sex": SEXES, **classes_of(settings.scheme)}
        self.features = SpeechBrainFbank(network.settings.num_bands)
        self.masks = SpecAugment(spec_augment)
        self.network = PooledEncoder(network)
        self.teacher = None if teacher is None else PooledEncoder(teacher)
        self.projection = nn.Identity() if teacher is None else projection(network, teacher)
        width = network.settings.dimension + (0 if teacher is None else teacher.settings.dimension)
        self.classifiers = nn.ModuleDict(
            {
                task: classifier(width, settings.hidden, len(classes), dropout=settings.dropout)
                for task, classes in self.tasks.items()
            }
        )
        groups = torch.tensor(group_of_subgroup(settings.scheme))
        self.register_buffer("group_of_subgroup_K", groups, persistent=False)

    def losses(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """Eq. 3: `sex`, `age_group` and `age_subgroup`; `distance` with a teacher, `dependency` with CH."""
        feats_BTM, _ = self._features(wave_BN)
        masked_BTM = self.masks(feats_BTM)
        if self.teacher is None or not self.training:
            pooled_BC, vector_BD = self.network(masked_BTM)
        else:
            share, window = self.settings.mixup_share, self.settings.mixup_window
            pooled_BC, vector_BD = self.network(mixed(feats_BTM, masked_BTM, share=share, window=window))
        with torch.autocast(wave_BN.device.type, enabled=False):
            parts = {}
            if self.teacher is not None:
                taught_BC, taught_BD = self._taught(feats_BTM)
                vector_BD = torch.cat([taught_BD, vector_BD], dim=1)
                assert self.settings.distance is not None  # noqa: S101  # it has a teacher
                parts["distance"] = distance(self.projection(pooled_BC), taught_BC, self.settings.distance)
            parts |= self._losses_of_tasks(vector_BD, labels)
        weight = self.settings.distance_weight
        loss = torch.stack([weight * part if name == "distance" else part for name, part in parts.items()]).sum()
        return {"loss": loss, **parts}

    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D): the student's."""
        vector_BD: Tensor = self.network(*self._features(*self._long_enough(wave_BN, samples_B)))[1]
        return vector_BD

    def tell(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> dict[str, Tensor]:
        """(B, K) of each task in float32; each by its own classifier, so that a group may not be the subgroup's."""
        feats_BTM, length_B = self._features(*self._long_enough(wave_BN, samples_B))
        _, vector_BD = self.network(feats_BTM, length_B)
        if self.teacher is not None:
            vector_BD = torch.cat([self._taught(feats_BTM, length_B)[1], vector_BD], dim=1)
        with torch.autocast(wave_BN.device.type, enabled=False):
            return {task: layers(vector_BD).softmax(dim=1) for task, layers in self.classifiers.items()}

    def _losses_of_tasks(self, vector_BD: Tensor, labels: Labels) -> Parts:
        """Of embeddings, both of them where there is a teacher."""
        told = self.settings
        logits = {task: layers(vector_BD) for task, layers in self.classifiers.items()}
        loss = {}
        for task, logits_BK in logits.items():
            if told.hierarchical and task in OF_AGES:
                gammas = {"gamma_positive": told.gamma_positive, "gamma_negative": told.gamma_negative}
                loss[task] = asymmetric(logits_BK, labels[task], **gammas, margin=told.margin)
            else:
                loss[task] = smoothed_cross_entropy(logits_BK, labels[task], smoothing=told.smoothing)
        parts = {task: mean_of_known(loss_B, labels[task] != UNKNOWN) for task, loss_B in loss.items()}
        if told.hierarchical:
            group_B, subgroup_B = (labels[task] for task in OF_AGES)
            cost_B = dependency(
                *(logits[task] for task in OF_AGES),
                group_B=group_B,
                subgroup_B=subgroup_B,
                group_loss_B=loss["age_group"],
                subgroup_loss_B=loss["age_subgroup"],
                group_of_subgroup_K=self.group_of_subgroup_K,
            )
            parts["dependency"] = mean_of_known(cost_B, (group_B != UNKNOWN) & (subgroup_B != UNKNOWN))
        return parts

    @torch.no_grad()
    def _taught(self, feats_BTM: Tensor, length_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The teacher's pooled features and embeddings; its normalisation goes by what it heard when it was trained."""
        assert self.teacher is not None  # noqa: S101  # asked only where there is one
        self.teacher.eval()  # which `train` of the system has undone
        pooled_BC, vector_BD = self.teacher(feats_BTM, length_B)
        return pooled_BC, vector_BD

    def _features(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        with torch.autocast(wave_BN.device.type, enabled=False):
            feats_BTM, length_B = self.features(wave_BN.float(), samples_B)
        return feats_BTM, length_B

    def _long_enough(self, wave_BN: Tensor, samples_B: Tensor | None) -> tuple[Tensor, Tensor | None]:
        encoders = [self.network.encoder] + ([] if self.teacher is None else [self.teacher.encoder])
        least = max(encoder.settings.min_frames for encoder in encoders)
        return long_enough(wave_BN, samples_B, self.features.min_samples(least))


def made(settings: Mapping[str, Any], *, num_people: int, spec_augment: SpecAugmentSettings) -> MixupDistillationSystem:
    """See `Settings`. Raises ValueError; how many people there are does not matter to it."""
    return MixupDistillationSystem(checked(Settings, settings), spec_augment=spec_augment)


def _network(settings: Settings) -> Ecapa | HalfResNet:
    sizes = written_out(STUDENTS[settings.architecture]) | settings.network
    if settings.architecture == "ecapa":
        return Ecapa(checked(EcapaSettings, sizes, "network"))
    return HalfResNet(checked(HalfResNetSettings, sizes, "network"))


# ------------------------------------------------------------------------------------------------ weights to begin with


def begin_with(system: System, place: Path) -> list[str]:
    """Weights of ours (a folder), or of SpeechBrain's ECAPA: a folder as it is published, or `embedding_model.ckpt`.

    The classifiers begin anew, and so does the last layer where only the size of the embedding is another, as it is of
    SpeechBrain's. A teacher stays as it is. Raises ExtractorError for weights of other sizes or features.
    """
    assert isinstance(system, MixupDistillationSystem)  # noqa: S101  # `made` made it
    return [f"{place}: {taken(system.network.encoder, place)}; the classifiers begin anew"]


def save_encoder(folder: Path, system: System) -> None:
    """The student's network; a teacher of others is saved by the recipe that trains it, which has none."""
    assert isinstance(system, MixupDistillationSystem)  # noqa: S101  # `made` made it
    checkpoint.save(folder, system.network.encoder, features=FEATURES)


# --------------------------------------------------------------------------------------------------- rows of table 1

MASKS = SpecAugmentSettings(num_time_masks=1, max_frames=100, num_frequency_masks=1, max_bands=27)
NOISY = "LTV and FCVE (AI-Hub; telephone, the elderly)"


def _recipe(
    name: str,
    architecture: Architecture,
    source: str,
    *,
    is_teacher: bool = False,
    distance: Distance | None = None,
    hierarchical: bool = False,
) -> Recipe:
    sizes = written_out((TEACHERS if is_teacher else STUDENTS)[architecture])
    masks = SpecAugmentSettings() if distance is None else MASKS
    return Recipe(
        name=f"mixup-{architecture}-{name}",
        system="mixup_distillation",
        settings=written_out(
            Settings(architecture=architecture, network=sizes, distance=distance, hierarchical=hierarchical)
        ),
        source=f"{source} (Baeg et al. 2023, table 1)",
        batches=Batches(utterances=12, crop_s=(3.0, 3.0)),
        optimizer=Optimizer(kind="adam"),
        schedule=Step(rate=1e-4, factor=0.8, num_epochs=4, first_epoch=2),
        epochs=10,
        augmentation=AugmentationSettings(spec_augment=masks),
    )


def _f1(sex: str, group: str, what: str, of: str = NOISY) -> str:
    return f"{what}: F1 {sex} % of sex, {group} % of age groups on {of}"


def _rows(
    architecture: Architecture, teacher: str, base: str, mse: str, cosine: str, ch: str, mkd_ch: str
) -> tuple[Recipe, ...]:
    return (
        _recipe("teacher", architecture, teacher, is_teacher=True),
        _recipe("base", architecture, base),
        _recipe("mkd-mse", architecture, mse, distance="mse"),
        _recipe("mkd-cos", architecture, cosine, distance="cosine"),
        _recipe("ch", architecture, ch, hierarchical=True),
        _recipe("mkd-ch", architecture, mkd_ch, distance="cosine", hierarchical=True),
    )


CLEAN = "FCVG (AI-Hub; studio)"
RECIPES = (
    *_rows(
        "ecapa",
        _f1("99.84", "96.78", "ECAPA, base, the teacher", CLEAN),
        _f1("97.13", "70.01", "ECAPA, base"),
        _f1("96.67", "66.75", "ECAPA, MKD (mse)"),
        _f1("96.89", "67.43", "ECAPA, MKD (cos)"),
        _f1("97.35", "81.82", "ECAPA, CH"),
        _f1("98.42", "85.09", "ECAPA, MKD + CH"),
    ),
    *_rows(
        "resnet",
        _f1("99.86", "94.11", "ResNet, base, the teacher", CLEAN),
        _f1("95.26", "73.00", "ResNet, base"),
        "ResNet, MKD (mse): a row that the paper has for ECAPA alone",
        _f1("96.07", "73.05", "ResNet, MKD (cos)"),
        _f1("97.55", "77.66", "ResNet, CH"),
        _f1("98.96", "87.83", "ResNet, MKD + CH"),
    ),
)
