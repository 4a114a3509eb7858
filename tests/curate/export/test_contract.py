"""What every form promises: it says what it can hold, writes the same bytes each time, and only where it is told."""

import ast
import gzip
import inspect
import io
import re
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curate import export as package
from curate.audio import sha256_of
from curate.corpora import READERS
from curate.errors import ExportError
from curate.export import FORMS, form
from curate.export.sound import Conversion, converted

TOLD = ("sex", "age", "session", "accent", "nationality", "language", "transcript", "corpus_split", "licence")
KNOWN = (*TOLD, "channel", "stretch", "split", "trials", "models")
forms = pytest.mark.parametrize("name", FORMS)


@pytest.fixture
def with_audio(export):
    """The small export with audio of its own, which lies in `out.unfinished/audio` while it is written."""
    folder = export.out.with_name("out.unfinished") / "audio"
    every = [one for split in export.splits for one in export.utterances(split)]
    jobs = (replace(one, content_sha256=sha256_of(one.file)) for one in every)
    final = export.out / "audio"
    own = list(converted(jobs, Conversion(format="wav"), folder, final=final, workers=1))
    return replace(export, utterances=lambda split: (one for one in own if one.split == split))


def written(name, export, folder="out.unfinished"):
    """The folder that the form wrote into, which shall be `export.out`."""
    folder = export.out.with_name(folder)
    folder.mkdir(exist_ok=True)
    form(name).write(folder, export)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def text_of(name, content):
    """All that is told in a file, as bytes that are not packed."""
    if name.endswith(".gz"):
        return gzip.decompress(content)
    if name.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(content))
        return str([table.schema.metadata, table.to_pylist()]).encode()
    return content


@forms
def test_a_form_opens_with_its_readers_its_layout_and_its_source(name):
    module = form(name)
    assert isinstance(ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body[0], ast.Expr)
    told = inspect.getdoc(module)
    assert re.search(r"Layout|Writes `", told)
    assert re.search(r"https://|Source: |validate_data_dir", told)


@forms
def test_a_form_says_what_it_can_hold(name):
    module = form(name)
    assert type(module.CAN_HOLD) is tuple
    assert set(module.CAN_HOLD) <= set(KNOWN)
    assert len(set(module.CAN_HOLD)) == len(module.CAN_HOLD)
    assert {"split", "trials"} <= set(module.CAN_HOLD)  # else it would be no benchmark
    assert list(inspect.signature(module.write).parameters) == ["out", "export"]


def test_forms_are_known_by_name():
    assert package.__all__ == ["FORMS", "form"]
    folder = Path(package.__file__).parent
    modules = (path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    assert {name for name in modules if hasattr(import_module(f"curate.export.{name}"), "CAN_HOLD")} == set(FORMS)
    with pytest.raises(ExportError, match=r"^form 'Kaldi'; expected one of kaldi, [^\n]*$"):
        form("Kaldi")
    with pytest.raises(ExportError, match="expected one of"):
        form("sound")  # a file of the folder, and no form


@forms
def test_what_a_form_holds_its_reader_takes(name):
    assert set(form(name).CAN_HOLD) & set(TOLD) <= set(READERS[name].FILLS)


@forms
def test_a_form_holds_parts_of_files_or_asks_for_audio_that_is_converted(name, export):
    module = form(name)
    if {"channel", "stretch"} <= set(module.CAN_HOLD) or getattr(module, "HOLDS_AUDIO", False):
        assert contents(written(name, export))
        return
    with pytest.raises(ExportError, match=r"^[^\n]*; expected audio that is converted: `--audio`[^\n]*$"):
        written(name, export)


@forms
def test_the_same_export_is_the_same_bytes_at_another_time(name, with_audio, monkeypatch):
    first = contents(written(name, with_audio, "first"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400 * 400)
    assert contents(written(name, with_audio, "second")) == first
    assert first


@forms
def test_a_form_writes_nowhere_else(name, with_audio, tmp_path):
    def others():
        paths = (path for path in tmp_path.rglob("*") if "new" not in path.relative_to(tmp_path).parts)
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before = others()
    assert contents(written(name, with_audio, "new"))
    assert others() == before


@forms
def test_paths_are_those_that_will_be(name, with_audio, tmp_path):
    """Whatever is told of a file is told of where it lies when the export has its name."""
    folder = written(name, with_audio)
    told = {file: text_of(file, content) for file, content in contents(folder).items() if not file.startswith("audio/")}
    assert told
    for file, text in told.items():
        assert "unfinished" not in file
        assert b"unfinished" not in text
        places = re.findall(re.escape(str(tmp_path).encode()) + rb"[^\"'\s|]*", text)
        assert all(place.startswith(bytes(with_audio.out) + b"/") for place in places)


@forms
def test_every_utterance_and_trial_is_told(name, with_audio):
    folder = written(name, with_audio)
    everything = b"\n".join(text_of(file, content) for file, content in contents(folder).items())
    for split in with_audio.splits:
        for one in with_audio.utterances(split):
            assert one.utterance.encode() in everything
    assert any("trial" in file or "veri" in file for file in contents(folder))


@forms
def test_text_is_utf_8_with_plain_ends_of_lines(name, with_audio):
    for file, content in contents(written(name, with_audio)).items():
        if file.endswith((".parquet", ".tar", ".wav")):
            continue
        text = text_of(file, content)
        assert b"\r" not in text
        assert text.endswith(b"\n") or not text
        text.decode("utf-8")


@forms
def test_a_benchmark_without_trials_can_go_out(name, with_audio):
    assert contents(written(name, replace(with_audio, trials=lambda _: iter(()))))


@forms
def test_what_nobody_has_told_can_go_out(name, with_audio):
    silent = dict.fromkeys(
        ("session", "sex", "age_years", "age_source", "accent", "nationality", "language", "transcript", "licence")
    )

    def bare(split):
        return (replace(one, **silent, corpus_split=None) for one in with_audio.utterances(split))

    folder = written(name, replace(with_audio, utterances=bare, licence=None))
    for file, content in contents(folder).items():
        if not file.endswith((".md", ".parquet", ".tar", ".wav")):
            assert b"None" not in text_of(file, content)
