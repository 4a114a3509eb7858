"""How a system is trained: everything that a paper says of it, and what a user may set otherwise."""

from dataclasses import field
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass as validated
from torch import nn

from curate.corpora.described import STRICT
from models.common.augment import AugmentationSettings
from models.training.schedules import Schedule

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@validated(frozen=True, kw_only=True, config=STRICT)
class Optimizer:
    """Adam (PyTorch's, with its own decays) or SGD."""

    kind: Literal["adam", "sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of SGD
    weight_decay: Annotated[float, Field(ge=0)] = 0.0  # L2

    def __post_init__(self) -> None:
        if self.kind == "adam" and self.momentum:
            raise ValueError(f"momentum {self.momentum} with adam, which has its own; expected 0, or sgd")

    def made(self, system: nn.Module) -> torch.optim.Optimizer:
        """Of all parameters that learn; the schedule gives the rate before each step."""
        parameters = [parameter for parameter in system.parameters() if parameter.requires_grad]
        if self.kind == "adam":
            return torch.optim.Adam(parameters, weight_decay=self.weight_decay)
        return torch.optim.SGD(parameters, momentum=self.momentum, weight_decay=self.weight_decay)


@validated(frozen=True, kw_only=True, config=STRICT)
class Batches:
    """What makes a batch, cut to one length: so many people with so many utterances of each, or any utterances."""

    speakers: int = Field(default=0, ge=0)  # people; 0 where `utterances` says how many of anybody
    utterances_each: int = Field(default=1, ge=1)
    utterances: int = Field(default=0, ge=0)  # whoever speaks them; 0 where `speakers` are balanced
    crop_s: tuple[Seconds, Seconds]  # shortest and longest; drawn anew for each batch
    passes: int = Field(default=1, ge=1)  # through all people or utterances, in an epoch; with `hard` one
    hard: int = Field(default=0, ge=0)  # people whom the system takes for one who is drawn come with him, so many
    skip_short_speakers: bool = False  # leave out who has too few utterances; else an error names him

    def __post_init__(self) -> None:
        if (self.speakers == 0) == (self.utterances == 0) or 1 in (self.speakers, self.utterances):
            told = f"speakers {self.speakers} and utterances {self.utterances}"
            raise ValueError(f"{told}; expected one of them to be 0 and the other 2 or more")
        if self.utterances and (self.utterances_each > 1 or self.hard or self.skip_short_speakers):
            raise ValueError(
                f"utterances {self.utterances} with utterances_each, hard or skip_short_speakers; expected these with "
                "speakers"
            )
        if self.hard and self.passes > 1:
            raise ValueError(
                f"passes {self.passes} with hard {self.hard}; expected 1: it is one pass through all people"
            )


@validated(frozen=True, kw_only=True, config=STRICT)
class Whole:
    """Batches of whole utterances of like length."""

    seconds: Seconds  # that a batch has at most, with what its shorter utterances are padded by
    learns: tuple[Literal["person", "text"], ...]  # from them

    def __post_init__(self) -> None:
        if not self.learns or len(set(self.learns)) < len(self.learns):
            raise ValueError(f"learns {list(self.learns)}; expected person, text or both, each once")


@validated(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """One row of a paper's table, or one of a user's own."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")  # a folder of runs/ is named by it
    system: str  # the folder of models/
    settings: dict[str, Any]  # of the system: its own module checks them; `teacher`, where it has one, is a folder
    source: str  # which row of which paper, and what the paper reports of it
    begins_with: str | None = None  # whose weights the paper fine-tunes
    batches: Batches | None = None  # of crops
    whole: Whole | None = None  # of whole utterances; with `batches` the two come in turn
    steps_an_epoch: int | None = Field(default=None, ge=1)  # of the optimiser; else an epoch is a pass
    optimizer: Optimizer
    schedule: Schedule
    epochs: int = Field(ge=1)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    accumulate: int = Field(default=1, ge=1)  # batches to a step of the optimiser
    clip_norm: Positive | None = None  # of the gradient
    clip_value: Positive | None = None  # of each number of the gradient
    clip_each: bool = False  # of each of the batches of a step, before they are added; else of their sum
    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False  # the network, by torch.compile: faster on a GPU after a minute or two
    patience: int | None = Field(default=None, ge=1)  # validations without a better one, after which training ends
    validate_every: int = Field(default=1, ge=1)  # epochs
    validate_s: Seconds = 4.0  # that are heard of an utterance; figures at the end hear 20 s
    validate_whole_s: Seconds = 36.0  # where words are read: longer than any utterance of LibriSpeech
    checkpoint_every: int = Field(default=0, ge=0)  # steps; 0: where it is validated alone
    readers: int = Field(default=2, ge=1)  # threads that read crops
    seed: int = Field(default=1, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        if self.batches is None and self.whole is None:
            raise ValueError("neither batches nor whole; expected one of them, or both")
        if self.batches is not None and self.whole is not None and self.accumulate % 2:
            raise ValueError(f"accumulate {self.accumulate} with batches of two kinds; expected 2, or a multiple of it")

    @property
    def num_kinds(self) -> int:
        """Of batches, which come in turn."""
        return (self.batches is not None) + (self.whole is not None)

    @property
    def reads(self) -> bool:
        """Whether it learns what is said."""
        return self.whole is not None and "text" in self.whole.learns

    def plain(self) -> dict[str, Any]:
        """As JSON and TOML can hold it."""
        told: dict[str, Any] = TypeAdapter(Recipe).dump_python(self, mode="json")
        return told
