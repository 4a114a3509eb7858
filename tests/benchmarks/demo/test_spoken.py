"""What `speak` promises: speech of a plausible length, the same for the same arguments, different for another voice."""

import dataclasses
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from benchmarks.demo.spoken import LANGUAGES, SAMPLE_RATE_HZ, SpeechError, Voice, speak

SENTENCE = "Sáng nay mẹ tôi ra chợ mua cá về nấu canh chua."
BREATHY = Voice(language="vi", variant="f2")


def spectral_centroid_hz(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(np.average(np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ), weights=power))


@pytest.mark.parametrize("language", LANGUAGES)
def test_twelve_syllables_take_two_to_five_seconds_in_every_accent(language):
    sound = speak(SENTENCE, Voice(language=language, variant="m3"))
    assert sound.dtype == np.float32
    assert sound.ndim == 1
    assert 0.1 < np.abs(sound).max() <= 1
    assert 2 < len(sound) / SAMPLE_RATE_HZ < 5


@pytest.mark.parametrize("variant", ["f2", "m3", "grandpa", "klatt2", "Reed"])  # Reed draws from libc's rand()
def test_what_was_said_before_leaves_no_trace(variant):
    voice = Voice(language="vi", variant=variant)
    first = speak(SENTENCE, voice)
    speak("Trời sắp mưa rồi!", Voice(language="vi-vn-x-south", variant="klatt4", words_per_minute=300))
    assert np.array_equal(speak(SENTENCE, voice), first)


def test_the_seed_moves_the_breath():
    assert not np.array_equal(speak(SENTENCE, BREATHY, seed=1), speak(SENTENCE, BREATHY, seed=2))


def test_a_short_vocal_tract_raises_the_spectrum_and_keeps_the_tempo():
    voice = Voice(language="vi", variant="m3", words_per_minute=160)
    plain, short = speak(SENTENCE, voice), speak(SENTENCE, dataclasses.replace(voice, formant_scale=1.25))
    assert spectral_centroid_hz(short) > 1.1 * spectral_centroid_hz(plain)
    assert len(short) == pytest.approx(len(plain), rel=0.1)


def test_accents_and_variants_sound_different():
    voices = [Voice(language=language, variant=variant) for language in LANGUAGES for variant in ("m3", "f2")]
    assert len({speak(SENTENCE, voice).tobytes() for voice in voices}) == len(voices)


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "nobody"},  # espeak itself would quietly take its default
        {"language": "en"},
        {"pitch": 100},
        {"pitch_range": -1},
        {"formant_scale": 2.0},
        {"words_per_minute": 500},
    ],
    ids=str,
)
def test_a_voice_that_espeak_has_not_is_refused(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Voice(**{"language": "vi", "variant": "m3"} | wrong)


def test_a_text_without_words_is_an_error():
    with pytest.raises(SpeechError, match="said nothing"):
        speak("", BREATHY)


def test_a_library_that_cannot_be_loaded_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "libespeak-ng.so"))
    with pytest.raises(SpeechError, match=r"cannot load espeak-ng from .*libespeak-ng\.so"):
        speak(SENTENCE, BREATHY)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is loaded")
def test_the_library_is_unloaded_after_each_text():
    speak(SENTENCE, BREATHY)
    assert "espeak" not in Path("/proc/self/maps").read_text()
