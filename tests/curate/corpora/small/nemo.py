"""Two manifests: one of speaker recognition with `label` and `offset` 0, one of speech processing with `speaker`."""

from pathlib import Path

SETTINGS = {"manifest": {"train": Path("lists/train.json"), "test": Path("lists/test.json")}}
TRAIN = """\
{"audio_filepath": "../wav/an 1.wav", "offset": 0, "duration": 0.1, "label": "an"}
{"audio_filepath": "../wav/an 1.wav", "offset": 0.0, "duration": 0.04, "label": "an", "utterance_id": "half"}
{"audio_filepath": "../wav/an 1.wav", "offset": 0.05, "duration": 0.05, "label": "an", "split": "dev"}
"""
TEST = """\
{"audio_filepath": "../wav/ba.flac", "duration": 0.1, "text": "Nói  “gì”?", "speaker": "Dũng", "gender": "M", "age": 34}
{"audio_filepath": "../wav/no.flac", "duration": 0.1, "speaker": "Dũng", "_skipme": true}
"""


def make(root, sound):
    sound(root, "wav/an 1.wav", "wav/ba.flac")
    (root / "lists").mkdir()
    (root / "lists/train.json").write_text(TRAIN, encoding="utf-8")
    (root / "lists/test.json").write_text(TEST, encoding="utf-8")
