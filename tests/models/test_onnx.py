"""What the ONNX encoder promises: the features that each project trains on, whatever else is in the batch.

The networks are made here, in the layouts that WeSpeaker, 3D-Speaker and the tools of sherpa-onnx write.
"""

import importlib.metadata
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torchaudio.compliance import kaldi

from curate import audio
from curate.errors import ExtractorError
from curate.hearing import Onnx
from models.extractors import onnx as extractor
from models.extractors.onnx import FilterBankNetwork, whole_frames
from tests.models.made import noise

FILES = (
    "LibriSpeech/test-other/1688/142285/1688-142285-0000.flac",
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a02Tb.wav",
    "fsdd/recordings/4_lucas_2.wav",
    "fsdd/recordings/5_yweweler_5.wav",
)
BANDS, DIMENSION, CONTEXT = 80, 16, 5
WESPEAKER = ("feats", "embs")
THREE_D_SPEAKER = ("feature", "embedding")


def convolution(bands=BANDS):
    """(D, M, 5): a filter over five frames for each number of the vector."""
    return np.random.default_rng(1).normal(size=(DIMENSION, bands, CONTEXT)).astype(np.float32) / 20


def network(path, ports=WESPEAKER, *, metadata=None, batch="B", batch_out="B", bands=BANDS):
    """A convolution over five frames, rectified, and the mean over time. It refuses what is shorter."""
    given, wanted = ports
    nodes = [
        helper.make_node("Transpose", [given], ["mel_BMT"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["mel_BMT", "filters"], ["seen"]),
        helper.make_node("Relu", ["seen"], ["rectified"]),
        helper.make_node("ReduceMean", ["rectified"], [wanted], axes=[2], keepdims=0),
    ]
    filters = numpy_helper.from_array(convolution(BANDS if bands is None else bands), "filters")
    return save(path, nodes, [(given, [batch, "T", bands])], (wanted, [batch_out, DIMENSION]), [filters], metadata)


def save(path, nodes, inputs, output, weights=(), metadata=None, kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(output[0], kind, output[1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def heard(path, **settings):
    return FilterBankNetwork(Onnx(extractor="onnx", source=str(path), device="cpu", **settings))


def expected(mel):
    """What `network` makes of features, without ONNX Runtime: one sum of products for each place of the filter."""
    mel = np.asarray(mel, dtype=np.float64)
    places = np.stack([mel[k : len(mel) - CONTEXT + 1 + k] for k in range(CONTEXT)], axis=-1)
    seen = np.einsum("tmk,dmk->td", places, convolution(mel.shape[1]).astype(np.float64))
    return np.maximum(seen, 0).mean(axis=0)


def wespeaker_features(waveform):
    mel = kaldi.fbank(
        torch.from_numpy(waveform)[None] * 32768, num_mel_bins=80, window_type="hamming", dither=0.0, use_energy=False
    )
    return (mel - mel.mean(0)).numpy()


def three_d_speaker_features(waveform):
    mel = kaldi.fbank(torch.from_numpy(waveform)[None], num_mel_bins=80, sample_frequency=16000, dither=0)
    return (mel - mel.mean(0, keepdim=True)).numpy()


def plain_filter_bank(waveform, *, scale, window, sample_rate_hz=16000):
    """Kaldi's filter bank written out, in float64: the third route, with neither torch nor ONNX."""
    frame, hop, fft = sample_rate_hz // 40, sample_rate_hz // 100, 512
    starts = range(0, len(waveform) - frame + 1, hop)
    frames = np.stack([waveform[start : start + frame] for start in starts]).astype(np.float64) * scale
    frames -= frames.mean(axis=1, keepdims=True)
    frames -= 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft(frames * window, fft)) ** 2

    def mels(hz):
        return 1127 * np.log1p(np.asarray(hz) / 700)

    edges = np.linspace(mels(20), mels(sample_rate_hz / 2), 80 + 2)
    at = mels(np.arange(fft // 2 + 1) * sample_rate_hz / fft)
    up = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    bands = np.maximum(0, np.minimum(up, down))
    logs = np.log(np.maximum(power @ bands.T, np.finfo(np.float32).eps))
    return logs - logs.mean(axis=0)


def cosine(one, other):
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@pytest.fixture(scope="module")
def speech(corpora):
    return [audio.decode(corpora / file, sample_rate_hz=16_000) for file in FILES]


@pytest.mark.real
def test_a_network_of_wespeaker_hears_scaled_samples_through_a_hamming_window(tmp_path, speech):
    vectors = heard(network(tmp_path / "n.onnx")).embed(speech)
    for vector, waveform in zip(vectors, speech, strict=True):
        np.testing.assert_allclose(vector, expected(wespeaker_features(waveform)), rtol=1e-3, atol=1e-4)


@pytest.mark.real
def test_a_network_of_3d_speaker_hears_samples_up_to_one_through_a_povey_window(tmp_path, speech):
    vectors = heard(network(tmp_path / "n.onnx", THREE_D_SPEAKER)).embed(speech)
    for vector, waveform in zip(vectors, speech, strict=True):
        np.testing.assert_allclose(vector, expected(three_d_speaker_features(waveform)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("ports", "scale", "window"),
    [(WESPEAKER, 32768, np.hamming(400)), (THREE_D_SPEAKER, 1, np.hanning(400) ** 0.85)],
)
def test_the_features_are_those_of_a_filter_bank_written_out_by_hand(tmp_path, ports, scale, window):
    """Quiet enough for the floor of the logarithm to show which scale it is."""
    waveform = noise(0, 8_000, 1e-4)
    vector = heard(network(tmp_path / "n.onnx", ports)).embed([waveform])[0]
    wanted = plain_filter_bank(waveform, scale=scale, window=window)
    np.testing.assert_allclose(vector, expected(wanted), rtol=2e-3, atol=2e-3)
    other = plain_filter_bank(waveform, scale=32769 - scale, window=window)
    assert np.abs(vector - expected(other)).max() > 0.02


def test_the_two_kinds_of_features_differ_and_the_section_may_choose(tmp_path):
    file, waveform = network(tmp_path / "n.onnx", ("x", "y")), noise(0, 16_000)
    said = {kind: heard(file, features=kind).embed([waveform])[0] for kind in ("wespeaker", "3dspeaker")}
    assert np.abs(said["wespeaker"] - said["3dspeaker"]).max() > 1e-3
    np.testing.assert_allclose(said["wespeaker"], expected(wespeaker_features(waveform)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(said["3dspeaker"], expected(three_d_speaker_features(waveform)), rtol=1e-3, atol=1e-4)
    with pytest.raises(
        ExtractorError, match=r"n\.onnx: maps 'x' to 'y', .*features = \"wespeaker\" or .*\"3dspeaker\""
    ):
        heard(file)


@pytest.mark.parametrize(
    ("metadata", "like"),
    [
        ({"framework": "wespeaker", "normalize_samples": 0}, "wespeaker"),
        ({"framework": "wespeaker", "normalize_features": 0}, "wespeaker"),  # as an older tool spelt it
        (
            {"framework": "3d-speaker", "normalize_samples": 1, "feature_normalize_type": "global-mean"},
            "3dspeaker",
        ),
    ],
)
def test_the_metadata_of_sherpa_onnx_tell_the_features(tmp_path, metadata, like):
    metadata = {key: str(value) for key, value in metadata.items()} | {"sample_rate": "16000", "output_dim": "16"}
    told = heard(network(tmp_path / "told.onnx", ("x", "embedding"), metadata=metadata))
    said = heard(network(tmp_path / "said.onnx", ("x", "embedding")), features=like)
    np.testing.assert_array_equal(told.embed([noise(0, 9_000)]), said.embed([noise(0, 9_000)]))


def test_the_scale_of_samples_is_as_the_metadata_say(tmp_path):
    """A tenth of a percent of full scale: at scale one, bands sink below the floor of the logarithm."""
    says = {"framework": "wespeaker", "normalize_samples": "1"}
    waveform = noise(0, 8_000, 1e-4)
    vector = heard(network(tmp_path / "n.onnx", metadata=says)).embed([waveform])[0]
    wanted = expected(plain_filter_bank(waveform, scale=1, window=np.hamming(400)))
    np.testing.assert_allclose(vector, wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    "metadata", [{"framework": "nemo"}, {"framework": "wespeaker", "feature_normalize_type": "per_feature"}]
)
def test_features_that_we_do_not_make_are_refused_unless_they_are_chosen(tmp_path, metadata):
    file = network(tmp_path / "n.onnx", metadata=metadata)
    with pytest.raises(ExtractorError, match=f"framework '{metadata['framework']}'.*expected features = \"wespeaker\""):
        heard(file)
    assert heard(file, features="wespeaker").embed([noise(0, 8_000)]).shape == (1, DIMENSION)


def test_the_file_tells_sample_rate_bands_and_dimension(tmp_path):
    metadata = {"framework": "3d-speaker", "sample_rate": "8000"}
    narrow = heard(network(tmp_path / "n.onnx", ("x", "y"), metadata=metadata, bands=40))
    assert (narrow.sample_rate_hz, narrow.dimension) == (8_000, DIMENSION)
    waveform = noise(0, 8_000)
    mel = kaldi.fbank(torch.from_numpy(waveform)[None], num_mel_bins=40, sample_frequency=8000, dither=0)
    wanted = expected((mel - mel.mean(0)).numpy())
    np.testing.assert_allclose(narrow.embed([waveform])[0], wanted, rtol=1e-3, atol=1e-4)
    assert heard(network(tmp_path / "silent.onnx", bands=None)).sample_rate_hz == 16_000
    with pytest.raises(ExtractorError, match=r"sample_rate 'high' in its metadata; expected a number of Hz"):
        heard(network(tmp_path / "bad.onnx", metadata={"sample_rate": "high"}))


@pytest.mark.real
@pytest.mark.parametrize("batch_s", [0.0, 60.0])
def test_a_shuffled_batch_gives_the_vectors_that_one_by_one_gives(tmp_path, speech, batch_s):
    encoder = heard(network(tmp_path / "n.onnx"))
    assert encoder.batch_s == 0  # on the processor
    alone = np.concatenate([encoder.embed([waveform]) for waveform in speech])
    encoder.batch_s = batch_s
    waveforms = [*speech, *(waveform[: 16_000 + 80 * i] for i, waveform in enumerate(speech[:3]))]
    alone = np.concatenate([alone, *(encoder.embed([waveform]) for waveform in waveforms[len(speech) :])])
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(waveforms))
        together = encoder.embed([waveforms[i] for i in order])
        assert cosine(together, alone[order]).min() >= 0.99999


class OnCuda:
    """A session that says it is on a GPU."""

    def __init__(self, session):
        self.session = session

    def get_providers(self):
        return ["CUDAExecutionProvider"]

    def __getattr__(self, name):
        return getattr(self.session, name)


@pytest.mark.parametrize(
    ("batch", "batch_out", "sizes"),
    [("B", "B", [4, 1]), (1, 1, [1] * 5), (1, "B", [1] * 5), ("B", 1, [1] * 5), (None, None, [4, 1])],
)
def test_on_a_gpu_waveforms_of_as_many_frames_share_a_batch_unless_the_network_takes_one(
    tmp_path, monkeypatch, batch, batch_out, sizes
):
    session = extractor._session
    monkeypatch.setattr(extractor, "_session", lambda file, provider: OnCuda(session(file, provider)))
    encoder = heard(network(tmp_path / "n.onnx", batch=batch, batch_out=batch_out))
    ran, run = [], encoder._run
    monkeypatch.setattr(encoder, "_run", lambda features: ran.append(len(features)) or run(features))
    encoder.embed([*(noise(i, 16_000 + 10 * i) for i in range(4)), noise(9, 20_000)])
    assert ran == sizes


def test_threads_may_call_at_once(tmp_path):
    encoder = heard(network(tmp_path / "n.onnx"))
    waveforms = [noise(i, 8_000 + 160 * i) for i in range(16)]
    alone = encoder.embed(waveforms)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda waveform: encoder.embed([waveform])[0], waveforms))
    np.testing.assert_array_equal(together, alone)


def test_a_call_computes_on_the_thread_that_made_it(tmp_path):
    """With a pool of its own, the callers would share it, and it would take the cores that they are on."""
    options = heard(network(tmp_path / "n.onnx"))._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5_000), st.integers(1, 20), st.sampled_from([8_000, 16_000]))
def test_a_waveform_ends_with_its_last_whole_frame_or_is_repeated(num_samples, min_frames, sample_rate_hz):
    frame, hop = sample_rate_hz // 40, sample_rate_hz // 100
    waveform = np.arange(num_samples, dtype=np.float32)
    cut = whole_frames(waveform, sample_rate_hz, min_frames=min_frames)
    num_frames = (len(cut) - frame) // hop + 1
    assert len(cut) == frame + (num_frames - 1) * hop
    assert num_frames >= min_frames
    np.testing.assert_array_equal(cut, np.arange(len(cut)) % num_samples)
    if len(cut) <= num_samples:
        assert num_samples - len(cut) < hop


def test_what_is_too_short_for_the_network_is_repeated_up_to_what_it_takes(tmp_path):
    encoder = heard(network(tmp_path / "n.onnx"))
    assert encoder.min_frames == 8  # the power of two from five on
    short = noise(0, 700)
    needed = 400 + 7 * 160
    np.testing.assert_array_equal(encoder.embed([short]), encoder.embed([np.tile(short, 3)[:needed]]))
    assert np.isfinite(encoder.embed([noise(0, 1), np.zeros(1, np.float32), noise(0, 399)])).all()


def test_lengths_that_give_no_finite_vector_count_as_too_short(tmp_path):
    """The variance over time of WeSpeaker's pooling divides by one less than the frames: here, by T - 3."""
    nodes = [
        helper.make_node("ReduceMean", ["feats"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Shape", ["feats"], ["frames"], start=1, end=2),
        helper.make_node("Cast", ["frames"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["count", "three"], ["freedom"]),
        helper.make_node("Sqrt", ["freedom"], ["root"]),
        helper.make_node("Div", ["mean", "root"], ["embs"]),
    ]
    three = numpy_helper.from_array(np.array([3], np.float32), "three")
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "network",
            [helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["B", "T", 80])],
            [helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["B", 80])],
            [three],
        ),
        opset_imports=[helper.make_opsetid("", 15)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "n.onnx")
    assert heard(tmp_path / "n.onnx").min_frames == 4


def test_a_file_that_is_no_network_is_told_in_one_line(tmp_path):
    with pytest.raises(ExtractorError, match=r"gone\.onnx: no such file"):
        heard(tmp_path / "gone.onnx")
    whole = network(tmp_path / "n.onnx").read_bytes()
    for content in (b"", b"no network\n" * 50, whole[: len(whole) // 2]):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ExtractorError) as caught:
            heard(tmp_path / "bad.onnx")
        file = tmp_path / "bad.onnx"
        assert str(caught.value) == f"{file}: no ONNX, or not all of it; expected a network in ONNX"


def test_a_network_that_cannot_be_used_is_told_with_the_reason_why(tmp_path):
    save(tmp_path / "n.onnx", [helper.make_node("Foo", ["a"], ["b"])], [("a", [1])], ("b", [1]))
    with pytest.raises(ExtractorError, match=r"^\S*n\.onnx: expected a network in ONNX: [^\n]*Foo[^\n]*$"):
        heard(tmp_path / "n.onnx")


@pytest.mark.parametrize(
    "change",
    [{"frames": 200}, {"batch": 2}, {"kind": TensorProto.FLOAT16}],
)
def test_an_input_that_utterances_do_not_fit_is_told_in_one_line(tmp_path, change):
    nodes = [helper.make_node("ReduceMean", ["feats"], ["embs"], axes=[1], keepdims=0)]
    shape = [change.get("batch", "B"), change.get("frames", "T"), 80]
    kind = change.get("kind", TensorProto.FLOAT)
    save(tmp_path / "n.onnx", nodes, [("feats", shape)], ("embs", [shape[0], 80]), kind=kind)
    with pytest.raises(ExtractorError, match=r"n\.onnx: its input is feats .*; expected one of float32: [^\n]+$"):
        heard(tmp_path / "n.onnx")


def test_a_network_of_waveforms_or_of_two_inputs_is_told_in_one_line(tmp_path):
    waveforms = [helper.make_node("ReduceMean", ["wav"], ["embs"], axes=[1], keepdims=1)]
    save(tmp_path / "w.onnx", waveforms, [("wav", ["B", "S"])], ("embs", ["B", 1]))
    two = [
        helper.make_node("Add", ["feats", "more"], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], ["embs"], axes=[1], keepdims=0),
    ]
    save(tmp_path / "t.onnx", two, [("feats", ["B", "T", 80]), ("more", ["B", "T", 80])], ("embs", ["B", 80]))
    for name in ("w.onnx", "t.onnx"):
        with pytest.raises(ExtractorError, match=rf"{re.escape(name)}: its input is .*; expected one of float32"):
            heard(tmp_path / name)


def test_a_network_whose_output_is_no_vector_is_told_in_one_line(tmp_path):
    frames = [helper.make_node("Relu", ["feats"], ["embs"])]
    save(tmp_path / "f.onnx", frames, [("feats", ["B", "T", 80])], ("embs", ["B", "T", 80]))
    with pytest.raises(ExtractorError, match=r"f\.onnx: its output is 1x1x80; expected one vector an utterance"):
        heard(tmp_path / "f.onnx")
    nothing = [
        helper.make_node("ReduceMean", ["feats"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["embs"]),
    ]
    save(tmp_path / "nan.onnx", nothing, [("feats", ["B", "T", 80])], ("embs", ["B", 80]))
    with pytest.raises(ExtractorError, match=r"nan\.onnx: expected a network that embeds 512 frames of 80 bands"):
        heard(tmp_path / "nan.onnx")


def test_the_name_is_that_of_the_file_or_of_the_section(tmp_path):
    file = network(tmp_path / "voxceleb_CAM++.onnx")
    assert heard(file).name == "voxceleb_CAM"
    assert heard(file, name="cam").name == "cam"


def test_the_fingerprint_differs_with_weights_features_and_packages_and_with_nothing_else(tmp_path, monkeypatch):
    file = network(tmp_path / "n.onnx")
    before = heard(file).fingerprint
    assert re.fullmatch("onnx-[0-9a-f]{24}", before)
    assert heard(file, features="wespeaker", name="other").fingerprint == before  # what `auto` found
    assert heard(file, features="3dspeaker").fingerprint != before
    (tmp_path / "n.onnx.data").write_bytes(b"weights of a large network")
    with_data = heard(file).fingerprint
    assert with_data != before
    (tmp_path / "n.onnx.data").write_bytes(b"other weights")
    assert heard(file).fingerprint not in (before, with_data)
    (tmp_path / "n.onnx.data").unlink()
    version = importlib.metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: version(name) + "x" * (name == "torchaudio"))
        assert heard(file).fingerprint != before
    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime, "__version__", "1.0")
        assert heard(file).fingerprint != before
    assert heard(file).fingerprint == before
    network(file, metadata={"sample_rate": "16000"})
    assert heard(file).fingerprint != before


def test_a_gpu_is_used_where_there_is_one_and_this_onnxruntime_can(monkeypatch):
    monkeypatch.setattr(extractor, "device_of", lambda name: torch.device("cpu" if name == "cpu" else "cuda:1"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert extractor._provider("cpu")[0] == extractor._provider("auto")[0] == "CPUExecutionProvider"
    with pytest.raises(ExtractorError, match=r"device 'cuda:1': .*onnxruntime-gpu.*device = \"cpu\""):
        extractor._provider("cuda:1")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    for device in ("auto", "cuda:1"):
        provider, options = extractor._provider(device)
        assert (provider, options["device_id"]) == ("CUDAExecutionProvider", "1")


def test_a_gpu_that_does_not_start_is_told_instead_of_the_processor_taken(tmp_path):
    """ONNX Runtime would go on without it."""
    file = network(tmp_path / "n.onnx")
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ExtractorError, match="does not start"),
    ):
        extractor._session(file, ("CUDAExecutionProvider", {}))
