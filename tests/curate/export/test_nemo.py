"""NeMo manifests as NeMo's own rules read them, and back through our reader without loss."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curate.corpora import nemo as reader
from curate.corpora.described import Described
from curate.errors import ExportError
from curate.export import nemo


@pytest.fixture
def export_without_sides(export):
    """The small export without sides of the call; one transcript has blanks around it and breaks its line."""

    def utterances(split):
        for one in export.utterances(split):
            if one.channel is None:
                yield replace(one, transcript=" {a}\t$b\u2028 \n c ") if one.utterance == "studio/an-b/y%20z" else one

    return replace(export, utterances=utterances)


@pytest.fixture
def out(export_without_sides):
    export_without_sides.out.mkdir()
    nemo.write(export_without_sides.out, export_without_sides)
    return export_without_sides.out


def lines(path):
    return path.read_text(encoding="utf-8").split("\n")


def test_the_small_export_is_written_line_by_line(out):
    audio = out.parent / "audio"
    assert sorted(path.name for path in out.iterdir()) == ["test_manifest.json", "train_manifest.json", "trials.txt"]
    assert lines(out / "test_manifest.json") == [
        f'{{"audio_filepath": "{audio}/studio/dũng/long.wav", "offset": 0.25, "duration": 0.5, '
        '"speaker": "studio/dũng", "label": "studio/dũng", "utterance_id": "studio/dũng/long-0000250", "sex": "male", '
        '"age": "60-120", "age_source": "speakers.csv", "corpus": "studio", "corpus_speaker": "studio/dũng"}',
        "",
    ]
    assert lines(out / "train_manifest.json")[1] == (
        f'{{"audio_filepath": "{audio}/studio/an/1/x.wav", "duration": 1.0, "text": "xin chào  các bạn", "lang": "vi", '
        '"speaker": "studio/an", "label": "studio/an", "utterance_id": "studio/an/1/x", "session": "studio/an/1", '
        '"sex": "female", "age": "34", "age_source": "corpus", "accent": "northern", "nationality": "Việt Nam", '
        '"corpus": "studio", "corpus_speaker": "studio/an", "corpus_split": "dev", "licence": "CC-BY-4.0"}'
    )
    assert lines(out / "trials.txt") == [
        "1 calls/call%207-c0-0000500 calls/call%207-c0-0001750",
        "0 calls/call%207-c0-0000500 calls/call%207-c1-0000000",
        "0 calls/call%207-c1-0000000 studio/dũng/long-0000250",
        "",
    ]


def as_nemo_reads(manifest: Path):
    """File, start, length, label and text as NeMo's loaders of speakers and of speech take them from a line."""
    with manifest.open() as file:
        for line in file:
            item = json.loads(line)
            path = item["audio_filename"] if "audio_filename" in item else item["audio_filepath"]
            assert Path(path).is_absolute()  # others would be looked for beside the manifest
            label = next(item[key] for key in ("command", "target", "label") if key in item)
            assert not {"sampling_rate", "sample_rate", "_skipme"} & item.keys()
            yield path, item.get("offset") or 0.0, item["duration"], label, item.get("text", "")


def test_nemo_reads_the_samples_of_every_utterance(out, export_without_sides):
    for split in export_without_sides.splits:
        told = list(as_nemo_reads(out / f"{split}_manifest.json"))
        sent = list(export_without_sides.utterances(split))
        assert [(label, text) for *_, label, text in told] == [(one.speaker, one.transcript or "") for one in sent]
        for (path, offset, duration, *_), one in zip(told, sent, strict=True):
            whole, rate = soundfile.read(one.file)
            samples, _ = soundfile.read(path, start=int(offset * rate), frames=int(duration * rate))
            first = round(one.start_s * rate)
            assert np.array_equal(samples, whole[first : first + round(one.duration_s * rate)])


def test_a_round_trip_loses_nothing(out, export_without_sides):
    root = out.parent / "audio"
    for split in export_without_sides.splits:
        manifest = out / f"{split}_manifest.json"
        settings = reader.Settings(reader="nemo", name="back", root=root, manifest=manifest)
        sent = [described(one, root) for one in export_without_sides.utterances(split)]
        assert list(reader.rows(root, settings)) == sent


def described(one, root):
    """What a reader should say of an utterance that went out."""
    same = ("session", "sex", "age_years", "age_source", "accent", "nationality", "language", "transcript")
    return Described(
        path=one.file.relative_to(root).as_posix(),
        speaker=one.speaker,
        name=one.utterance,
        start_s=None if one.is_whole_file else one.start_s,
        duration_s=None if one.is_whole_file else one.duration_s,
        corpus_split=one.corpus_split,
        licence=one.licence,
        **{field: getattr(one, field) for field in same},
    )


def test_a_stretch_from_the_start_of_its_file_stays_one(export, tmp_path):
    (stretch,) = (one for one in export.utterances("test") if one.channel is None)
    early = replace(stretch, start_s=0.0)
    nemo.write(tmp_path, replace(export, splits=("test",), utterances=lambda _: iter([early])))
    settings = reader.Settings(
        reader="nemo", name="back", root=tmp_path / "audio", manifest=tmp_path / "test_manifest.json"
    )
    (back,) = reader.rows(tmp_path / "audio", settings)
    assert (back.start_s, back.duration_s) == (0.0, 0.5)


def test_one_side_of_a_call_is_refused(export, tmp_path):
    with pytest.raises(ExportError, match=r"^calls/call%207-c0-0000500: channel 0 of .*; expected audio that is con"):
        nemo.write(tmp_path, export)


def test_the_only_channel_of_a_file_is_all_of_it(export, tmp_path):
    one = replace(next(export.utterances("train")), channel=0)
    nemo.write(tmp_path, replace(export, splits=("train",), utterances=lambda _: iter([one])))
    assert "offset" not in lines(tmp_path / "train_manifest.json")[0]


def test_the_same_export_is_the_same_bytes(export_without_sides, out, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    nemo.write(again, export_without_sides)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }
