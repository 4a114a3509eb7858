"""What landmarks promise: those of a copy are those of its original, and what holds no peaks has none."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.landmarks import (
    APART_BITS,
    AROUND_BINS,
    AROUND_FRAMES,
    FREQUENCY_BITS,
    HOP,
    MAX_APART_BINS,
    MAX_APART_FRAMES,
    MIN_OF_LOUDEST,
    NUM_PARTNERS,
    PARTNER_BITS,
    RATE_HZ,
    VERSION,
    landmarks,
    samples_sha256,
)

seeds = st.integers(0, 2**32 - 1)
BIN_HZ = RATE_HZ / 512


def noise(seed, duration_s=1.0, rate_hz=RATE_HZ):
    return np.random.default_rng(seed).standard_normal(round(duration_s * rate_hz)).astype(np.float32) * np.float32(0.1)


def pips(*told, duration_s=1.0, rate_hz=RATE_HZ):
    """Short tones of (time in s, Hz), each a bell of 20 ms."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    tones = [np.exp(-(((time_s - at) / 0.02) ** 2)) * np.sin(2 * np.pi * hz * time_s) for at, hz in told]
    return np.sum(tones, axis=0).astype(np.float32)


def fields(found):
    """The parts of landmarks: the first peak's frequency, the second's, the frames between, and the frame."""
    hashes = found >> 32
    mask = (1 << FREQUENCY_BITS) - 1
    return [
        (int(h >> PARTNER_BITS), int(h >> APART_BITS & mask), int(h & ((1 << APART_BITS) - 1)), int(f))
        for h, f in zip(hashes, found & 0xFFFFFFFF, strict=True)
    ]


def by_definition(power):
    """The same from a spectrogram (T, F), peak by peak and pair by pair."""
    peaks = []
    for t, f in np.ndindex(power.shape):
        around = power[max(0, t - AROUND_FRAMES) : t + AROUND_FRAMES + 1, max(0, f - AROUND_BINS) : f + AROUND_BINS + 1]
        loudest = power[max(0, t - 100) : t + 101].max()
        if power[t, f] == around.max() and power[t, f] > MIN_OF_LOUDEST * loudest:
            peaks.append((t, f))
    found = []
    for at, (t, f) in enumerate(peaks):
        near = [(u, g) for u, g in peaks[at + 1 :] if 0 < u - t <= MAX_APART_FRAMES and abs(g - f) <= MAX_APART_BINS]
        found += [(f // 2, g // 2, u - t, t) for u, g in near[:NUM_PARTNERS]]
    return sorted(found)


def test_two_tones_make_the_landmark_worked_by_hand():
    # 1,000 Hz is bin 64 and 1,500 Hz bin 96; the band begins at bin 20, and a hash tells every second bin
    found = landmarks(pips((0.3, 1000.0), (0.5, 1500.0)), RATE_HZ)
    assert fields(found) == [((64 - 20) // 2, (96 - 20) // 2, 20, 30)]


@pytest.mark.parametrize(
    "tones",
    [
        ((0.3, 1000.0), (0.65, 1500.0)),  # 350 ms between
        ((0.3, 1000.0), (0.5, 2200.0)),  # 77 bins between
        ((0.3, 1000.0), (0.5, 3700.0)),  # no telephone lets the second through
        ((0.3, 1000.0), (0.3, 1500.0)),  # at once
    ],
)
def test_peaks_that_are_far_apart_or_outside_of_the_band_make_none(tones):
    assert len(landmarks(pips(*tones), RATE_HZ)) == 0


def test_a_peak_35_db_below_the_loudest_within_a_second_is_none():
    loud, quiet = pips((0.3, 1000.0)), pips((0.5, 1500.0))
    assert len(landmarks(loud + quiet * np.float32(10 ** (-34 / 20)), RATE_HZ)) == 1
    assert len(landmarks(loud + quiet * np.float32(10 ** (-36 / 20)), RATE_HZ)) == 0


@settings(max_examples=10)
@given(seed=seeds, duration_s=st.floats(0.1, 0.6))
def test_landmarks_are_those_of_the_definition(seed, duration_s):
    waveform = noise(seed, duration_s)
    padded = np.concatenate([np.zeros(256), waveform, np.zeros(256)])
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    frames = [padded[start : start + 512] * taper for start in range(0, len(padded) - 511, HOP)]
    power = np.abs(np.fft.rfft(frames, axis=1))[:, 20:218] ** 2
    assert sorted(fields(landmarks(waveform, RATE_HZ))) == by_definition(power)


@given(seed=seeds, exponent=st.integers(-12, 12))
def test_the_gain_is_not_heard(seed, exponent):
    waveform = noise(seed)
    assert (landmarks(waveform * np.float32(2.0**exponent), RATE_HZ) == landmarks(waveform, RATE_HZ)).all()


@given(seed=seeds, gain_db=st.floats(-60, 20))
def test_a_gain_that_rounds_hardly_changes_any(seed, gain_db):
    waveform = noise(seed, 2.0)
    found, louder = landmarks(waveform, RATE_HZ), landmarks(waveform * np.float32(10 ** (gain_db / 20)), RATE_HZ)
    assert len(np.intersect1d(found, louder)) >= 0.95 * max(len(found), len(louder))


@given(seed=seeds, num_frames=st.integers(1, 60))
def test_a_copy_cut_at_a_frame_has_the_same_landmarks_so_many_frames_earlier(seed, num_frames):
    waveform = noise(seed, 2.0)
    found, cut = landmarks(waveform, RATE_HZ), landmarks(waveform[num_frames * HOP :], RATE_HZ)
    # what the cut has touched: a window, the peaks around, the loudest within a second
    later = found[(found & 0xFFFFFFFF) >= num_frames + 20] - num_frames
    assert len(np.intersect1d(later, cut)) >= 0.9 * len(later) > 0


@pytest.mark.parametrize("rate_hz", [16000, 22050, 44100, 48000])
def test_the_rate_hardly_matters(rate_hz):
    told = [(0.1 + 0.09 * i, 400.0 + 37.0 * (i * 31 % 70)) for i in range(20)]
    at_8_khz, at_rate = (landmarks(pips(*told, duration_s=2.0, rate_hz=r), r) for r in (RATE_HZ, rate_hz))
    assert len(at_8_khz) > 20
    assert len(np.intersect1d(at_8_khz >> 32, at_rate >> 32)) >= 0.9 * len(at_8_khz)


def test_a_rate_below_8_khz_has_landmarks_in_the_band_it_has():
    found = landmarks(pips((0.3, 1000.0), (0.5, 1500.0), rate_hz=6000), 6000)
    assert fields(found) == [(22, 38, 20, 30)]


@pytest.mark.parametrize("rate_hz", [6000, 8000, 16000])
@pytest.mark.parametrize("num_samples", [0, 1, 2, 79, 8000])
def test_silence_has_none(num_samples, rate_hz):
    found = landmarks(np.zeros(num_samples, np.float32), rate_hz)
    assert found.dtype == np.int64
    assert len(found) == 0


@pytest.mark.parametrize("num_samples", [1, 5, 80])
def test_next_to_nothing_has_none(num_samples):
    assert len(landmarks(noise(1)[:num_samples], 16000)) == 0


@given(seed=seeds)
def test_landmarks_ascend_and_are_bounded(seed):
    found = landmarks(noise(seed, 4.0), RATE_HZ)
    assert (np.diff(found) > 0).all()
    assert (found >= 0).all()
    assert 0 < len(found) <= 4 * 150


def test_the_hash_is_of_the_samples_as_they_are():
    waveform = noise(3)
    assert samples_sha256(waveform) == hashlib.sha256(waveform.astype("<f4").tobytes()).hexdigest()
    assert samples_sha256(np.repeat(waveform, 2)[::2]) == samples_sha256(waveform)
    assert samples_sha256(waveform * np.float32(0.5)) != samples_sha256(waveform)


def test_landmarks_are_those_of_their_version():
    """Blocks are named by VERSION: where this fails, landmarks differ, and VERSION goes up with what is expected."""
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    beats = [(start_s, f) for start_s, f in zip(np.arange(0.1, 2.8, 0.13), range(400, 3_300, 137), strict=False)]
    sounds = sum(np.exp(-(((time_s - at) / 0.03) ** 2)) * np.sin(2 * np.pi * f * time_s) for at, f in beats)
    found = landmarks(np.float32(sounds), RATE_HZ)
    told = [(int(one >> 32), int(one & 0xFFFFFFFF)) for one in found[:3]]
    assert (VERSION, len(found), told) == (1, 39, [(12525, 10), (12666, 10), (29037, 23)])
