"""What `curate run` tells before and after all that takes long."""

import logging

import pytest

from curate.errors import CorpusError
from flows.running import curate_file


def test_patterns_and_lists_that_match_nothing_are_told_before_any_corpus_is_decoded(tmp_path, monkeypatch, caplog):
    """Of each corpus, and with the entries that name nothing of a list that names something."""
    file, looks = tmp_path / "three.toml", []
    monkeypatch.setattr("curate.audio.probe", lambda path: looks.append(path))
    section = '[[corpora]]\nname = "{0}"\nreader = "folder"\nroot = "{0}"\n'
    (tmp_path / "banned.txt").write_text("anna\nnobody\n")
    (tmp_path / "others.txt").write_text("someone/else\n")
    keys = {"one": "", "two": 'exclude = ["*.mp3"]\n', "three": 'exclusions = ["others.txt"]\n'}
    keys["four"] = 'exclusions = ["banned.txt"]\n'
    text = 'name = "four"\ncatalog = "catalog"\n'
    for name, told in keys.items():
        (tmp_path / name / "anna").mkdir(parents=True)
        (tmp_path / name / "anna" / "1.wav").touch()
        text += section.format(name) + told
    file.write_text(text)
    with caplog.at_level(logging.INFO, logger="voxcurate"), pytest.raises(CorpusError) as fault:
        curate_file(file)
    one, two = str(fault.value).split("; corpus ")
    assert one == "corpus 'two': '*.mp3' matches none of 1 paths such as 'anna/1.wav'"
    assert two.startswith(
        f"'three': {tmp_path}/others.txt matches nothing: none of its 1 entries, such as 'someone/else'"
    )
    assert caplog.messages == ["four: banned.txt: 1 of 2 entries match nothing, such as 'nobody'"]
    assert looks == []
