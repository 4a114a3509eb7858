"""The utterances that a system is trained or validated on: a split of a catalog, or a manifest that was exported."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.audio import Probe, probe_header
from curate.catalog import Catalog
from curate.corpora import READERS
from curate.corpora.described import Described
from curate.corpora.nemo import ROUNDED_S
from curate.errors import CorpusError, TrainingError
from curate.labels import labelled
from curate.schema import CORPORA, SPLITS
from curate.storage import is_local, location, opened, why

Integers = NDArray[np.int64]
MANIFESTS = (".csv", ".json", ".jsonl")
NEEDED = ("duration_s", "sample_rate_hz", "content_sha256")  # which the catalog has of every sound file


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
    sex: Sequence[str | None] = ()  # (U,) female or male; empty where nothing is known of anybody
    ages: Sequence[tuple[int, int] | None] = ()  # (U,) the youngest and the oldest, in years, that a statement allows
    transcripts: Sequence[str | None] = ()  # (U,) what is said; empty where nothing is known

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
            sex=[self.sex[row] for row in rows] if self.sex else (),
            ages=[self.ages[row] for row in rows] if self.ages else (),
            transcripts=[self.transcripts[row] for row in rows] if self.transcripts else (),
        )

    def joined(self, other: "Speech") -> "Speech":
        """The utterances of both, these first; codes of people stay. Raises TrainingError for an utterance in both."""
        if twice := sorted({*self.utterance_ids.to_pylist()} & {*other.utterance_ids.to_pylist()}):
            raise TrainingError(f"{twice[0]}: {len(twice)} utterances in both; expected speech of other utterances")
        new = [who for who in other.people if who not in {*self.people}]
        people = [*self.people, *new]
        code = {who: at for at, who in enumerate(people)}
        of_other = np.array([code[who] for who in other.people], np.int64)
        return Speech(
            utterance_ids=pa.concat_arrays([self.utterance_ids, other.utterance_ids]),
            files=[*self.files, *other.files],
            start=np.concatenate([self.start, other.start]),
            num_samples=np.concatenate([self.num_samples, other.num_samples]),
            sample_rate_hz=np.concatenate([self.sample_rate_hz, other.sample_rate_hz]),
            channel=np.concatenate([self.channel, other.channel]),
            person=np.concatenate([self.person, of_other[other.person]]),
            people=people,
            content_sha256=[*self.content_sha256, *other.content_sha256],
            sex=_beside(self, other, "sex"),
            ages=_beside(self, other, "ages"),
            transcripts=_beside(self, other, "transcripts"),
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
        raise TrainingError(f"{benchmark}: no split {split!r}, or an empty one; expected {there}")
    return of_utterances(catalog, chosen)


def of_utterances(catalog: Catalog, chosen: pa.Table) -> Speech:
    """Those of `chosen` (utterance_id, identity_id), as the catalog describes them, under settled labels.

    Raises TrainingError.
    """
    rows = chosen.join(labelled(catalog), "utterance_id", join_type="inner").sort_by("utterance_id")
    if len(rows) < len(chosen):
        raise TrainingError(
            f"{catalog.root}: {len(chosen) - len(rows)} utterances are not in its tables; expected a catalog whose "
            "last `curate run` was completed"
        )
    for column in NEEDED:
        if len(lost := rows.filter(rows[column].is_null())):
            name, damage = lost["utterance_id"][0].as_py(), lost["damage"][0].as_py() or "not looked at"
            raise TrainingError(f"{name}: no {column} is known ({damage}); expected a file that can be read")
    corpora = catalog.read(CORPORA)
    unknown = sorted({*rows["corpus"].unique().to_pylist()} - {*corpora["corpus"].to_pylist()})
    if unknown:
        raise TrainingError(f"{catalog.root}: {unknown[0]}: no such corpus; expected a completed `curate run`")
    roots = dict(zip(corpora["corpus"].to_pylist(), map(location, corpora["root"].to_pylist()), strict=True))
    named = zip(rows["corpus"].to_pylist(), rows["path"].to_pylist(), strict=True)
    rate = rows["sample_rate_hz"].to_numpy().astype(np.int64)
    start = np.rint(rows["start_s"].to_numpy() * rate).astype(np.int64)
    ends = rows["num_samples"].fill_null(np.iinfo(np.int64).max).to_numpy()  # two halves of a sample may round beyond
    people = sorted(rows["identity_id"].unique().to_pylist())
    return Speech(
        utterance_ids=rows["utterance_id"].combine_chunks(),
        files=[roots[corpus] / path for corpus, path in named],
        start=start,
        num_samples=np.minimum(np.rint(rows["duration_s"].to_numpy() * rate).astype(np.int64), ends - start),
        sample_rate_hz=rate,
        channel=rows["channel"].cast(pa.int64()).fill_null(-1).to_numpy(),
        person=pc.index_in(rows["identity_id"], value_set=pa.array(people)).to_numpy().astype(np.int64),
        people=people,
        content_sha256=rows["content_sha256"].to_pylist(),
        sex=rows["sex"].to_pylist(),
        ages=_ages(rows["age_min_years"].to_pylist(), rows["age_max_years"].to_pylist()),
        transcripts=rows["transcript"].to_pylist(),
    )


def of_manifest(path: Path) -> Speech:
    """The utterances of a manifest of SpeechBrain (CSV, JSON) or NeMo (JSON lines), also of one that was exported.

    Relative paths are taken from its folder. Every file's header is read for its rate and its length. Raises
    TrainingError for what is no such manifest, or names an utterance twice or beyond the end of its file; CorpusError
    for a line that is no utterance or a file that is not there.
    """
    root, described = _described(path)
    described.sort(key=lambda one: one.utterance)
    for one, following in pairwise(described):
        if one.utterance == following.utterance:
            raise TrainingError(f"{path}: {one.utterance}: twice; expected every utterance once")
    files = [root / one.path for one in described]
    found = {file: _sound(file) for file in dict.fromkeys(files)}
    rates = np.array([found[file].sample_rate_hz for file in files], np.int64)
    stretches = [_stretch(path, one, found[file]) for one, file in zip(described, files, strict=True)]
    start, num_samples = np.array(stretches, np.int64).T
    people = sorted({one.speaker for one in described})
    code = {name: at for at, name in enumerate(people)}
    return Speech(
        utterance_ids=pa.array([one.utterance for one in described], pa.string()),
        files=files,
        start=np.ascontiguousarray(start),
        num_samples=np.ascontiguousarray(num_samples),
        sample_rate_hz=rates,
        channel=np.array([-1 if one.channel is None else one.channel for one in described], np.int64),
        person=np.array([code[one.speaker] for one in described], np.int64),
        people=people,
        content_sha256=[str(found[file].content_sha256) for file in files],
        sex=[one.sex for one in described],
        ages=[one.age_years for one in described],
        transcripts=[one.transcript for one in described],
    )


def _beside(one: Speech, other: Speech, name: str) -> list[Any]:
    """What is said of the utterances of both."""
    return [said for speech in (one, other) for said in getattr(speech, name) or [None] * len(speech)]


def _ages(youngest: Sequence[int | None], oldest: Sequence[int | None]) -> list[tuple[int, int] | None]:
    """None where one is not known."""
    told = zip(youngest, oldest, strict=True)
    return [None if least is None or most is None else (least, most) for least, most in told]


def _described(path: Path) -> tuple[Path, list[Described]]:
    """What the paths of a manifest are relative to, and its rows, one at least.

    That is its folder; where a path leads out of it, as absolute ones of an export do, the root of the file system.
    """
    if path.suffix not in MANIFESTS:
        raise TrainingError(f"{path}: expected a manifest of SpeechBrain (.csv, .json) or NeMo (.json, .jsonl)")
    try:
        with opened(path) as file:
            beginning = file.readline(1 << 16)
    except OSError as error:
        raise TrainingError(f"{path}: {why(error)}; expected a manifest of SpeechBrain or NeMo") from error
    names_audio = b'"audio_filepath"' in beginning or b'"audio_filename"' in beginning
    is_nemo = path.suffix == ".jsonl" or (path.suffix == ".json" and names_audio)
    path = path.absolute()
    try:
        return path.parent, _rows("nemo" if is_nemo else "speechbrain", path, path.parent)
    except CorpusError:
        root = Path(path.anchor)
        if not is_local(path) or path.parent == root:
            raise
        return root, _rows("nemo" if is_nemo else "speechbrain", path, root)


def _rows(form: str, path: Path, root: Path) -> list[Described]:
    reader = READERS[form]
    settings = reader.Settings(reader=form, name="manifest", root=root, manifest=path, links="anywhere")
    return list(reader.rows(root, settings))


def _sound(file: Path) -> Probe:
    found = probe_header(file)
    if found.damage or not found.sample_rate_hz or not found.num_samples:
        raise TrainingError(f"{file}: {found.detail or found.damage}; expected a sound file")
    return found


def _stretch(manifest: Path, one: Described, found: Probe) -> tuple[int, int]:
    """First sample, and how many."""
    rate, whole = found.sample_rate_hz or 0, found.num_samples or 0
    start = round((one.start_s or 0.0) * rate)
    num = whole - start if one.duration_s is None else round(one.duration_s * rate)
    if num - round(ROUNDED_S * rate) <= whole - start < num:
        num = whole - start
    if not 0 < num <= whole - start:
        raise TrainingError(
            f"{manifest}: {one.utterance}: samples {start} to {start + num} of {one.path}, which has {whole}; expected "
            "them within the file"
        )
    return start, num
