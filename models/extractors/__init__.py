"""Speaker encoders behind the interface of `curate.embed.Extractor`."""

from functools import cache

from curate.embed import Extractor
from curate.errors import ExtractorError
from curate.hearing import Checkpoint, Ge2e, Hearing, Onnx, SpeechBrain, Transformers


@cache
def extractor(hearing: Hearing) -> Extractor:
    """What the section names, loaded once a process: an encoder, and what of an utterance it is given to hear.

    Raises ExtractorError where it cannot be had.
    """
    from models.extractors.heard import heard

    return heard(_encoder(hearing), hearing)


def _encoder(hearing: Hearing) -> Extractor:
    """Each is imported when it is asked for: the libraries below them take seconds."""
    match hearing:
        case Ge2e():
            from models.extractors.ge2e import GE2E

            return GE2E(hearing)
        case SpeechBrain():
            from models.extractors.speechbrain import SpeechBrainEncoder

            return SpeechBrainEncoder(hearing)
        case Onnx():
            from models.extractors.onnx import FilterBankNetwork

            return FilterBankNetwork(hearing)
        case Transformers():
            from models.extractors.transformers import MeanOfLayer

            return MeanOfLayer(hearing)
        case Checkpoint():
            from models.extractors.checkpoint import CheckpointEncoder

            return CheckpointEncoder(hearing)
    raise ExtractorError(f"{hearing.extractor}: no such encoder")


__all__ = ["extractor"]
