"""Word and character error rate: how far what was recognised is from what was said, by jiwer.

Edits are the fewest substitutions, deletions and insertions that make the reference into the hypothesis. A rate is of
a whole corpus: the sum of all edits over the sum of all reference words, not the mean of utterances' rates. It may
exceed 1. Kaldi's `compute-wer`, sclite and jiwer's own `wer` of two lists say the same; how the fewest edits divide
into the three kinds is not unique, and may differ from theirs.

Texts are compared as LibriSpeech writes its own (Panayotov et al., ICASSP 2015): in capitals, of nothing but letters
and apostrophes, divided by single blanks. `normalised` says what that means for other languages. The characters of a
character error rate are those of the normalised text, and the blanks between its words count, as in jiwer.

An interval comes from drawing people anew, see `benchmarks.intervals`:

    edits = word_edits(references, hypotheses)
    estimate(error_rate, edits.total, edits.num_reference, [people], rng=rng)
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Floats
from curate.errors import ListError

if TYPE_CHECKING:
    from jiwer import AlignmentChunk

Counts = NDArray[np.int64]
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc\uff07", "'"))  # typographic, of Unicode's letters, wide


@dataclass(frozen=True, kw_only=True)
class Edits:
    """Of N utterances, each (N,): the edits of each kind, and of how many words or characters its reference is."""

    substitutions: Counts
    deletions: Counts
    insertions: Counts
    num_reference: Counts

    @property
    def total(self) -> Counts:
        """(N,) edits of any kind."""
        return self.substitutions + self.deletions + self.insertions


def normalised(text: str) -> str:
    """The text in capitals, words of letters and apostrophes with one blank between: `It's "to-day"!` is `IT'S TO DAY`.

    Letters are those of any script in Unicode's composed form, with the marks that some scripts write vowels or tones
    by; what nobody sees, such as a soft hyphen, falls away. Digits stay, though LibriSpeech spells numbers out: without
    them `42` for FORTY TWO would be no wrong word, and transcripts of digits would be empty. Typographic apostrophes
    are plain ones. A word has a letter or a digit: the mark that colours an emoji is none. Capitals are Unicode's, in
    no language's own way: of German ß they are SS, of Turkish i they have no dot.
    """
    composed = unicodedata.normalize("NFC", text.upper()).translate(_APOSTROPHES)
    seen = (one for one in composed if unicodedata.category(one) != "Cf")
    kept = "".join(one if one == "'" or unicodedata.category(one)[0] in "LMN" else " " for one in seen)
    return " ".join(word for word in kept.split() if any(unicodedata.category(one)[0] in "LN" for one in word))


def word_edits(
    references: Sequence[str], hypotheses: Sequence[str], *, normalise: Callable[[str], str] = normalised
) -> Edits:
    """The edits of N utterances, word by word; an utterance of which nothing was recognised lacks all its words.

    Raises ListError for a reference without a word, whose rate nothing defines, and where there are not as many
    hypotheses as references, or none.
    """
    import jiwer

    said, heard = _both(references, hypotheses, normalise)
    return _counted(jiwer.process_words(said, heard).alignments)


def character_edits(
    references: Sequence[str], hypotheses: Sequence[str], *, normalise: Callable[[str], str] = normalised
) -> Edits:
    """The same, character by character."""
    import jiwer

    said, heard = _both(references, hypotheses, normalise)
    return _counted(jiwer.process_characters(said, heard).alignments)


def error_rate(edits: Counts, num_reference: Counts, /, *, weight: Floats | None = None) -> float:
    """All edits (N,) over all reference words or characters (N,), from 0 on; nan where nothing weighs anything."""
    weights = np.ones(len(edits)) if weight is None else weight
    num_said = float(weights @ num_reference)
    return float(weights @ edits) / num_said if num_said else np.nan


def _both(
    references: Sequence[str], hypotheses: Sequence[str], normalise: Callable[[str], str]
) -> tuple[list[str], list[str]]:
    if len(references) != len(hypotheses) or not len(references):
        raise ListError(
            f"{len(references)} references and {len(hypotheses)} hypotheses; expected as many of both, above 0"
        )
    said, heard = ([normalise(text) for text in texts] for texts in (references, hypotheses))
    for number, text in enumerate(said):
        if not text.strip():
            raise ListError(f"reference {number}: {references[number][:80]!r} has no word; expected some")
    return said, heard


def _counted(alignments: "list[list[AlignmentChunk]]") -> Edits:
    counts = {kind: np.zeros(len(alignments), np.int64) for kind in ("equal", "substitute", "delete", "insert")}
    for number, chunks in enumerate(alignments):
        for one in chunks:
            counts[one.type][number] += max(one.ref_end_idx - one.ref_start_idx, one.hyp_end_idx - one.hyp_start_idx)
    return Edits(
        substitutions=counts["substitute"],
        deletions=counts["delete"],
        insertions=counts["insert"],
        num_reference=counts["equal"] + counts["substitute"] + counts["delete"],
    )
