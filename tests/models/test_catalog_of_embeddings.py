"""The acceptance: the vectors of a catalog are those of the reference package, one utterance at a time.

Real speech of three corpora goes the way of a run: planned, decoded and embedded in blocks, gathered by id.
"""

import hashlib
import warnings
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from curate import audio
from curate.blocks import BlockStore, matrix
from curate.catalog import Catalog, rows_of
from curate.decisions import Author, verdicts
from curate.embed import embed_block
from curate.hearing import Ge2e, SpeechBrain
from curate.reasons import Reason, Subject, Verdict
from curate.schema import DECISIONS, UTTERANCES
from curate.vectors import embedding_rows, plan
from models.extractors import extractor

TAKEN = {"LibriSpeech": ("*.flac", 12), "emodb": ("*.wav", 14), "fsdd": ("*.wav", 14)}  # files, and how many of them


@pytest.fixture(scope="module")
def files(corpora):
    """By the id of the utterance; spread over each corpus."""
    found = {}
    for corpus, (pattern, number) in TAKEN.items():
        every = sorted((corpora / corpus).rglob(pattern))
        for file in every[:: len(every) // number][:number]:
            found[f"{corpus}/{file.stem}"] = file
    return found


@pytest.fixture(scope="module")
def catalog(files, corpora, tmp_path_factory):
    """As ingest leaves it: the utterances of three corpora, none of which is dropped."""
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    nobody = verdicts(
        Author(rule="limits", step="ingest", run_id="1"),
        Subject.UTTERANCE,
        pa.array([], pa.string()),
        verdict=Verdict.DROP,
        reason=Reason.TOO_SHORT,
    )
    for corpus in TAKEN:
        rows = [row(name, file, corpora) for name, file in sorted(files.items()) if name.startswith(f"{corpus}/")]
        catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part=corpus, fingerprint="1")
        catalog.publish(DECISIONS, nobody, part=f"ingest-{corpus}", fingerprint="1")
    return catalog


def row(name, file, corpora):
    corpus = name.partition("/")[0]
    return {
        "utterance_id": name,
        "corpus": corpus,
        "speaker_id": f"{corpus}/somebody",
        "path": str(file.relative_to(corpora / corpus)),
        "content_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "start_s": 0.0,
        "duration_s": soundfile.info(file).duration,
    }


def embedded(catalog, corpora, encoder, folder):
    """The vectors of the table, by id."""
    store = BlockStore(folder / "blocks")
    planned = plan(catalog, store, {corpus: corpora / corpus for corpus in TAKEN}, folder / "scratch")
    told = [embed_block(block, encoder, store) for block in planned.blocks(9)]
    assert len(told) == -(-planned.num_stretches // 9) > 3
    assert [one.faults for one in told] == [()] * len(told)
    rows = embedding_rows(
        catalog, store, extractor=encoder.name, dimension=encoder.dimension, scratch=folder / "scratch"
    )
    table = pa.Table.from_batches(list(rows.batches()))
    return dict(zip(table["utterance_id"].to_pylist(), matrix(table["vector"]), strict=True))


def cosine(one, other):
    one, other = one.astype(np.float64), other.astype(np.float64)
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.real
def test_the_catalog_of_ge2e_is_that_of_the_package(catalog, files, corpora, tmp_path):
    """The package reads the files, resamples and trims them by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies say that they will change
        import resemblyzer

        theirs = resemblyzer.VoiceEncoder("cpu", verbose=False)
        expected = {name: theirs.embed_utterance(resemblyzer.preprocess_wav(file)) for name, file in files.items()}
    vectors = embedded(catalog, corpora, extractor(Ge2e(device="cpu")), tmp_path)
    assert list(vectors) == sorted(files)
    assert len(vectors) == 40
    for name, vector in vectors.items():
        assert cosine(vector, expected[name]) >= 0.999, name
    mixed_up = [cosine(vectors[name], expected[other]) for name, other in pairwise(vectors)]
    assert max(mixed_up) < 0.999


@pytest.mark.real
@pytest.mark.parametrize("kind", ["ecapa", "xvector"])
def test_the_catalog_of_an_encoder_of_speechbrain_is_that_of_its_own_method(
    kind, catalog, files, corpora, speechbrain_folders, encode_batch, tmp_path
):
    hearing = SpeechBrain(extractor="speechbrain", source=str(speechbrain_folders[kind]), device="cpu")
    vectors = embedded(catalog, corpora, extractor(hearing), tmp_path)
    waveforms = [audio.decode(file, sample_rate_hz=16_000) for file in files.values()]
    expected = dict(zip(files, encode_batch(speechbrain_folders[kind], waveforms), strict=True))
    assert list(vectors) == sorted(files)
    for name, vector in vectors.items():
        assert cosine(vector, expected[name]) >= 0.99999, name
    mixed_up = [cosine(vectors[name], expected[other]) for name, other in pairwise(vectors)]
    assert max(mixed_up) < 0.99999
