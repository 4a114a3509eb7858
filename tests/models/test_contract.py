"""What every encoder promises, whatever is in it: the contract of `curate.embed.Extractor`."""

import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from curate import audio
from curate.hearing import Checkpoint, Ge2e, Onnx, SpeechBrain, Transformers, name_of
from models.common import onednn
from models.extractors import extractor
from tests.models.made import cosines

ROOT = Path(__file__).parents[2]
KINDS = (
    "ge2e", "speechbrain-ecapa", "speechbrain-xvector", "speechbrain-resnet", "onnx", "transformers",
    "checkpoint-ecapa", "checkpoint-resnet", "energy", "silero", "first", "windows",
)  # fmt: skip
EACH = pytest.mark.parametrize("kind", KINDS)
PIECES = (  # file, from where, how long: unlike lengths from 0.2 s to 10 s, and several of equal length
    ("LibriSpeech/test-other/1688/142285/1688-142285-0000.flac", 1.0, 10.0),
    ("LibriSpeech/test-other/367/130732/367-130732-0001.flac", 1.0, 3.0),
    ("LibriSpeech/train-clean-100/19/198/19-198-0000.flac", 1.0, 3.0),
    ("emodb/wav/03a01Fa.wav", 0.5, 0.2),
    ("emodb/wav/14a02Tb.wav", 0.5, 0.2),
    ("emodb/wav/14a02Tb.wav", 0.0, 1.1),
    ("emodb/wav/03a01Fa.wav", 0.1, 1.1),
    ("fsdd/recordings/4_lucas_2.wav", 0.0, 0.4),
    ("emodb/wav/03a01Fa.wav", 0.0, 1.8),
)
IN_ANOTHER_PROCESS = """
import pickle, sys
from models.extractors import extractor
hearings = pickle.load(sys.stdin.buffer)
print("\\n".join(extractor(hearing).fingerprint for hearing in hearings.values()))
"""


@pytest.fixture(scope="session")
def make(speechbrain_folders, save_speechbrain, save_wav2vec2, save_checkpoint, save_onnx):
    """The sections of all encoders that have weights, made in a folder from a seed."""

    def make(folder, seed):
        found = {}
        for kind, source in speechbrain_folders.items():
            made = folder / f"speechbrain-{kind}"
            made.mkdir()
            save_speechbrain(made, (source / "hyperparams.yaml").read_text(), seed=seed)
            found[made.name] = SpeechBrain(extractor="speechbrain", source=str(made), device="cpu")
        network = str(save_onnx(folder / "small.onnx", seed=seed))
        found["onnx"] = Onnx(extractor="onnx", source=network, device="cpu")
        tiny = str(save_wav2vec2(folder / "tiny", seed=seed))
        found["transformers"] = Transformers(extractor="transformers", source=tiny, layer=2, device="cpu")
        for which in ("ecapa", "resnet"):
            kept = save_checkpoint(folder / f"checkpoint-{which}", which, seed=seed)
            found[kept.name] = Checkpoint(extractor="checkpoint", source=str(kept), device="cpu")
        return found

    return make


@pytest.fixture(scope="session")
def hearings(make, tmp_path_factory):
    """The section of each kind."""
    ge2e, with_weights = Ge2e(device="cpu"), make(tmp_path_factory.mktemp("encoders"), 0)
    xvector = with_weights["speechbrain-xvector"]
    return with_weights | {
        "ge2e": ge2e,
        "energy": replace(ge2e, speech="energy"),
        "silero": replace(with_weights["checkpoint-ecapa"], speech="silero"),
        "first": replace(with_weights["onnx"], part="first", part_s=1.0),
        "windows": replace(xvector, part="windows", part_s=1.0),
    }


@pytest.fixture
def encoder(hearings, kind):
    return extractor(hearings[kind])


@pytest.fixture(scope="session")
def pieces(corpora):
    return [
        audio.decode(corpora / file, sample_rate_hz=16_000, start_s=start_s, duration_s=duration_s)
        for file, start_s, duration_s in PIECES
    ]


def agree(found, expected):
    """Zeros in the same rows, and elsewhere the same directions."""
    heard = expected.any(axis=1)
    np.testing.assert_array_equal(found.any(axis=1), heard)
    assert cosines(found[heard], expected[heard]).min() >= 0.99999
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())  # their lengths, too
    return True


@EACH
def test_it_declares_what_the_engine_asks_of_it(kind, encoder, hearings):
    assert encoder.name == name_of(hearings[kind])
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,99}", encoder.fingerprint)  # it names a folder
    assert encoder.fingerprint.startswith(hearings[kind].extractor)
    assert isinstance(encoder.sample_rate_hz, int)
    assert encoder.sample_rate_hz >= 8_000
    assert isinstance(encoder.dimension, int)
    assert encoder.dimension > 0
    assert encoder.batch_s >= 0
    limits = [limit for limit in (encoder.min_one_person, encoder.min_same_person) if limit is not None]
    assert limits == sorted(limits)
    assert all(-1 <= limit <= 1 for limit in limits)


@pytest.mark.real
@EACH
def test_a_waveform_has_the_same_vector_alone_with_others_in_any_order_and_in_threads(kind, encoder, pieces):
    given = [piece.copy() for piece in pieces]
    alone = np.concatenate([encoder.embed([piece]) for piece in given])
    assert alone.shape == (len(pieces), encoder.dimension)
    assert alone.dtype == np.float32
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(pieces))
        assert agree(encoder.embed([given[i] for i in order]), alone[order])
    start = Barrier(2)

    def embed(order):
        start.wait()
        return encoder.embed([given[i] for i in order])

    orders = np.arange(len(pieces)), np.arange(len(pieces))[::-1]
    with ThreadPoolExecutor(2) as threads:
        for order, vectors in zip(orders, threads.map(embed, orders), strict=True):
            assert agree(vectors, alone[order])
    for piece, before in zip(given, pieces, strict=True):
        np.testing.assert_array_equal(piece, before)  # what is heard is not changed


@pytest.mark.real
@EACH
def test_speech_has_a_finite_vector_that_is_not_zero_and_not_that_of_other_speech(kind, encoder, pieces):
    long = [piece for piece in pieces if len(piece) >= 16_000]
    vectors = encoder.embed(long)
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).all()
    for shift in range(1, len(long)):  # further apart than what counts as agreement
        assert cosines(vectors, np.roll(vectors, shift, axis=0)).max() < 0.9999


@EACH
def test_digital_silence_of_any_length_gives_zeros_or_a_finite_vector(kind, encoder):
    lengths = (1, 10, 399, 400, 16_000)
    silent = [np.zeros(length, dtype=np.float32) for length in lengths]
    together, alone = encoder.embed(silent), [encoder.embed([one]) for one in silent]
    assert np.isfinite(together).all()
    assert [vector.shape for vector in alone] == [(1, encoder.dimension)] * len(lengths)
    assert np.isfinite(np.concatenate(alone)).all()


@pytest.mark.real
@EACH
def test_silence_costs_the_speech_beside_it_nothing(kind, encoder, pieces):
    silence = np.zeros(len(pieces[1]), dtype=np.float32)
    beside = encoder.embed([silence, pieces[1], silence[:10], pieces[5], silence])
    assert agree(beside[[1, 3]], encoder.embed([pieces[1], pieces[5]]))


@pytest.fixture(scope="session")
def prints_elsewhere(hearings):
    """The fingerprint of each kind, as another process finds it in another folder, with other threads and hashes."""
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=pickle.dumps(hearings),
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2", "HOME": "/nowhere"},
        cwd="/",
        capture_output=True,
        check=True,
    )
    return dict(zip(hearings, done.stdout.decode().split(), strict=True))


@EACH
def test_the_fingerprint_is_the_same_loaded_again_and_in_another_process(kind, encoder, hearings, prints_elsewhere):
    assert extractor.__wrapped__(hearings[kind]) is not encoder
    assert extractor.__wrapped__(hearings[kind]).fingerprint == encoder.fingerprint == prints_elsewhere[kind]
    another = replace(hearings[kind], name="another", utterances_per_block=2, decoders=1)  # the vectors are the same
    assert extractor.__wrapped__(another).fingerprint == encoder.fingerprint


@EACH
def test_the_fingerprint_differs_with_precision_speech_and_parts(kind, encoder, hearings, monkeypatch):
    monkeypatch.setattr(onednn, "fastest", lambda dtype: dtype)  # as on a processor that has bfloat16
    hearing = hearings[kind]
    others = [
        replace(hearing, speech="energy", part="whole"),
        replace(hearing, speech="silero", part="whole"),
        replace(hearing, speech="all", part="whole"),
        replace(hearing, speech="all", part="first", part_s=2.0),
        replace(hearing, speech="all", part="windows", part_s=2.0),
        replace(hearing, speech="all", part="windows", part_s=2.0, hop_s=0.5),
    ]
    if hearing.HAS_BFLOAT16:
        others.append(replace(hearing, precision="bfloat16"))
    different = {one: extractor.__wrapped__(one).fingerprint for one in {*others, hearing}}
    assert different[hearing] == encoder.fingerprint
    assert len(set(different.values())) == len(different) >= len(others)


def test_no_two_kinds_share_a_fingerprint_and_other_weights_have_others(hearings, make, tmp_path):
    prints = {extractor(hearing).fingerprint for hearing in hearings.values()}
    assert len(prints) == len(KINDS)
    others = {extractor.__wrapped__(hearing).fingerprint for hearing in make(tmp_path, 1).values()}
    assert len(others) == len(KINDS) - 5  # all that have weights of their own
    assert not others & prints
