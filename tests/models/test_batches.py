"""What encoders promise of a GPU, without there being one: memory that ends, windows, two threads at once."""

import re
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from curate.errors import ExtractorError
from curate.hearing import Ge2e, Hearing, SpeechBrain
from models import extractors
from models.extractors import device, speechbrain
from models.extractors.batches import by_equal_length, in_halves_when_full, of_like_length
from models.extractors.ge2e import GE2E
from models.extractors.heard import heard

RATE_HZ = 100


class Full:
    """An encoder on a GPU that holds so many samples; a vector is the first sample, the last, and their number."""

    name, fingerprint, sample_rate_hz, dimension = "full", "full-1", RATE_HZ, 3
    min_same_person: float | None = None
    min_one_person: float | None = None

    def __init__(self, holds, batch_s=0.0):
        self.holds, self.batch_s = holds, batch_s
        self.tried = []

    @in_halves_when_full
    def embed(self, waveforms):
        self.tried.append([len(waveform) for waveform in waveforms])
        if sum(map(len, waveforms)) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
        return alone(waveforms)


def alone(waveforms):
    return np.float32([[waveform[0], waveform[-1], len(waveform)] for waveform in waveforms])


def ramps(lengths):
    return [np.arange(10 * i, 10 * i + n, dtype=np.float32) for i, n in enumerate(lengths)]


# ------------------------------------------------------------------------------------------------------------ memory


def test_where_the_memory_ends_either_half_is_tried_and_no_more_is_tried_anew():
    encoder = Full(holds=5)
    found = encoder.embed(ramps([2, 2, 2, 3]))
    assert encoder.tried == [[2, 2, 2, 3], [2, 2], [2, 3]]
    np.testing.assert_array_equal(found, alone(ramps([2, 2, 2, 3])))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(20, 60))
@example([20] * 11, 20)
def test_whatever_the_memory_the_vectors_are_those_and_in_the_order_of_the_waveforms(lengths, holds):
    waveforms = ramps(lengths)
    np.testing.assert_array_equal(Full(holds).embed(waveforms), alone(waveforms))


def test_a_waveform_that_does_not_fit_alone_is_an_error_that_says_how_long_it_is():
    said = (
        r"full: 2\.5 s of audio do not fit into the memory of the GPU; expected less at once: a lower max_duration_s, "
        r'part = "windows", fewer workers, or device = "cpu"'
    )
    with pytest.raises(ExtractorError, match=f"^{said}$"):
        Full(holds=200).embed(ramps([90, 250, 90]))


def test_of_a_try_that_failed_nothing_is_held_while_the_next_is_made():
    """The error has the frames of the try, and they have its tensors: memory that must be free by then."""
    alive = []

    class Holding(Full):
        @in_halves_when_full
        def embed(self, waveforms):
            assert all(ref() is None for ref in alive)
            kept = np.zeros(len(waveforms))
            alive.append(weakref.ref(kept))
            if len(waveforms) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return alone(waveforms)

    assert len(Holding(0).embed(ramps([1, 1, 1, 1]))) == 4
    assert len(alive) == 7


def test_any_other_error_of_the_network_is_not_tried_again():
    class Broken(Full):
        @in_halves_when_full
        def embed(self, waveforms):
            self.tried.append(len(waveforms))
            raise RuntimeError("CUDA error: device-side assert triggered")

    encoder = Broken(0)
    with pytest.raises(RuntimeError, match="device-side assert"):
        encoder.embed(ramps([1, 1]))
    assert encoder.tried == [2]


def test_an_encoder_of_ours_goes_on_in_halves(monkeypatch):
    encoder, waveforms = GE2E(Ge2e(device="cpu")), [np.random.default_rng(i).normal(0, 0.1, 24_000) for i in range(3)]
    waveforms = [waveform.astype(np.float32) for waveform in waveforms]
    plain, tried = encoder._vectors, []

    def vectors(speech):
        tried.append(len(speech))
        if len(speech) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(speech)

    monkeypatch.setattr(encoder, "_vectors", vectors)
    monkeypatch.setattr("models.extractors.ge2e._speech", lambda waveform: waveform)
    expected = np.concatenate([plain([waveform]) for waveform in waveforms])
    np.testing.assert_array_equal(encoder.embed(waveforms), expected)
    assert tried == [3, 1, 2, 1, 1]


@pytest.mark.parametrize(
    "kind",
    ["checkpoint.CheckpointEncoder", "ge2e.GE2E", "speechbrain.SpeechBrainEncoder", "transformers.MeanOfLayer"],
)
def test_every_encoder_on_torch_goes_on_in_halves(kind):
    """`wraps` leaves what it is around: an encoder whose `embed` is bare would stop the run."""
    module, name = kind.split(".")
    encoder = getattr(__import__(f"models.extractors.{module}", fromlist=[name]), name)
    assert encoder.embed.__code__ is Full.embed.__code__


def test_weights_that_do_not_fit_are_told_in_one_line(monkeypatch):
    def full(_hearing):
        raise torch.OutOfMemoryError("CUDA out of memory.\nGPU 0 has ...")

    monkeypatch.setattr(extractors, "_encoder", full)
    with pytest.raises(ExtractorError, match=r"^crowded: its weights do not fit [^\n]+; expected [^\n]+$"):
        extractors.extractor(Ge2e(name="crowded"))


# ----------------------------------------------------------------------------------------------------------- batches


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(0, 40))
def test_a_batch_holds_waveforms_of_one_length_and_no_more_than_is_allowed(lengths, most):
    batches = []

    def embed(together):
        batches.append(together.shape)
        return alone(together)

    waveforms = ramps(lengths)
    found = by_equal_length(waveforms, embed, max_samples=most)
    np.testing.assert_array_equal(found, alone(waveforms))
    assert all(size == 1 or size * length <= most for size, length in batches)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(0, 200))
def test_waveforms_of_like_length_share_a_batch_that_is_bounded_with_its_padding(lengths, most):
    batches = of_like_length(lengths, most)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= most


# ----------------------------------------------------------------------------------------------------------- windows


def listening(encoder, **settings):
    return heard(encoder, Hearing(extractor="full", part="windows", **settings))


@pytest.mark.parametrize(
    ("batch_s", "calls"), [(0.0, [1] * 9), (0.03, [1] * 9), (0.09, [2, 2, 2, 2, 1]), (0.2, [5, 4]), (1.0, [9])]
)
def test_the_windows_of_a_long_file_come_in_calls_that_the_encoder_is_best_given(batch_s, calls):
    encoder = Full(holds=1_000, batch_s=batch_s)
    vectors = listening(encoder, part_s=0.04).embed([np.ones(20, dtype=np.float32)])
    assert [len(call) for call in encoder.tried] == calls
    assert {length for call in encoder.tried for length in call} == {4}
    assert vectors.shape == (1, 3)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 100))
def test_however_windows_are_batched_each_utterance_has_the_vector_of_its_own(lengths, most):
    waveforms = ramps(lengths)
    encoder = Full(holds=10_000, batch_s=most / RATE_HZ)
    found = listening(encoder, part_s=0.05, hop_s=0.02).embed(waveforms)
    np.testing.assert_array_equal(found, listening(Full(10_000, 1e6), part_s=0.05, hop_s=0.02).embed(waveforms))
    assert all(len(call) == 1 or sum(call) <= most for call in encoder.tried)


# -------------------------------------------------------------------------------------------------- threads, numbers


def test_two_threads_that_ask_for_an_encoder_at_once_load_it_once(monkeypatch):
    """The first is held while it loads, until the second has asked: that one must wait, and not load it itself."""
    hearing, loads, found = Ge2e(name="once"), [], []
    is_loading, may_end = threading.Event(), threading.Event()

    def load(_hearing):
        loads.append(1)
        is_loading.set()
        if len(loads) > 1:
            may_end.set()
        assert may_end.wait(60)
        return Full(0)

    class Watched:
        """A lock that tells when somebody else wants it."""

        def __init__(self):
            self.lock = threading.Lock()

        def __enter__(self):
            if not self.lock.acquire(blocking=False):
                may_end.set()
                self.lock.acquire()

        def __exit__(self, *_):
            self.lock.release()

    monkeypatch.setattr(extractors, "_encoder", load)
    monkeypatch.setattr(extractors, "_loading", Watched())
    first, second = (threading.Thread(target=lambda: found.append(extractors.extractor(hearing))) for _ in range(2))
    first.start()
    assert is_loading.wait(60)
    second.start()
    first.join(60)
    second.join(60)
    assert len(loads) == 1
    assert len(found) == 2
    assert found[0] is found[1]


def test_an_encoder_that_could_not_be_loaded_is_tried_again(monkeypatch):
    hearing, tries = Ge2e(name="twice"), []

    def load(_hearing):
        tries.append(1)
        if len(tries) == 1:
            raise ExtractorError("not yet")
        return Full(0)

    monkeypatch.setattr(extractors, "_encoder", load)
    with pytest.raises(ExtractorError, match="not yet"):
        extractors.extractor(hearing)
    assert extractors.extractor(hearing).name == "full"


@pytest.fixture
def tf32():
    """The two switches, put back."""
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    yield lambda: [switch.allow_tf32 for switch in switches]
    for switch, was in zip(switches, before, strict=True):
        switch.allow_tf32 = was


def test_float32_is_float32_on_a_gpu_whoever_had_it_otherwise(tf32):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    device.device_of("cpu")
    assert tf32() == [False, False]


def test_float32_is_float32_although_speechbrain_has_it_otherwise(tf32, monkeypatch):
    """Its import, within the loading of the modules, turns TF32 on for convolutions and for products."""

    def modules(*_):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        return SimpleNamespace(dtype=torch.float32)

    described = SimpleNamespace(sample_rate_hz=16_000, weights=(), roles={})
    monkeypatch.setattr(speechbrain, "described", lambda _source: described)
    monkeypatch.setattr(speechbrain, "own_ecapa", modules)
    monkeypatch.setattr(speechbrain.SpeechBrainEncoder, "_probed", lambda *_: 3)
    speechbrain.SpeechBrainEncoder(SpeechBrain(extractor="speechbrain", source="x", device="cpu"))
    assert tf32() == [False, False]


def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(ExtractorError, match=re.escape(f"device 'cuda:{torch.cuda.device_count()}': ")):
        device.device_of(f"cuda:{torch.cuda.device_count()}")
