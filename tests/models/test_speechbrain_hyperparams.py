"""What reading the files of SpeechBrain promises: what they say as data, and nothing in them is run."""

import os
import pickle
import re
import shutil

import numpy as np
import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from curate.errors import ExtractorError
from models.extractors.speechbrain_hyperparams import Hyperparams, Part
from models.extractors.speechbrain_modules import tensors
from tests.models.made import edit, encoder_of, error_of, noises


@pytest.fixture(scope="module")
def encoders(speechbrain_folders):
    return {"ecapa": encoder_of(speechbrain_folders["ecapa"])}


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
def test_a_tag_that_could_run_anything_is_refused_and_not_run(value, tag, ecapa_folder, tmp_path):
    flag = tmp_path / "flag"
    edit(ecapa_folder, "n_mels: 80", f"n_mels: {value.format(flag=flag)}")
    assert f"hyperparams.yaml: {tag} is not loaded" in error_of(ecapa_folder)
    assert not flag.exists()


def test_a_tag_by_another_prefix_is_refused_too(ecapa_folder):
    file, tag = ecapa_folder / "hyperparams.yaml", "%TAG !x! tag:yaml.org,2002:python/object/\n---\n"
    file.write_text(tag + file.read_text() + "\nbad: !x!apply:os.getcwd []\n")
    assert "python/object/apply:os.getcwd is not loaded" in error_of(ecapa_folder)


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
def test_what_is_no_layer_is_not_made_though_its_package_is_allowed(target, ecapa_folder):
    edit(ecapa_folder, "lin_neurons: 48", f"lin_neurons: 48\n    activation: !name:{target}")
    assert re.search(rf"{target} is (no layer of a network|not there); expected", error_of(ecapa_folder))


def test_keys_for_effects_alone_are_left_out(ecapa_folder, encoders):
    edit(
        ecapa_folder,
        "n_mels: 80",
        "n_mels: 80\nseed: 1\n__set_seed: !!python/object/apply:torch.manual_seed [!ref <seed>]",
    )
    before, waveforms = torch.get_rng_state(), noises(0, 4_000)
    found = encoder_of(ecapa_folder)
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
def test_a_pickle_that_would_run_something_is_not_run(kind, speechbrain_folders, tmp_path):
    folder, flag = shutil.copytree(speechbrain_folders[kind], tmp_path / kind), tmp_path / "flag"
    for save in (lambda file: torch.save(_Runs(flag), file), lambda file: file.write_bytes(pickle.dumps(_Runs(flag)))):
        save(folder / "embedding_model.ckpt")
        assert "embedding_model.ckpt: damaged, or a pickle that holds more than weights" in error_of(folder)
    assert not flag.exists()


@settings(deadline=None, max_examples=40)
@given(kept=st.integers(0, 1_000), tail=st.binary(max_size=40))
@example(kept=0, tail=b"J")  # a number that is cut: struct.error
def test_damaged_weights_are_told_in_one_line(speechbrain_folders, tmp_path_factory, kept, tail):
    file = tmp_path_factory.mktemp("damaged") / "embedding_model.ckpt"
    file.write_bytes((speechbrain_folders["ecapa"] / "embedding_model.ckpt").read_bytes()[:kept] + tail)
    with pytest.raises(ExtractorError, match="expected tensors"):
        tensors(file)


def test_weights_of_another_network_are_refused(speechbrain_folders, ecapa_folder):
    shutil.copy(speechbrain_folders["resnet"] / "embedding_model.ckpt", ecapa_folder)
    assert "embedding_model.ckpt: lacks blocks.0.conv.conv.weight; expected weights" in error_of(ecapa_folder)
    edit(ecapa_folder, "[64, 64, 64, 64, 192]", "[64, 64, 64, 64, 128]")
    shutil.copy(speechbrain_folders["ecapa"] / "embedding_model.ckpt", ecapa_folder)
    assert "size mismatch" in error_of(ecapa_folder)
    torch.save([1, 2], ecapa_folder / "embedding_model.ckpt")
    assert "embedding_model.ckpt: not weights by name" in error_of(ecapa_folder)


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
def test_what_is_wrong_in_the_settings_is_told_in_one_line(old, new, words, ecapa_folder):
    edit(ecapa_folder, old, new)
    if "loop" in new:
        edit(ecapa_folder, "std_norm: False\n\nembedding", "std_norm: !ref <loop>\n\nembedding")
    assert words in error_of(ecapa_folder)


@pytest.mark.parametrize("text", ["", "a word", "[1, 2]", "\x00", "%", "{" * 400])
def test_what_is_no_hyperparams_file_is_told_in_one_line(text, ecapa_folder):
    (ecapa_folder / "hyperparams.yaml").write_text(text)
    assert "expected SpeechBrain's hyperparams.yaml" in error_of(ecapa_folder)


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
