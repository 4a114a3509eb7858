"""What our own checkpoints promise: what was kept comes back, whole or not at all, and a bad one is told of."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from curate.errors import ExtractorError
from models import checkpoint
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.resnet import ResNet, ResNetSettings

NETWORKS = {
    "ecapa": (Ecapa, EcapaSettings(channels=32, pooled_channels=48, attention_channels=8, se_channels=8, dimension=12)),
    "resnet": (ResNet, ResNetSettings(num_bands=16, channels=4, blocks=(1, 1, 2, 1), dimension=12)),
}
BOTH = pytest.mark.parametrize("which", sorted(NETWORKS))


def made(which):
    torch.manual_seed(0)
    new, settings = NETWORKS[which]
    network = new(settings)
    network(torch.randn(2, 40, settings.num_bands))  # moves the running means
    return network


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path / "kept", made("ecapa"), features="speechbrain")
    return tmp_path / "kept"


@BOTH
def test_what_was_kept_comes_back(which, tmp_path):
    network = made(which)
    checkpoint.save(tmp_path / "a" / "b", network, features="kaldi", min_same_person=0.5, min_one_person=0.25)
    loaded = checkpoint.load(tmp_path / "a" / "b")
    assert loaded.network.settings == network.settings
    assert not loaded.network.training
    assert (loaded.description.features, loaded.description.dimension) == ("kaldi", 12)
    assert (loaded.description.min_same_person, loaded.description.min_one_person) == (0.5, 0.25)
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[key], tensor)
    feats = torch.randn(1, 40, network.settings.num_bands)
    assert torch.equal(loaded.network(feats), network.eval()(feats))


def test_a_run_that_dies_leaves_no_checkpoint_and_is_no_hindrance_to_the_next(tmp_path, monkeypatch):
    written = checkpoint._write

    def dies(path, content):
        written(path, content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "kept", made("ecapa"), features="kaldi")
    assert not (tmp_path / "kept").exists()
    monkeypatch.setattr(checkpoint, "_write", written)
    checkpoint.save(tmp_path / "kept", made("ecapa"), features="kaldi")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    checkpoint.load(tmp_path / "kept")


def test_what_is_kept_is_never_written_again(folder):
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(ExtractorError, match=r"is there already; expected"):
        checkpoint.save(folder, made("resnet"), features="kaldi")
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", 2, "format: Input should be 1"),
        (
            "architecture",
            "rawnet",
            "architecture: Input should be 'ecapa', 'resnet', 'half-resnet', 'mfcc-resnet' or 'x-vector'",
        ),
        ("features", "plp", "features: Input should be 'kaldi', 'speechbrain', 'log-mel' or 'mfcc'"),
        ("sample_rate_hz", 8000, "sample_rate_hz: Input should be 16000"),
        ("dimension", "12", "dimension: Input should be a valid integer"),
        ("dimension", 13, "dimension 13; expected that of the settings, 12"),
        ("min_same_person", 1.5, "min_same_person: Input should be less than or equal to 1"),
        ("colour", "red", "colour: Unexpected"),
        ("settings", [], "settings: Input should be"),
        ("settings", {"dimension": 12, "depth": 3}, "settings.depth: Unexpected"),
        ("settings", {"dimension": 12, "channels": -8}, "settings: "),
        ("settings", {"dimension": 12}, "is (32, 80, 5) of torch.float32; expected (1024, 80, 5)"),
        ("settings", {"dimension": 12, "channels": 2**40}, "settings: Value error, sizes must be from 1 to"),
        ("architecture", "resnet", "settings."),
        ("weights_sha256", "0" * 64, "is damaged or of another checkpoint"),
    ],
)
def test_a_bad_description_is_told_in_one_line(folder, key, value, says):
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | {key: value}))
    with pytest.raises(ExtractorError) as raised:
        checkpoint.load(folder)
    message = str(raised.value)
    assert message.startswith(str(folder)), message
    assert says in message, message
    assert "\n" not in message
    assert "; expected" in message


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"null"])
def test_a_description_that_is_none_is_told_in_one_line(folder, content):
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ExtractorError, match=r"^[^\n]*model\.json: [^\n]*; expected[^\n]*$"):
        checkpoint.load(folder)


@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
def test_a_missing_file_is_told_in_one_line(folder, file):
    (folder / file).unlink()
    with pytest.raises(ExtractorError, match=r"^[^\n]*: cannot be read \(No such file or directory\); expected[^\n]*$"):
        checkpoint.load(folder)


def claim(folder):
    """Say in the description that these are the weights that were kept."""
    description = json.loads((folder / "model.json").read_text())
    sha256 = checkpoint.hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(description | {"weights_sha256": sha256}))


def test_weights_that_are_a_pickle_are_refused_without_being_run(folder):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    claim(folder)
    with pytest.raises(
        ExtractorError, match=r"^[^\n]*cannot be read [^\n]*; expected weights as safetensors keeps them$"
    ):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("fc.bias"), "fc.bias is missing"),
        (lambda state: state.update(head=torch.ones(1)), "head is too many"),
        (
            lambda state: state.update({"fc.bias": torch.ones(12, dtype=torch.float16)}),
            r"fc.bias is \(12,\) of torch.f",
        ),
        (lambda state: state.update({"fc.bias": torch.ones(13)}), r"fc.bias is \(13,\)"),
    ],
)
def test_weights_of_another_network_are_told_in_one_line(folder, change, says):
    state = checkpoint.load(folder).network.state_dict()
    change(state)
    save_file(dict(state), folder / "model.safetensors")
    claim(folder)
    with pytest.raises(ExtractorError, match=rf"^[^\n]*{says}[^\n]*; expected[^\n]*$"):
        checkpoint.load(folder)
