"""What an encoder is given of an utterance, and what becomes of what it says."""

import importlib
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate import audio
from curate.errors import ExtractorError
from curate.hearing import Ge2e, Hearing
from models.extractors import extractor, speech
from models.extractors.heard import heard, mean_direction, window_starts
from models.extractors.speech import Silero, energy_speech

RATE = 100  # of the recorder: a sample is 10 ms


class Recorder:
    """An encoder that keeps what it is given. Its vectors are of any length: first and last sample, and their number.

    A piece of zeros has a row of zeros, as one in which no speech is heard.
    """

    name, fingerprint, sample_rate_hz, dimension, batch_s = "recorder", "recorder-1", RATE, 3, 7.0
    min_same_person: float | None = 0.8
    min_one_person: float | None = 0.5

    def __init__(self):
        self.calls = []

    def embed(self, waveforms):
        self.calls.append([waveform.tolist() for waveform in waveforms])
        return np.float32([[w[0], w[-1], len(w)] if w.any() else [0, 0, 0] for w in waveforms])


def listening(recorder=None, **settings):
    return heard(recorder or Recorder(), Hearing(extractor="recorder", **settings))


def ramp(num_samples, start=1):
    return np.arange(start, start + num_samples, dtype=np.float32)


def test_all_of_the_whole_utterance_needs_nothing_around_the_encoder():
    recorder = Recorder()
    assert listening(recorder) is recorder
    assert listening(recorder, part_s=1.0, hop_s=1.0) is recorder


@pytest.mark.parametrize("settings", [{"part": "first"}, {"part": "windows"}, {"speech": "energy"}])
def test_thresholds_of_whole_utterances_do_not_hold_for_parts_and_the_rest_does(settings):
    listener = listening(**settings)
    assert (listener.min_same_person, listener.min_one_person) == (None, None)
    kept = (listener.name, listener.sample_rate_hz, listener.dimension, listener.batch_s)
    assert kept == ("recorder", RATE, 3, 7.0)


def test_the_beginning_is_given_and_shorter_utterances_whole():
    recorder = Recorder()
    vectors = listening(recorder, part="first", part_s=0.04).embed([ramp(9), ramp(4), ramp(3)])
    assert recorder.calls == [[[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3]]]
    assert vectors.tolist() == [[1, 4, 4], [1, 4, 4], [1, 3, 3]]
    assert vectors.dtype == np.float32


def test_windows_follow_by_half_their_length_and_the_last_ends_at_the_end():
    recorder = Recorder()
    listening(recorder, part="windows", part_s=0.04).embed([ramp(9), ramp(8), ramp(2)])
    nine = [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 8], [6, 7, 8, 9]]
    eight = [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 8]]
    assert recorder.calls == [[*nine, *eight, [1, 2]]]  # all in one call


def test_windows_follow_by_the_hop_that_is_asked_for():
    recorder = Recorder()
    listening(recorder, part="windows", part_s=0.04, hop_s=0.03).embed([ramp(10)])
    assert recorder.calls == [[[1, 2, 3, 4], [4, 5, 6, 7], [7, 8, 9, 10]]]


@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 60))
@example(8, 4, 2)
@example(9, 4, 2)
def test_windows_lie_within_the_waveform_and_reach_both_its_ends(num_samples, size, hop):
    starts = window_starts(num_samples, size, hop)
    assert starts[0] == 0
    assert starts[-1] + size == max(num_samples, size)
    assert starts == sorted(set(starts))
    assert all(after - before == hop for before, after in pairwise(starts[:-1]))
    assert all(after - before <= hop for before, after in pairwise(starts))


def test_the_vector_of_windows_is_the_direction_of_the_mean_of_their_directions():
    """Two windows, (0, 3, 4) and (5, 12, 0): the second is the longer, and counts no more."""
    mean = np.array([0 + 5 / 13, 3 / 5 + 12 / 13, 4 / 5 + 0])
    vector = mean_direction(np.float32([[0, 3, 4], [5, 12, 0]]))
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=1e-6)
    assert vector.dtype == np.float32


def test_each_utterance_has_the_vector_of_its_own_windows():
    waveforms = [ramp(9), ramp(3), ramp(30, start=5), ramp(8)]
    listener = listening(part="windows", part_s=0.04)
    vectors = listener.embed(waveforms)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    for vector, waveform in zip(vectors, waveforms, strict=True):
        alone = mean_direction(Recorder().embed([waveform[at : at + 4] for at in window_starts(len(waveform), 4, 2)]))
        np.testing.assert_array_equal(vector, alone)
        np.testing.assert_array_equal(vector, listener.embed([waveform])[0])


def test_a_window_without_speech_does_not_count():
    listener = listening(part="windows", part_s=0.04, hop_s=0.04)
    still = np.zeros(4, dtype=np.float32)
    alone, beside = listener.embed([ramp(4), np.concatenate([still, ramp(4), still])])
    np.testing.assert_array_equal(alone, beside)
    assert listener.embed([still]).tolist() == [[0, 0, 0]]


def test_a_window_that_is_no_finite_vector_is_told():
    waveform = ramp(8)
    waveform[0] = np.nan
    vectors = listening(part="windows", part_s=0.04, hop_s=0.04).embed([ramp(8), waveform])
    assert np.isfinite(vectors[0]).all()
    assert np.isnan(vectors[1]).all()
    infinite = mean_direction(np.float32([[1, 0], [np.inf, 0]]))
    assert np.isnan(infinite[0])


@pytest.mark.parametrize("kind", ["energy", "silero"])
def test_what_no_detector_can_hear_is_given_whole(kind):
    recorder, waveform = Recorder(), np.full(400, np.nan, dtype=np.float32)
    assert np.isnan(listening(recorder, speech=kind).embed([waveform])).any()
    assert len(recorder.calls[0][0]) == 400


def test_no_waveforms_have_no_vectors():
    recorder = Recorder()
    assert listening(recorder, part="windows").embed([]).shape == (0, 3)
    assert recorder.calls == []


@pytest.mark.parametrize("part", ["whole", "first", "windows"])
def test_where_no_speech_is_left_the_row_is_zeros_and_the_encoder_is_not_asked(part):
    recorder = Recorder()
    still = np.zeros(4 * RATE, dtype=np.float32)
    loud = np.float32(0.1) * np.random.default_rng(0).normal(size=4 * RATE).astype(np.float32)
    listener = listening(recorder, speech="energy", part=part)
    assert listener.embed([still]).tolist() == [[0, 0, 0]]
    assert recorder.calls == []
    vectors = listener.embed([still, loud, still])
    assert vectors.any(axis=1).tolist() == [False, True, False]
    assert len(recorder.calls) == 1


@pytest.mark.real
@pytest.mark.parametrize("kind", ["energy", "silero"])
def test_the_speech_alone_is_given_and_parts_are_taken_of_it(kind, corpora):
    """A second of silence is put before the file: the first 0.5 s that are heard are of speech."""
    spoken = audio.decode(corpora / "emodb/wav/03a01Fa.wav", sample_rate_hz=16_000)
    waveform = np.concatenate([np.zeros(16_000, dtype=np.float32), spoken])
    recorder = Recorder()
    recorder.sample_rate_hz = 16_000
    listening(recorder, speech=kind).embed([waveform])
    listening(recorder, speech=kind, part="first", part_s=0.5).embed([waveform])
    expected = {"energy": energy_speech, "silero": Silero()}[kind](waveform, 16_000).tolist()
    assert recorder.calls == [[expected], [expected[:8000]]]
    assert 8000 < len(expected) < len(waveform) - 12_000


@pytest.mark.parametrize(
    ("settings", "named"), [({"part_s": 0.001}, "part_s 0.001"), ({"hop_s": 0.002}, "hop_s 0.002")]
)
def test_a_part_without_a_sample_is_refused_in_one_line(settings, named):
    with pytest.raises(ExtractorError, match=f"^{named}: no sample at 100 Hz; expected at least 0.01 s$"):
        listening(part="windows", **settings)


def fingerprint(**settings):
    return listening(**settings).fingerprint


def test_the_fingerprint_differs_with_every_setting_that_is_in_use():
    different = [
        {"speech": "energy"},
        {"speech": "silero"},
        {"part": "first"},
        {"part": "first", "part_s": 2.0},
        {"part": "first", "speech": "energy"},
        {"part": "windows"},
        {"part": "windows", "part_s": 2.0},
        {"part": "windows", "hop_s": 1.0},
    ]
    prints = [fingerprint(**settings) for settings in different]
    assert len(set(prints)) == len(different)
    assert all(re.fullmatch("recorder-[0-9a-f]{24}", found) for found in prints)  # it names a folder


def test_the_fingerprint_is_the_same_with_settings_that_are_not_in_use():
    assert fingerprint(speech="energy") == fingerprint(speech="energy", part_s=1.0, hop_s=1.0)
    assert fingerprint(part="first") == fingerprint(part="first", hop_s=1.0)
    assert fingerprint(part="windows") == fingerprint(part="windows", hop_s=1.5)  # as it is without
    assert fingerprint(part="first") == fingerprint(part="first", name="other", device="cpu", decoders=1)


def test_the_fingerprint_differs_with_the_encoder():
    other = Recorder()
    other.fingerprint = "recorder-2"
    assert listening(other, part="first").fingerprint != fingerprint(part="first")


@pytest.mark.parametrize("kind", ["energy", "silero"])
def test_the_fingerprint_differs_with_the_weights_of_silero_where_they_are_used(kind, tmp_path, monkeypatch):
    before = fingerprint(speech=kind)
    weights = tmp_path / speech.SILERO_FILE
    weights.write_bytes(speech.silero_weights().read_bytes() + b"\0")
    monkeypatch.setattr(speech, "silero_weights", lambda: weights)
    monkeypatch.setattr(speech, "Silero", lambda: None)
    assert (fingerprint(speech=kind) != before) == (kind == "silero")


@pytest.mark.parametrize("module", ["heard", "speech"])
def test_the_fingerprint_differs_with_the_code(module, tmp_path, monkeypatch):
    before = fingerprint(part="first")
    listening_code = importlib.import_module("models.extractors.heard")
    sources = list(listening_code.SOURCES)
    (at,) = [i for i, file in enumerate(sources) if file.stem == module]
    sources[at] = tmp_path / sources[at].name
    sources[at].write_text("# changed\n")
    monkeypatch.setattr(listening_code, "SOURCES", tuple(sources))
    assert fingerprint(part="first") != before


@pytest.mark.real
def test_windows_of_real_speech_are_heard_alike_in_any_order(corpora):
    files = sorted((corpora / "LibriSpeech/test-other/1688").rglob("*.flac"))[:3]
    waveforms = [audio.decode(file, sample_rate_hz=16_000)[: 16_000 * (4 + place)] for place, file in enumerate(files)]
    listener = heard(extractor(Ge2e()), Ge2e(part="windows", speech="silero"))
    together, alone = listener.embed(waveforms), np.concatenate([listener.embed([one]) for one in waveforms[::-1]])
    assert (np.einsum("nd,nd->n", together, alone[::-1]) >= 0.99999).all()
    whole = extractor(Ge2e()).embed(waveforms)
    assert (np.einsum("nd,nd->n", together, whole) > 0.9).all()  # the same person, heard in smaller parts
