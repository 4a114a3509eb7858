"""What the engine trains: a network with its loss, and what it hears of a waveform."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from curate.errors import TrainingError
from models.data.speech import Integers
from models.data.texts import Vocabulary

Parts = dict[str, Tensor]  # named losses, scalars; `loss` is what is minimised
Labels = dict[str, Tensor]  # codes (B,) by what they say: `person`, and of the tasks of a system; -1: not known. Also
# `text` (B, L), the codes of characters, and `samples` (B,) of whole utterances, after which a waveform has zeros
T = TypeVar("T")


class System(nn.Module):
    """Features, network and loss of one paper, all on one device."""

    network: nn.Module  # from features to vectors
    tasks: Mapping[str, tuple[str, ...]] = MappingProxyType({})  # what it tells beside who speaks: classes by code
    labels_needed: tuple[str, ...] = ()  # that it learns from and does not tell
    vocabulary: Vocabulary | None = None  # that it writes what is said with
    knows_voices: bool = True  # is trained to: its vectors say who speaks
    age_scheme: str | None = None  # of `curate.ages`, where ages are among them
    has_layers: bool = False  # that `layer_vectors` tells of
    learns_in_parts: bool = False  # some batches leave some of its parameters out, which then have no gradient

    @abstractmethod
    def losses(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """Of crops at 16 kHz, all of one length, and what is known of them: `loss`, and its parts by name."""

    @abstractmethod
    def embed(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, D) in float32, not normalised; of each waveform so many samples are valid, all of them where None."""

    def tell(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> dict[str, Tensor]:
        """(B, K) of each task, in float32: how likely each of its classes is. Raises TrainingError without a task."""
        raise TrainingError("this system tells no classes; expected one with tasks, such as sex or age_group")

    def transcribe(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> list[str]:
        """(B,) what is said. Raises TrainingError without a vocabulary."""
        raise TrainingError("this system writes no text; expected one with a vocabulary")

    def layer_vectors(self, wave_BN: Tensor, samples_B: Tensor | None = None) -> Tensor:
        """(B, L, D) in float32: the mean over time of what each layer gives. Raises TrainingError without layers."""
        raise TrainingError("this system has no layers to compare; expected one of wav2vec 2.0 (disjoint_mtl)")

    def texts_too_long(self, num_samples: Integers, texts: Sequence[Integers]) -> NDArray[np.bool_]:
        """(B,) which of these texts, as codes, no path through the frames of so many samples can write."""
        return np.zeros(len(texts), bool)

    def begin_step(self, num_steps: int) -> None:
        """Called before a batch, when so many steps of the optimiser are done: what is frozen at first may thaw."""

    def begin_epoch(self) -> None:
        """Called before the batches of an epoch are planned, and not again where a run goes on within it."""

    def similar(self, people: Integers, num: int) -> Integers:
        """(S, num): for each of these people the others of them whom the system takes him for, the most alike first.

        By what it was when the epoch began, which a checkpoint holds: the batches of an epoch are planned once more
        where a run goes on within it. Raises TrainingError for a system that knows no such people.
        """
        told = "this system does not know whom it takes for whom"
        raise TrainingError(f"batches.hard {num}: {told}; expected 0, or a system with prototypes")

    def forward(self, wave_BN: Tensor, labels: Labels) -> Parts:
        """As `losses`: what shares gradients among processes calls this."""
        return self.losses(wave_BN, labels)


def checked(kind: type[T], told: Mapping[str, Any], *within: str) -> T:
    """Settings as JSON has them: a list is good for a tuple. Raises ValueError, which names the key and where it is."""
    try:
        return TypeAdapter(kind).validate_json(TypeAdapter(Any).dump_json(told))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, (*within, *first["loc"])))
        said = first["msg"].removeprefix("Value error, ")
        was = "" if first["type"] == "value_error" else f"; it has {first['input']!r}"
        raise ValueError(f"{where}: {said}{was}" if where else said) from error


def written_out(settings: Any) -> dict[str, Any]:
    """All keys of such settings, as JSON has them: what `checked` reads."""
    told: dict[str, Any] = TypeAdapter(type(settings)).dump_python(settings, mode="json")
    return told


def long_enough(wave_BN: Tensor, samples_B: Tensor | None, least: int) -> tuple[Tensor, Tensor | None]:
    """Waveforms that have fewer valid samples are repeated up to so many; zeros follow them."""
    length_B = torch.full((len(wave_BN),), wave_BN.shape[1], device=wave_BN.device) if samples_B is None else samples_B
    if int(length_B.min()) >= least:
        return wave_BN, samples_B
    place_N = torch.arange(max(least, wave_BN.shape[1]), device=wave_BN.device)
    longer_B = length_B.clamp(min=least)
    return wave_BN.gather(1, place_N % length_B[:, None]) * (place_N < longer_B[:, None]), longer_B
