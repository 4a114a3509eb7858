"""Lhotse validates every manifest, loads the samples of every utterance, and our reader takes it back without loss."""

import gzip
import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from curate.corpora import lhotse as reader
from curate.corpora.described import Described
from curate.export import lhotse as writer
from curate.export.outgoing import Export, Outgoing

KINDS = {"recordings": "RecordingSet", "supervisions": "SupervisionSet", "cuts": "CutSet"}


@pytest.fixture(scope="module")
def lhotse():
    """The library; imported where it is needed, as that takes seconds."""
    return importlib.import_module("lhotse")


@pytest.fixture
def mixed(export):
    """The small export with all channels of the call as one utterance more."""

    def utterances(split):
        for one in export.utterances(split):
            if one.utterance.endswith("c1-0000000"):
                yield replace(one, utterance="calls/both", channel=None, transcript=' "{a}"\n  $b ')
            yield one

    return replace(export, utterances=utterances)


@pytest.fixture
def out(mixed):
    mixed.out.mkdir()
    writer.write(mixed.out, mixed)
    return mixed.out


def rows(out, kind, split):
    with gzip.open(out / f"toy_{kind}_{split}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_the_small_export_is_written_row_by_row(out):
    call = str(out.parent / "audio/calls/call 7.wav")
    names = [f"toy_{kind}_{split}.jsonl.gz" for kind in sorted(KINDS) for split in ("test", "train")]
    assert sorted(path.name for path in out.iterdir()) == [*names, "trials.txt"]
    recording = {
        "id": "calls/call%207-c0-0000500",
        "sources": [{"type": "file", "channels": [0, 1], "source": call}],
        "sampling_rate": 8000,
        "num_samples": 24000,
        "duration": 3.0,
        "channel_ids": [0, 1],
    }
    assert rows(out, "recordings", "test")[0] == recording
    assert [row["id"] for row in rows(out, "recordings", "test")] == [recording["id"], "studio/dũng/long-0000250"]
    supervision = {
        "id": "calls/call%207-c0-0001750",
        "recording_id": recording["id"],
        "start": 1.75,
        "duration": 1.0,
        "channel": 0,
        "text": "a",
        "language": "vi",
        "speaker": "studio/an",
        "gender": "female",
        "custom": {"session": "calls/7a/call 7", "corpus": "calls", "corpus_speaker": "calls/7a"},
    }
    assert rows(out, "supervisions", "test")[1] == supervision
    assert rows(out, "cuts", "test")[1] == {
        "id": supervision["id"],
        "start": 1.75,
        "duration": 1.0,
        "channel": 0,
        "supervisions": [supervision | {"start": 0.0}],
        "recording": recording,
        "type": "MonoCut",
    }
    assert rows(out, "cuts", "test")[2]["type"] == "MultiCut"
    assert rows(out, "supervisions", "train")[2]["custom"] == {
        "session": "studio/an/2",
        "age": "30-39",
        "age_source": "corpus",
        "accent": "northern",
        "nationality": "Việt Nam",
        "corpus": "studio",
        "corpus_speaker": "studio/an",
        "corpus_split": "dev",
        "licence": "CC-BY-4.0",
    }
    assert (out / "trials.txt").read_text(encoding="utf-8").split("\n")[2:] == [
        "0 calls/call%207-c1-0000000 studio/dũng/long-0000250",
        "",
    ]


@pytest.mark.parametrize("split", ["test", "train"])
def test_lhotse_finds_nothing_wrong_and_writes_the_same(lhotse, out, split):
    manifests = {
        kind: getattr(lhotse, of).from_file(out / f"toy_{kind}_{split}.jsonl.gz") for kind, of in KINDS.items()
    }
    for kind, manifest in manifests.items():
        for item in manifest:
            lhotse.validate(item, read_data=True)
        assert [item.to_dict() for item in manifest] == rows(out, kind, split)
    recordings, supervisions = manifests["recordings"], manifests["supervisions"]
    lhotse.validate_recordings_and_supervisions(recordings, supervisions, read_data=True)
    trimmed = lhotse.CutSet.from_manifests(recordings, supervisions).trim_to_supervisions(keep_overlapping=False)
    assert sorted(cut.supervisions[0].id for cut in trimmed) == sorted(cut.id for cut in manifests["cuts"])


def samples_of(one):
    whole, rate = soundfile.read(one.file, dtype="float32", always_2d=True)
    first = round(one.start_s * rate)
    part = whole[first : first + round(one.duration_s * rate)].T
    return part if one.channel is None else part[one.channel : one.channel + 1]


@pytest.mark.parametrize("split", ["test", "train"])
def test_lhotse_loads_the_samples_of_the_right_channel(lhotse, out, mixed, split):
    cuts = lhotse.CutSet.from_jsonl_lazy(out / f"toy_cuts_{split}.jsonl.gz")
    sent = list(mixed.utterances(split))
    assert [cut.id for cut in cuts] == [one.utterance for one in sent]
    for cut, one in zip(cuts, sent, strict=True):
        assert np.array_equal(cut.load_audio(), samples_of(one))
        assert (cut.supervisions[0].speaker, cut.supervisions[0].text) == (one.speaker, one.transcript)


@pytest.mark.parametrize("by", ["supervisions", "cuts"])
def test_a_round_trip_loses_nothing(out, mixed, by):
    root = out.parent / "audio"
    for split in mixed.splits:
        kinds = ("recordings", "supervisions") if by == "supervisions" else ("cuts",)
        files = {kind: out / f"toy_{kind}_{split}.jsonl.gz" for kind in kinds}
        settings = reader.Settings(reader="lhotse", name="back", root=root, **files)
        assert list(reader.rows(root, settings)) == [described(one, root) for one in mixed.utterances(split)]


def described(one, root):
    """What a reader should say of an utterance that went out."""
    same = ("session", "sex", "age_years", "age_source", "accent", "nationality", "language", "transcript", "channel")
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


@pytest.mark.parametrize(("start_s", "duration_s"), [(0.123456, 0.2), (0.5000313, 0.2999687), (0.59, 0.21)])
def test_times_between_samples_are_those_of_whole_samples_within_the_file(
    lhotse, export, tmp_path, start_s, duration_s
):
    one = replace(next(export.utterances("train")), start_s=start_s, duration_s=duration_s)
    writer.write(tmp_path, replace(export, splits=("train",), utterances=lambda _: iter([one])))
    (cut,) = lhotse.CutSet.from_file(tmp_path / "toy_cuts_train.jsonl.gz")
    lhotse.validate(cut, read_data=True)
    assert (cut.start, cut.duration) == pytest.approx((start_s, duration_s), abs=1 / one.file_rate_hz)


@pytest.mark.real
def test_lhotse_reads_real_speech_through_an_export(lhotse, corpora, tmp_path):
    files = sorted((corpora / "LibriSpeech/test-other").glob("*/*/*.flac"))[:3]
    infos = [soundfile.info(file) for file in files]
    sent = [
        Outgoing(
            utterance=f"libri/{file.stem}",
            speaker=f"libri/{file.parent.parent.name}",
            label=f"libri/{file.parent.parent.name}",
            corpus="libri",
            split="test",
            file=file,
            file_rate_hz=info.samplerate,
            file_num_samples=info.frames,
            file_num_channels=1,
            start_s=start_s,
            duration_s=min(2.0, info.duration - start_s),
        )
        for file, info, start_s in zip(files, infos, (0.0, 0.5, 1.0), strict=True)
    ]
    out = tmp_path / "out"
    out.mkdir()
    export = Export(
        name="toy",
        splits=("test",),
        utterances=lambda _: iter(sent),
        mixed=lambda _: iter(sent),
        lists=("test",),
        trials=lambda _: iter(()),
        out=out,
    )
    writer.write(out, export)
    for cut, one in zip(lhotse.CutSet.from_file(out / "toy_cuts_test.jsonl.gz"), sent, strict=True):
        lhotse.validate(cut, read_data=True)
        assert np.array_equal(cut.load_audio(), samples_of(one))


def test_the_same_export_is_the_same_bytes(mixed, out, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    writer.write(again, mixed)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }


def test_a_stretch_that_ends_a_little_past_its_file_ends_with_it(export):
    """As rounded times do; Lhotse allows a millisecond."""

    def past(split):
        return (replace(one, duration_s=1.76) for one in export.utterances(split) if "dũng" in one.utterance)

    export.out.mkdir()
    writer.write(export.out, replace(export, utterances=past, trials=lambda _: iter(())))
    (row,) = rows(export.out, "supervisions", "test")
    assert row["start"] + row["duration"] == 2.0
