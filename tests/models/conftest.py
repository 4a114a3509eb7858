"""Small encoders with random weights, in the layouts that their makers publish; each is made once."""

import shutil
import socket
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from curate import audio
from models import checkpoint
from models.checkpoint import FEATURES
from models.common.ecapa import Ecapa, EcapaSettings
from models.common.resnet import ResNet, ResNetSettings

SPEECH = (
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a02Tb.wav",
    "fsdd/recordings/4_lucas_2.wav",
    "fsdd/recordings/5_yweweler_5.wav",
    "emodb/wav/03a01Fa.wav",
)
OLD_NAMES = "DeprecatedModuleRedirect"

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
TINY_WAV2VEC2 = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "initializer_range": 0.2,  # so that the layers do something
}
CHECKPOINTS = {
    "ecapa": (
        Ecapa, EcapaSettings(channels=64, pooled_channels=96, attention_channels=16, se_channels=16), "speechbrain",
    ),
    "resnet": (ResNet, ResNetSettings(num_bands=40, channels=8, blocks=(1, 1, 1, 1), dimension=64), "kaldi"),
}  # fmt: skip


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


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A cache of Hugging Face, at first empty."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def speech(corpora):
    """At 16 kHz, of unlike lengths from 0.3 s to 6 s, one of them twice."""
    return [audio.decode(corpora / file, sample_rate_hz=16_000) for file in SPEECH]


@pytest.fixture(scope="session")
def library():
    """SpeechBrain itself, without its old names of modules: hypothesis looks at each, and they warn of that."""
    import ruamel.yaml
    from hyperpyyaml import load_hyperpyyaml
    from speechbrain.inference.classifiers import EncoderClassifier
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization
    from speechbrain.utils.checkpoints import Checkpointer

    for name in [name for name, module in sys.modules.items() if type(module).__name__ == OLD_NAMES]:
        del sys.modules[name]
    if not hasattr(ruamel.yaml.Loader, "max_depth"):  # which ruamel.yaml 0.19 asks for and HyperPyYAML does not set
        ruamel.yaml.Loader.max_depth = None
    taken = (load_hyperpyyaml, EncoderClassifier, Checkpointer, Fbank, InputNormalization, ECAPA_TDNN)
    return SimpleNamespace(**{one.__name__: one for one in taken})


@pytest.fixture(scope="session")
def save_speechbrain(library):
    """Fills a folder as one is published: weights by chance, saved by SpeechBrain's checkpointer, and its settings."""

    def save(folder, hyperparams, seed=0):
        torch.manual_seed(seed)
        made = library.load_hyperpyyaml(hyperparams)
        loadables = made["pretrainer"].loadables
        loadables["label_encoder"].update_from_iterable("abcdefg")
        for module in (one for one in loadables.values() if isinstance(one, torch.nn.Module)):
            for layer in (one for one in module.modules() if hasattr(one, "running_var")):  # else they change nothing
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

    return save


@pytest.fixture(scope="session")
def speechbrain_folders(save_speechbrain, tmp_path_factory):
    """An ECAPA-TDNN, an x-vector and a ResNet of SpeechBrain."""
    texts = {"ecapa": ECAPA, "xvector": XVECTOR, "resnet": RESNET}
    return {kind: save_speechbrain(tmp_path_factory.mktemp(kind), text) for kind, text in texts.items()}


@pytest.fixture
def ecapa_folder(speechbrain_folders, tmp_path):
    """The ECAPA-TDNN, to be changed."""
    return shutil.copytree(speechbrain_folders["ecapa"], tmp_path / "ecapa")


@pytest.fixture(scope="session")
def encode_batch(library, tmp_path_factory):
    """Vectors of SpeechBrain's own method of that name, of one waveform after another."""

    def encode_batch(folder, waveforms):
        theirs = library.EncoderClassifier.from_hparams(
            str(folder),
            savedir=tmp_path_factory.mktemp("theirs"),
            overrides={"pretrained_path": str(folder)},
            run_opts={"device": "cpu"},
        )
        return np.concatenate([theirs.encode_batch(torch.from_numpy(one)).flatten(1).numpy() for one in waveforms])

    return encode_batch


@pytest.fixture(scope="session")
def save_wav2vec2():
    """Fills a folder in the layout of the hub; `form` are settings of the network, the others of its features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoConfig, AutoModel, AutoModelForCTC, Wav2Vec2FeatureExtractor

    def save(folder, kind="wav2vec2", form=None, *, seed=0, with_head=False, **features):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries below
            config = AutoConfig.for_model(kind, **TINY_WAV2VEC2, **(form or {}))
            (AutoModelForCTC if with_head else AutoModel).from_config(config).save_pretrained(folder)
            Wav2Vec2FeatureExtractor(**features).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def wav2vec2_folder(save_wav2vec2, tmp_path_factory):
    """A network of `transformers` with four layers."""
    return save_wav2vec2(tmp_path_factory.mktemp("wav2vec2-base"))


@pytest.fixture(scope="session")
def save_checkpoint():
    """Keeps one of our own networks, which has heard a little: its normalisations are not those of the start."""

    def save(folder, which, seed=0):
        new, settings, features = CHECKPOINTS[which]
        torch.manual_seed(seed)
        network = new(settings)
        heard = (0.1 * np.random.default_rng(0).normal(size=(3, 4, 4_000))).astype(np.float32)
        for waveforms in torch.from_numpy(heard):
            network(FEATURES[features](settings.num_bands)(waveforms)[0])
        checkpoint.save(folder, network, features=features, min_same_person=0.7, min_one_person=0.5)
        return folder

    return save


@pytest.fixture(scope="session")
def save_onnx():
    """Writes a network as WeSpeaker does: a convolution over five frames, rectified, and the mean over time."""

    def save(file, seed=0):
        filters = np.random.default_rng(seed).normal(size=(16, 80, 5)).astype(np.float32) / 20
        nodes = [
            helper.make_node("Transpose", ["feats"], ["mel_BMT"], perm=[0, 2, 1]),
            helper.make_node("Conv", ["mel_BMT", "filters"], ["seen"]),
            helper.make_node("Relu", ["seen"], ["rectified"]),
            helper.make_node("ReduceMean", ["rectified"], ["embs"], axes=[2], keepdims=0),
        ]
        given = helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["B", "T", 80])
        wanted = helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["B", 16])
        graph = helper.make_graph(nodes, "network", [given], [wanted], [numpy_helper.from_array(filters, "filters")])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), file)
        return file

    return save
