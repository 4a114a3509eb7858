"""A catalog goes out in a form, comes back by the reader of that form, and nothing is lost that the form can hold."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import soundfile

from curate.catalog import Catalog
from curate.corpora import READERS
from curate.export import form
from curate.export.sound import Conversion
from curate.export.writing import export_benchmark
from curate.scan import file_of, scan
from curate.schema import CORPORA, DECISIONS, SPLITS, TRIALS, UTTERANCES

FORMS = ("kaldi", "lhotse", "speechbrain", "nemo", "huggingface")
SAME = {  # what a form can hold -> columns that come back as they were
    "sex": ("sex",),
    "age": ("age_min_years", "age_max_years"),
    "accent": ("accent",),
    "nationality": ("nationality",),
    "language": ("language",),
    "transcript": ("transcript",),
    "licence": ("licence",),
}
TABLE = """path,speaker,session,sex,age,accent,language,transcript
an/one.wav,an,s1,f,34,northern,vi,xin chào các bạn
an/two.flac,an,s2,f,34,northern,vi,"nói ""gì"" đi, hả?"
bình/1 2.wav,bình,,m,60+,,,
chi/x.wav,chi,s1,f,30-39,,en,a < b & c
"""


def section(reader, root, **keys):
    return READERS[reader].Settings(reader=reader, name="back", root=root, min_duration_s=0.0, **keys)


def noise(path, seconds, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(str(path.name))).integers(-9000, 9000, round(seconds * rate), dtype=np.int16)
    soundfile.write(path, samples, rate)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A corpus of whole files, two of stretches of one file, and its catalog with a split and trials."""
    root = tmp_path_factory.mktemp("corpora")
    for path, seconds in (("an/one.wav", 0.6), ("an/two.flac", 0.7), ("bình/1 2.wav", 0.5), ("chi/x.wav", 0.9)):
        noise(root / "studio" / path, seconds)
    (root / "studio" / "m.csv").write_text(TABLE, encoding="utf-8")
    noise(root / "cut" / "long.flac", 2.0, rate=8_000)
    (root / "cut" / "m.csv").write_text(
        "path,speaker,start_s,duration_s\nlong.flac,dũng,0.25,0.5\nlong.flac,dũng,1,0.75\n"
    )
    catalog = Catalog(root / "catalog")
    parts = [_ingested(catalog, name, root / name) for name in ("cut", "studio")]
    rows = pa.concat_tables(parts)
    _publish_benchmark(catalog, rows, root)
    return catalog, rows, root


def _ingested(catalog, name, root):
    keys = {"manifest": Path("m.csv"), "licence": "CC-BY-4.0" if name == "studio" else None}
    settings = READERS["manifest"].Settings(reader="manifest", name=name, root=root, min_duration_s=0.0, **keys)
    folder = catalog.root / "cache" / name
    scan(settings, folder, folder / "seen.sqlite", progress=lambda _: None)
    rows = pq.read_table(file_of(folder, UTTERANCES))
    catalog.publish(UTTERANCES, rows, part=name, fingerprint="x")
    return rows


def _publish_benchmark(catalog, rows, root):
    terms = [{"corpus": name, "reader": "manifest", "root": str(root / name)} for name in ("cut", "studio")]
    catalog.publish(CORPORA, pa.Table.from_pylist(terms, schema=CORPORA.arrow()), fingerprint="x")
    in_test = pc.is_in(rows["speaker_id"], value_set=pa.array(["studio/an", "cut/dũng"]))
    splits = {
        "benchmark": ["toy"] * len(rows),
        "utterance_id": rows["utterance_id"],
        "identity_id": rows["speaker_id"],
        "split": pc.if_else(in_test, "test", "train"),
    }
    catalog.publish(SPLITS, pa.table(splits, schema=SPLITS.arrow()), part="toy", fingerprint="x")
    catalog.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="clean", fingerprint="x")
    pair = {"enrol_id": "studio/an/one", "test_id": "studio/an/two", "is_target": True}
    pair |= {"benchmark": "toy", "list": "test"}
    catalog.publish(TRIALS, pa.Table.from_pylist([pair], schema=TRIALS.arrow()), part="toy", fingerprint="x")


def keys_of(name, out):
    """How a section names what was exported."""
    splits = ("test", "train")
    return {
        "kaldi": lambda: {"manifest": out},
        "lhotse": lambda: {
            kind: {split: out / f"toy_{kind}_{split}.jsonl.gz" for split in splits}
            for kind in ("recordings", "supervisions")
        },
        "speechbrain": lambda: {"manifest": {split: out / f"{split}.csv" for split in splits}},
        "nemo": lambda: {"manifest": {split: out / f"{split}_manifest.json" for split in splits}},
        "huggingface": lambda: {"data": out, "unpack": Path("unpacked")},
    }[name]()


def read_back(name, root, out, tmp_path):
    if name == "huggingface":
        root = tmp_path / "hub"
        root.mkdir()
    settings = section(name, root, **keys_of(name, out))
    scan(settings, tmp_path / "scan", tmp_path / "seen.sqlite", progress=lambda _: None)
    rows = pq.read_table(file_of(tmp_path / "scan", UTTERANCES)).to_pylist()
    return {row["utterance_id"].removeprefix("back/"): row for row in rows}


def partition(rows, column):
    """Which utterances share it, whatever it is called."""
    groups = {}
    for utterance, row in rows.items():
        groups.setdefault(row[column] or utterance, set()).add(utterance)
    return sorted(map(sorted, groups.values()))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("conversion", [None, Conversion()], ids=["audio where it lies", "audio taken along"])
def test_a_catalog_comes_back_from_a_form_as_it_was(told, name, conversion, tmp_path):
    catalog, rows, root = told
    before = {row["utterance_id"]: row for row in rows.to_pylist()}
    out = (root if conversion is None else tmp_path) / f"out-{name}"
    export_benchmark(catalog, name, out, conversion=conversion)
    after = read_back(name, root if conversion is None else out, out, tmp_path)
    assert after.keys() == before.keys()
    held = form(name).CAN_HOLD
    for column in (column for what in held for column in SAME.get(what, ())):
        assert {u: row[column] for u, row in after.items()} == {u: row[column] for u, row in before.items()}, column
    assert partition(after, "speaker_id") == partition(before, "speaker_id")
    assert {u: row["speaker_id"].removeprefix("back/") for u, row in after.items()} == {
        u: row["speaker_id"] for u, row in before.items()
    }
    if "session" in held:
        assert partition(after, "session_id") == partition(before, "session_id")
    for utterance, row in after.items():
        assert row["duration_s"] == pytest.approx(before[utterance]["duration_s"], abs=1 / 8_000)
        assert row["sample_rate_hz"] == before[utterance]["sample_rate_hz"]
    if conversion is None and name != "huggingface":
        whole = ("start_s", "content_sha256", "num_samples")
        assert {u: [row[c] for c in whole] for u, row in after.items()} == {
            u: [row[c] for c in whole] for u, row in before.items()
        }
