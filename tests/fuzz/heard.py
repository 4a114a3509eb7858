"""Subjects that are heard or listed: sound files, and what corpora say of themselves."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from curate import audio
from curate.audio import SUFFIXES, Probe
from curate.blocks import Stretch
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings
from curate.embed import embed_block
from curate.errors import CorpusError
from curate.export.outgoing import Outgoing
from curate.export.sound import Conversion, converted
from curate.scan import exclusion_lists, scan
from pages.review.sound import peaks, wav_of
from tests.curate.corpora.conftest import maker, write_sound
from tests.fuzz import sounds
from tests.fuzz.subjects import Subject, anew, of_folder, of_texts

MAX_S = 60.0  # `max_duration_s` of a corpus: what is longer is dropped and never embedded


class Ear:
    """An extractor that costs nothing: how loud, and how often the samples change sign."""

    name = fingerprint = "ear"
    sample_rate_hz, dimension, batch_s = 16_000, 2, 10.0
    min_same_person = min_one_person = None

    def embed(self, waveforms):
        """(N, 2)."""
        found = [[np.abs(one).mean(), 1 + (np.diff(np.signbit(one)) != 0).sum()] for one in waveforms]
        return np.array(found, np.float32).reshape(-1, 2)


class Shelf:
    """Takes blocks as a store of them does, and checks what is to be filed."""

    def add(self, block, vectors, prints, faults):
        """The name of the block."""
        assert len(vectors) == len(block)
        assert prints.keys() | faults.keys() == set(range(len(block)))
        return "block"


# --------------------------------------------------------------------------------------------------------------- sound


def sound_files(folder: Path) -> list[Subject]:
    """A subject for each kind of sound file."""
    seeds = sounds.seeds()
    root = anew(folder / "sound")
    return [
        Subject(suffix[1:], root, {name: one for name, one in seeds.items() if name.endswith(suffix)}, hear)
        for suffix in SUFFIXES
    ]


def hear(path: Path) -> None:
    """As a scan looks into a file, and as embedding, the review page and an export hear it.

    A file may be damaged, which costs its row: only where nothing can be opened at all is there an error. Raises
    CorpusError where its row says that it is whole and a stretch of it cannot be heard: a run would have a fault then.
    """
    found = [audio.probe(path), audio.probe_header(path)]
    assert found[0].content_sha256 == found[1].content_sha256
    for probe in found:
        if probe.damage is None:
            assert probe.duration_s is not None
            _hear_as_scanned(path, probe, probe.duration_s)
    if damage := found[0].damage:
        raise CorpusError(f"{path}: {damage}: {found[0].detail}")


def _hear_as_scanned(path: Path, probe: Probe, duration_s: float) -> None:
    if not 0 < duration_s <= MAX_S:
        return
    whole = Stretch(file=path, content_sha256=str(probe.content_sha256), start_s=0.0, duration_s=duration_s)
    last = (probe.num_channels or 1) - 1
    part = replace(whole, start_s=duration_s / 3, duration_s=duration_s / 3, channel=last)
    embed_block([whole, part], Ear(), Shelf(), decoders=1)  # type: ignore[arg-type]  # which takes the place of a store
    row = {"path": path.name, "channel": None, "start_s": 0.0, "duration_s": duration_s}
    row |= {"sample_rate_hz": probe.sample_rate_hz, "content_sha256": probe.content_sha256, "damage": None}
    try:
        peaks(wav_of(row, str(path.parent)))
        _export(path, probe, duration_s)
    except CorpusError:  # a header was believed
        assert probe.peak_dbfs is None


def _export(path: Path, probe: Probe, duration_s: float) -> None:
    about = {"utterance": "toy/one", "speaker": "toy/an", "label": "toy/an", "corpus": "toy", "split": "test"}
    about |= {"file_rate_hz": probe.sample_rate_hz, "file_num_samples": probe.num_samples}
    about |= {"file_num_channels": probe.num_channels, "content_sha256": probe.content_sha256}
    one = Outgoing(file=path, readable=path, start_s=0.0, duration_s=duration_s, channel=None, **about)
    conversion = Conversion(rate_hz=8_000, mono=True)
    out = anew(path.parent / "out")
    list(converted(iter([one]), conversion, out, final=out, workers=1))


# ------------------------------------------------------------------------------------------------------------- corpora


def corpora(folder: Path) -> list[Subject]:
    """The small corpus of every reader, and tables in every form, each file but the audio damaged."""
    found = [_corpus(folder, name, name) for name in READERS]
    found += [_corpus(folder, "manifest", f"manifest{suffix}", settings=of) for suffix, of in MANIFESTS.items()]
    return [one for one in found if one.files]


FIELDS = {"path": "file", "speaker": "client", "sex": "gender", "age": "years", "session": "call", "channel": "side"}
ROWS = (
    ("audio/call.wav", "an", "f", "34", "a", "0", "0", "0.05", "vi"),
    ("audio/call.wav", "bình", "male", "30-39", "b", "0", "0.05", "0.05", "German"),
    ("audio/solo.flac", "an", "", "", "", "", "", "", "en-GB"),
)
COLUMNS = ("file", "client", "gender", "years", "call", "side", "start_s", "duration_s", "language")
MANIFESTS = {
    suffix: {"manifest": Path(f"m{suffix}"), "fields": FIELDS} for suffix in (".csv", ".tsv", ".jsonl", ".parquet")
}
TABLES = {
    "folder": {"speakers.csv": "speaker,sex,age,accent,language\nan,f,34,northern,vi\nbình,m,60+,,\n"},
    "emodb": {"speakers.csv": "speaker,sex,age\n03,male,31\n", "sentences.csv": "code,transcript\na01,Der Lappen.\n"},
    "fsdd": {"speakers.csv": "speaker,sex,accent,language\njackson,male,USA,en\n"},
}


def _corpus(folder: Path, reader: str, name: str, settings: dict | None = None) -> Subject:
    root = anew(folder / "corpora" / name)
    made = maker(reader)
    made.make(root, write_sound)
    if settings:
        (root / "m.csv").unlink()
        (root / settings["manifest"]).write_bytes(_manifest(settings["manifest"].suffix))
    for table, text in TABLES.get(reader, {}).items():
        (root / table).write_text(text, encoding="utf-8")
    asked = settings or getattr(made, "SETTINGS", {})
    section = READERS[reader].Settings(reader=reader, name="toy", root=root, **asked)
    return of_folder(name, root, lambda path: _scanned(section, folder / "scanned"), skip=SUFFIXES)


def _manifest(suffix: str) -> bytes:
    import io
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
    if suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if suffix == ".parquet":
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), file)
        return file.getvalue()
    blank = "\t" if suffix == ".tsv" else ","
    return "".join(blank.join(row) + "\n" for row in (COLUMNS, *ROWS)).encode()


def _scanned(section: CorpusSettings, folder: Path) -> None:
    """As a run scans it; what cannot even be listed needs no folder. Every path lies below the root."""
    for row in _listed(section):
        assert ".." not in Path(row.path).parts
        assert (section.root / row.path).resolve().is_relative_to(section.root.resolve())
    scan(replace(section, damaged="keep"), anew(folder), folder / "memory.sqlite", progress=lambda _: None)


def _listed(section: CorpusSettings) -> Iterator:
    return iter(list(READERS[section.reader].rows(section.root, section)))


def exclusions(folder: Path) -> list[Subject]:
    """A list of what to leave out, of a corpus of folders."""
    root = anew(folder / "excluding")
    write_sound(root, "an/1.wav", "an/2.wav", "bình/s/1.flac")
    section = READERS["folder"].Settings(reader="folder", name="toy", root=root, exclusions=(root / "leave.txt",))

    def read(path: Path) -> None:
        exclusion_lists(section)
        _scanned(section, folder / "scanned")

    return [of_texts("exclusions", root, {"leave.txt": "# why\nan/1.wav\nbình\ntoy/an/2\n"}, read)]
