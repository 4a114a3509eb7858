"""Speaker encoders behind the interface of `curate.embed.Extractor`."""

from functools import cache

from curate.embed import Extractor
from curate.errors import ExtractorError
from curate.hearing import Checkpoint, Ge2e, Hearing, Onnx, SpeechBrain, Transformers


@cache
def extractor(hearing: Hearing) -> Extractor:
    """The encoder that the section names, loaded once a process. Raises ExtractorError where it cannot be had."""
    return _encoder(hearing)


def _encoder(hearing: Hearing) -> Extractor:
    """Each is imported when it is asked for: the libraries below them take seconds."""
    match hearing:
        case Ge2e():
            from models.extractors.ge2e import GE2E

            return GE2E(hearing)
    raise ExtractorError(f"{hearing.extractor}: no such encoder")


__all__ = ["Checkpoint", "Ge2e", "Hearing", "Onnx", "SpeechBrain", "Transformers", "extractor"]
