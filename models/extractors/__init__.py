"""Speaker encoders behind the interface of `curate.embed.Extractor`."""

from collections.abc import Callable
from functools import cache, wraps
from threading import Lock

from curate.embed import Extractor
from curate.errors import ExtractorError
from curate.hearing import Checkpoint, Ge2e, Hearing, Onnx, SpeechBrain, Transformers, name_of

_loading = Lock()


def _once(load: Callable[[Hearing], Extractor]) -> Callable[[Hearing], Extractor]:
    """As `cache`, which alone would have two threads load what neither has yet."""
    cached = cache(load)

    @wraps(load)
    def loaded(hearing: Hearing) -> Extractor:
        with _loading:
            return cached(hearing)

    return loaded


@_once
def extractor(hearing: Hearing) -> Extractor:
    """What the section names, loaded once a process: an encoder, and what of an utterance it is given to hear.

    Raises ExtractorError where it cannot be had.
    """
    import torch

    from models.extractors.heard import heard

    try:
        return heard(_encoder(hearing), hearing)
    except torch.OutOfMemoryError:
        raise ExtractorError(
            f"{name_of(hearing)}: its weights do not fit into what is free of the GPU's memory; expected more of it, "
            'or device = "cpu"'
        ) from None


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
