"""A Hugging Face data set as written: loaded and decoded by `datasets` itself, and read again by our own reader."""

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from curate import audio
from curate.corpora import READERS
from curate.errors import CorpusError, ExportError
from curate.export import huggingface
from curate.export.hub_card import size_category

ORDER = {
    "test": ["calls/call%207-c0-0000500", "calls/call%207-c0-0001750", "calls/call%207-c1-0000000"],
    "train": ["studio/an-b/y%20z", "studio/an/1/x", "studio/an/2/x"],
}
ORDER["test"].append("studio/dũng/long-0000250")

# What is loaded comes back as JSON lines of columns, with the audio in files beside.
LOAD = """
import json, sys
import datasets
import numpy
folder, audio = sys.argv[1:]
names = datasets.get_dataset_config_names(folder)
print(json.dumps({"configurations": names, "default": datasets.get_dataset_default_config_name(folder)}))
for name in names:
    for split, rows in datasets.load_dataset(folder, name).items():
        for number, row in enumerate(rows):
            if "audio" in row:
                heard = row.pop("audio").get_all_samples()
                numpy.save(f"{audio}/{split}-{number}.npy", heard.data.numpy().T)
                row["rate"] = heard.sample_rate
            print(json.dumps([name, split, row]))
"""


@pytest.fixture(scope="session")
def ffmpeg(tmp_path_factory):
    """FFmpeg under the names that `datasets`' decoder looks for: the copy that PyAV brings has names of its own."""
    folder = tmp_path_factory.mktemp("ffmpeg")
    libraries = Path(find_spec("av").origin).parents[1] / "av.libs"
    for path in libraries.iterdir():
        short = re.sub(r"^(lib\w+)-[0-9a-f]{8}(\.so\.\d+)\..*", r"\1\2", path.name)
        for name in {path.name, short}:
            (folder / name).symlink_to(path)
    return folder


def write(export):
    export.out.mkdir()
    huggingface.write(export.out, export)
    return export.out


def table(out, name):
    return pq.read_table(out / name).to_pylist()


def everything(export):
    return [one for split in export.splits for one in export.utterances(split)]


def test_datasets_loads_every_split_and_the_trials_and_hears_what_the_source_holds(export, ffmpeg, tmp_path):
    out, heard = write(export), tmp_path / "heard"
    heard.mkdir()
    caches = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(out), str(heard)],
        env=os.environ | caches | {"LD_LIBRARY_PATH": str(ffmpeg), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *rows = (json.loads(line) for line in done.stdout.splitlines())
    assert first == {"configurations": ["toy", "trials-toy"], "default": "toy"}
    trials = [row for name, split, row in rows if (name, split) == ("trials-toy", "test")]
    assert trials == [
        {"enrol": one.enrol, "test": one.test, "is_target": one.is_target} for one in export.trials("test")
    ]
    for split in export.splits:
        loaded = [row for name, part, row in rows if (name, part) == ("toy", split)]
        assert [row["utterance_id"] for row in loaded] == ORDER[split]
        for number, (row, one) in enumerate(zip(loaded, export.utterances(split), strict=True)):
            samples, rate = audio.read(one.file, start_s=one.start_s, duration_s=one.duration_s, channel=one.channel)
            assert row["rate"] == rate
            np.testing.assert_allclose(np.load(heard / f"{split}-{number}.npy"), samples, atol=2**-23, rtol=0)
            assert (row["speaker_id"], row["label"], row["transcript"]) == (one.speaker, one.label, one.transcript)


def test_rows_hold_what_is_known_and_nothing_else(export):
    (row,) = (
        one for one in table(write(export), "data/train-00000-of-00001.parquet") if one["session_id"] == "studio/an/2"
    )
    content = row.pop("audio")
    source = next(one for one in everything(export) if one.utterance == "studio/an/2/x")
    assert content == {"bytes": source.file.read_bytes(), "path": "studio/an/2/x.flac"}
    assert row == {
        "utterance_id": "studio/an/2/x",
        "speaker_id": "studio/an",
        "label": "studio/an",
        "corpus": "studio",
        "session_id": "studio/an/2",
        "duration_s": 1.5,
        "sex": "female",
        "age_min_years": 30,
        "age_max_years": 39,
        "age_source": "corpus",
        "accent": "northern",
        "nationality": "Việt Nam",
        "language": "vi",
        "transcript": 'nói "gì", \\ hả?',
        "corpus_split": "dev",
        "licence": "CC-BY-4.0",
    }


def test_the_card_is_written_to_the_letter(export):
    card = (write(export) / "README.md").read_text(encoding="utf-8")
    head, body = card.removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(head) == {
        "pretty_name": "toy",
        "language": ["vi"],
        "license": "cc-by-4.0",
        "task_categories": ["audio-classification"],
        "tags": ["audio", "speaker-verification"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "toy",
                "default": True,
                "data_files": [{"split": "test", "path": "data/test-*"}, {"split": "train", "path": "data/train-*"}],
            },
            {"config_name": "trials-toy", "data_files": [{"split": "test", "path": "trials/test-*"}]},
        ],
    }
    assert body.startswith(
        "\n# toy\n\n| split | utterances | speakers | hours |\n| --- | --- | --- | --- |\n"
        "| test | 4 | 3 | 0.00 |\n| train | 3 | 2 | 0.00 |\n"
    )
    assert "| licence | utterances |\n| --- | --- |\n| CC-BY-4.0 | 2 |\n| not told | 5 |\n" in body


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ("CC BY-NC-SA 4.0", {"license": "cc-by-nc-sa-4.0"}),
        ("CC0-1.0", {"license": "cc0-1.0"}),
        (None, {"license": "unknown"}),
        ("AI-Hub terms of use", {"license": "other", "license_name": "ai-hub-terms-of-use"}),
        ('a: "b"\n', {"license": "other", "license_name": "a-b"}),
        ("许可", {"license": "other", "license_name": "other"}),
    ],
)
def test_licences_are_named_as_the_hub_names_them(export, licence, told):
    head = (write(replace(export, licence=licence)) / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert {key: value for key, value in yaml.safe_load(head).items() if "license" in key} == told


@pytest.mark.parametrize(("count", "told"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**9, "n>1B")])
def test_sizes_are_those_of_the_hub(count, told):
    assert size_category(count) == told


def test_what_is_written_depends_on_nothing_but_the_benchmark(export, tmp_path):
    def digests(out):
        huggingface.write(out, replace(export, out=tmp_path / "final"))
        return {
            path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in out.rglob("*")
            if path.is_file()
        }

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert one == two
    assert sorted(one) == [
        "README.md",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "trials/test-00000-of-00001.parquet",
    ]


def test_shards_and_row_groups_are_bounded(export, monkeypatch):
    monkeypatch.setattr(huggingface, "BYTES_PER_SHARD", 52_000)
    monkeypatch.setattr(huggingface, "ROWS_PER_ROW_GROUP", 1)
    out = write(export)
    shards = sorted(path.name for path in (out / "data").iterdir() if path.name.startswith("test"))
    assert shards == ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
    assert [pq.read_metadata(out / "data" / name).num_row_groups for name in shards] == [3, 1]
    ids = [row["utterance_id"] for name in shards for row in table(out, f"data/{name}")]
    assert ids == ORDER["test"]


def test_a_split_without_utterances_is_a_shard_without_rows(export):
    out = write(replace(export, splits=("train", "dev"), trials=lambda _: iter([])))
    assert table(out, "data/dev-00000-of-00001.parquet") == []
    assert table(out, "trials/test-00000-of-00001.parquet") == []


def test_a_stretch_holds_every_sample_of_24_bits_as_it_is(export):
    one = next(one for one in everything(export) if one.channel == 1)
    whole = np.random.default_rng(0).integers(-(2**23), 2**23, (24_000, 2), dtype=np.int32) << 8
    soundfile.write(one.file, whole, 8_000, subtype="PCM_24")
    rows = table(write(export), "data/test-00000-of-00001.parquet")
    (content,) = (row["audio"]["bytes"] for row in rows if row["utterance_id"] == one.utterance)
    (export.out / "cut.flac").write_bytes(content)
    cut, _ = soundfile.read(export.out / "cut.flac", dtype="int32")
    np.testing.assert_array_equal(cut, whole[:10_000, 1])


def test_converted_audio_is_read_where_it_lies_now(export, tmp_path):
    (one,) = (one for one in everything(export) if one.utterance == "studio/an/1/x")
    moved = one.file.rename(tmp_path / "now.wav")
    gone = replace(one, readable=moved)
    out = write(replace(export, splits=("train",), utterances=lambda split: iter([gone])))
    assert table(out, "data/train-00000-of-00001.parquet")[0]["audio"]["bytes"] == moved.read_bytes()


def test_audio_that_is_gone_is_an_error(export):
    next(one for one in everything(export) if one.is_whole_file).file.unlink()
    with pytest.raises(CorpusError, match=r"studio/an.*No such file or directory; expected a readable file"):
        write(export)


def test_audio_that_changed_since_it_was_scanned_is_an_error(export):
    """Whole files and what is cut out of files alike."""
    for split in export.splits:

        def scanned_before(_, split=split):
            return (replace(one, content_sha256="0" * 64) for one in export.utterances(split))

        out = export.out.with_name(split)
        stale = replace(export, splits=(split,), utterances=scanned_before, trials=lambda _: iter(()), out=out)
        with pytest.raises(CorpusError, match="changed since it was scanned"):
            write(stale)


def test_a_split_that_hugging_face_does_not_allow_is_an_error(export):
    with pytest.raises(ExportError, match=r"^split 'dev clean'; expected letters, digits and underscores"):
        write(replace(export, splits=("dev clean",)))
    with pytest.raises(ExportError, match=r"^splits 'a-b' and 'a_b' are both 'a_b' there; expected one of them$"):
        huggingface.write(export.out, replace(export, splits=("a-b", "a_b")))
    with pytest.raises(ExportError, match=r"^list 'a b'; expected letters"):
        huggingface.write(export.out, replace(export, lists=("a b",)))


def test_what_is_written_is_read_again_as_it_was(export):
    out = write(export)
    reader = READERS["huggingface"]
    settings = reader.Settings(reader="huggingface", name="again", root=out, unpack=Path("unpacked"))
    rows = {row.utterance: row for row in reader.rows(out, settings)}
    assert len(rows) == 7
    for one in everything(export):
        row = rows[one.utterance]
        assert (row.speaker, row.session, row.sex, row.age_years) == (one.speaker, one.session, one.sex, one.age_years)
        assert (row.accent, row.nationality, row.language) == (one.accent, one.nationality, one.language)
        assert (row.transcript, row.licence, row.age_source) == (one.transcript, one.licence, one.age_source)
        assert (row.corpus_split, row.start_s, row.channel) == (one.split, None, None)
        samples, rate = audio.read(out / row.path)
        source, _ = audio.read(one.file, start_s=one.start_s, duration_s=one.duration_s, channel=one.channel)
        np.testing.assert_array_equal(samples, source)
        assert rate == one.file_rate_hz


def test_the_split_of_its_corpus_is_read_again_where_it_is_asked_for(export):
    out = write(export)
    reader, fields = READERS["huggingface"], {"split": "corpus_split", "speaker": "label"}
    keys = {"unpack": Path("unpacked"), "fields": fields, "tables": ("data/*",)}
    settings = reader.Settings(reader="huggingface", name="again", root=out, **keys)
    rows = {row.utterance: row for row in reader.rows(out, settings)}
    assert {one.utterance: rows[one.utterance].speaker for one in everything(export)} == {
        one.utterance: one.label for one in everything(export)
    }
    assert rows["studio/an/1/x"].corpus_split == "dev"
