"""The utterances that a system is trained or validated on: a split of a catalog, or a manifest that was exported."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.audio import probe_header
from curate.catalog import Catalog
from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import TrainingError
from curate.schema import CORPORA, SPLITS, UTTERANCES
from curate.storage import location

Integers = NDArray[np.int64]
MANIFESTS = {".json": ("speechbrain", "nemo"), ".csv": ("speechbrain",)}  # by what a manifest's suffix may mean


@dataclass(frozen=True, kw_only=True)
class Speech:
    """U utterances in the order of their ids. Samples are counted at the rate of the file."""

    utterance_ids: pa.Array  # (U,) strings
    files: Sequence[Path]  # (U,)
    start: Integers  # (U,) the first sample
    num_samples: Integers  # (U,)
    sample_rate_hz: Integers  # (U,)
    channel: Integers  # (U,) counted from 0; -1: all of them, averaged
    person: Integers  # (U,) a code below P
    people: Sequence[str]  # (P,) who they are, in order
    content_sha256: Sequence[str]  # (U,) of the files

    def __len__(self) -> int:
        return len(self.utterance_ids)

    @property
    def duration_s(self) -> NDArray[np.float64]:
        """(U,)."""
        seconds: NDArray[np.float64] = self.num_samples / self.sample_rate_hz
        return seconds

    @property
    def fingerprint(self) -> str:
        """Of all that training hears: what is said, by whom, in which bytes."""
        digest = hashlib.sha256()
        for columns in (self.utterance_ids.to_pylist(), self.people, self.content_sha256):
            digest.update("\n".join(columns).encode() + b"\0")
        for numbers in (self.start, self.num_samples, self.sample_rate_hz, self.channel, self.person):
            digest.update(np.ascontiguousarray(numbers, np.int64).tobytes())
        return digest.hexdigest()

    def take(self, rows: Integers) -> "Speech":
        """Those rows, with codes for the people who are left."""
        people, person = np.unique(self.person[rows], return_inverse=True)
        return Speech(
            utterance_ids=self.utterance_ids.take(pa.array(rows)),
            files=[self.files[row] for row in rows],
            start=self.start[rows],
            num_samples=self.num_samples[rows],
            sample_rate_hz=self.sample_rate_hz[rows],
            channel=self.channel[rows],
            person=person.astype(np.int64),
            people=[self.people[code] for code in people],
            content_sha256=[self.content_sha256[row] for row in rows],
        )


def of_split(catalog: Catalog, benchmark: str, split: str) -> Speech:
    """The utterances of a split, under the people that they are of.

    Raises TrainingError where the benchmark has no such split or it is empty, CatalogError where the catalog is not
    filled.
    """
    known = catalog.parts(SPLITS)
    if benchmark not in known:
        expected = ", ".join(known) or "one that `curate run` or `curate build` made"
        raise TrainingError(f"{catalog.root}: no benchmark {benchmark!r}; expected {expected}")
    splits = catalog.read(SPLITS, benchmark)
    chosen = splits.filter(pc.equal(splits["split"], split)).select(["utterance_id", "identity_id"])
    if not len(chosen):
        there = ", ".join(sorted(splits["split"].unique().to_pylist())) or "utterances in it"
        raise TrainingError(f"{benchmark}: the split {split!r} is empty; expected {there}")
    return of_utterances(catalog, chosen)


def of_utterances(catalog: Catalog, chosen: pa.Table) -> Speech:
    """Those of `chosen` (utterance_id, identity_id), as the catalog describes them."""
    rows = chosen.join(catalog.read(UTTERANCES), "utterance_id", join_type="inner").sort_by("utterance_id")
    if len(rows) < len(chosen):
        raise TrainingError(
            f"{catalog.root}: {len(chosen) - len(rows)} utterances are not in its tables; expected a catalog whose "
            "last `curate run` was completed"
        )
    corpora = catalog.read(CORPORA)
    roots = dict(zip(corpora["corpus"].to_pylist(), map(location, corpora["root"].to_pylist()), strict=True))
    named = zip(rows["corpus"].to_pylist(), rows["path"].to_pylist(), strict=True)
    rate = rows["sample_rate_hz"].to_numpy().astype(np.int64)
    people = sorted(rows["identity_id"].unique().to_pylist())
    return Speech(
        utterance_ids=rows["utterance_id"].combine_chunks(),
        files=[roots[corpus] / path for corpus, path in named],
        start=np.rint(rows["start_s"].to_numpy() * rate).astype(np.int64),
        num_samples=np.rint(rows["duration_s"].to_numpy() * rate).astype(np.int64),
        sample_rate_hz=rate,
        channel=rows["channel"].cast(pa.int64()).fill_null(-1).to_numpy(),
        person=pc.index_in(rows["identity_id"], value_set=pa.array(people)).to_numpy().astype(np.int64),
        people=people,
        content_sha256=rows["content_sha256"].to_pylist(),
    )


def of_manifest(path: Path) -> Speech:
    """The utterances of a manifest of SpeechBrain (CSV, JSON) or NeMo (JSON lines), its paths relative to its folder.

    Every file's header is read for its rate and its length. Raises TrainingError for what is no such manifest, or names
    nothing; CorpusError for a line that is no utterance or a file that is not there.
    """
    described = list(_described(path))
    if not described:
        raise TrainingError(f"{path}: names no utterance; expected one a line")
    told = [_told(path.parent / one.path, one) for one in described]
    people = sorted({one.speaker for one in described})
    code = {name: at for at, name in enumerate(people)}
    order = sorted(range(len(described)), key=lambda row: described[row].utterance)
    columns = [np.array([told[row][column] for row in order], np.int64) for column in range(3)]
    return Speech(
        utterance_ids=pa.array([described[row].utterance for row in order]),
        files=[path.parent / described[row].path for row in order],
        start=columns[0],
        num_samples=columns[1],
        sample_rate_hz=columns[2],
        channel=np.array([-1 if (c := described[row].channel) is None else c for row in order], np.int64),
        person=np.array([code[described[row].speaker] for row in order], np.int64),
        people=people,
        content_sha256=[told[row][3] for row in order],
    )


def _described(path: Path) -> Iterator[Described]:
    if path.suffix not in MANIFESTS:
        raise TrainingError(f"{path}: expected a manifest of SpeechBrain (.csv, .json) or NeMo (.json)")
    names = MANIFESTS[path.suffix]
    with path.open(encoding="utf-8") as file:
        is_lines = file.readline().rstrip().endswith("}")  # NeMo writes an object a line, SpeechBrain one over many
    reader = READERS[names[-1] if is_lines else names[0]]
    settings = reader.Settings(
        reader=reader.__name__.rsplit(".", 1)[-1], name="manifest", root=path.parent, manifest=Path(path.name)
    )
    return iter(reader.rows(path.parent, settings))


def _told(file: Path, one: Described) -> tuple[int, int, int, str]:
    """First sample, samples, rate and hash."""
    found = probe_header(file)
    if found.damage or not found.sample_rate_hz or not found.num_samples:
        raise TrainingError(f"{file}: {found.detail or found.damage}; expected a sound file")
    rate = found.sample_rate_hz
    start = round((one.start_s or 0.0) * rate)
    num = found.num_samples - start if one.duration_s is None else round(one.duration_s * rate)
    if start + num > found.num_samples:
        raise TrainingError(
            f"{file}: {one.utterance} ends after {found.num_samples} samples; expected it within the file"
        )
    return start, num, rate, str(found.content_sha256)
