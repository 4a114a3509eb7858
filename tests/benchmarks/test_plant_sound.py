"""What is planted into recordings: which are chosen, and what becomes of their samples."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.planting.faults import Fault, Planting, PlantingError
from benchmarks.planting.labels import plant_labels
from benchmarks.planting.sound import Alteration, altered, at_snr, chords, plant_sound
from tests.benchmarks.plant_made import catalog, table, utterance, vectors_of

RATE_HZ = 16_000
SIX = {name: {"s1": 4, "s2": 4} for name in "abcdef"}


def speech(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Loud and soft in turn, with a spectrum that falls."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * 140 * k * time_s) / k for k in range(1, 20))
    noise = 0.02 * rng.standard_normal(len(time_s))
    return (0.3 * (1 + np.sin(2 * np.pi * 3 * time_s)) / 2 * tones / 3 + noise).astype(np.float32)


def alteration(fault: Fault, kind: str, amount: float, seed: int = 0) -> Alteration:
    return Alteration(utterance_id="c/1", original_id="c/1", fault=fault, kind=kind, amount=amount, seed=(seed,))


def planted(before: pa.Table, person_of=None, **asked):
    planting = Planting(**asked)
    labels = plant_labels(before, vectors_of(before), planting)
    return plant_sound(labels, planting, person_of=person_of)


def power(samples: np.ndarray) -> float:
    return float(np.mean(samples.astype(np.float64) ** 2))


@given(st.floats(-20, 40), st.integers(0, 9))
def test_noise_and_tones_have_the_snr_asked_for_whatever_is_scaled(snr_db, seed):
    samples = speech(0.5, seed)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(len(samples)).astype(np.float32)
    for added in (noise, chords(len(samples), RATE_HZ, rng)):
        both = at_snr(samples, added, snr_db)
        assert np.abs(both).max() <= 1.0
        # the sum is x * speech + y * added: solve for both, and compare their powers
        (x, y), *_ = np.linalg.lstsq(np.stack([samples, added], 1).astype(np.float64), both.astype(np.float64))
        assert 10 * np.log10(power(x * samples) / power(y * added)) == pytest.approx(snr_db, abs=0.02)


def test_silence_in_which_noise_is_added_is_no_error():
    both = at_snr(np.zeros(100, np.float32), np.ones(100, np.float32), 0.0)
    assert 10 * np.log10(power(both)) == pytest.approx(-80)


def test_tones_are_notes_and_not_noise():
    samples = chords(RATE_HZ, RATE_HZ, np.random.default_rng(0)).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    loudest = np.sort(spectrum)[::-1]
    assert loudest[:200].sum() > 0.9 * spectrum.sum()  # of 8,001 bins


def test_clipping_cuts_what_goes_beyond_full_scale():
    samples = speech()
    clipped = altered(samples, RATE_HZ, alteration(Fault.CLIPPING, "clipping", 20.0))
    scaled = samples * 10 / np.abs(samples).max()
    assert np.allclose(clipped, np.clip(scaled, -1, 1), atol=1e-5)
    assert (np.abs(clipped) == 1).mean() > 0.1


def test_silence_is_below_what_ingest_lets_pass():
    silent = altered(speech(), RATE_HZ, alteration(Fault.SILENCE, "silence", -80.0))
    assert 10 * np.log10(power(silent)) == pytest.approx(-80, abs=0.5)
    assert 20 * np.log10(np.abs(silent).max()) < -60


@pytest.mark.parametrize(("way", "amount"), [("gain", -6.0), ("resampling", 8000.0), ("codec", 0.9)])
def test_a_near_duplicate_is_as_long_and_nearly_the_same_but_not_quite(way, amount):
    samples = speech()
    copy = altered(samples, RATE_HZ, alteration(Fault.DUPLICATE, way, amount))
    assert len(copy) == len(samples)
    assert copy.dtype == np.float32
    assert not np.array_equal(copy, samples)
    middle = slice(RATE_HZ // 2, -RATE_HZ // 2)
    assert np.corrcoef(copy[middle], samples[middle])[0, 1] > 0.9


def test_a_gain_is_so_many_decibels_and_an_offset_so_many_seconds():
    samples = speech()
    assert np.allclose(altered(samples, RATE_HZ, alteration(Fault.DUPLICATE, "gain", -20.0)), samples / 10)
    assert np.array_equal(altered(samples, RATE_HZ, alteration(Fault.DUPLICATE, "offset", 0.5)), samples[8000:])


@pytest.mark.parametrize("kind", ["noise", "tones", "silence", "codec"])
def test_the_same_seed_gives_the_same_samples_and_another_one_others(kind):
    fault = Fault.DUPLICATE if kind == "codec" else Fault(kind)
    amount = {"silence": -80.0, "codec": 0.9}.get(kind, 5.0)
    one, same, other = (altered(speech(), RATE_HZ, alteration(fault, kind, amount, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert np.array_equal(one, other) == (kind == "codec")


def test_each_utterance_bears_one_fault_and_each_fault_has_its_share():
    found, made = planted(catalog(**SIX), wrong_speaker=0.25, noise=0.125, tones=0.125, clipping=0.125, silence=0.25)
    truth = found.truth.to_pylist()
    assert Counter(row["fault"] for row in truth) == {
        "wrong_speaker": 12,
        "noise": 6,
        "tones": 6,
        "clipping": 6,
        "silence": 12,
    }
    assert len({row["utterance_id"] for row in truth}) == 42
    assert {one.utterance_id for one in made} == {
        row["utterance_id"] for row in truth if row["fault"] != "wrong_speaker"
    }
    assert not found.free[
        [row["utterance_id"] in {t["utterance_id"] for t in truth} for row in found.utterances.to_pylist()]
    ].any()


def test_a_duplicate_is_a_row_of_its_own_with_all_that_is_said_of_the_other():
    before = catalog(a={"s1": 8})
    found, made = planted(before, duplicate=0.25)
    was, truth = {row["utterance_id"]: row for row in before.to_pylist()}, found.truth.to_pylist()
    assert (len(found.utterances), len(truth), len(made)) == (10, 2, 2)
    rows = {row["utterance_id"]: row for row in found.utterances.to_pylist()}
    for told in truth:
        assert told["utterance_id"] == f"{told['original_id']}-2"
        assert rows[told["utterance_id"]] == was[told["original_id"]] | {"utterance_id": told["utterance_id"]}
    assert found.original_ids == [one.removesuffix("-2") if one not in was else one for one in rows]
    assert list(rows) == sorted(rows)


def test_a_duplicate_of_another_speaker_is_said_to_be_of_somebody_who_is_not_the_same_person():
    rows = [
        utterance(f"{corpus}/{name}", number, sex="male") for corpus in "cd" for name in "xy" for number in range(9)
    ]
    person_of = {"d/x": "c/x"}
    found, _ = planted(table(rows), person_of, duplicate=0.5, duplicate_under="other_speaker")
    to = {(row["true_speaker_id"], row["speaker_id"]) for row in found.truth.to_pylist()}
    assert to <= {(a, b) for a in ("c/x", "c/y", "d/x", "d/y") for b in ("c/x", "c/y", "d/x", "d/y") if a != b}
    assert not to & {("c/x", "d/x"), ("d/x", "c/x")}
    assert {a[0] != b[0] for a, b in to} == {True, False}
    for row in found.utterances.to_pylist():
        assert row["utterance_id"].startswith(f"{row['corpus']}/")
        assert row["session_id"].startswith(f"{row['speaker_id']}/")


def test_the_choice_does_not_depend_on_the_order_of_rows():
    before = catalog(**SIX)
    asked = {"noise": 0.1, "duplicate": 0.2, "mixed": 0.2, "seed": 3}
    one, made = planted(before, **asked)
    two, again = planted(before.take(pa.array(range(len(before))[::-1])), **asked)
    assert one.utterances.equals(two.utterances)
    assert one.truth.equals(two.truth)
    assert made == again


@pytest.mark.parametrize(
    ("before", "asked", "told"),
    [
        (catalog(**SIX), {"noise": 0.6, "tones": 0.6}, "tones 0.6: 19 utterances of 29 are left"),
        (catalog(a={"s1": 4}), {"duplicate": 1.0, "duplicate_under": "other_speaker"}, "everything is of c/a"),
    ],
)
def test_what_is_not_there_cannot_sound_wrong(before, asked, told):
    with pytest.raises(PlantingError, match=told):
        planted(before, **asked)
