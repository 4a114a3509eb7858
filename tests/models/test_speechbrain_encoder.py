"""What the SpeechBrain encoders promise: the vectors of `encode_batch`, from files that can run nothing."""

import dataclasses
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from curate import audio
from curate.errors import ExtractorError
from curate.hearing import SpeechBrain
from models.common.onednn import has_bfloat16
from models.extractors import speechbrain as encoder_module
from models.extractors import speechbrain_ecapa
from models.extractors.speechbrain import SpeechBrainEncoder
from models.extractors.speechbrain_ecapa import OneByOne, Padded
from models.extractors.speechbrain_hyperparams import Hyperparams, Part
from models.extractors.speechbrain_modules import Modules, tensors

SAMPLE_RATE_HZ = 16_000
HUB_NAME = "voxcurate-tests/spkrec-ecapa"  # no such model anywhere
OLD_NAMES = "DeprecatedModuleRedirect"
SPEECH = (  # unlike lengths, 0.3 s to 6 s, one of them twice
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a02Tb.wav",
    "fsdd/recordings/4_lucas_2.wav",
    "fsdd/recordings/5_yweweler_5.wav",
    "emodb/wav/03a01Fa.wav",
)

# As published: the keys of spkrec-ecapa-voxceleb, spkrec-xvect-voxceleb and spkrec-resnet-voxceleb, at sizes for tests.
HYPERPARAMS = """
n_mels: {num_bands}

pretrained_path: speechbrain/spkrec-{kind}-voxceleb

out_n_neurons: 7

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>

mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

embedding_model: {network}

classifier: {classifier}

mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    mean_var_norm_emb: !ref <mean_var_norm_emb>
    classifier: !ref <classifier>

label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        mean_var_norm_emb: !ref <mean_var_norm_emb>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        mean_var_norm_emb: !ref <pretrained_path>/mean_var_norm_emb.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""
ECAPA = HYPERPARAMS.format(
    kind="ecapa",
    num_bands=80,
    network="""!new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [64, 64, 64, 64, 192]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 32
    lin_neurons: 48""",
    classifier="""!new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 48
    out_neurons: !ref <out_n_neurons>""",
)
XVECTOR = HYPERPARAMS.format(
    kind="xvect",
    num_bands=24,
    network="""!new:speechbrain.lobes.models.Xvector.Xvector
    in_channels: !ref <n_mels>
    activation: !name:torch.nn.LeakyReLU
    tdnn_blocks: 5
    tdnn_channels: [32, 32, 32, 32, 96]
    tdnn_kernel_sizes: [5, 3, 3, 1, 1]
    tdnn_dilations: [1, 2, 3, 1, 1]
    lin_neurons: 40""",
    classifier="""!new:speechbrain.lobes.models.Xvector.Classifier
    input_shape: [null, null, 40]
    activation: !name:torch.nn.LeakyReLU
    lin_blocks: 1
    lin_neurons: 40
    out_neurons: !ref <out_n_neurons>""",
)
RESNET = HYPERPARAMS.format(
    kind="resnet",
    num_bands=80,
    network="""!new:speechbrain.lobes.models.ResNet.ResNet
    input_size: !ref <n_mels>
    channels: [8, 8, 16, 16]
    strides: [1, 2, 2, 2]
    block_sizes: [1, 1, 1, 1]
    lin_neurons: 32""",
    classifier="""!new:speechbrain.lobes.models.ResNet.Classifier
    input_size: 32
    out_neurons: !ref <out_n_neurons>""",
)
NETWORKS = {"ecapa": ECAPA, "xvector": XVECTOR, "resnet": RESNET}
DIMENSIONS = {"ecapa": 48, "xvector": 40, "resnet": 32}


@pytest.fixture(scope="module")
def library():
    """SpeechBrain itself, without its old names of modules: hypothesis looks at each, and they warn of that."""
    import ruamel.yaml
    from hyperpyyaml import load_hyperpyyaml
    from speechbrain.inference.classifiers import EncoderClassifier
    from speechbrain.utils.checkpoints import Checkpointer

    for name in [name for name, module in sys.modules.items() if type(module).__name__ == OLD_NAMES]:
        del sys.modules[name]
    if not hasattr(
        ruamel.yaml.Loader, "max_depth"
    ):  # ruamel.yaml 0.19 asks for it, HyperPyYAML's way of loading lacks it
        ruamel.yaml.Loader.max_depth = None
    return SimpleNamespace(**{one.__name__: one for one in (load_hyperpyyaml, EncoderClassifier, Checkpointer)})


def publish(library, folder, hyperparams, seed=0):
    """A folder as one is published: weights by chance, saved by SpeechBrain's checkpointer, and its settings."""
    torch.manual_seed(seed)
    made = library.load_hyperpyyaml(hyperparams)
    loadables = made["pretrainer"].loadables
    loadables["label_encoder"].update_from_iterable("abcdefg")
    for module in (one for one in loadables.values() if isinstance(one, torch.nn.Module)):
        for layer in (one for one in module.modules() if hasattr(one, "running_var")):  # else they would change nothing
            layer.running_mean.normal_(std=0.2)
            layer.running_var.uniform_(0.5, 2)
    loadables["mean_var_norm_emb"](torch.randn(8, 1, 4), torch.ones(8))
    saved = library.Checkpointer(folder / "kept", loadables).save_checkpoint()
    for file in saved.path.glob("*.ckpt"):
        file.rename(folder / file.name)
    (folder / "label_encoder.ckpt").rename(folder / "label_encoder.txt")
    shutil.rmtree(folder / "kept")
    (folder / "hyperparams.yaml").write_text(hyperparams, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folders(library, tmp_path_factory):
    return {kind: publish(library, tmp_path_factory.mktemp(kind), text) for kind, text in NETWORKS.items()}


@pytest.fixture(scope="module")
def encoders(folders):
    return {kind: encoder_of(folder) for kind, folder in folders.items()}


@pytest.fixture
def folder(folders, tmp_path):
    """The ECAPA-TDNN, to be changed."""
    return shutil.copytree(folders["ecapa"], tmp_path / "ecapa")


@pytest.fixture(scope="module")
def speech(corpora):
    return [audio.decode(corpora / file, sample_rate_hz=SAMPLE_RATE_HZ) for file in SPEECH]


@pytest.fixture
def no_network(monkeypatch):
    """The list of who was asked for; all of them cannot be reached."""
    asked = []

    def refuse(*where, **more):
        asked.append(where)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


def encoder_of(folder, **settings):
    return SpeechBrainEncoder(SpeechBrain(extractor="speechbrain", source=str(folder), device="cpu", **settings))


def reference(library, folder, waveforms, where):
    """Vectors of SpeechBrain's own `encode_batch`, one by one."""
    theirs = library.EncoderClassifier.from_hparams(
        str(folder), savedir=where, overrides={"pretrained_path": str(folder)}, run_opts={"device": "cpu"}
    )
    return np.concatenate([theirs.encode_batch(torch.from_numpy(one)).flatten(1).numpy() for one in waveforms])


def cosines(one, other):
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def noise(seed, *lengths):
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.normal(size=length)).astype(np.float32) for length in lengths]


def edit(folder, old, new):
    file = folder / "hyperparams.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return folder


def error_of(source, **settings):
    with pytest.raises(ExtractorError) as caught:
        encoder_of(source, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.real
@pytest.mark.parametrize("kind", NETWORKS)
def test_vectors_of_real_speech_are_those_of_speechbrain_one_by_one(kind, library, folders, encoders, speech, tmp_path):
    vectors, expected = encoders[kind].embed(speech), reference(library, folders[kind], speech, tmp_path)
    assert vectors.shape == (len(speech), DIMENSIONS[kind])
    assert vectors.dtype == np.float32
    assert cosines(vectors, expected).min() >= 0.99999
    np.testing.assert_allclose(vectors, expected, atol=2e-4 * np.abs(expected).max())
    assert cosines(vectors[:-1], expected[1:]).max() < 0.9999  # the test can tell utterances apart


@pytest.mark.real
def test_our_own_network_and_speechbrains_agree(folders, encoders, speech, monkeypatch):
    monkeypatch.setattr(encoder_module, "own_ecapa", lambda *given: None)
    theirs = encoder_of(folders["ecapa"])
    assert isinstance(theirs._encoder, Modules)
    assert isinstance(encoders["ecapa"]._encoder, OneByOne)
    assert cosines(theirs.embed(speech), encoders["ecapa"].embed(speech)).min() >= 0.99999
    assert theirs.fingerprint != encoders["ecapa"].fingerprint


@pytest.mark.real
@pytest.mark.parametrize("kind", NETWORKS)
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
    waveforms = noise(seed, *lengths)
    for encoder in encoders.values():
        alone = np.concatenate([encoder.embed([waveform]) for waveform in waveforms])
        assert cosines(encoder.embed(waveforms), alone).min() >= 0.99999


@pytest.mark.real
def test_in_padded_batches_as_on_a_gpu_our_network_gives_the_same(folders, encoders, speech, monkeypatch):
    monkeypatch.setattr(speechbrain_ecapa, "OneByOne", Padded)
    monkeypatch.setattr(encoder_module, "BATCH_S_CPU", 9.0)  # two batches of several
    padded, half = encoder_of(folders["ecapa"]), encoder_of(folders["ecapa"], precision="bfloat16")
    assert isinstance(padded._encoder, Padded)
    expected = encoders["ecapa"].embed(speech)
    for order in ([0, 1, 2, 3, 4], [3, 0, 4, 2, 1]):
        assert cosines(padded.embed([speech[i] for i in order]), expected[order]).min() >= 0.99999
        assert cosines(half.embed([speech[i] for i in order]), expected[order]).min() >= 0.999


@pytest.mark.real
@pytest.mark.parametrize("kind", NETWORKS)
def test_bfloat16_agrees_with_float32(kind, folders, encoders, speech):
    half = encoder_of(folders[kind], precision="bfloat16")
    vectors = half.embed(speech)
    assert vectors.dtype == np.float32
    assert cosines(vectors, encoders[kind].embed(speech)).min() >= 0.999
    is_float32 = kind == "ecapa" and not has_bfloat16()  # ours asks the processor, SpeechBrain's modules do not
    assert np.array_equal(vectors, encoders[kind].embed(speech)) == is_float32  # else it did compute otherwise
    assert half.fingerprint != encoders[kind].fingerprint


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_waveform_too_short_for_a_network_is_heard_repeated(kind, encoders):
    for length in (1, 159, 1599):
        (short,) = noise(length, length)
        repeated = np.tile(short, 1600 // length + 1)[:1600]
        np.testing.assert_array_equal(encoders[kind].embed([short]), encoders[kind].embed([repeated]))


@pytest.mark.parametrize("kind", NETWORKS)
def test_several_threads_may_ask_at_once(kind, encoders):
    waveforms = noise(0, *range(3_000, 9_000, 1_000))
    expected = np.concatenate([encoders[kind].embed([waveform]) for waveform in waveforms])
    with ThreadPoolExecutor(4) as threads:
        found = np.concatenate(list(threads.map(lambda waveform: encoders[kind].embed([waveform]), waveforms)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_folder_is_loaded_without_network_and_nothing_is_written(kind, folders, no_network, tmp_path, monkeypatch):
    def state():
        files = sorted(folders[kind].rglob("*"))
        return [(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files], list(tmp_path.iterdir())

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    before = state()
    encoder_of(folders[kind]).embed(noise(0, 4_000))
    assert state() == before
    assert no_network == []


def test_only_the_files_that_are_heard_with_are_needed(folder, encoders):
    for name in ("classifier.ckpt", "mean_var_norm_emb.ckpt", "label_encoder.txt"):
        (folder / name).unlink()
    waveforms = noise(0, 4_000)
    np.testing.assert_array_equal(encoder_of(folder).embed(waveforms), encoders["ecapa"].embed(waveforms))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of Hugging Face, at first empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_hub_name_is_taken_from_the_cache_of_hugging_face_without_asking_the_hub(
    folders, encoders, cache, no_network
):
    commit = "0" * 40
    home = cache / "models--voxcurate-tests--spkrec-ecapa"
    shutil.copytree(folders["ecapa"], home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    found, waveforms = encoder_of(HUB_NAME), noise(0, 4_000)
    assert no_network == []
    np.testing.assert_array_equal(found.embed(waveforms), encoders["ecapa"].embed(waveforms))
    assert found.fingerprint == encoders["ecapa"].fingerprint
    assert found.name == "spkrec-ecapa"


def test_without_network_a_missing_model_says_how_to_bring_it(cache, no_network):
    message = error_of(HUB_NAME)
    assert message.startswith(f"{HUB_NAME}: not in the cache of Hugging Face and the hub cannot be reached")
    assert f"`hf download {HUB_NAME} --local-dir FOLDER`" in message
    assert 'source = "FOLDER"' in message
    assert 0 < len(no_network) <= 3  # asked, and not again and again


def test_a_name_that_is_no_folder_and_no_hub_name_says_so(tmp_path, no_network):
    assert error_of(tmp_path / "missing").startswith(f"{tmp_path / 'missing'}: no such folder; expected")
    assert error_of("spkrec").startswith("spkrec: no such folder; expected")
    assert no_network == []


@pytest.mark.parametrize("name", ["hyperparams.yaml", "embedding_model.ckpt"])
def test_a_folder_that_lacks_a_file_names_it(name, folder):
    (folder / name).unlink()
    assert error_of(folder).startswith(f"{folder}: no {name} in it; expected")


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("!new:subprocess.Popen [[touch, {flag}]]", "!new:subprocess.Popen"),
        ("!name:os.system", "!name:os.system"),
        ("!name:torchvision.models.resnet18", "!name:torchvision.models.resnet18"),
        ("!apply:os.system ['touch {flag}']", "!apply:os.system"),
        ("!apply:torch.hub.load [a, b]", "!apply:torch.hub.load"),
        ("!applyref:os.system ['touch {flag}']", "!applyref:os.system"),
        ("!module:os", "!module:os"),
        ("!include:/etc/passwd", "!include:/etc/passwd"),
        ("!PLACEHOLDER", "!PLACEHOLDER"),
        ("!!python/object/apply:os.system ['touch {flag}']", "tag:yaml.org,2002:python/object/apply:os.system"),
        ("!!python/name:os.system", "tag:yaml.org,2002:python/name:os.system"),
        ("(!!python/object/apply:os.system ['touch {flag}'],)", "tag:yaml.org,2002:python/object/apply:os.system"),
        ("[1, {{a: !new:os.Thing }}]", "!new:os.Thing"),
    ],
)
def test_a_tag_that_could_run_anything_is_refused_and_not_run(value, tag, folder, tmp_path):
    flag = tmp_path / "flag"
    edit(folder, "n_mels: 80", f"n_mels: {value.format(flag=flag)}")
    assert f"hyperparams.yaml: {tag} is not loaded" in error_of(folder)
    assert not flag.exists()


def test_a_tag_by_another_prefix_is_refused_too(folder):
    text = "%TAG !x! tag:yaml.org,2002:python/object/\n---\n" + ECAPA
    (folder / "hyperparams.yaml").write_text(text + "\nbad: !x!apply:os.getcwd []\n")
    assert "python/object/apply:os.getcwd is not loaded" in error_of(folder)


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load",
        "torch.load",
        "torch.utils.cpp_extension.load",
        "torch.nn.functional.torch.hub.load",
        "torch.jit.ScriptModule",
        "speechbrain.utils.parameter_transfer.Pretrainer",
        "speechbrain.lobes.models.discrete.dac.DAC",
        "torch.nn.Nothing",
        "speechbrain.nowhere.Thing",
    ],
)
def test_what_is_no_layer_is_not_made_though_its_package_is_allowed(target, folder):
    edit(folder, "lin_neurons: 48", f"lin_neurons: 48\n    activation: !name:{target}")
    assert re.search(rf"{target} is (no layer of a network|not there); expected", error_of(folder))


def test_keys_for_effects_alone_are_left_out(folder, encoders):
    edit(folder, "n_mels: 80", "n_mels: 80\nseed: 1\n__set_seed: !!python/object/apply:torch.manual_seed [!ref <seed>]")
    before, waveforms = torch.get_rng_state(), noise(0, 4_000)
    found = encoder_of(folder)
    np.testing.assert_array_equal(found.embed(waveforms), encoders["ecapa"].embed(waveforms))
    torch.manual_seed(1)
    assert not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)


class _Runs:
    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return os.mkdir, (str(self.flag),)


@pytest.mark.parametrize("kind", ["ecapa", "xvector"])
def test_a_pickle_that_would_run_something_is_not_run(kind, folders, tmp_path):
    folder, flag = shutil.copytree(folders[kind], tmp_path / kind), tmp_path / "flag"
    for save in (lambda file: torch.save(_Runs(flag), file), lambda file: file.write_bytes(pickle.dumps(_Runs(flag)))):
        save(folder / "embedding_model.ckpt")
        assert "embedding_model.ckpt: damaged, or a pickle that holds more than weights" in error_of(folder)
    assert not flag.exists()


@settings(deadline=None, max_examples=40)
@given(kept=st.integers(0, 1_000), tail=st.binary(max_size=40))
def test_damaged_weights_are_told_in_one_line(folders, tmp_path_factory, kept, tail):
    file = tmp_path_factory.mktemp("damaged") / "embedding_model.ckpt"
    file.write_bytes((folders["ecapa"] / "embedding_model.ckpt").read_bytes()[:kept] + tail)
    with pytest.raises(ExtractorError, match="expected tensors"):
        tensors(file)


def test_weights_of_another_network_are_refused(folders, folder):
    shutil.copy(folders["resnet"] / "embedding_model.ckpt", folder)
    assert "embedding_model.ckpt: lacks blocks.0.conv.conv.weight; expected weights" in error_of(folder)
    edit(folder, "[64, 64, 64, 64, 192]", "[64, 64, 64, 64, 128]")
    shutil.copy(folders["ecapa"] / "embedding_model.ckpt", folder)
    assert "size mismatch" in error_of(folder)
    torch.save([1, 2], folder / "embedding_model.ckpt")
    assert "embedding_model.ckpt: not weights by name" in error_of(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "modules:\n    compute_features: !ref <compute_features>",
            "modules:",
            "makes no `compute_features` among its",
        ),
        ("n_mels: !ref <n_mels>", "n_mels: !ref <num_bands>", "<num_bands> is not in it"),
        ("n_mels: 80", "n_mels: !ref <out_n_neurons>\nloop: &a [*a]", "refers to itself"),
        ("n_mels: 80", "n_mels: [", "not YAML"),
        ("lin_neurons: 48", "lin_neurons: 48\n    num_heads: 2", "cannot make speechbrain.lobes.models.ECAPA_TDNN"),
        ("loadables:\n        embedding_model: !ref <embedding_model>", "loadables:", "no weights for its embedding"),
    ],
)
def test_what_is_wrong_in_the_settings_is_told_in_one_line(old, new, words, folder):
    edit(folder, old, new)
    if "loop" in new:
        edit(folder, "std_norm: False\n\nembedding", "std_norm: !ref <loop>\n\nembedding")
    assert words in error_of(folder)


@pytest.mark.parametrize("text", ["", "a word", "[1, 2]", "\x00", "%", "{" * 400])
def test_what_is_no_hyperparams_file_is_told_in_one_line(text, folder):
    (folder / "hyperparams.yaml").write_text(text)
    assert "expected SpeechBrain's hyperparams.yaml" in error_of(folder)


NUMBERS = st.integers(1, 99)


@settings(deadline=None, max_examples=10, phases=[Phase.generate])  # its loader takes a tenth of a second
@given(a=NUMBERS, b=NUMBERS, sign=st.sampled_from(["+", "-", "*", "/", "//", "%"]), word=st.sampled_from(["x", "y/z"]))
def test_references_mean_what_they_mean_to_hyperpyyaml(library, tmp_path_factory, a, b, sign, word):
    text = f"""
a: {a}
inner: {{b: {b}, again: !ref <a>}}
word: {word}
whole: !ref <a>
chain: !ref <whole>
sum: !ref <a> {sign} <inner[b]>
negative: !ref -<a>
path: !ref <word>/file_<a>.ckpt
list:
  - !ref <inner[again]>
  - "<a>"
copied: !copy <inner>
pair: ({a}, {b})
one: (2.5)
merged: {{<<: {{k: 1}}, j: 2}}
"""
    file = tmp_path_factory.mktemp("refs") / "hyperparams.yaml"
    file.write_text(text)
    found = Hyperparams(file)
    expected = library.load_hyperpyyaml(text)
    assert {key: found.get(key) for key in expected} == expected
    assert found.get("inner", "again") == a
    assert found.get("inner", "missing") is None


def test_what_is_shared_in_the_file_is_shared_and_a_copy_is_not(tmp_path):
    (tmp_path / "h.yaml").write_text("one: !new:torch.nn.Linear [1, 2]\ntwo: !ref <one>\nthree: !copy <one>\n")
    found = Hyperparams(tmp_path / "h.yaml")
    one, two, three = (found.get(key) for key in ("one", "two", "three"))
    assert one is two
    assert three is not one
    assert isinstance(three, Part)
    assert three.args == [1, 2]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    f_min: 20"),
        ("n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    filter_shape: gaussian"),
        ("std_norm: False\n\nembedding", "std_norm: True\n\nembedding"),
        ("lin_neurons: 48", "lin_neurons: 48\n    activation: !name:torch.nn.GELU"),
        ("lin_neurons: 48", "lin_neurons: 48\n    something_new: 1"),
    ],
)
def test_settings_that_our_network_does_not_know_are_left_to_speechbrain(old, new, folder, tmp_path, library, speech):
    edit(folder, old, new)
    if "something_new" in new:
        assert "cannot make" in error_of(folder)
        return
    encoder = encoder_of(folder)
    assert isinstance(encoder._encoder, Modules)
    assert cosines(encoder.embed(speech), reference(library, folder, speech, tmp_path / "kept")).min() >= 0.99999


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lin_neurons: 48", "lin_neurons: 48\n    activation: !name:torch.nn.ReLU\n    dropout: 0.1"),
        (
            "n_mels: !ref <n_mels>",
            "n_mels: !ref <n_mels>\n    sample_rate: 16000\n    left_frames: 0\n    deltas: False",
        ),
        ("    dilations: [1, 2, 3, 4, 1]\n", ""),
    ],
)
def test_settings_that_change_nothing_are_left_to_our_network(old, new, folder, encoders):
    encoder, waveforms = encoder_of(edit(folder, old, new)), noise(0, 4_000)
    assert isinstance(encoder._encoder, OneByOne)
    np.testing.assert_array_equal(encoder.embed(waveforms), encoders["ecapa"].embed(waveforms))


def test_the_defaults_that_our_network_counts_on_are_speechbrains(library):
    import inspect

    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    for kind, fixed, free in (
        (Fbank, speechbrain_ecapa.FBANK_IS | {"f_max": None}, speechbrain_ecapa.FBANK_FREE),
        (InputNormalization, speechbrain_ecapa.NORM_IS, speechbrain_ecapa.NORM_FREE),
        (ECAPA_TDNN, speechbrain_ecapa.NETWORK_IS, speechbrain_ecapa.NETWORK_FREE),
    ):
        takes = inspect.signature(kind).parameters
        assert set(takes) == set(fixed) | free  # a setting that is new to us is known of
        assert {key: takes[key].default for key in fixed} == fixed
    assert inspect.signature(Fbank).parameters["n_mels"].default == speechbrain_ecapa.DEFAULT_BANDS
    assert tuple(inspect.signature(ECAPA_TDNN).parameters["dilations"].default) == speechbrain_ecapa.DEFAULT_DILATIONS


def test_a_normalisation_over_the_batch_hears_each_waveform_alone(folder):
    encoder = encoder_of(edit(folder, "norm_type: sentence", "norm_type: batch"))
    waveforms = noise(0, 4_000, 4_000)
    waveforms[0] *= np.linspace(0, 9, 4_000, dtype=np.float32)
    alone = np.concatenate([encoder.embed([waveform]) for waveform in waveforms])
    np.testing.assert_array_equal(encoder.embed(waveforms), alone)


def test_statistics_of_a_normalisation_are_loaded(library, tmp_path):
    text = ECAPA.replace("norm_type: sentence", "norm_type: global").replace(
        "loadables:\n", "loadables:\n        mean_var_norm: !ref <mean_var_norm>\n"
    )
    torch.manual_seed(0)
    (tmp_path / "sentence").mkdir()
    folder, waveforms = publish(library, tmp_path / "sentence", ECAPA), noise(0, 4_000)
    (folder / "hyperparams.yaml").write_text(text)
    statistics = {"count": 3, "glob_mean": torch.randn(80), "glob_std": torch.ones(80)}
    torch.save(statistics, folder / "mean_var_norm.ckpt")
    expected = reference(library, folder, waveforms, tmp_path / "kept")
    assert cosines(encoder_of(folder).embed(waveforms), expected).min() >= 0.99999
    torch.save({"count": 3}, folder / "mean_var_norm.ckpt")
    assert "mean_var_norm.ckpt: 'glob_mean'; expected weights" in error_of(folder)


def test_weights_of_several_parts_in_one_file_are_loaded(library, folder, tmp_path):
    joined = "model: !new:torch.nn.ModuleList\n    - [!ref <embedding_model>, !ref <classifier>]\n\nmodules:"
    edit(folder, "modules:", joined)
    edit(
        folder,
        "        embedding_model: !ref <embedding_model>\n        mean",
        "        model: !ref <model>\n        mean",
    )
    edit(folder, "        classifier: !ref <classifier>\n        label", "        label")
    parts = [torch.load(folder / f"{name}.ckpt") for name in ("embedding_model", "classifier")]
    torch.save(
        {f"{i}.{key}": value for i, part in enumerate(parts) for key, value in part.items()}, folder / "model.ckpt"
    )
    waveforms = noise(0, 4_000)
    shutil.copy(folder / "model.ckpt", tmp_path / "model.ckpt")
    expected = reference(library, folder, waveforms, tmp_path / "kept")
    assert cosines(encoder_of(folder).embed(waveforms), expected).min() >= 0.99999


def test_the_sample_rate_is_the_files(folder, encoders):
    assert encoders["ecapa"].sample_rate_hz == 16_000
    of_features = encoder_of(edit(folder, "n_mels: !ref <n_mels>", "n_mels: !ref <n_mels>\n    sample_rate: 8000"))
    assert of_features.sample_rate_hz == 8_000
    assert of_features.embed(noise(0, 4_000)).shape == (1, 48)
    assert encoder_of(edit(folder, "n_mels: 80", "n_mels: 80\nsample_rate: 8000")).sample_rate_hz == 8_000


def test_the_name_is_the_sections_or_the_folders(folder):
    assert encoder_of(folder).name == "ecapa"
    assert encoder_of(folder, name="mine").name == "mine"


def test_the_fingerprint_is_of_what_the_vectors_depend_on(library, folder, encoders, tmp_path):
    before = encoders["ecapa"].fingerprint
    assert re.fullmatch("speechbrain-[0-9a-f]{24}", before)
    edit(folder, "pretrained_path: speechbrain/spkrec-ecapa-voxceleb", "# of ours\npretrained_path: elsewhere")
    (folder / "classifier.ckpt").unlink()
    assert encoder_of(folder).fingerprint == before
    assert encoder_of(folder, precision="bfloat16").fingerprint != before
    assert encoder_of(edit(folder, "std_norm: False\n\nemb", "std_norm: True\n\nemb")).fingerprint != before
    (tmp_path / "other").mkdir()
    assert encoder_of(publish(library, tmp_path / "other", ECAPA, seed=1)).fingerprint != before


def test_the_settings_of_a_device_that_is_not_there_are_told(folder, monkeypatch):
    hearing = SpeechBrain(extractor="speechbrain", source=str(folder), device="cuda:9")
    with pytest.raises(ExtractorError, match="cuda:9"):
        SpeechBrainEncoder(dataclasses.replace(hearing))


def test_speechbrain_leaves_nothing_behind_that_warns(encoders):
    assert not [name for name, module in sys.modules.items() if type(module).__name__ == OLD_NAMES]


def test_an_ecapa_is_heard_with_without_importing_speechbrain(folders):
    code = (
        "import sys; from curate.hearing import SpeechBrain;"
        "from models.extractors.speechbrain import SpeechBrainEncoder;"
        f"SpeechBrainEncoder(SpeechBrain(extractor='speechbrain', source={str(folders['ecapa'])!r}, device='cpu'));"
        "sys.exit('speechbrain' in sys.modules)"
    )
    home = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
