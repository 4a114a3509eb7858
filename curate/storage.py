"""Where corpora and catalogs lie: folders of this machine, or any place that fsspec knows (`s3://`, `gs://`, ...)."""

from pathlib import Path


def location(text: str) -> Path:
    """The place that a text names; for another than this machine an object with the interface of Path."""
    return Path(text)


def is_local(path: Path) -> bool:
    """Whether it lies in the file system of this machine."""
    return isinstance(path, Path)
