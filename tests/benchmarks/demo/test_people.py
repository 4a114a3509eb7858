"""The ages of the demo's people are audible: they follow brightness and depth of the voices."""

from itertools import pairwise

import numpy as np
from scipy.stats import spearmanr

from benchmarks.demo.people import PEOPLE
from benchmarks.demo.spoken import SAMPLE_RATE_HZ, speak

SENTENCES = ("Trời sắp mưa rồi, mang áo vào đi con!", "Chiều nay chợ đông người mua bán lắm.")
FRAME, HOP = 704, 220  # 32 ms and 10 ms
HEARD_DB = 40  # under the loudest of an utterance; below that nothing is counted
BANDS_HZ = np.geomspace(100, 8_000, 21)


def brightness_and_depth(sound):
    """How loud it is above 2 kHz beside 0.1 to 1 kHz, and by how much the levels of bands stray, both in dB."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP] * np.hanning(FRAME)
    power, hz = np.abs(np.fft.rfft(frames)) ** 2, np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE_HZ)
    of_all = power.mean(axis=0)
    high, low = of_all[(hz >= 2_000) & (hz < 8_000)].sum(), of_all[(hz >= 100) & (hz < 1_000)].sum()
    of_bands = [power[:, (hz >= lowest) & (hz < end)].sum(axis=1) for lowest, end in pairwise(BANDS_HZ)]
    levels = 10 * np.log10(np.stack(of_bands, axis=1) + 1e-12)
    return 10 * np.log10(high / low), np.maximum(levels, levels.max() - HEARD_DB).std(axis=0).mean()


def test_the_brighter_and_deeper_a_voice_the_younger_is_who_has_it():
    told = np.array(
        [
            np.mean([brightness_and_depth(speak(text, person.voice)) for text in SENTENCES], axis=0)
            for person in PEOPLE.values()
        ]
    )
    heard = ((told - told.mean(axis=0)) / told.std(axis=0)).sum(axis=1)
    assert spearmanr(heard, [person.age_years for person in PEOPLE.values()]).statistic < -0.9
