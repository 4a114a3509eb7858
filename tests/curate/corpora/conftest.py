"""Tiny corpora in the layout that the real ones have."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

SPEAKERS_TXT = """; Some pipe(|) separated metadata about all LibriVox readers
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
60   | M | train-clean-100  | 20.18 | Luis | Fernandes
9    | M | dev-clean        | 8.00  | Nguyễn Văn A
"""


@pytest.fixture(scope="session")
def sound():
    """Write files of a tenth of a second below a folder."""

    def write(root: Path, *paths: str, rate: int = 16_000) -> Path:
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / path, np.sin(np.arange(rate // 10)) / 2, rate)
        return root

    return write


@pytest.fixture
def librispeech(tmp_path, sound):
    """Two subsets, three readers, one of them with two chapters; reader 60 has a pipe in his name."""
    files = [
        "dev-clean/9/1/9-1-0000.flac",
        "train-clean-100/60/5/60-5-0000.flac",
        "train-clean-100/60/5/60-5-0001.flac",
    ]
    root = sound(tmp_path / "LibriSpeech", *files, "train-clean-100/60/7/60-7-0000.flac")
    (root / "SPEAKERS.TXT").write_text(SPEAKERS_TXT, encoding="utf-8")
    (root / "CHAPTERS.TXT").write_text("; not read\n", encoding="utf-8")
    texts = "60-5-0000 HE SAID  TWO WORDS\n60-5-0001 AND MORE\n"
    (root / "train-clean-100/60/5/60-5.trans.txt").write_text(texts, encoding="utf-8")
    return root


@pytest.fixture
def emodb(tmp_path, sound):
    """Two actors."""
    return sound(tmp_path / "emodb", "wav/03a01Fa.wav", "wav/03b10Wb.wav", "wav/16a02Na.wav")


@pytest.fixture
def fsdd(tmp_path, sound):
    """Two speakers."""
    files = ["recordings/0_jackson_0.wav", "recordings/7_jackson_32.wav", "recordings/9_theo_1.wav"]
    return sound(tmp_path / "fsdd", *files, rate=8000)


@pytest.fixture
def folder(tmp_path, sound):
    """One speaker with sessions and one without."""
    return sound(tmp_path / "folder", "an/1/x.wav", "an/2/x.wav", "bình/y z.FLAC")


@pytest.fixture
def manifest(tmp_path, sound):
    """Two stretches of one file, and a file of its own."""
    root = sound(tmp_path / "manifest", "audio/call.wav", "audio/solo.flac")
    rows = "audio/call.wav,an,call-1,0,0.05\naudio/call.wav,ba,call-2,0.05,0.05\naudio/solo.flac,an,,,\n"
    (root / "m.csv").write_text("path,speaker,name,start_s,duration_s\n" + rows, encoding="utf-8")
    return root
