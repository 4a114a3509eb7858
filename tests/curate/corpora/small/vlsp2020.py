"""Flat files with their texts; the speaker is the first part of a name. One has no text."""

SETTINGS = {"pattern": r"(?:(?P<split>[^/]+)/)?(?P<speaker>[^_/]+)_[^/]+"}


def make(root, sound):
    sound(root, "train/an_0001.wav", "train/an_0002.wav", "train/dũng_0001.wav")
    (root / "train/an_0001.txt").write_bytes("\ufeffxin chào các bạn\r\n".encode())
    (root / "train/dũng_0001.txt").write_text("một hai", encoding="utf-8")
    (root / "train/alone.txt").write_text("không có tiếng", encoding="utf-8")
