"""SpeechBrain's own data sets load every sample and word of an export, and our reader takes it back without loss."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.corpora import speechbrain as reader
from curate.corpora.described import Described
from curate.errors import ExportError
from curate.export import speechbrain

OLD_NAMES = "DeprecatedModuleRedirect"
ODD = ' "$5, or {6}"\r\n $data_root  {{x}} $ '


@pytest.fixture(scope="module")
def library():
    """SpeechBrain's loaders, without its old names of modules: hypothesis looks at each, and they warn of that."""
    from speechbrain.dataio import dataio, dataset

    for name in [name for name, module in sys.modules.items() if type(module).__name__ == OLD_NAMES]:
        del sys.modules[name]
    return SimpleNamespace(**vars(dataio) | {"DynamicItemDataset": dataset.DynamicItemDataset})


@pytest.fixture
def without_sides(export):
    """The small export without the sides of the call; one transcript holds all that the loaders take for their own."""

    def utterances(split):
        for one in export.utterances(split):
            if one.channel is None:
                yield replace(one, transcript=ODD) if one.utterance == "studio/an-b/y%20z" else one

    return replace(export, utterances=utterances)


@pytest.fixture
def out(without_sides):
    without_sides.out.mkdir()
    speechbrain.write(without_sides.out, without_sides)
    return without_sides.out


def replacements(out):
    return json.loads((out / "replacements.json").read_text(encoding="utf-8"))


def test_the_small_export_is_written_row_by_row(out):
    audio = out.parent / "audio"
    files = ["replacements.json", "test.csv", "test.json", "train.csv", "train.json", "trials.txt"]
    assert sorted(path.name for path in out.iterdir()) == files
    assert (out / "test.csv").read_text(encoding="utf-8") == (
        '"ID","duration","wav","start","stop","spk_id","wrd","language","session","sex","age","age_source","accent",'
        '"nationality","corpus","corpus_speaker","corpus_split","licence"\n'
        f'"studio/dũng/long-0000250","0.5","{audio}/studio/dũng/long.wav","4000","12000","studio/dũng","","","","male",'
        '"60-120","speakers.csv","","","studio","studio/dũng","",""\n'
    )
    assert (out / "test.json").read_text(encoding="utf-8") == (
        f'{{\n"studio/dũng/long-0000250": {{"duration": 0.5, "wav": "{audio}/studio/dũng/long.wav", "start": 4000, '
        '"stop": 12000, "spk_id": "studio/dũng", "wrd": "", "language": "", "session": "", "sex": "male", '
        '"age": "60-120", "age_source": "speakers.csv", "accent": "", "nationality": "", "corpus": "studio", '
        '"corpus_speaker": "studio/dũng", "corpus_split": "", "licence": ""}\n}\n'
    )
    assert replacements(out) == {"5": "$5", "data_root": "$data_root"}
    assert (out / "trials.txt").read_text(encoding="utf-8").startswith("1 calls/call%207-c0-0000500 calls/call%207-c0-")


def data_sets(library, out, split):
    """Both files of a split as recipes open them, with the signal from start to stop."""
    of = library.DynamicItemDataset
    for data_set in (
        of.from_csv(out / f"{split}.csv", replacements=replacements(out)),
        of.from_json(out / f"{split}.json"),
    ):
        data_set.add_dynamic_item(
            lambda wav, start, stop: library.read_audio({"file": wav, "start": int(start), "stop": int(stop)}),
            takes=["wav", "start", "stop"],
            provides="sig",
        )
        data_set.set_output_keys(["id", "sig", "spk_id", "wrd", "duration", "sex"])
        yield data_set


def test_speechbrain_loads_the_samples_and_the_words_of_every_utterance(library, out, without_sides):
    for split in without_sides.splits:
        sent = list(without_sides.utterances(split))
        for data_set in data_sets(library, out, split):
            loaded = list(data_set)
            assert [one["id"] for one in loaded] == [one.utterance for one in sent]
            assert [one["wrd"] for one in loaded] == [one.transcript or "" for one in sent]
            assert [(one["spk_id"], one["sex"]) for one in loaded] == [(one.speaker, one.sex or "") for one in sent]
            for got, one in zip(loaded, sent, strict=True):
                whole, rate = soundfile.read(one.file, dtype="float32")
                first = round(one.start_s * rate)
                assert np.array_equal(got["sig"].numpy(), whole[first : first + round(one.duration_s * rate)])
                assert got["duration"] == one.duration_s


def test_a_csv_that_needs_replacements_says_so_where_none_are_given(library, out):
    with pytest.raises(KeyError, match="requires replacements"):
        library.load_data_csv(out / "train.csv")


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_round_trip_loses_nothing(out, without_sides, suffix):
    root = out.parent / "audio"
    for split in without_sides.splits:
        sent = [described(one, root) for one in without_sides.utterances(split)]
        assert list(back(root, out / f"{split}.{suffix}")) == sent


def back(root, manifest, **more):
    return reader.rows(root, reader.Settings(reader="speechbrain", name="back", root=root, manifest=manifest, **more))


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


def test_a_dollar_or_a_brace_in_a_path_comes_back(library, export, tmp_path):
    file = tmp_path / "audio" / "$x {y} a.wav"
    one = replace(next(export.utterances("train")), file=file)
    soundfile.write(file, np.zeros(one.file_num_samples), one.file_rate_hz)
    out = tmp_path / "odd"
    out.mkdir()
    speechbrain.write(out, replace(export, splits=("train",), utterances=lambda _: iter([one])))
    for suffix, more in (("json", {}), ("csv", {"replacements": replacements(out)})):
        assert [said.path for said in back(file.parent, out / f"train.{suffix}", **more)] == [file.name]
    assert library.load_data_json(out / "train.json")[one.utterance]["wav"] == str(file)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20))
def test_both_loaders_and_our_reader_give_back_any_transcript(library, export, tmp_path, text):
    one = replace(next(export.utterances("train")), transcript=f"{text} $a {{")
    speechbrain.write(tmp_path, replace(export, splits=("train",), utterances=lambda _: iter([one])))
    filled = library.load_data_csv(tmp_path / "train.csv", replacements=replacements(tmp_path))
    assert filled[one.utterance]["wrd"] == one.transcript
    assert library.load_data_json(tmp_path / "train.json")[one.utterance]["wrd"] == one.transcript
    for suffix in ("csv", "json"):
        (said,) = back(tmp_path / "audio", tmp_path / f"train.{suffix}")
        assert said.transcript == one.transcript


def test_one_side_of_a_call_is_refused(export, tmp_path):
    with pytest.raises(ExportError, match=r"^calls/call%207-c0-0000500: channel 0 of .*; expected audio that is con"):
        speechbrain.write(tmp_path, export)


def test_the_same_export_is_the_same_bytes(without_sides, out, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    speechbrain.write(again, without_sides)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }


def test_a_stretch_that_ends_a_little_past_its_file_ends_with_it(export):
    """As rounded times do: SpeechBrain would read what is not there."""

    def past(split):
        return (replace(one, duration_s=1.76) for one in export.utterances(split) if "dũng" in one.utterance)

    export.out.mkdir()
    speechbrain.write(export.out, replace(export, utterances=past, trials=lambda _: iter(())))
    (row,) = json.loads((export.out / "test.json").read_text(encoding="utf-8")).values()
    assert row["stop"] == 32_000
