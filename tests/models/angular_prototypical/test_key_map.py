"""What loading voxceleb_trainer's weights promises: its vectors, a report of every name, one line for anything else."""

import re

import pytest
import torch
import torchaudio
from torch.nn import functional

from curate.errors import ExtractorError
from models.angular_prototypical.key_map import h_asp_from_voxceleb_trainer, read_voxceleb_trainer
from models.angular_prototypical.model import HalfResNet, HalfResNetSettings
from models.common.features import batch
from models.common.log_mel import LogMel
from tests.models.angular_prototypical.test_model import SMALL, published_shapes, written_out
from tests.models.common.test_networks import cosine, shaken
from tests.models.made import noise


def features(num_bands):
    """Buffers as its two layers of torchaudio keep them."""
    bands = torchaudio.functional.melscale_fbanks(257, 0.0, 8000.0, num_bands, 16_000)
    return {
        "__S__.torchfb.0.flipped_filter": torch.tensor([[[-0.97, 1.0]]]),
        "__S__.torchfb.1.spectrogram.window": torch.hamming_window(400),
        "__S__.torchfb.1.mel_scale.fb": bands,
    }


def published(seed=0):
    """A state dict in the published layout, of random tensors."""
    rng = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in published_shapes().items():
        size = torch.Size(shape)
        if name.endswith("num_batches_tracked"):
            tensor = torch.tensor(7)
        elif name.endswith("running_var"):
            tensor = 0.5 + torch.rand(size, generator=rng)
        elif name.endswith("weight") and len(shape) > 1:
            tensor = torch.randn(size, generator=rng) * (2 / size[1:].numel()) ** 0.5
        else:
            tensor = 0.5 + 0.2 * torch.randn(size, generator=rng)
        state[f"__S__.{name}"] = tensor
    return state | features(64)


def small(**loss):
    """The same layout with the sizes of tests."""
    network = shaken(HalfResNet(SMALL), 1)
    state = {f"__S__.{key}": tensor for key, tensor in network.state_dict().items()}
    return state | features(16) | {f"__L__.{key}": tensor for key, tensor in loss.items()}


def vector_by_its_own_layers(state, waveform):
    """(512,) from samples on: torchaudio, InstanceNorm1d, then the network written out."""
    state = {key.removeprefix("__S__."): tensor for key, tensor in state.items()}
    wave = functional.pad(torch.from_numpy(waveform)[None, None], (1, 0), mode="reflect")
    emphasised = functional.conv1d(wave, state["torchfb.0.flipped_filter"])[0]
    window = state["torchfb.1.spectrogram.window"]
    spectrum = torch.stft(emphasised, 512, 160, 400, window, pad_mode="reflect", return_complex=True)
    bands = (torch.einsum("bft,fm->bmt", spectrum.abs() ** 2, state["torchfb.1.mel_scale.fb"]) + 1e-6).log()
    return written_out(state, functional.instance_norm(bands)[0], (3, 4, 6, 3))


def test_the_published_layout_loads_whole_and_gives_its_vectors_from_samples_on():
    state = published()
    loaded = h_asp_from_voxceleb_trainer(state | {"__L__.w": torch.tensor(12.5), "__L__.b": torch.tensor(-3.0)})
    assert loaded.network.settings == HalfResNetSettings()
    assert (loaded.scale, loaded.bias) == (12.5, -3.0)
    assert set(loaded.report.matched) == {*state, "__L__.w", "__L__.b"}
    assert loaded.report.left == loaded.report.missing == ()
    network = loaded.network.eval().requires_grad_(False)
    waveform = noise(0, 31_840)
    bands, _ = LogMel()(*batch([waveform]))
    expected = vector_by_its_own_layers(state, waveform)
    found = network(bands)[0]
    assert bands.shape == (1, 200, 64)
    assert cosine(found, expected) >= 0.99999
    torch.testing.assert_close(found, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {"model_state_dict": state, "epoch": 3},
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {"model": {key.removeprefix("__S__."): tensor for key, tensor in state.items()}},
    ],
)
def test_every_kind_of_file_loads(wrap, tmp_path):
    state = small()
    torch.save(wrap(state), tmp_path / "baseline.model")
    loaded = read_voxceleb_trainer(tmp_path / "baseline.model")
    assert loaded.network.settings == SMALL
    assert loaded.network.training
    for key, tensor in loaded.network.state_dict().items():
        torch.testing.assert_close(tensor, state[f"__S__.{key}"])
    assert (loaded.scale, loaded.bias) == (None, None)
    assert loaded.report.missing == ("__L__.w", "__L__.b")


def test_the_report_tells_what_was_left_and_what_is_missing():
    softmax = {"softmax.fc.weight": torch.ones(5, 24), "softmax.fc.bias": torch.ones(5)}
    state = small(**softmax, **{"angleproto.w": torch.tensor([9.0])})
    del state["__S__.torchfb.1.mel_scale.fb"]
    loaded = h_asp_from_voxceleb_trainer(state)
    assert (loaded.scale, loaded.bias) == (9.0, None)
    assert loaded.report.left == ("__L__.softmax.fc.weight", "__L__.softmax.fc.bias")
    assert loaded.report.missing == ("__S__.torchfb.1.mel_scale.fb", "__L__.b")
    assert set(loaded.report.matched) == state.keys() - set(loaded.report.left)
    assert str(loaded.report) == (
        f"{len(state) - 2} matched; left: __L__.softmax.fc.weight, __L__.softmax.fc.bias; "
        "missing: __S__.torchfb.1.mel_scale.fb, __L__.b"
    )


def without(key):
    return lambda state: {name: tensor for name, tensor in state.items() if name != key}


def changed(**tensors):
    return lambda state: state | {f"__S__.{key.replace('__', '.')}": tensor for key, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("__S__.conv1.weight"), "conv1.weight is missing"),
        (without("__S__.layer2.1.se.fc.2.bias"), "layer2.1.se.fc.2.bias is missing"),
        (changed(layer2__5__bn1__weight=torch.ones(16)), "layer2.2.conv1.weight is missing and 16 more do not fit"),
        (changed(instancenorm__weight=torch.ones(16)), "instancenorm.weight is too many"),
        (changed(fc__weight=torch.ones(24, 128)), "fc.weight is (24, 128) and not (24, 256)"),  # SAP has no deviations
        (changed(conv1__weight=torch.tensor(1.0)), "sizes of another network"),
        (changed(torchfb__0__flipped_filter=torch.tensor([[[-0.95, 1.0]]])), "flipped_filter is of other features"),
        (lambda state: state | {"__S__.torchfb.1.mel_scale.fb": features(24)["__S__.torchfb.1.mel_scale.fb"]},
         "torchfb.1.mel_scale.fb is of other features"),
        (changed(torchfb__2__window=torch.ones(3)), "torchfb.2.window is of other features"),
        (lambda state: state | {"__L__.w": torch.ones(2)}, "__L__.w is (2,) and not one number"),
        (lambda state: state | {"epoch": 3}, "epoch is no tensor"),
        (lambda state: {}, "holds no weights by name"),
        (lambda state: [1, 2], "holds no weights by name"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(spoil, says):
    with pytest.raises(ExtractorError, match=rf"^weights: .*{re.escape(says)}[^\n]*; expected [^\n]+$"):
        h_asp_from_voxceleb_trainer(spoil(small()))


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_are_no_weights_are_refused_and_not_run(tmp_path, capsys):
    path = tmp_path / "a.model"
    with pytest.raises(ExtractorError, match=r"a\.model: is no file"):
        read_voxceleb_trainer(path)
    torch.save({"__S__.conv1.weight": Harmful()}, path)
    with pytest.raises(ExtractorError, match=r"a\.model: damaged, or holds more than weights and was not run"):
        read_voxceleb_trainer(path)
    assert capsys.readouterr().out == ""
    path.write_bytes(b"no pickle")
    with pytest.raises(ExtractorError, match=r"^[^\n]+a\.model: damaged[^\n]+$"):
        read_voxceleb_trainer(path)
