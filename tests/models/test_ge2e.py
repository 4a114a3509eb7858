"""What the GE2E encoder promises: the vectors of the package `resemblyzer`, many utterances at once."""

import importlib.metadata
import re
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate import audio
from curate.errors import ExtractorError
from curate.hearing import Ge2e
from models.extractors import extractor, ge2e
from models.extractors.ge2e import GE2E, SAMPLE_RATE_HZ, raise_volume, trim_silence, windows

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies say that they will change
    import resemblyzer
    from resemblyzer.audio import normalize_volume, trim_long_silences

ONE_FILE_OF_EACH = (  # read, acted and telephone-band speech; loud and quiet; 0.3 s to 20 s
    "LibriSpeech/test-other/1688/142285/1688-142285-0000.flac",
    "LibriSpeech/test-other/367/130732/367-130732-0001.flac",
    "LibriSpeech/train-clean-100/19/198/19-198-0000.flac",
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a02Tb.wav",
    "fsdd/recordings/4_lucas_2.wav",
    "fsdd/recordings/5_yweweler_5.wav",
)


@pytest.fixture(scope="module")
def ours():
    return extractor(Ge2e())


@pytest.fixture(scope="module")
def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return resemblyzer.VoiceEncoder("cpu", verbose=False)


@pytest.fixture(scope="module")
def speech(corpora):
    """Waveforms at 16 kHz."""
    return [audio.decode(corpora / file, sample_rate_hz=SAMPLE_RATE_HZ) for file in ONE_FILE_OF_EACH]


def noise(seed, duration_s, level=0.1):
    return (level * np.random.default_rng(seed).normal(size=round(duration_s * SAMPLE_RATE_HZ))).astype(np.float32)


@pytest.mark.real
def test_vectors_of_real_speech_are_those_of_the_package(ours, theirs, speech):
    vectors = ours.embed(speech)
    for vector, waveform in zip(vectors, speech, strict=True):
        expected = theirs.embed_utterance(resemblyzer.preprocess_wav(waveform))
        assert vector @ expected / np.linalg.norm(expected) >= 0.999


@pytest.mark.real
def test_without_trimming_on_either_side_they_agree_to_rounding(ours, theirs, speech, monkeypatch):
    monkeypatch.setattr(ge2e, "trim_silence", lambda waveform: waveform)
    vectors = ours.embed(speech)
    for vector, waveform in zip(vectors, speech, strict=True):
        expected = theirs.embed_utterance(normalize_volume(waveform, ge2e.TARGET_DBFS, increase_only=True))
        assert vector @ expected / np.linalg.norm(expected) >= 0.99999
        np.testing.assert_allclose(vector, expected, atol=1e-5)  # the padding at the ends alone would move it by 1e-4


@pytest.mark.real
def test_an_utterance_has_the_same_vector_whatever_it_is_given_with(ours, speech):
    alone = np.concatenate([ours.embed([waveform]) for waveform in speech])
    np.testing.assert_allclose(ours.embed(speech), alone, atol=2e-6)
    rng = np.random.default_rng(0)
    for order in (rng.permutation(len(speech)) for _ in range(3)):
        np.testing.assert_allclose(ours.embed([speech[place] for place in order]), alone[order], atol=2e-6)


@pytest.mark.real
@pytest.mark.parametrize("max_windows", [1, 3, 1000])
def test_more_windows_than_the_network_takes_at_once_are_heard_in_parts(max_windows, ours, speech, monkeypatch):
    expected = ours.embed(speech)
    monkeypatch.setattr(ours, "_max_windows", max_windows)
    given = []
    monkeypatch.setattr(ours, "_network", lambda mel, network=ours._network: given.append(len(mel)) or network(mel))
    np.testing.assert_allclose(ours.embed(speech), expected, atol=2e-6)
    num_windows = sum(len(windows(len(ge2e.trim_silence(raise_volume(waveform))))[0]) for waveform in speech)
    assert sum(given) == num_windows > 20
    assert max(given) <= max_windows
    assert max(given) - min(given) <= 1  # of like size
    assert len(given) == -(-num_windows // max_windows)


@pytest.mark.real
def test_several_threads_hear_what_one_hears_whatever_the_threads_of_torch(ours, speech):
    """As many as the caller has chosen: sums are rounded otherwise, and the encoder does not set them."""
    before = torch.get_num_threads()
    expected = ours.embed(speech)
    torch.set_num_threads(2)
    try:
        assert GE2E().fingerprint == ours.fingerprint
        with ThreadPoolExecutor(3) as threads:
            for vectors in threads.map(lambda _: ours.embed(speech), range(3)):
                np.testing.assert_allclose(vectors, expected, atol=2e-6)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.real
def test_vectors_have_length_one_and_their_declared_shape(ours, speech):
    vectors = ours.embed(speech)
    assert vectors.shape == (len(speech), ours.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


@pytest.mark.real
def test_people_are_told_apart(ours, corpora):
    """Two files each of ten readers: the nearest of the other files is by the same reader."""
    readers = sorted((corpora / "LibriSpeech/test-other").iterdir())
    files = [file for reader in readers for file in sorted(reader.rglob("*.flac"))[:2]]
    vectors = ours.embed([audio.decode(file, sample_rate_hz=SAMPLE_RATE_HZ) for file in files])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    assert (cosines.argmax(axis=1) == np.arange(len(files)) ^ 1).all()


@pytest.mark.real
def test_volume_and_silence_are_treated_as_the_package_does(speech):
    for waveform in (*speech, 0.01 * speech[0]):
        loud = raise_volume(waveform)
        np.testing.assert_allclose(loud, normalize_volume(waveform, ge2e.TARGET_DBFS, increase_only=True), rtol=1e-4)
        np.testing.assert_array_equal(trim_silence(loud), trim_long_silences(loud))


@pytest.mark.real
def test_silence_around_speech_and_its_loudness_hardly_matter(ours, speech):
    """-30 dBFS is a floor: what is quieter is raised to it, so that two quiet versions are heard alike."""
    still = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    original, padded = ours.embed([speech[3], np.concatenate([still, speech[3], still])])
    assert original @ padded > 0.99
    quiet, quieter = ours.embed([np.float32(1e-2) * speech[3], np.float32(1e-3) * speech[3]])
    assert quiet @ quieter > 0.999


@pytest.mark.parametrize("num_samples", [0, 1, 479, 480, SAMPLE_RATE_HZ])
def test_where_no_speech_is_heard_the_vector_is_zeros(ours, num_samples):
    silence = np.zeros(num_samples, dtype=np.float32)
    assert ours.embed([silence]).tolist() == [[0.0] * ours.dimension]


def test_no_waveforms_have_no_vectors(ours):
    assert ours.embed([]).shape == (0, ours.dimension)


@pytest.mark.real
@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_what_is_silent_or_faulty_costs_its_neighbours_nothing(ours, speech, fault):
    """Zeros say that nothing was heard; what is not a number says that something is wrong."""
    broken = speech[3].copy()
    broken[1000] = fault
    silence = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    vectors = ours.embed([silence, speech[3], broken, speech[4], silence])
    assert not vectors[[0, 4]].any()
    assert np.isnan(vectors[2]).all()
    np.testing.assert_allclose(vectors[[1, 3]], ours.embed(speech[3:5]), atol=2e-6)


@settings(deadline=None)
@given(st.integers(1, 60 * SAMPLE_RATE_HZ))
@example(31_519)
@example(31_520)  # covers exactly three quarters of its last window
def test_the_windows_are_those_of_the_package(num_samples):
    starts, reach = windows(num_samples)
    slices, mels = resemblyzer.VoiceEncoder.compute_partial_slices(num_samples, ge2e.WINDOWS_PER_S, ge2e.MIN_COVERAGE)
    assert starts == [part.start for part in mels]
    assert reach == slices[-1].stop


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.01, 2), st.sampled_from([1e-4, 1e-2, 0.3]))
def test_quiet_audio_is_raised_to_its_target_and_loud_audio_left_alone(seed, duration_s, level):
    waveform = noise(seed, duration_s, level)
    raised = raise_volume(waveform)
    level_dbfs = 10 * np.log10(np.mean(np.square(raised, dtype=np.float64)))
    if level < 0.03:
        assert level_dbfs == pytest.approx(ge2e.TARGET_DBFS, abs=0.01)
    else:
        np.testing.assert_array_equal(raised, waveform)


@pytest.mark.real
def test_samples_beyond_full_scale_do_not_wrap_around(speech):
    """A resampler overshoots: what is louder than the scale must reach the detector as loud, not as the opposite."""
    loud = 4 * speech[0] / np.abs(speech[0]).max()
    assert len(trim_silence(loud)) == len(trim_silence(np.clip(loud, -1, 1))) > 0


def test_the_encoder_is_loaded_once_and_its_fingerprint_is_stable(ours):
    assert extractor(Ge2e()) is ours
    assert GE2E().fingerprint == ours.fingerprint
    assert re.fullmatch("ge2e-[0-9a-f]{24}", ours.fingerprint)  # it names a folder
    assert -1 < ours.min_one_person < ours.min_same_person < 1


def test_its_vectors_are_filed_under_the_name_that_the_section_gives(ours):
    named = GE2E(Ge2e(name="listener", device="cpu"))
    assert (ours.name, named.name) == ("ge2e", "listener")
    assert named.fingerprint == ours.fingerprint  # they are the same vectors


def test_the_fingerprint_differs_with_the_weights(ours, tmp_path, monkeypatch):
    copy = Path(shutil.copy(ge2e._weights(), tmp_path))
    monkeypatch.setattr(ge2e, "_weights", lambda: copy)
    assert GE2E().fingerprint == ours.fingerprint  # wherever they lie
    state = torch.load(copy, map_location="cpu", weights_only=True)
    state["model_state"]["linear.bias"] += 1
    torch.save(state, copy)
    assert GE2E().fingerprint != ours.fingerprint


@pytest.mark.parametrize("package", ["torch", "torchaudio", "soxr", "webrtcvad", "scipy"])
def test_the_fingerprint_differs_with_the_version_of_what_computes(package, ours, monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version(name) + ".1" * (name == package))
    assert GE2E().fingerprint != ours.fingerprint


def test_a_build_of_torch_is_the_version_that_it_is_a_build_of(ours, monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version(name) + "+cu128" * (name == "torch"))
    assert GE2E().fingerprint == ours.fingerprint


@pytest.mark.parametrize("decoder", audio.DECODERS)
def test_the_fingerprint_differs_with_what_decodes(decoder, ours, monkeypatch):
    monkeypatch.setitem(audio.DECODERS, decoder, "0")
    assert GE2E().fingerprint != ours.fingerprint


def test_the_fingerprint_differs_with_the_code(ours, tmp_path, monkeypatch):
    changed = tmp_path / Path(ge2e.__file__).name
    changed.write_text(Path(ge2e.__file__).read_text() + "\n# changed\n")
    monkeypatch.setattr(ge2e, "__file__", str(changed))
    assert GE2E().fingerprint != ours.fingerprint


def test_a_device_that_is_not_there_is_told():
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ExtractorError, match=f"device '{missing}'"):
        GE2E(Ge2e(device=missing))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.real
def test_a_gpu_hears_what_the_processor_hears(speech):
    processor, gpu = GE2E(Ge2e(device="cpu")), GE2E(Ge2e(device="cuda"))
    assert (np.einsum("nd,nd->n", processor.embed(speech), gpu.embed(speech)) >= 0.99999).all()


@pytest.mark.real
def test_the_filters_of_warnings_are_left_as_they_were_whatever_the_threads(ours, speech):
    """`warnings.catch_warnings` in two threads can leave its filters behind: none must be in use there."""
    replaced = warnings.catch_warnings.__enter__
    entered = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings.catch_warnings, "__enter__", lambda self: entered.append(self) or replaced(self))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda waveform: ours.embed([waveform]), speech))
    assert entered == []


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ge2e.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtractorError, match="pip install resemblyzer"):
        GE2E()
