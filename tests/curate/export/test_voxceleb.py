"""Lists of voxceleb_trainer as written: to the letter, and as its loader joins them to files."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from curate.errors import ExportError
from curate.export import voxceleb
from curate.export.outgoing import Trial

X1, X2 = "studio/an/1/x", "studio/an/2/x"


def of_train(export, **more):
    """Two whole files, whose paths have no blanks."""
    whole = [one for one in export.utterances("train") if one.speaker == "studio/an"]
    trials = [Trial(enrol=X1, test=X2, is_target=True), Trial(enrol=X2, test=X1, is_target=False)]
    given = {"utterances": lambda _: iter(whole), "splits": ("train",), "trials": lambda _: iter(trials)}
    return replace(export, **given | more)


def write(export):
    export.out.mkdir()
    voxceleb.write(export.out, export)
    return {path.name: path.read_text(encoding="utf-8") for path in export.out.iterdir()}


def test_without_audio_of_its_own_an_export_names_files_where_they_are(export, tmp_path):
    one, two = f"{tmp_path}/audio/studio/an/1/x.wav", f"{tmp_path}/audio/studio/an/2/x.flac"
    assert write(of_train(export)) == {
        "train_list.txt": f"studio/an {one}\nstudio/an {two}\n",
        "veri_toy.txt": f"1 {one} {two}\n0 {two} {one}\n",
    }


def test_audio_of_the_export_is_named_from_its_folder(export):
    def own(_):
        for one in of_train(export).utterances("train"):
            yield replace(one, file=export.out / "audio" / f"{one.utterance}{one.file.suffix}", readable=one.file)

    assert write(of_train(export, utterances=own)) == {
        "train_list.txt": "studio/an studio/an/1/x.wav\nstudio/an studio/an/2/x.flac\n",
        "veri_toy.txt": "1 studio/an/1/x.wav studio/an/2/x.flac\n0 studio/an/2/x.flac studio/an/1/x.wav\n",
    }


def test_the_trainer_finds_every_file_of_every_line_whatever_its_train_path(export):
    def blank(_):
        return (replace(one, speaker="Nguyễn An") for one in of_train(export).utterances("train"))

    lists = write(of_train(export, utterances=blank))
    lines = [line.split() for line in lists["train_list.txt"].splitlines()]
    assert {line[0] for line in lines} == {"Nguyễn=20An"}
    assert all(len(line) == 2 and Path(os.path.join("data/voxceleb2", line[1])).is_file() for line in lines)
    for line in lists["veri_toy.txt"].splitlines():
        label, *files = line.split()
        assert label in ("0", "1")
        assert all(Path(os.path.join("data/voxceleb1", file)).is_file() for file in files)


def test_what_no_line_can_name_is_an_error_that_says_how(export):
    with pytest.raises(
        ExportError, match=r"^calls/call%207-c0-0000500 is not all of .*7\.wav .*: `--audio` \(with `--mo"
    ):
        write(export)
    with pytest.raises(ExportError, match=r"y z\.flac' holds a blank, which divides a line; expected .*: `--audio`$"):
        voxceleb.write(export.out, replace(export, splits=("train",)))
