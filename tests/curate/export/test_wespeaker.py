"""WeSpeaker's lists as written: to the letter, as its loader takes shards apart, and read again."""

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from curate.corpora import READERS
from curate.errors import ExportError
from curate.export import wespeaker
from curate.export.outgoing import Trial

X1, X2, Y = "studio/an/1/x", "studio/an/2/x", "studio/an-b/y%20z"


def of_train(export, **more):
    """The same benchmark with its whole files alone."""
    trials = [Trial(enrol=X1, test=X2, is_target=True), Trial(enrol=X1, test=Y, is_target=False)]
    return replace(export, splits=("train",), trials=lambda _: iter(trials), **more)


def write(export):
    export.out.mkdir(parents=True)
    wespeaker.write(export.out, export)
    return export.out


def test_a_small_export_is_written_to_the_letter(export, tmp_path):
    out, audio = write(of_train(export)), tmp_path / "audio/studio"
    wavs = {X1: f"{audio}/an/1/x.wav", X2: f"{audio}/an/2/x.flac", Y: f"{audio}/an-b/y z.flac"}
    speakers = {Y: "studio/an-b", X1: "studio/an", X2: "studio/an"}
    found = {
        str(path.relative_to(out)): path.read_text(encoding="utf-8")
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.suffix != ".tar"
    }
    assert found == {
        "train/raw.list": "".join(
            f'{{"key": "{key}", "wav": "{wavs[key]}", "spk": "{speaker}"}}\n' for key, speaker in speakers.items()
        ),
        "train/shard.list": f"{out}/train/shards/shards_000000000.tar\n",
        "train/spk2utt": f"studio/an {X1} {X2}\nstudio/an-b {Y}\n",
        "train/trials/toy.kaldi": f"{X1} {X2} target\n{X1} {Y} nontarget\n",
        "train/utt2spk": "".join(f"{key} {speaker}\n" for key, speaker in speakers.items()),
        "train/wav.scp": "".join(f"{key} {wavs[key]}\n" for key in speakers),
    }


def test_an_export_read_again_has_the_same_names_files_and_trials(export, tmp_path):
    def blank(split):
        return (replace(one, speaker=f"Nguyễn {one.speaker} =20") for one in export.utterances(split))

    given = of_train(export, utterances=blank)
    out, reader = write(given), READERS["wespeaker"]
    settings = reader.Settings(reader="wespeaker", name="again", root=tmp_path, manifest=out.relative_to(tmp_path))
    told = [
        (row.utterance, row.speaker, tmp_path / row.path, row.corpus_split) for row in reader.rows(tmp_path, settings)
    ]
    assert told == [(one.utterance, one.speaker, one.file, one.split) for one in blank("train")]
    trials = [(one.enrol, one.test, one.is_target) for one in reader.published_trials(tmp_path, settings)]
    assert trials == [(one.enrol, one.test, one.is_target) for one in given.trials("test")]


def loaded(path):
    """What WeSpeaker's loader makes of a shard: members with one name up to the last dot are one example."""
    examples = {}
    with tarfile.open(path, "r:*") as stream:
        for member in stream:
            prefix, _, suffix = member.name.rpartition(".")
            assert prefix
            content = stream.extractfile(member).read()
            example = examples.setdefault(prefix, {})
            assert list(examples)[-1] == prefix  # members of an example stand together
            example[suffix] = content.decode().strip() if suffix == "spk" else soundfile.read(io.BytesIO(content))
    return examples


def test_shards_hold_what_the_list_names_as_the_loader_takes_them_apart(export):
    def dotted(split):
        return (replace(one, utterance=f"{one.utterance}.a.b") for one in export.utterances(split))

    given = replace(
        of_train(export),
        utterances=dotted,
        mixed=lambda split: reversed(list(dotted(split))),
        trials=lambda _: iter(()),
    )
    out = write(given)
    (shard,) = (out / "train/shard.list").read_text(encoding="utf-8").splitlines()
    examples = loaded(shard)
    rows = [json.loads(line) for line in (out / "train/raw.list").read_text(encoding="utf-8").splitlines()]
    assert list(examples) == [row["key"] for row in reversed(rows)]  # mixed, as the fixture mixes
    for row in rows:
        samples, rate = examples[row["key"]]["wav"]
        same, file_rate = soundfile.read(row["wav"])
        assert (examples[row["key"]]["spk"], rate) == (row["spk"], file_rate)
        assert np.array_equal(samples, same)


def test_a_shard_can_hold_one_side_of_a_call_and_a_part_of_a_file(export, tmp_path):
    every = list(export.utterances("test"))
    wespeaker.write_shard(tmp_path / "x.tar", every)
    examples = loaded(tmp_path / "x.tar")
    for one in every:
        samples, rate = soundfile.read(one.file, always_2d=True)
        start, length = round(one.start_s * rate), round(one.duration_s * rate)
        side = samples[start : start + length, one.channel or 0]
        assert np.array_equal(examples[one.utterance]["wav"][0], side)


def test_shards_are_cut_every_so_many_utterances_and_are_the_same_bytes_again(export, tmp_path, monkeypatch):
    monkeypatch.setattr(wespeaker, "UTTERANCES_PER_SHARD", 2)
    first, again = (write(replace(of_train(export), out=tmp_path / name)) for name in ("first", "again"))
    names = (first / "train/shard.list").read_text(encoding="utf-8").split()
    assert names == [f"{first}/train/shards/shards_00000000{number}.tar" for number in (0, 1)]
    assert [len(loaded(name)) for name in names] == [2, 1]
    for name in ("shards_000000000.tar", "shards_000000001.tar"):
        assert (first / "train/shards" / name).read_bytes() == (again / "train/shards" / name).read_bytes()


def test_audio_of_the_export_is_read_where_it_lies_while_it_is_written_and_named_where_it_will(export):
    def moved(split):
        return (
            replace(one, readable=one.file, file=export.out / "audio" / one.file.name)
            for one in export.utterances(split)
        )

    out = write(replace(of_train(export), utterances=moved))
    assert f'"wav": "{export.out}/audio/x.wav"' in (out / "train/raw.list").read_text(encoding="utf-8")


def test_a_part_of_a_file_is_an_error_that_says_how(export):
    with pytest.raises(
        ExportError, match=r"^calls/call%207-c0-0000500 is not all of .*7\.wav .*: `--audio` \(with `--mo"
    ):
        write(export)


def test_a_path_with_blanks_that_tools_would_change_is_an_error(export):
    def broken(split):
        return (replace(one, file=one.file.with_name("a  b.wav")) for one in export.utterances(split))

    with pytest.raises(ExportError, match=r"a  b\.wav': blanks that a list cannot hold; expected a copy of the audio"):
        write(of_train(export, utterances=broken))


def test_a_trial_across_splits_is_an_error_and_a_split_of_nobody_is_left_out(export):
    def halves(split):
        every = list(export.utterances("train"))
        return iter({"test": every[:1], "train": every[1:], "dev": []}[split])

    given = replace(of_train(export, utterances=halves), splits=("dev", "test", "train"))
    with pytest.raises(ExportError, match=r"trial of studio/an/1/x in train and studio/an-b/y%20z in test; expected"):
        write(given)
    assert sorted(path.name for path in given.out.iterdir()) == ["test", "train"]
