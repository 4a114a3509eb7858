"""What the SpeechBrain encoders promise: the vectors of `encode_batch`, whatever they are given with."""

import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ExtractorError
from curate.hearing import SpeechBrain
from models.common.onednn import has_bfloat16
from models.extractors.speechbrain import SpeechBrainEncoder
from tests.models.made import cosines, edit, encoder_of, error_of, noises

OLD_NAMES = "DeprecatedModuleRedirect"
DIMENSIONS = {"ecapa": 48, "xvector": 40, "resnet": 32}


@pytest.fixture(scope="module")
def encoders(speechbrain_folders):
    return {kind: encoder_of(folder) for kind, folder in speechbrain_folders.items()}


@pytest.mark.real
@pytest.mark.parametrize("kind", DIMENSIONS)
def test_vectors_of_real_speech_are_those_of_speechbrain_one_by_one(
    kind, encode_batch, speechbrain_folders, encoders, speech
):
    vectors, expected = encoders[kind].embed(speech), encode_batch(speechbrain_folders[kind], speech)
    assert vectors.shape == (len(speech), DIMENSIONS[kind])
    assert vectors.dtype == np.float32
    assert cosines(vectors, expected).min() >= 0.99999
    # SpeechBrain's own x-vectors are random by about 1e-5 of what they pool
    np.testing.assert_allclose(vectors, expected, atol=1e-3 * np.abs(expected).max())
    assert cosines(vectors[:-1], expected[1:]).max() < 0.9999  # the test can tell utterances apart


@pytest.mark.real
@pytest.mark.parametrize("kind", DIMENSIONS)
def test_a_batch_gives_the_vectors_that_one_by_one_gives_in_any_order(kind, encoders, speech):
    encoder = encoders[kind]
    alone = np.concatenate([encoder.embed([waveform]) for waveform in speech])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(speech))
        together = encoder.embed([speech[i] for i in order])
        assert cosines(together, alone[order]).min() >= 0.99999


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 8_000), min_size=1, max_size=6), st.integers(0, 99))
def test_waveforms_of_any_lengths_share_a_batch_without_hearing_each_other(encoders, lengths, seed):
    waveforms = noises(seed, *lengths)
    for encoder in encoders.values():
        alone = np.concatenate([encoder.embed([waveform]) for waveform in waveforms])
        assert cosines(encoder.embed(waveforms), alone).min() >= 0.99999


@pytest.mark.real
@pytest.mark.parametrize("kind", DIMENSIONS)
def test_bfloat16_agrees_with_float32(kind, speechbrain_folders, encoders, speech):
    half = encoder_of(speechbrain_folders[kind], precision="bfloat16")
    vectors = half.embed(speech)
    assert vectors.dtype == np.float32
    assert cosines(vectors, encoders[kind].embed(speech)).min() >= 0.999
    is_float32 = kind == "ecapa" and not has_bfloat16()  # ours asks the processor, SpeechBrain's modules do not
    assert np.array_equal(vectors, encoders[kind].embed(speech)) == is_float32  # else it did compute otherwise
    assert (half.fingerprint == encoders[kind].fingerprint) == is_float32


@pytest.mark.parametrize("kind", DIMENSIONS)
def test_a_waveform_too_short_for_a_network_is_heard_repeated(kind, encoders):
    for length in (1, 159, 1599):
        (short,) = noises(length, length)
        repeated = np.tile(short, 1600 // length + 1)[:1600]
        np.testing.assert_array_equal(encoders[kind].embed([short]), encoders[kind].embed([repeated]))


@pytest.mark.parametrize("kind", DIMENSIONS)
def test_several_threads_may_ask_at_once(kind, encoders):
    waveforms = noises(0, *range(3_000, 9_000, 1_000))
    expected = np.concatenate([encoders[kind].embed([waveform]) for waveform in waveforms])
    with ThreadPoolExecutor(4) as threads:
        found = np.concatenate(list(threads.map(lambda waveform: encoders[kind].embed([waveform]), waveforms)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", DIMENSIONS)
def test_a_folder_is_loaded_without_network_and_nothing_is_written(
    kind, speechbrain_folders, no_network, hub_cache, tmp_path, monkeypatch
):
    def state():
        files = sorted(speechbrain_folders[kind].rglob("*"))
        return [(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files], list(tmp_path.iterdir())

    monkeypatch.chdir(tmp_path)
    before = state()
    encoder_of(speechbrain_folders[kind]).embed(noises(0, 4_000))
    assert state() == before
    assert no_network == []


def test_only_the_files_that_are_heard_with_are_needed(ecapa_folder, encoders):
    for name in ("classifier.ckpt", "mean_var_norm_emb.ckpt", "label_encoder.txt"):
        (ecapa_folder / name).unlink()
    waveforms = noises(0, 4_000)
    np.testing.assert_array_equal(encoder_of(ecapa_folder).embed(waveforms), encoders["ecapa"].embed(waveforms))


@pytest.mark.parametrize("name", ["hyperparams.yaml", "embedding_model.ckpt"])
def test_a_folder_that_lacks_a_file_names_it(name, ecapa_folder):
    (ecapa_folder / name).unlink()
    assert error_of(ecapa_folder).startswith(f"{ecapa_folder}: no {name} in it; expected")


def test_a_normalisation_over_the_batch_hears_each_waveform_alone(ecapa_folder):
    encoder = encoder_of(edit(ecapa_folder, "norm_type: sentence", "norm_type: batch"))
    waveforms = noises(0, 4_000, 4_000)
    waveforms[0] *= np.linspace(0, 9, 4_000, dtype=np.float32)
    alone = np.concatenate([encoder.embed([waveform]) for waveform in waveforms])
    np.testing.assert_array_equal(encoder.embed(waveforms), alone)


def test_statistics_of_a_normalisation_are_loaded(encode_batch, ecapa_folder):
    text = (
        (ecapa_folder / "hyperparams.yaml")
        .read_text()
        .replace("norm_type: sentence", "norm_type: global")
        .replace("loadables:\n", "loadables:\n        mean_var_norm: !ref <mean_var_norm>\n")
    )
    (ecapa_folder / "hyperparams.yaml").write_text(text)
    torch.manual_seed(0)
    waveforms, statistics = noises(0, 4_000), {"count": 3, "glob_mean": torch.randn(80), "glob_std": torch.ones(80)}
    torch.save(statistics, ecapa_folder / "mean_var_norm.ckpt")
    expected = encode_batch(ecapa_folder, waveforms)
    assert cosines(encoder_of(ecapa_folder).embed(waveforms), expected).min() >= 0.99999
    torch.save({"count": 3}, ecapa_folder / "mean_var_norm.ckpt")
    assert "mean_var_norm.ckpt: 'glob_mean'; expected weights" in error_of(ecapa_folder)


def test_weights_of_several_parts_in_one_file_are_loaded(encode_batch, ecapa_folder):
    joined = "model: !new:torch.nn.ModuleList\n    - [!ref <embedding_model>, !ref <classifier>]\n\nmodules:"
    edit(ecapa_folder, "modules:", joined)
    edit(
        ecapa_folder,
        "        embedding_model: !ref <embedding_model>\n        mean",
        "        model: !ref <model>\n        mean",
    )
    edit(ecapa_folder, "        classifier: !ref <classifier>\n        label", "        label")
    parts = [torch.load(ecapa_folder / f"{name}.ckpt") for name in ("embedding_model", "classifier")]
    torch.save(
        {f"{i}.{key}": value for i, part in enumerate(parts) for key, value in part.items()},
        ecapa_folder / "model.ckpt",
    )
    waveforms = noises(0, 4_000)
    expected = encode_batch(ecapa_folder, waveforms)
    assert cosines(encoder_of(ecapa_folder).embed(waveforms), expected).min() >= 0.99999


def test_the_sample_rate_is_the_files(ecapa_folder, encoders):
    assert encoders["ecapa"].sample_rate_hz == 16_000
    of_features = encoder_of(
        edit(ecapa_folder, "n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    sample_rate: 8000")
    )
    assert of_features.sample_rate_hz == 8_000
    assert of_features.embed(noises(0, 4_000)).shape == (1, 48)
    assert encoder_of(edit(ecapa_folder, "n_mels: 80", "n_mels: 80\nsample_rate: 8000")).sample_rate_hz == 8_000


def test_a_hub_name_is_taken_from_the_cache_of_hugging_face_without_asking_the_hub(
    speechbrain_folders, encoders, hub_cache, no_network
):
    commit = "0" * 40
    home = hub_cache / "models--voxcurate-tests--spkrec-ecapa"
    shutil.copytree(speechbrain_folders["ecapa"], home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    found, waveforms = encoder_of("voxcurate-tests/spkrec-ecapa"), noises(0, 4_000)
    assert no_network == []
    np.testing.assert_array_equal(found.embed(waveforms), encoders["ecapa"].embed(waveforms))
    assert found.fingerprint == encoders["ecapa"].fingerprint
    assert found.name == "spkrec-ecapa"


def test_the_name_is_the_sections_or_the_folders(ecapa_folder):
    assert encoder_of(ecapa_folder).name == "ecapa"
    assert encoder_of(ecapa_folder, name="mine").name == "mine"


def test_the_fingerprint_is_of_what_the_vectors_depend_on(
    save_speechbrain, speechbrain_folders, ecapa_folder, encoders, tmp_path
):
    before = encoders["ecapa"].fingerprint
    assert re.fullmatch("speechbrain-[0-9a-f]{24}", before)
    edit(ecapa_folder, "pretrained_path: speechbrain/spkrec-ecapa-voxceleb", "# of ours\npretrained_path: elsewhere")
    (ecapa_folder / "classifier.ckpt").unlink()
    assert encoder_of(ecapa_folder).fingerprint == before
    assert encoder_of(edit(ecapa_folder, "std_norm: False\n\nemb", "std_norm: True\n\nemb")).fingerprint != before
    text = (speechbrain_folders["ecapa"] / "hyperparams.yaml").read_text()
    assert encoder_of(save_speechbrain(tmp_path, text, seed=1)).fingerprint != before


def test_speechbrain_leaves_nothing_behind_that_warns(encoders):
    assert not [name for name, module in sys.modules.items() if type(module).__name__ == OLD_NAMES]


def test_a_device_that_is_not_there_is_told(ecapa_folder):
    with pytest.raises(ExtractorError, match="cuda:9"):
        SpeechBrainEncoder(SpeechBrain(extractor="speechbrain", source=str(ecapa_folder), device="cuda:9"))
