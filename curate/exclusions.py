"""Exclusion lists: what a corpus shall be used without, one speaker, session or file a line.

Such lists come from elsewhere (speakers who are in another benchmark's test, utterances found to be mislabelled), and
name things in their own way. A line may be a speaker's label or other name, `speaker/session`, a path with or without
its suffix, or an id of ours. A list that matches nothing is an error: one was published whose ids all lack their first
character, and another names speakers as nobody's folders do.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.audio import SUFFIXES
from curate.errors import CorpusError
from curate.storage import read_bytes, why


@dataclass(frozen=True)
class Exclusions:
    """One list: its entries, and which of them have matched so far."""

    path: Path
    entries: frozenset[str]  # without suffixes
    first: str  # of the file
    matched: set[str] = field(default_factory=set)

    def match(self, rows: pa.RecordBatch) -> pa.Array:
        """Whether each row (corpus, utterance_id, speaker_id, session_id, path) is named; of any number of batches."""
        found = np.zeros(rows.num_rows, dtype=bool)
        for names in _names(rows):
            for at, name in enumerate(names.to_pylist()):
                if name in self.entries:
                    found[at] = True
                    self.matched.add(name)
        return pa.array(found)

    def require_matches(self, corpus: str, example: str) -> None:
        """Raises CorpusError where nothing has matched."""
        if not self.matched:
            raise CorpusError(
                f"corpus {corpus!r}: {self.path} matches nothing: none of its {len(self.entries)} entries, such as "
                f"{self.first[:80]!r}, is a speaker, session or file of the corpus, such as {example[:80]!r}; "
                "expected a list for this corpus (`exclusions`)"
            )

    @property
    def remark(self) -> str | None:
        """What is odd about it: entries that match nothing, while others do."""
        idle = len(self.entries) - len(self.matched)
        if not idle or not self.matched:
            return None
        first = min(self.entries - self.matched)
        return f"{self.path.name}: {idle} of {len(self.entries)} entries match nothing, such as {first[:80]!r}"


def read_exclusions(path: Path, aliases: dict[str, str]) -> Exclusions:
    """Read a list; blank lines and lines that start with `#` say nothing. `aliases` maps other names of speakers.

    Raises CorpusError for a list that cannot be read, or has no entry.
    """
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise CorpusError(f"{path}: {why(error)}; expected a list of what to leave out") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: byte {error.start} is no UTF-8; expected text in UTF-8") from error
    return exclusions_in(path, lines, aliases)


def exclusions_in(path: Path, lines: Iterable[str], aliases: Mapping[str, str]) -> Exclusions:
    """The list of these lines. Raises CorpusError where none is an entry."""
    said = (line.strip() for line in lines)
    entries = [_entry(line, aliases) for line in said if line and not line.startswith("#")]
    if not entries:
        raise CorpusError(f"{path}: no entry; expected a speaker, session or file a line")
    return Exclusions(path, frozenset(entries), entries[0])


def _entry(line: str, aliases: Mapping[str, str]) -> str:
    name = aliases.get(line, line).replace("\\", "/").removeprefix("./")
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _names(rows: pa.RecordBatch) -> Iterable[pa.Array]:
    """All that a list may call the rows: ids with and without the corpus, the path without its suffix."""
    corpus = rows["corpus"][0].as_py() if rows.num_rows else ""
    for column in ("utterance_id", "speaker_id", "session_id"):
        yield rows[column]
        yield pc.replace_substring_regex(rows[column], f"^{re.escape(corpus)}/", "")
    yield pc.replace_substring_regex(rows["path"], r"\.[^./]*$", "")
