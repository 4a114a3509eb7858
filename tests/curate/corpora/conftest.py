"""Tiny corpora in the layout that the real ones have: `small/<reader>.py` makes that of each reader."""

import importlib.util
import unicodedata
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.describe import describe
from curate.errors import CorpusError


def maker(name: str) -> ModuleType:
    """`make(root, sound)` writes the corpus; `SETTINGS`, where there are any, are what its section must say."""
    spec = importlib.util.spec_from_file_location(f"small_{name}", Path(__file__).parent / "small" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_sound(root: Path, *paths: str, rate: int = 16_000, channels: int = 1) -> Path:
    """Files of a tenth of a second below a folder."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, np.sin(np.arange(rate // 10)[:, None] + np.arange(channels)) / 2, rate)
    return root


@pytest.fixture(scope="session")
def sound():
    """Write files of a tenth of a second below a folder."""
    return write_sound


@pytest.fixture(scope="session")
def section():
    """The section of a reader over a folder, with what its small corpus needs."""

    def make(name, root, **more):
        given = getattr(maker(name), "SETTINGS", {}) | more
        return READERS[name].Settings(reader=name, name="toy", root=root, **given)

    return make


@pytest.fixture
def said(tmp_path):
    """What a section says of its utterances: rows in the order of their ids."""

    def read(settings):
        folder = tmp_path / "said"
        folder.mkdir(exist_ok=True)
        return pq.read_table(describe(settings, folder)).to_pylist()

    return read


@pytest.fixture
def corpus_of(tmp_path):
    """Make the small corpus of a reader, and say where it lies."""

    def make(name):
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        maker(name).make(root, write_sound)
        return root

    return make


@pytest.fixture
def librispeech(corpus_of):
    return corpus_of("librispeech")


@pytest.fixture
def emodb(corpus_of):
    return corpus_of("emodb")


@pytest.fixture
def fsdd(corpus_of):
    return corpus_of("fsdd")


@pytest.fixture
def folder(corpus_of):
    return corpus_of("folder")


@pytest.fixture
def manifest(corpus_of):
    return corpus_of("manifest")


def faults_of(divider):
    """What befalls a table whose cells are divided so: text, a place in it and some bytes make another text."""
    return {
        "flip": lambda text, at, junk: text[:at] + bytes(byte ^ junk[0] for byte in text[at : at + 1]) + text[at + 1 :],
        "insert": lambda text, at, junk: text[:at] + junk + text[at:],
        "delete": lambda text, at, junk: text[:at] + text[at + len(junk) :],
        "mark": lambda text, at, junk: b"\xef\xbb\xbf" + text,
        "windows": lambda text, at, junk: text.replace(b"\n", b"\r\n"),
        "comma": lambda text, at, junk: text.replace(divider, b","),
        "quotes": lambda text, at, junk: b'"' + text.replace(divider, b'"' + divider + b'"'),
        "decomposed": lambda text, at, junk: unicodedata.normalize("NFD", text.decode(errors="replace")).encode(),
        "repeat": lambda text, at, junk: text + text.splitlines(keepends=True)[at % len(text.splitlines())],
        "leave": lambda text, at, junk: text[:at] + b"../../etc/passwd" + text[at:],
        "column": lambda text, at, junk: b"\n".join(line.partition(divider)[2] for line in text.split(b"\n")),
    }


@pytest.fixture(scope="session")
def damage():
    """Damage metadata in 200 ways: each time `read` reads it, or its error is one line that begins with a file."""

    def check(root, names, read, *, divider, **more):
        whole, faults = {name: (root / name).read_bytes() for name in names}, faults_of(divider) | more

        @settings(deadline=None, max_examples=200)
        @given(
            name=st.sampled_from(names),
            blows=st.lists(
                st.tuples(st.sampled_from(list(faults)), st.integers(0, 900), st.binary(min_size=1, max_size=4)),
                min_size=1,
                max_size=3,
            ),
        )
        def each(name, blows):
            content = whole[name]
            for fault, at, junk in blows:
                content = faults[fault](content or b"\n", min(at, len(content)), junk)
            for file, text in (whole | {name: content}).items():
                (root / file).write_bytes(text)
            try:
                read()
                told = None
            except CorpusError as error:
                told = str(error)
            assert told is None or (told.startswith(f"{root}/") and len(told.splitlines()) == 1)
            assert told is None or name in told or more

        each()

    return check
