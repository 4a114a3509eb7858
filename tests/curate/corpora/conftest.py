"""Tiny corpora in the layout that the real ones have: `small/<reader>.py` makes that of each reader."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from curate.corpora import READERS
from curate.describe import describe


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
