"""What the vectors of an encoder depend on, as a name that a folder can have."""

import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path

from curate import audio, embed
from curate.catalog import canonical_json
from curate.runs import code_fingerprint


def fingerprint(
    kind: str,
    *,
    weights: Iterable[Path],
    code: Iterable[Path],
    packages: Iterable[str],
    settings: Mapping[str, object] | None = None,
) -> str:
    """Of the weights, the code and packages that compute, decode and resample, and of the settings.

    Of weights the content counts, in the order of the files. The device is not among them: a GPU rounds otherwise
    than a processor, and so does another processor.
    """
    made_from = {
        "weights": [audio.sha256_of(file) for file in weights],  # not their names: a file may be renamed
        "code": code_fingerprint(*code, Path(embed.__file__), *audio.SOURCES),
        # without the label of a build: torch for processors and torch for GPUs are of one version
        "versions": {name: importlib.metadata.version(name).partition("+")[0] for name in (*packages, "soxr")},
        "decoders": audio.DECODERS,
        "settings": dict(settings or {}),
    }
    return f"{kind}-{hashlib.sha256(canonical_json(made_from).encode()).hexdigest()[:24]}"
