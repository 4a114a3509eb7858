"""Embed the corpus of a folder, and kill this process at the N-th moment at which a crash could hurt.

    python killed_embedding.py FOLDER N

Moments: before a file is decoded, before the network is asked, before a finished block is renamed to its place, and
just after. Prints a line for each block that was computed. N = 0 lets it end.
"""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from curate import audio
from curate.blocks import BlockStore
from curate.catalog import Catalog
from curate.embed import embed_block
from curate.schema import EMBEDDINGS, SOUND_PRINTS
from curate.vectors import embedding_rows, plan, print_rows

folder, number = Path(sys.argv[1]), int(sys.argv[2])
moments = 0


def moment() -> None:
    global moments
    moments += 1
    if moments == number:
        os.kill(os.getpid(), signal.SIGKILL)


class Spectrum:
    """The mean power of eight bands."""

    name, fingerprint, sample_rate_hz, dimension = "spectrum", "spectrum-1", 8_000, 8
    min_same_person, min_one_person, batch_s = None, None, 0.1

    def embed(self, waveforms):
        moment()
        return np.float32([np.abs(np.fft.rfft(w, 256))[:128].reshape(8, -1).mean(axis=1) for w in waveforms])


def decode(*arguments, **options):
    moment()
    return plain_decode(*arguments, **options)


def replace(source, target):
    moment()
    plain_replace(source, target)
    moment()


plain_decode, plain_replace = audio.decode, os.replace
audio.decode, os.replace = decode, replace

catalog, store = Catalog(folder / "catalog"), BlockStore(folder / "blocks")
planned = plan(catalog, store, {"toy": folder / "audio"}, folder / "scratch")
with ThreadPoolExecutor(2) as threads:
    for done in threads.map(lambda block: embed_block(block, Spectrum(), store, decoders=2), planned.blocks(2)):
        print(done.block, flush=True)  # noqa: T201
rows = embedding_rows(catalog, store, extractor="spectrum", dimension=8, scratch=folder / "scratch")
catalog.publish(EMBEDDINGS, rows, part="spectrum", fingerprint="1")
prints = print_rows(catalog, store, extractor="spectrum", scratch=folder / "scratch")
catalog.publish(SOUND_PRINTS, prints, part="spectrum", fingerprint="1")
