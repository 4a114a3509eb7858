"""Read a corpus: what it says of its utterances, what a look into its files finds, and which files are unfit.

A file is never left out silently. An unfit one is a row like the others, and a verdict says why it is dropped.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from curate import audio
from curate.audio import Probe
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings, Described
from curate.decisions import Author, verdicts
from curate.errors import CorpusError
from curate.schema import UTTERANCES, Reason, Subject, Verdict

FILES_AT_ONCE = 2  # decoding and hashing let go of the interpreter lock
FILES_A_CHUNK = 2_000  # so many looks a killed scan may lose
MAX_BEYOND_S = 0.1  # how far a stretch may go past the end of its file: times are rounded
STALE_AFTER = Path(audio.__file__)  # what an older probe found is not what this one would


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A probe, and the file's size and times of change by which it is known to hold still."""

    num_bytes: int
    changed_ns: int
    touched_ns: int  # of its inode: `cp -p` sets size and time of change back, but not this
    probe: Probe


def require_root(corpus: CorpusSettings) -> None:
    """Raises CorpusError where a corpus is not there at all."""
    if not corpus.root.is_dir():
        raise CorpusError(f"corpus {corpus.name!r}: no folder {corpus.root}; expected the {corpus.reader} layout in it")


def describe(corpus: CorpusSettings) -> list[Described]:
    """The utterances of a corpus in its own words. Raises CorpusError for an empty corpus, or two with one id."""
    require_root(corpus)
    reader = READERS[corpus.reader]
    found = list(reader.rows(corpus.root, corpus))
    if not found:
        raise CorpusError(f"corpus {corpus.name!r}: no audio in {corpus.root}; expected the {corpus.reader} layout")
    chosen = _chosen(corpus, found)
    _refuse_equal_ids(corpus, chosen)
    return sorted(_with_sessions(chosen), key=lambda utterance: utterance.utterance)


def _chosen(corpus: CorpusSettings, found: list[Described]) -> list[Described]:
    """What `include` and `exclude` leave. A pattern that matches nothing is an error: it was meant to do something."""
    for pattern in (*corpus.include, *corpus.exclude):
        if not any(fnmatchcase(utterance.path, pattern) for utterance in found):
            raise CorpusError(
                f"corpus {corpus.name!r}: {pattern!r} matches none of {len(found)} paths such as {found[0].path!r}"
            )
    chosen = [
        utterance
        for utterance in found
        if (not corpus.include or any(fnmatchcase(utterance.path, pattern) for pattern in corpus.include))
        and not any(fnmatchcase(utterance.path, pattern) for pattern in corpus.exclude)
    ]
    if not chosen:
        raise CorpusError(
            f"corpus {corpus.name!r}: `exclude` leaves none of {len(found)} files; expected some to remain"
        )
    return chosen


def _refuse_equal_ids(corpus: CorpusSettings, chosen: list[Described]) -> None:
    first: dict[str, str] = {}
    for utterance in chosen:
        if utterance.utterance in first:
            raise CorpusError(
                f"corpus {corpus.name!r}: {first[utterance.utterance]} and {utterance.path} both have the id "
                f"{corpus.name}/{utterance.utterance}; expected one file an id (`exclude` one), or a manifest that "
                "maps `name` to what tells its rows apart"
            )
        first[utterance.utterance] = utterance.path


def _with_sessions(chosen: list[Described]) -> list[Described]:
    """A file is the session of its stretches where none is told: two of them are never two sessions."""
    times_told = Counter(said.path for said in chosen)
    return [
        replace(said, session=said.session or said.recording) if said.is_stretch or times_told[said.path] > 1 else said
        for said in chosen
    ]


def probe_chunks(root: Path, paths: Iterable[str], known: dict[str, Seen]) -> Iterator[dict[str, Seen]]:
    """Look into every file but those that `known` has seen and that have not changed since.

    FILES_A_CHUNK at a time, so that the caller can keep what was found as it goes.
    """

    def look(path: str) -> Seen:
        file = root / path
        try:
            status = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Seen(num_bytes=0, changed_ns=0, touched_ns=0, probe=Probe(damage="missing", detail="no such file"))
        size, changed_ns, touched_ns = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        seen = known.get(path)
        if seen and (seen.num_bytes, seen.changed_ns, seen.touched_ns) == (size, changed_ns, touched_ns):
            return seen
        return Seen(num_bytes=size, changed_ns=changed_ns, touched_ns=touched_ns, probe=audio.probe(file))

    unique = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(FILES_AT_ONCE) as threads:
        for start in range(0, len(unique), FILES_A_CHUNK):
            chunk = unique[start : start + FILES_A_CHUNK]
            yield dict(zip(chunk, threads.map(look, chunk), strict=True))


def seen_as_text(seen: dict[str, Seen]) -> str:
    """What was seen, as JSON lines under a first line that says by which code and decoder."""
    return _head() + seen_as_lines(seen)


def seen_as_lines(seen: dict[str, Seen]) -> str:
    """The same without the first line, to go on with; of two lines on one file the later holds."""
    return "".join(json.dumps([path, asdict(file)]) + "\n" for path, file in seen.items())


def may_go_on(text: str) -> bool:
    """Whether lines can be put below this text: same code, and no half line that the next would be glued to."""
    return text.startswith(_head()) and text.endswith("\n")


def seen_from_text(text: str) -> dict[str, Seen]:
    """The whole lines of what `seen_as_text` wrote; nothing where other code or another decoder had looked."""
    if not text.startswith(_head()):
        return {}
    lines = text.removeprefix(_head()).split("\n")
    return dict(entry for line in lines[:-1] if (entry := _entry(line)))  # the last is half, or ""


def _head() -> str:
    head = {
        "probed_by": audio.sha256_of(STALE_AFTER),
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }
    return json.dumps(head) + "\n"


def _entry(line: str) -> tuple[str, Seen] | None:
    """None for a line that is not whole: a scan that was killed, or a disk that was cut off, leaves such."""
    try:
        path, file = json.loads(line)
        return str(path), Seen(**file | {"probe": Probe(**file["probe"])})
    except (ValueError, KeyError, TypeError):
        return None


def utterance_rows(corpus: CorpusSettings, described: list[Described], seen: dict[str, Seen]) -> pa.Table:
    """One row an utterance, in the order given, under ids that hold on every machine."""
    licence = corpus.licence or READERS[corpus.reader].LICENCE
    rows = [_row(corpus.name, licence, utterance, seen[utterance.path].probe) for utterance in described]
    return pa.Table.from_pylist(rows, schema=UTTERANCES.arrow())


def _row(corpus: str, licence: str | None, said: Described, found: Probe) -> dict[str, object]:
    speaker_id = f"{corpus}/{said.speaker}"
    start_s = said.start_s or 0.0
    rest_s = None if found.duration_s is None else max(found.duration_s - start_s, 0.0)
    stretch_s = rest_s if rest_s is None or said.duration_s is None else min(said.duration_s, rest_s)
    youngest, oldest = said.age_years or (None, None)
    return {
        "utterance_id": f"{corpus}/{said.utterance}",
        "corpus": corpus,
        "speaker_id": speaker_id,
        "session_id": f"{speaker_id}/{said.session}" if said.session else None,
        "path": said.path,
        "start_s": start_s,
        "duration_s": stretch_s,
        "sample_rate_hz": found.sample_rate_hz,
        "num_channels": found.num_channels,
        "peak_dbfs": found.peak_dbfs,
        "content_sha256": found.content_sha256,
        "damage": found.damage,
        "sex": said.sex,
        "age_min_years": youngest,
        "age_max_years": oldest,
        "age_source": said.age_source,
        "accent": said.accent,
        "language": said.language,
        "transcript": said.transcript,
        "corpus_split": said.corpus_split,
        "licence": licence,
    }


def refuse_damaged(corpus: CorpusSettings, seen: dict[str, Seen]) -> None:
    """Raises CorpusError naming the first damaged file, unless the corpus says to keep such files as rows."""
    damaged = {path: file.probe for path, file in seen.items() if file.probe.damage}
    if not damaged or corpus.damaged == "keep":
        return
    kinds = ", ".join(
        f"{count} {damage}" for damage, count in sorted(Counter(p.damage for p in damaged.values()).items())
    )
    path, found = next(iter(damaged.items()))
    raise CorpusError(
        f"corpus {corpus.name!r}: {corpus.root / path} is {found.damage}: {found.detail}; expected a sound file. "
        f"{len(damaged)} of {len(seen)} files are damaged ({kinds}): mend or `exclude` them, or set them aside as rows "
        'by `damaged = "keep"`'
    )


def refuse_beyond(corpus: CorpusSettings, described: list[Described], seen: dict[str, Seen]) -> None:
    """Raises CorpusError naming the first stretch that its file does not hold; damaged files hold what they may."""
    beyond = [said for said in described if said.is_stretch and _is_beyond(said, seen[said.path].probe)]
    if not beyond:
        return
    said, start_s = beyond[0], beyond[0].start_s or 0.0
    asked = f"from {start_s} s" + (f" to {round(start_s + said.duration_s, 3)} s" if said.duration_s else " on")
    raise CorpusError(
        f"corpus {corpus.name!r}: {corpus.name}/{said.utterance} is {asked}, but {corpus.root / said.path} is "
        f"{seen[said.path].probe.duration_s} s long; expected seconds within the file (are these milliseconds?). "
        f"{len(beyond)} of {len(described)} utterances are beyond their file"
    )


def _is_beyond(said: Described, found: Probe) -> bool:
    if found.damage or found.duration_s is None:
        return False
    start_s = said.start_s or 0.0
    return start_s >= found.duration_s or start_s + (said.duration_s or 0.0) > found.duration_s + MAX_BEYOND_S


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """Why an utterance's audio cannot be used: what was measured, and the bounds it was held against."""

    reason: str
    score: float = math.nan
    lower: float = math.nan
    upper: float = math.nan


def unfit(
    corpus: CorpusSettings, *, damage: str | None, duration_s: float | None, peak_dbfs: float | None
) -> Unfit | None:
    """The first of the corpus' limits that the audio breaks; damage goes before them."""
    if damage is not None:
        return Unfit(reason=damage)
    if duration_s is not None and not corpus.min_duration_s <= duration_s <= corpus.max_duration_s:
        reason = Reason.TOO_SHORT if duration_s < corpus.min_duration_s else Reason.TOO_LONG
        return Unfit(reason=reason, score=duration_s, lower=corpus.min_duration_s, upper=corpus.max_duration_s)
    if peak_dbfs is not None and peak_dbfs < corpus.min_peak_dbfs:
        return Unfit(reason=Reason.SILENT, score=peak_dbfs, lower=corpus.min_peak_dbfs)
    return None


def judge_files(corpus: CorpusSettings, utterances: pa.Table, author: Author) -> pa.Table:
    """A verdict for each utterance whose audio cannot be used; the others are judged by later steps."""
    rows = utterances.select(["utterance_id", "damage", "duration_s", "peak_dbfs"]).to_pylist()
    found = {row.pop("utterance_id"): unfit(corpus, **row) for row in rows}
    faults = {utterance: fault for utterance, fault in found.items() if fault is not None}
    return verdicts(
        author,
        Subject.UTTERANCE,
        list(faults),
        verdict=Verdict.DROP,
        reason=[fault.reason for fault in faults.values()],
        score=np.array([fault.score for fault in faults.values()]),
        lower_bound=np.array([fault.lower for fault in faults.values()]),
        upper_bound=np.array([fault.upper for fault in faults.values()]),
    )
