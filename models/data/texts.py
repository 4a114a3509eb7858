"""What is said, as the codes of characters that a network learns to write, and back.

Texts are compared as LibriSpeech writes its own, see `benchmarks.words.normalised`: what is learnt is what is scored.

Shape letters: U utterances, L characters of a text, T frames.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, final

import numpy as np

from benchmarks.words import normalised
from curate.errors import TrainingError
from curate.explain import counted
from models.data.speech import Integers

BLANK, WORD_BOUNDARY = 0, 1  # codes; letters follow
SHOWN = 10  # of the characters that a vocabulary lacks


class Encoded(NamedTuple):
    """What a vocabulary can write of U texts, and what it cannot."""

    codes: list[Integers]  # (U,) arrays (L,); empty of who is left out
    num_silent: int  # utterances left out: without a text, or of one without a word
    num_outside: int  # utterances left out: with characters that the vocabulary lacks
    outside: Counter[str]  # these characters

    def told(self) -> str | None:
        """What is left out, in words; None where nothing is."""
        why = []
        if self.num_silent:
            why.append(f"{self.num_silent} without a text")
        if self.num_outside:
            why.append(f"{self.num_outside} with {self.strange}")
        left = counted(self.num_silent + self.num_outside, "utterance")
        return f"{left} of {len(self.codes)} left out of reading: {', '.join(why)}" if why else None

    @property
    def strange(self) -> str:
        """The characters that the vocabulary lacks, in words."""
        shown = ", ".join(f"{one} {num}" for one, num in self.outside.most_common(SHOWN))
        more = ", ..." if len(self.outside) > SHOWN else ""
        return f"characters outside the vocabulary ({shown}{more})"


@final
@dataclass(frozen=True)
class Vocabulary:
    """The characters that a network can write: of code 0 none (CTC's blank), of 1 the boundary of words, then letters.

    Raises TrainingError for letters that no normalised text has, or one twice.
    """

    letters: str

    def __post_init__(self) -> None:
        if not self.letters or len({*self.letters}) < len(self.letters):
            raise TrainingError(f"letters {self.letters!r}; expected some, each once")
        if strange := [one for one in self.letters if not _may_be_written(one)]:
            raise TrainingError(
                f"letters {self.letters!r}: {strange[0]!r} is in no text; expected capitals, digits, marks of vowels, '"
            )

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        """Of all characters that occur in some texts, in the order of Unicode. Raises TrainingError where none does."""
        letters = {one for text in texts if text is not None for one in normalised(text)} - {" "}
        if not letters:
            raise TrainingError("no text has a word; expected some, to know the characters of the language by")
        return cls("".join(sorted(letters)))

    def __len__(self) -> int:
        """How many codes there are."""
        return WORD_BOUNDARY + 1 + len(self.letters)

    def encoded(self, texts: Sequence[str | None]) -> Encoded:
        """U texts. One without a word, or with a character that is not known, is left out whole: nothing is guessed."""
        place = {" ": WORD_BOUNDARY} | {one: WORD_BOUNDARY + 1 + at for at, one in enumerate(self.letters)}
        codes, num_silent, num_outside, outside = [], 0, 0, Counter[str]()
        for text in texts:
            plain = normalised(text or "")
            unknown = [one for one in plain if one not in place]
            num_silent, num_outside = num_silent + (not plain), num_outside + bool(unknown)
            outside.update(unknown)
            codes.append(np.array([] if unknown else [place[one] for one in plain], np.int64))
        return Encoded(codes, num_silent, num_outside, outside)

    def decoded(self, codes_T: Integers) -> str:
        """What is written by the likeliest code of each frame: repeats are one, then blanks fall away (CTC, greedy)."""
        changes = np.flatnonzero(np.diff(codes_T, prepend=-1))
        written = ("", " ", *self.letters)
        return " ".join("".join(written[code] for code in codes_T[changes]).split())


def _may_be_written(one: str) -> bool:
    """Whether a normalised text may have this character beside its blanks."""
    return one == "'" or (unicodedata.category(one)[0] in "LMN" and unicodedata.normalize("NFC", one.upper()) == one)


LIBRISPEECH = Vocabulary("'ABCDEFGHIJKLMNOPQRSTUVWXYZ")
