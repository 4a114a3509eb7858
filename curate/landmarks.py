"""What tells a recording again however it was copied: landmarks, pairs of peaks of its spectrum (Wang 2003, ISMIR).

A peak of the log spectrogram that stands out from all around it stays where it is under another gain, another rate, a
codec or noise. Two peaks that follow one another are told by their two frequencies and the time between: a hash that
depends neither on loudness nor on where the recording was cut. Everything is heard as a telephone hears it, at 8 kHz
from 300 to 3,400 Hz, so that copies in any quality agree.

Shapes: T samples or frames, F frequencies, P peaks, L landmarks.
"""

import hashlib

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft

Samples = NDArray[np.float32]
Landmarks = NDArray[np.int64]
Indices = NDArray[np.int64]

VERSION = 1  # of what is filed: goes up whenever landmarks may differ
RATE_HZ = 8000
WINDOW = 512  # samples, 64 ms: long enough to tell the harmonics of a voice
HOP = 80  # samples, 10 ms, a frame: what codecs and detectors of speech cut away is most often a multiple
LOW, HIGH = 300 * WINDOW // RATE_HZ + 1, 3400 * WINDOW // RATE_HZ  # bins of 15.6 Hz, the band of a telephone
AROUND_FRAMES, AROUND_BINS = 10, 12  # to each side: a peak is the greatest within
FIRST_OF_EQUALS = 1e-6  # by which each frame and bin counts for less than the one before: a tone has one peak
LOUD_FRAMES = 100  # to each side, a second: what is far below the loudest there is no peak, for noise would hide it
MIN_OF_LOUDEST = 10**-3.5  # of that power: 35 dB below
MAX_APART_FRAMES, MAX_APART_BINS = 31, 63  # from a peak to its partner
NUM_PARTNERS = 3  # at most, the nearest in time: bounds the landmarks
BIN_STEP = 2  # bins that a hash does not tell apart
FREQUENCY_BITS, APART_BITS = 7, 5  # of a hash: the frequency of a peak, that of its partner, the frames between
PARTNER_BITS = FREQUENCY_BITS + APART_BITS
TAPER = np.float32(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))  # Hann's


def samples_sha256(waveform: Samples) -> str:
    """Of the bytes of (T,) mono samples as an extractor is given them."""
    return hashlib.sha256(np.ascontiguousarray(waveform, np.float32).tobytes()).hexdigest()


def landmarks(waveform: Samples, rate_hz: int) -> Landmarks:
    """(L,) of finite mono samples (T,), ascending: the hash in the high 32 bits, the frame of 10 ms in the low.

    Some 30 a second of speech; never more than three a peak, of which no two lie within 10 frames and 12 bins of each
    other. L may be 0: of silence, or of next to nothing.
    """
    power = _spectrogram(waveform, rate_hz)
    power *= np.exp(-FIRST_OF_EQUALS * np.add.outer(np.arange(power.shape[0]), np.arange(power.shape[1]))).astype("f4")
    around = _greatest(_greatest(power, AROUND_FRAMES, 0), AROUND_BINS, 1)
    loudest = _greatest(power.max(axis=1), LOUD_FRAMES, 0)
    peaks = np.flatnonzero((power == around) & (power > MIN_OF_LOUDEST * loudest[:, None]))
    return _paired(*np.divmod(peaks, power.shape[1]))


def _spectrogram(waveform: Samples, rate_hz: int) -> Samples:
    """(T, F) powers in the band of a telephone; half a window of silence is put before and after."""
    waveform = waveform / np.float32(np.abs(waveform).max(initial=0) or 1)  # squares of any finite samples are finite
    if rate_hz != RATE_HZ and len(waveform):
        waveform = soxr.resample(waveform, rate_hz, RATE_HZ, quality="LQ")  # its filter is flat in that band
    padded = np.pad(np.asarray(waveform, np.float32), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    spectrum = fft.rfft(frames * TAPER, axis=1)[:, LOW : HIGH + 1]
    power: Samples = spectrum.real**2 + spectrum.imag**2
    return power


def _greatest(values: Samples, reach: int, axis: int) -> Samples:
    """The greatest within `reach` to each side along an axis, by maxima of spans that double."""
    values = np.moveaxis(values, axis, 0)
    num, width = len(values), 2 * reach + 1
    padded = np.zeros((num + 2 * reach, *values.shape[1:]), np.float32)
    padded[reach : reach + num] = values
    span = 1
    while span < width:
        step = min(span, width - span)
        padded = np.maximum(padded[: len(padded) - step], padded[step:])
        span += step
    return np.moveaxis(padded, 0, axis)


def _paired(frame: Indices, bin_: Indices) -> Landmarks:
    """Each peak (P,) with the next ones near it."""
    num_found = np.zeros(len(frame), np.int64)
    found = []
    for step in range(1, len(frame)):
        first, second = slice(None, len(frame) - step), slice(step, None)
        apart = frame[second] - frame[first]
        if apart.min() > MAX_APART_FRAMES:
            break
        near = (apart > 0) & (apart <= MAX_APART_FRAMES) & (abs(bin_[second] - bin_[first]) <= MAX_APART_BINS)
        near &= num_found[first] < NUM_PARTNERS
        num_found[first] += near
        partner = bin_[second] // BIN_STEP << APART_BITS | apart
        found.append(((bin_[first] // BIN_STEP << PARTNER_BITS | partner) << 32 | frame[first])[near])
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)
