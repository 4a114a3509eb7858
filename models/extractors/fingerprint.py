"""What the vectors of an encoder depend on, as a name that a folder can have."""

import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path

from curate import audio
from curate.catalog import canonical_json
from curate.runs import code_fingerprint

DECODING = ("soxr", "soundfile", "av")


def fingerprint(
    kind: str,
    *,
    weights: Iterable[Path],
    code: Iterable[Path],
    packages: Iterable[str],
    settings: Mapping[str, object] | None = None,
) -> str:
    """Of the files of weights, the code and packages that compute, decode and resample, and of the settings.

    The device is not among them: a GPU rounds otherwise than a processor, and so does another processor.
    """
    made_from = {
        "weights": {file.name: audio.sha256_of(file) for file in weights},
        "code": code_fingerprint(*code, *audio.SOURCES),
        "versions": {name: importlib.metadata.version(name) for name in (*packages, *DECODING)},
        "settings": dict(settings or {}),
    }
    return f"{kind}-{hashlib.sha256(canonical_json(made_from).encode()).hexdigest()[:24]}"
