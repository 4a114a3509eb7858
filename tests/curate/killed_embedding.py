"""Embed the corpus of a folder, and kill this process at the N-th moment at which a crash could hurt.

Moments: before a file is decoded, before the network is asked, before a finished block is renamed to its place, and
just after.
"""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from curate import audio
from curate.blocks import BlockStore
from curate.catalog import Catalog
from curate.embed import embed_block
from curate.schema import EMBEDDINGS, SOUND_PRINTS
from curate.vectors import embedding_rows, plan, print_rows


class Spectrum:
    """The mean power of eight bands."""

    name, fingerprint, sample_rate_hz, dimension = "spectrum", "spectrum-1", 8_000, 8
    min_same_person, min_one_person, batch_s = None, None, 0.1

    def __init__(self, moment: Callable[[], None]) -> None:
        self.moment = moment

    def embed(self, waveforms):
        self.moment()
        return np.float32([np.abs(np.fft.rfft(w, 256))[:128].reshape(8, -1).mean(axis=1) for w in waveforms])


def embed_until_killed(folder: Path, number: int) -> None:
    """Writes a line into `told` of the folder for each block that was computed. A number of 0 lets it end."""
    moments = 0

    def moment() -> None:
        nonlocal moments
        moments += 1
        if moments == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def decode(*arguments, **options):
        moment()
        return plain_decode(*arguments, **options)

    def replace(source, target):
        moment()
        plain_replace(source, target)
        moment()

    plain_decode, plain_replace = audio.decode, os.replace
    audio.decode, os.replace = decode, replace

    catalog, store, encoder = Catalog(folder / "catalog"), BlockStore(folder / "blocks"), Spectrum(moment)
    planned = plan(catalog, store, {"toy": folder / "audio"}, folder / "scratch")
    with ThreadPoolExecutor(2) as threads, (folder / "told").open("a", buffering=1) as told:
        for done in threads.map(lambda block: embed_block(block, encoder, store, decoders=2), planned.blocks(2)):
            told.write(f"{done.block}\n")
    rows = embedding_rows(catalog, store, extractor="spectrum", dimension=8, scratch=folder / "scratch")
    catalog.publish(EMBEDDINGS, rows, part="spectrum", fingerprint="1")
    prints = print_rows(catalog, store, extractor="spectrum", scratch=folder / "scratch")
    catalog.publish(SOUND_PRINTS, prints, part="spectrum", fingerprint="1")
