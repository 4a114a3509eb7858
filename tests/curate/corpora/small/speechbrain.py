"""The three forms: VoxCeleb's CSV with samples, LibriSpeech's CSV with words, and JSON, each with a placeholder."""

from pathlib import Path

SETTINGS = {
    "manifest": {"train": Path("train.csv"), "dev": Path("dev.csv"), "test": Path("test.json")},
    "replacements": {"data_root": "."},
}
TRAIN = """\
ID,duration,wav,start,stop,spk_id
an--1--x,0.1,$data_root/wav/an/1/x.wav,0,1600,an
an--1--y_0.0_0.05,0.1,$data_root/wav/an/1/y.wav,0,800,an
an--1--y_0.05_0.1,0.1,$data_root/wav/an/1/y.wav,800,1600,an
"""
DEV = """\
ID,duration,wav,spk_id,wrd
9-1,0.1,wav/9-1.flac,9,"HE SAID,  ""TWO"" $5"
"""
TEST = """\
{
  "ba-1": {"wav": "{data_root}/wav/ba-1.wav", "length": 0.1, "spk_id": "ba", "words": "a {{b}}", "gender": "F"},
  "ba-2": {"wav": {"file": "{data_root}/wav/an/1/y.wav", "start": 400, "stop": 800}, "spk_id": "ba"}
}
"""


def make(root, sound):
    sound(root, "wav/an/1/x.wav", "wav/an/1/y.wav", "wav/9-1.flac", "wav/ba-1.wav")
    for name, text in {"train.csv": TRAIN, "dev.csv": DEV, "test.json": TEST}.items():
        (root / name).write_text(text, encoding="utf-8")
