"""Speech activity detection: a waveform without what is no speech.

Two detectors, each a pure function of the waveform (N,) and its rate that returns the samples of speech, maybe none:

`energy_speech`: as the MTML paper has it (Chen 2021, sec. 4.1.2), which says "energy-based" and names Kaldi. A frame of
25 ms each 10 ms is loud where its log energy is above 5.5 plus half the mean log energy of the utterance; it is speech
where at least 12 % of it and the two frames on either side are loud. These are the values of Kaldi's x-vector recipe
for VoxCeleb, egs/voxceleb/v2 (as github.com/yuyq96/kaldifeat states them), the frames those of its mfcc.conf: 16 kHz,
snip-edges=false, samples as int16, without their offset, before pre-emphasis. Two things differ. Kaldi adds noise to
the samples at random (dither 1.0): here the energy which that noise has on average is added instead. And energy is
counted as a frame at 16 kHz would have it, so that a decision does not hang on the rate.

`Silero`: silero-vad (github.com/snakers4/silero-vad), a small network whose package carries the weights. It hears
16 kHz: another rate is resampled for the decision, and the original is cut. The package is not imported, because that
sets torch to one thread for the whole process: its file of weights is run here, and probabilities become stretches as
its `get_speech_timestamps` makes them, with its defaults.

Shape letters: T frames, S samples of a frame.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from curate import audio
from curate.errors import ExtractorError

FRAME_S, HOP_S = 0.025, 0.010
FRAME_SAMPLES = 400  # of a frame at 16 kHz
INT16 = 32_768
DITHER_POWER = 1.0  # of noise whose standard deviation is one step of int16
ENERGY_THRESHOLD, ENERGY_MEAN_SCALE = 5.5, 0.5
FRAMES_CONTEXT, MIN_PROPORTION = 2, 0.12

SILERO_RATE_HZ = 16_000
SILERO_FILE = "silero_vad_16k_sequence.onnx"  # many frames a call, their order kept by the states that go in and out
SILERO_PACKAGES = ("silero-vad", "onnxruntime")
SILERO_FRAME, SILERO_CONTEXT = 512, 64  # samples; each frame is given with the end of the one before
SILERO_STATE = (1, 1, 128)
FRAMES_A_CALL = 512  # 16 s, so that memory does not grow with the utterance
MIN_SPEECH_PROBABILITY = 0.5  # from which speech begins
MIN_STAYING_PROBABILITY = 0.35  # below which it may end
MIN_SPEECH_SAMPLES, MIN_SILENCE_SAMPLES, MARGIN_SAMPLES = 4000, 1600, 480  # 250, 100 and 30 ms

Waveform = NDArray[np.float32]
Detector = Callable[[Waveform, int], Waveform]


def energy_speech(waveform: Waveform, rate_hz: int) -> Waveform:
    """The samples (N,) whose frames are loud for this utterance."""
    if not len(waveform):
        return waveform
    voiced_T, hop = voiced(log_energies(waveform, rate_hz)), round(HOP_S * rate_hz)
    num_samples = np.full(len(voiced_T), hop)  # that each frame decides on
    num_samples[-1] += len(waveform) - hop * len(voiced_T)
    speech: Waveform = waveform[np.repeat(voiced_T, num_samples)]
    return speech


def log_energies(waveform: Waveform, rate_hz: int) -> NDArray[np.float64]:
    """(T,) of a waveform that is not empty, a frame centred on each hop; at the ends the samples are mirrored."""
    size, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    num_frames = max(1, (len(waveform) + hop // 2) // hop)
    before = size // 2 - hop // 2
    after = (num_frames - 1) * hop + size - before - len(waveform)
    samples = np.pad(waveform.astype(np.float64) * INT16, (before, after), mode="symmetric")
    frames_TS = sliding_window_view(samples, size)[::hop]
    power_T = np.einsum("ts,ts->t", frames_TS, frames_TS) / size - np.square(frames_TS.mean(axis=1))
    log_energy_T: NDArray[np.float64] = np.log(FRAME_SAMPLES * (np.maximum(power_T, 0) + DITHER_POWER))
    return log_energy_T


def voiced(log_energy_T: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(T,): enough of the frames around it are loud. Beyond the ends there are none to count."""
    loud_T = log_energy_T > ENERGY_THRESHOLD + ENERGY_MEAN_SCALE * log_energy_T.mean()
    num_loud_T, num_frames_T = _around(loud_T), _around(np.ones(len(loud_T)))
    return num_loud_T >= MIN_PROPORTION * num_frames_T


def _around(values_T: NDArray[np.bool_] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over each frame and its context."""
    padded = np.pad(values_T.astype(np.float64), FRAMES_CONTEXT)
    sums: NDArray[np.float64] = sliding_window_view(padded, 2 * FRAMES_CONTEXT + 1).sum(axis=1)
    return sums


@final
class Silero:
    """The network, loaded. It keeps nothing of what it has heard: several threads may call it at once."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # one call computes on the thread that makes it
        self._session = onnxruntime.InferenceSession(str(silero_weights()), options, providers=["CPUExecutionProvider"])

    def __call__(self, waveform: Waveform, rate_hz: int) -> Waveform:
        """The samples (N,) of the stretches that are speech."""
        heard = waveform if rate_hz == SILERO_RATE_HZ else audio.resample(waveform, rate_hz, SILERO_RATE_HZ)
        scale = rate_hz / SILERO_RATE_HZ
        found = stretches(self.probabilities(heard), len(heard))
        parts = [waveform[round(start * scale) : round(stop * scale)] for start, stop in found]
        return np.concatenate([waveform[:0], *parts])

    def probabilities(self, samples: Waveform) -> NDArray[np.float32]:
        """(T,) of speech, for frames of 512 samples at 16 kHz; the last is filled up with zeros."""
        if not len(samples):
            return np.zeros(0, dtype=np.float32)
        padded = np.pad(samples, (SILERO_CONTEXT, -len(samples) % SILERO_FRAME))
        frames_TS = sliding_window_view(padded, SILERO_CONTEXT + SILERO_FRAME)[::SILERO_FRAME]
        hidden = cell = np.zeros(SILERO_STATE, dtype=np.float32)
        found = []
        for first in range(0, len(frames_TS), FRAMES_A_CALL):
            part_TS = np.ascontiguousarray(frames_TS[first : first + FRAMES_A_CALL])
            given = {"input": part_TS, "h": hidden, "c": cell}
            part, hidden, cell = self._session.run(["speech_probs", "hn", "cn"], given)
            found.append(part)
        return np.concatenate(found)


def stretches(probability_T: Sequence[float] | NDArray[np.float32], num_samples: int) -> list[tuple[int, int]]:
    """First sample and end of each stretch of speech, at 16 kHz, with a margin on either side.

    Speech begins at a probability of 0.5 and ends where it has been below 0.35 for 100 ms, never above 0.5 between;
    what is no longer than 250 ms is left out.
    """
    found: list[tuple[int, int]] = []
    start = quiet = -1  # where speech began, and where it may have ended; -1 where it did not
    for frame, probability in enumerate(probability_T):
        at = frame * SILERO_FRAME
        if probability >= MIN_SPEECH_PROBABILITY:
            start, quiet = (at if start < 0 else start), -1
        elif probability < MIN_STAYING_PROBABILITY and start >= 0:
            quiet = at if quiet < 0 else quiet
            if at - quiet >= MIN_SILENCE_SAMPLES:
                found.append((start, quiet))
                start = quiet = -1
    if start >= 0:
        found.append((start, num_samples))
    return [
        (max(0, start - MARGIN_SAMPLES), min(num_samples, stop + MARGIN_SAMPLES))
        for start, stop in found
        if stop - start > MIN_SPEECH_SAMPLES
    ]


def silero_weights() -> Path:
    """The file in the installed package, whose code is not imported."""
    spec = importlib.util.find_spec("silero_vad")
    folders = spec.submodule_search_locations if spec else None
    weights = Path(folders[0]) / "data" / SILERO_FILE if folders else None
    if weights is None or not weights.exists():
        raise ExtractorError(
            f"silero: the package `silero-vad` with its {SILERO_FILE} is missing; expected `pip install silero-vad`"
        )
    return weights
