"""What our own checkpoints promise: what was kept comes back, whole or not at all, and a bad one is told of."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from curate.errors import ExtractorError
from models import checkpoint
from models.age_adversarial.joined import Joined, JoinedSettings
from models.age_adversarial.rawnet2 import RawNet2, RawNet2Settings
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.resnet import ResNet, ResNetSettings
from models.disjoint_mtl.encoder import SpeakerEncoder, SpeakerEncoderSettings
from models.disjoint_mtl.model import Wav2Vec2Settings
from models.training.system import checked
from tests.models.disjoint_mtl.systems_made import NETWORK

ECAPA = EcapaSettings(channels=32, pooled_channels=48, attention_channels=8, se_channels=8, dimension=12)
WAV2VEC2 = checked(Wav2Vec2Settings, NETWORK | {"hidden_size": 12})
RAWNET2 = RawNet2Settings(filters=6, filter_size=31, channels=(6, 8), gru_size=10, places=700, dimension=12)
NETWORKS = {
    "ecapa": (Ecapa, ECAPA, "kaldi"),
    "resnet": (ResNet, ResNetSettings(num_bands=16, channels=4, blocks=(1, 1, 2, 1), dimension=12), "kaldi"),
    "rawnet2": (RawNet2, RAWNET2, "wave"),
    "joined": (Joined, JoinedSettings(ecapa=ECAPA, rawnet2=RAWNET2), "wave"),
    "wav2vec2": (SpeakerEncoder, SpeakerEncoderSettings(network=WAV2VEC2, layer=1), "wave"),
}
EACH = pytest.mark.parametrize("which", sorted(NETWORKS))


def heard(which, num):
    """(num, T, M) features, or (num, N) samples."""
    _, settings, features = NETWORKS[which]
    return torch.randn(num, 1600) if features == "wave" else torch.randn(num, 40, settings.num_bands)


def made(which):
    torch.manual_seed(0)
    new, settings, _ = NETWORKS[which]
    network = new(settings)
    network(heard(which, 2))  # moves the running means
    return network


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path / "kept", made("ecapa"), features="speechbrain")
    return tmp_path / "kept"


@EACH
def test_what_was_kept_comes_back(which, tmp_path):
    network = made(which)
    features = NETWORKS[which][2]
    checkpoint.save(tmp_path / "a" / "b", network, features=features, min_same_person=0.5, min_one_person=0.25)
    loaded = checkpoint.load(tmp_path / "a" / "b")
    assert loaded.network.settings == network.settings
    assert not loaded.network.training
    assert (loaded.description.architecture, loaded.description.features) == (which, features)
    assert loaded.description.dimension == (24 if which == "joined" else 12)
    assert (loaded.description.min_same_person, loaded.description.min_one_person) == (0.5, 0.25)
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[key], tensor)
    given = heard(which, 1)
    network.eval().requires_grad_(False)  # a GRU whose weights are learnt rounds otherwise
    assert torch.equal(loaded.network(given), network(given))


def test_a_checkpoint_of_before_there_were_waves_loads(tmp_path):
    # As it was written then, whole: a name that has since changed its meaning, or a key more, would show.
    network = made("ecapa")
    checkpoint.save(tmp_path / "kept", network, features="speechbrain")
    written = json.loads((tmp_path / "kept" / "model.json").read_text())
    assert {key: value for key, value in written.items() if key != "weights_sha256"} == {
        "format": 1,
        "architecture": "ecapa",
        "settings": {
            "num_bands": 80, "channels": 32, "pooled_channels": 48, "kernel_sizes": [5, 3, 3, 3, 1],
            "dilations": [1, 2, 3, 4, 1], "attention_channels": 8, "scale": 8, "se_channels": 8, "dimension": 12,
        },
        "features": "speechbrain",
        "sample_rate_hz": 16_000,
        "dimension": 12,
        "min_same_person": None,
        "min_one_person": None,
    }  # fmt: skip
    del written["min_same_person"], written["min_one_person"]
    (tmp_path / "kept" / "model.json").write_text(json.dumps(written))
    assert checkpoint.load(tmp_path / "kept").network.settings == network.settings


@pytest.mark.parametrize(
    ("which", "features", "says"),
    [
        ("rawnet2", "kaldi", "rawnet2 on features 'kaldi'; expected wave"),
        ("joined", "speechbrain", "joined on features 'speechbrain'; expected wave"),
        ("ecapa", "wave", "ecapa on features 'wave'; expected kaldi, speechbrain, log-mel, mfcc"),
    ],
)
def test_a_network_that_hears_waves_is_given_them_and_no_other_is(which, features, says, tmp_path):
    with pytest.raises(ExtractorError, match=f": {says}$"):
        checkpoint.save(tmp_path / "bad", made(which), features=features)
    assert not list(tmp_path.iterdir())
    checkpoint.save(tmp_path / "kept", made(which), features=NETWORKS[which][2])
    description = json.loads((tmp_path / "kept" / "model.json").read_text())
    (tmp_path / "kept" / "model.json").write_text(json.dumps(description | {"features": features}))
    with pytest.raises(ExtractorError, match=rf"model\.json: {says}$"):
        checkpoint.load(tmp_path / "kept")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ecapa": {"depth": 3}}, "settings.ecapa.depth: Unexpected"),
        ({"rawnet2": {"filter_size": 30}}, "settings.rawnet2: Value error, filter_size 30 must be odd"),
        ({"rawnet2": {"dimension": 13}}, "dimension 24; expected that of the settings, 205"),
    ],
)
def test_bad_settings_of_a_part_are_told_in_one_line(change, says, tmp_path):
    checkpoint.save(tmp_path / "kept", made("joined"), features="wave")
    description = json.loads((tmp_path / "kept" / "model.json").read_text())
    change = {"ecapa": {"dimension": 192}} | change
    (tmp_path / "kept" / "model.json").write_text(json.dumps(description | {"settings": change}))
    with pytest.raises(ExtractorError) as raised:
        checkpoint.load(tmp_path / "kept")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


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
            "architecture: Input should be 'ecapa', 'resnet', 'half-resnet', 'mfcc-resnet', 'x-vector', 'rawnet2', "
            "'joined' or 'wav2vec2'",
        ),
        ("features", "plp", "features: Input should be 'kaldi', 'speechbrain', 'log-mel', 'mfcc' or 'wave'"),
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
