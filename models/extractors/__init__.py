"""Pretrained speaker encoders behind the interface of `curate.embed.Extractor`."""

from functools import cache

from curate.embed import Extractor
from models.extractors.ge2e import GE2E


@cache
def extractor(name: str) -> Extractor:
    """The encoder of this name, loaded once a process."""
    return {"ge2e": GE2E}[name]()


__all__ = ["GE2E", "extractor"]
