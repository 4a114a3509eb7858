"""What a reviewer may say, and whether the ids that he names are in the catalog.

Of however many things are said at once, each column of the catalog is read once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import Catalog
from curate.decisions import in_words
from curate.errors import VoxcurateError, shown
from curate.reasons import Subject, Verdict
from curate.schema import DECISIONS, EMBEDDINGS, UTTERANCES
from curate.sides import Pair, ordered

FITTING: dict[Subject, tuple[Verdict, ...]] = {
    Subject.UTTERANCE: (Verdict.KEEP, Verdict.DROP, Verdict.RELABEL),
    Subject.SPEAKER: (Verdict.KEEP, Verdict.DROP),
    Subject.PAIR: (Verdict.MERGE, Verdict.KEEP),
}


class ReviewError(VoxcurateError, ValueError):
    """What a reviewer says does not fit the catalog, or what stands already."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """One thing to say. A pair that is kept is kept apart.

    Without a verdict a word is taken back: his own, or all (`curate.reviews`).
    """

    subject: Subject
    subject_id: str
    other_id: str | None = None  # the second speaker of a pair, or the label an utterance goes to
    verdict: Verdict | None
    note: str | None = None

    @property
    def pair(self) -> Pair:
        """The two speakers in order."""
        return ordered(self.subject_id, str(self.other_id))


class Named:
    """What the catalog knows of these ids. Raises CatalogError where there is no catalog."""

    def __init__(self, catalog: Catalog, ids: Iterable[str]) -> None:
        self.catalog = catalog
        asked = pa.array(sorted({*ids}), pa.string())
        self._asked = asked
        rows = catalog.read(UTTERANCES, columns=["utterance_id", "speaker_id"])
        mine = rows.filter(pc.is_in(rows["utterance_id"], value_set=asked))
        self.label_of = dict(zip(mine["utterance_id"].to_pylist(), mine["speaker_id"].to_pylist(), strict=True))
        known = rows["speaker_id"]
        self.speakers = {*known.filter(pc.is_in(known, value_set=asked)).to_pylist()}

    @cached_property
    def heard(self) -> set[str]:
        """The utterances that some extractor has heard."""
        ids = self.catalog.read(EMBEDDINGS, columns=["utterance_id"])["utterance_id"]
        return {*ids.filter(pc.is_in(ids, value_set=self._asked)).to_pylist()}

    def subject_of(self, one: str, other: str | None, verdict: Verdict, asked: Subject | None) -> Subject:
        """What a verdict is about. Raises ReviewError where nothing of this name is there, or two things."""
        if verdict == Verdict.RELABEL:
            return Subject.UTTERANCE
        if verdict == Verdict.MERGE or (other is not None and one not in self.label_of):
            return Subject.PAIR
        known = ((Subject.UTTERANCE, self.label_of), (Subject.SPEAKER, self.speakers))
        kinds = [subject for subject, there in known if asked in (None, subject) and one in there]
        if not kinds:
            raise self._unknown(one, asked or "utterance or speaker", ["utterance_id"])
        if len(kinds) > 1:
            raise ReviewError(f"{shown(one)}: both an utterance and a speaker; expected `--subject` to say which")
        return kinds[0]

    def require_fit(self, one: Review) -> None:
        """Raises ReviewError where the catalog has no such subject, or the verdict is none that it can be given."""
        kinds = FITTING[one.subject]
        if one.verdict not in kinds:
            raise ReviewError(
                f"{shown(one.subject_id)}: {one.verdict} is no verdict on {one.subject}s; expected {' or '.join(kinds)}"
            )
        takes_other = one.subject == Subject.PAIR or one.verdict == Verdict.RELABEL
        if takes_other != (one.other_id is not None):
            what = "a second speaker" if one.subject == Subject.PAIR else "the label that it goes to"
            wrong = (
                f"without a second id; expected {what}"
                if takes_other
                else f"with {shown(one.other_id)}; expected one id"
            )
            raise ReviewError(f"{shown(one.subject_id)}: {one.verdict} {wrong}")
        if one.subject == Subject.UTTERANCE:
            self._require_utterance(one)
        else:
            self.require_speaker(one.subject_id)
        if one.other_id is not None:
            self.require_speaker(one.other_id)
        if one.subject == Subject.PAIR and one.subject_id == one.other_id:
            raise ReviewError(f"{shown(one.subject_id)}: twice; expected two speakers")

    def require_speaker(self, speaker: str) -> None:
        """Raises ReviewError where the catalog has no such label."""
        if speaker not in self.speakers:
            raise self._unknown(speaker, "speaker", ["speaker_id"])

    def _require_utterance(self, one: Review) -> None:
        own = self.label_of.get(one.subject_id)
        if own is None:
            raise self._unknown(one.subject_id, "utterance", ["utterance_id"])
        if one.verdict == Verdict.RELABEL and one.other_id == own:
            raise ReviewError(
                f"{shown(one.subject_id)}: its label is {own} already; expected another, or the verdict keep"
            )
        if one.verdict != Verdict.DROP and one.subject_id not in self.heard:
            raise self._unheard(one.subject_id)

    def _unknown(self, one: str, kind: str, columns: list[str]) -> ReviewError:
        ids = self.catalog.read(UTTERANCES, columns=columns)[0].unique()
        hint = did_you_mean(one, (value.as_py() for value in ids))
        return ReviewError(f"{shown(one)}: no {kind} of {self.catalog.root}; {hint}")

    def _unheard(self, utterance: str) -> ReviewError:
        """Says who left the utterance out, so that no extractor has heard it."""
        decisions = self.catalog.read(DECISIONS)
        about_it = pc.and_(
            pc.equal(decisions["subject"], Subject.UTTERANCE), pc.equal(decisions["subject_id"], utterance)
        )
        drops = decisions.filter(pc.and_(about_it, pc.equal(decisions["verdict"], Verdict.DROP))).slice(0, 1)
        told, hint = "", "expected one that was heard"
        for row in drops.to_pylist():
            told = f": step {row['step']} {in_words(row)}".replace("other_id", str(row["other_id"]))
            if row["step"].startswith("ingest"):
                hint += "; the section of its corpus in the pipeline file sets that limit"
        return ReviewError(f"{shown(utterance)}: no embedding{told}; {hint}")


def ids_of(things: Sequence[Review]) -> set[str]:
    """Every id that is named."""
    return {one for thing in things for one in (thing.subject_id, thing.other_id) if one is not None}


def did_you_mean(asked: str, ids: Iterable[str]) -> str:
    """A few ids that hold what was asked for, or one to show how they look."""
    first, near = None, []
    for one in ids:
        first = first or one
        if asked in one:
            near.append(one)
        if len(near) == 3:
            break
    return f"did you mean {' or '.join(near)}?" if near else f"expected an id such as {first}"
