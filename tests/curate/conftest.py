"""Real speech as GE2E hears it, heard once for all tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from curate import audio
from curate.hearing import Ge2e
from curate.similarity import Vectors, unit


@dataclass(frozen=True)
class Heard:
    """N utterances: their files and unit vectors, and whose each is, from which sitting."""

    files: list[Path]
    vectors: Vectors
    speaker: list[str]
    session: list[str | None]

    def of(self, files: list[Path]) -> Vectors:
        """The unit vectors of some files, in their order."""
        return self.vectors[[self.files.index(file) for file in files]]


def vectors_of(files: list[Path], folder: Path) -> None:
    from models.extractors import extractor

    encoder = extractor(Ge2e())
    rows = [encoder.embed([audio.decode(file, sample_rate_hz=encoder.sample_rate_hz)])[0] for file in files]
    np.save(folder / "vectors.npy", unit(np.float32(rows)))


@pytest.fixture(scope="session")
def librispeech(corpora: Path, once) -> Heard:
    """13 readers, three of them in two chapters."""
    files = sorted((corpora / "LibriSpeech").glob("*/*/*/*.flac"))
    vectors = np.load(once("librispeech", lambda folder: vectors_of(files, folder)) / "vectors.npy")
    return Heard(files, vectors, [file.parts[-3] for file in files], [file.parts[-2] for file in files])


@pytest.fixture(scope="session")
def emodb(corpora: Path, once) -> Heard:
    """Ten actors in seven feelings."""
    files = sorted((corpora / "emodb/wav").glob("*.wav"))
    vectors = np.load(once("emodb", lambda folder: vectors_of(files, folder)) / "vectors.npy")
    return Heard(files, vectors, [file.name[:2] for file in files], [None] * len(files))
