"""A small benchmark on its way out: whole files, stretches, one side of a call; real audio in a folder of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curate.export.outgoing import Export, Outgoing, Trial


def _file(path: Path, *, seconds: float, rate: int = 16_000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, rng.normal(0, 0.1, (round(seconds * rate), channels)), rate)
    return path


@pytest.fixture
def export(tmp_path) -> Export:
    """Seven utterances of four people: `an` (two corpora), `an-b` (whose name starts alike), `chi`, `dũng`."""
    audio = tmp_path / "audio"
    whole = Outgoing(
        utterance="studio/an/1/x",
        speaker="studio/an",
        label="studio/an",
        corpus="studio",
        split="train",
        file=_file(audio / "studio/an/1/x.wav", seconds=1.0),
        file_rate_hz=16_000,
        file_num_samples=16_000,
        file_num_channels=1,
        start_s=0.0,
        duration_s=1.0,
        session="studio/an/1",
        sex="female",
        age_years=(34, 34),
        age_source="corpus",
        accent="northern",
        nationality="Việt Nam",
        language="vi",
        transcript="xin chào  các bạn",
        corpus_split="dev",
        licence="CC-BY-4.0",
    )
    second = replace(
        whole,
        utterance="studio/an/2/x",
        file=_file(audio / "studio/an/2/x.flac", seconds=1.5),
        file_num_samples=24_000,
        duration_s=1.5,
        session="studio/an/2",
        age_years=(30, 39),
        transcript='nói "gì", \\ hả?',
    )
    bare = Outgoing(
        utterance="studio/an-b/y%20z",
        speaker="studio/an-b",
        label="studio/an-b",
        corpus="studio",
        split="train",
        file=_file(audio / "studio/an-b/y z.flac", seconds=0.8, rate=22_050),
        file_rate_hz=22_050,
        file_num_samples=17_640,
        file_num_channels=1,
        start_s=0.0,
        duration_s=0.8,
    )
    call = _file(audio / "calls/call 7.wav", seconds=3.0, rate=8_000, channels=2)
    side_a = replace(
        bare,
        utterance="calls/call%207-c0-0000500",
        speaker="studio/an",
        label="calls/7a",
        corpus="calls",
        split="test",
        file=call,
        file_rate_hz=8_000,
        file_num_samples=24_000,
        file_num_channels=2,
        start_s=0.5,
        duration_s=1.25,
        channel=0,
        session="calls/7a/call 7",
        sex="female",
        language="vi",
        transcript="a",
    )
    later = replace(side_a, utterance="calls/call%207-c0-0001750", start_s=1.75, duration_s=1.0)
    side_b = replace(
        side_a, utterance="calls/call%207-c1-0000000", speaker="calls/7b", label="calls/7b", channel=1, start_s=0.0
    )
    side_b = replace(side_b, sex="male", session="calls/7b/call 7", transcript=None)
    stretch = replace(
        bare,
        utterance="studio/dũng/long-0000250",
        speaker="studio/dũng",
        label="studio/dũng",
        split="test",
        file=_file(audio / "studio/dũng/long.wav", seconds=2.0),
        file_rate_hz=16_000,
        file_num_samples=32_000,
        start_s=0.25,
        duration_s=0.5,
        sex="male",
        age_years=(60, 120),
        age_source="speakers.csv",
    )
    every = sorted([whole, second, bare, side_a, later, side_b, stretch], key=lambda one: one.utterance)
    trials = [
        Trial(enrol=side_a.utterance, test=later.utterance, is_target=True),
        Trial(enrol=side_a.utterance, test=side_b.utterance, is_target=False),
        Trial(enrol=side_b.utterance, test=stretch.utterance, is_target=False),
    ]
    return Export(
        name="toy",
        splits=("test", "train"),
        utterances=lambda split: (one for one in every if one.split == split),
        mixed=lambda split: (one for one in reversed(every) if one.split == split),
        lists=("test",),
        trials=lambda _: iter(trials),
        out=tmp_path / "out",
        licence="CC-BY-4.0",
    )
