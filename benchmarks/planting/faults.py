"""The faults that can be planted, how much of each is asked for, and the truth table that records them.

Shares of wrong_speaker, noise, tones, clipping, silence and duplicate are of utterances; those of foreign_session,
split, mixed, wrong_sex and wrong_age are of labels. No utterance bears two faults: what one fault has touched, the
label's other utterances included where the fault is the label's, is left alone by those that come after it, in the
order of `Fault`.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pyarrow as pa

from curate.errors import VoxcurateError
from curate.schema import Column, Table


class PlantingError(VoxcurateError, ValueError):
    """What is asked for cannot be planted there."""


class Fault(StrEnum):
    """What can be planted, in the order in which it is."""

    MIXED = "mixed"
    FOREIGN_SESSION = "foreign_session"
    SPLIT = "split"
    WRONG_SEX = "wrong_sex"
    WRONG_AGE = "wrong_age"
    WRONG_SPEAKER = "wrong_speaker"
    NOISE = "noise"
    TONES = "tones"
    CLIPPING = "clipping"
    SILENCE = "silence"
    DUPLICATE = "duplicate"


OF_LABELS = (Fault.MIXED, Fault.FOREIGN_SESSION, Fault.SPLIT, Fault.WRONG_SEX, Fault.WRONG_AGE)
OF_SOUND = (Fault.NOISE, Fault.TONES, Fault.CLIPPING, Fault.SILENCE, Fault.DUPLICATE)
WRONG_SPEAKER_TO = ("uniform", "same_sex", "nearest")
SPLIT_TO = ("same_corpus", "other_corpus")
DUPLICATE_BY = ("gain", "resampling", "codec", "offset")
DUPLICATE_UNDER = ("same_speaker", "other_speaker")

_text = pa.string()
TRUTH = Table(
    name="truth",
    row_is="One utterance of which something was made wrong, or a copy that was added.",
    key=("utterance_id",),
    columns=(
        Column("fault", _text, " | ".join(Fault)),
        Column("kind", _text, "the way: to whom, of which share, by what"),
        Column("utterance_id", _text, "in the planted catalog"),
        Column("original_id", _text, "in the catalog it was planted into; of a duplicate, the utterance it repeats"),
        Column("speaker_id", _text, "the label it bears in the planted catalog"),
        Column("true_speaker_id", _text, "the label of who is heard"),
        Column(
            "amount",
            pa.float64(),
            "dB of the SNR, of the gain or beyond full scale; Hz of the resampling; s of the offset; years",
            nullable=True,
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Planting:
    """How much of which fault; a share is in [0, 1]. Raises PlantingError for what makes no sense."""

    seed: int = 0
    mixed: float = 0.0
    mixed_parts: tuple[float, ...] = (0.5, 0.5)  # of one label, its owner's first
    foreign_session: float = 0.0
    split: float = 0.0
    split_to: str = "same_corpus"
    wrong_sex: float = 0.0
    wrong_age: float = 0.0
    wrong_speaker: float = 0.0
    wrong_speaker_to: str = "uniform"
    noise: float = 0.0
    tones: float = 0.0
    clipping: float = 0.0
    silence: float = 0.0
    snr_db: float = 0.0  # of noise and tones: what the speech has over what is added
    clipping_db: float = 30.0  # by how much its peaks go beyond full scale
    duplicate: float = 0.0
    duplicate_by: tuple[str, ...] = DUPLICATE_BY
    duplicate_under: str = "same_speaker"

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or self.seed < 0:
            raise PlantingError(f"seed {self.seed}; expected a whole number from 0")
        for fault in Fault:
            if not 0 <= self.share(fault) <= 1:
                raise PlantingError(f"{fault} {self.share(fault)}; expected a share from 0 to 1")
        if not (math.isfinite(self.snr_db) and 0 < self.clipping_db < math.inf):
            asked = f"snr_db {self.snr_db}, clipping_db {self.clipping_db}"
            raise PlantingError(f"{asked}; expected decibels, and those of clipping above 0")
        parts = self.mixed_parts
        if len(parts) < 2 or not all(0 < part < 1 for part in parts) or abs(sum(parts) - 1) > 0.011:
            raise PlantingError(f"mixed_parts {list(parts)}; expected two shares or more that make 1, such as 0.8,0.2")
        if max(parts) > parts[0]:
            raise PlantingError(f"mixed_parts {list(parts)}; expected the owner's share, the first, to be the largest")
        for name, known in (
            ("wrong_speaker_to", WRONG_SPEAKER_TO),
            ("split_to", SPLIT_TO),
            ("duplicate_under", DUPLICATE_UNDER),
        ):
            if getattr(self, name) not in known:
                raise PlantingError(f"{name} {getattr(self, name)!r}; expected one of {', '.join(known)}")
        unknown = [way for way in self.duplicate_by if way not in DUPLICATE_BY]
        if unknown or not self.duplicate_by:
            raise PlantingError(f"duplicate_by {unknown or 'nothing'}; expected any of {', '.join(DUPLICATE_BY)}")

    def share(self, fault: Fault) -> float:
        """How much of it is asked for."""
        return float(getattr(self, fault))

    def at(self, level: float) -> "Planting":
        """The same faults, so much of each."""
        shares: dict[str, Any] = {str(fault): level for fault in self.faults}
        return replace(self, **shares)

    @property
    def faults(self) -> list[Fault]:
        """Those that are asked for."""
        return [fault for fault in Fault if self.share(fault) > 0]


def number_of(fault: Fault, share: float, total: int, what: str) -> int:
    """The share of `total` as a whole number, halves upwards. Raises PlantingError where that is none."""
    num = math.floor(share * total + 0.5)
    if not num:
        raise PlantingError(f"{fault} {share}: less than one of {total} {what}; expected a greater share")
    return num
