"""What of all items a reviewer wants to see: the filters of a view, which go with him from address to address."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import VoxcurateError
from curate.reasons import Subject, Verdict
from pages.review.shown import Flags, Moment

UNDECIDED = "undecided"  # as a reason: of what no rule decided on
MAX_TEXT = 1 << 16  # what Arrow can search for whatever the case
DOUBTFUL = 0.5  # the least doubt of what is counted as doubtful


class State(StrEnum):
    """Of which items, by what reviewers said of them."""

    OPEN = "open"  # nothing stands
    MINE_OPEN = "mine_open"  # of what this reviewer has not spoken of, and what others said is not shown
    DECIDED = "decided"
    ALL = "all"


class AskedError(VoxcurateError, ValueError):
    """A filter that is none."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An empty filter leaves nothing out."""

    state: State = State.OPEN
    kind: str = ""  # of subject
    corpus: str = ""
    verdict: str = ""
    reason: str = ""
    text: str = ""  # in an id
    min_doubt: float | None = None
    max_doubt: float | None = None
    min_score: float | None = None
    max_score: float | None = None

    def __post_init__(self) -> None:
        _require_one_of("kind", self.kind, Subject)
        _require_one_of("verdict", self.verdict, Verdict)
        if len(self.text) > MAX_TEXT:
            raise AskedError(f"text of {len(self.text)} characters: expected at most {MAX_TEXT}")
        object.__setattr__(self, "state", _require_one_of("state", self.state, State))

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        """The filters among the values of an address or a form. Raises AskedError."""
        given = {field.name: query[field.name].strip() for field in fields(cls) if query.get(field.name, "").strip()}
        numbers = {name: _number(name, value) for name, value in given.items() if name.startswith(("min_", "max_"))}
        return cls(**(given | numbers))  # type: ignore[arg-type]

    def query(self, **more: object) -> str:
        """As they stand in an address, with other values beside them; what leaves nothing out is not named."""
        usual = asdict(Asked())
        mine = {name: value for name, value in asdict(self).items() if value != usual[name]}
        return urlencode({name: str(value) for name, value in (mine | more).items() if value not in (None, "")})

    @property
    def is_blind(self) -> bool:
        """Whether what others said of an item is kept from who has not spoken of it."""
        return self.state == State.MINE_OPEN

    def in_any_state(self) -> "Asked":
        """The same filters, whatever reviewers said."""
        return replace(self, state=State.ALL)

    def rows(self, moment: Moment, reviewer: str) -> NDArray[np.int64]:
        """The places of the items that are asked for, most doubtful first."""
        return np.flatnonzero(self._matching(moment.items) & self._in_state(moment, reviewer))

    def _in_state(self, moment: Moment, reviewer: str) -> Flags:
        match self.state:
            case State.OPEN:
                return ~moment.decided()
            case State.MINE_OPEN:
                return ~moment.decided(reviewer)
            case State.DECIDED:
                return moment.decided()
            case State.ALL:
                return np.ones(len(moment.items), np.bool_)

    def _matching(self, items: pa.Table) -> Flags:
        found = np.ones(len(items), np.bool_)
        verdict, reason = items["verdict"], items["reason"]
        for values, asked in ((items["subject"], self.kind), (verdict, self.verdict)):
            if asked:
                found &= _flags(pc.equal(values, asked))
        if self.reason:
            found &= _flags(pc.is_null(reason) if self.reason == UNDECIDED else pc.equal(reason, self.reason))
        if self.corpus:
            found &= _flags(pc.equal(items["corpus"], self.corpus)) | _flags(
                pc.equal(items["other_corpus"], self.corpus)
            )
        if self.text:
            names = ("subject_id", "other_id", "speaker_id")
            hits = [_flags(pc.match_substring(items[name], self.text, ignore_case=True)) for name in names]
            found &= np.logical_or.reduce(hits)
        for name in ("doubt", "score"):
            values = items[name].to_numpy()
            for bound, holds in ((f"min_{name}", np.greater_equal), (f"max_{name}", np.less_equal)):
                if (least := getattr(self, bound)) is not None:
                    found &= holds(values, least)  # nothing holds of nan
        return found


def _flags(values: pa.ChunkedArray) -> Flags:
    return np.asarray(pc.fill_null(values, False).to_numpy(), dtype=np.bool_)


def _require_one_of(name: str, value: str, kinds: type[StrEnum]) -> str:
    if not value:
        return value
    try:
        return kinds(value)
    except ValueError:
        raise AskedError(f"{name} {value[:80]!r}: expected one of {', '.join(kinds)}") from None


def _number(name: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        raise AskedError(f"{name} {value[:80]!r}: expected a number") from None
    if np.isnan(found):
        raise AskedError(f"{name} {value[:80]!r}: expected a number")
    return found
