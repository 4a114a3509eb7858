"""Subjects that hold a network: our checkpoints and runs, SpeechBrain's folders, ONNX, folders of `transformers`."""

import json
import logging
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from curate.hearing import Checkpoint, Onnx, SpeechBrain, Transformers
from models import checkpoint
from models.common.ecapa import Ecapa, EcapaSettings
from models.extractors.checkpoint import CheckpointEncoder
from models.extractors.onnx import FilterBankNetwork
from models.extractors.speechbrain import SpeechBrainEncoder
from models.extractors.speechbrain_modules import _forget_old_names
from models.extractors.transformers import MeanOfLayer
from models.training import checkpoints
from models.training.run import ENCODER
from models.training.run_folder import RunFolder
from models.training.systems import recipe_of
from models.training.trained import load_run, people_of
from tests.fuzz.subjects import Subject, anew, of_folder
from tests.models.conftest import ECAPA, RESNET, TINY_WAV2VEC2, XVECTOR
from tests.models.recipes_made import TINY, system_of

HEARD = (0.1 * np.random.default_rng(0).normal(size=4_000)).astype(np.float32)


def our_checkpoints(folder: Path) -> list[Subject]:
    """A network as training keeps it."""
    torch.manual_seed(0)
    sizes = EcapaSettings(
        num_bands=16, channels=16, scale=2, pooled_channels=24, attention_channels=8, se_channels=8, dimension=12
    )
    root = anew(folder / "kept") / "ecapa"
    checkpoint.save(root, Ecapa(sizes), features="speechbrain")

    def read(path: Path) -> None:
        CheckpointEncoder(Checkpoint(extractor="checkpoint", source=str(root), device="cpu")).embed([HEARD])

    return [of_folder("our checkpoint", root, read)]


def runs(folder: Path) -> list[Subject]:
    """A run as `curate train` leaves it, as `curate test` and a run that goes on read it."""
    root = anew(folder / "runs") / "one"
    recipe = recipe_of("vietsv-amp-arc-0.2")
    recipe = recipe_of("vietsv-amp-arc-0.2", [f"settings.network={_toml(TINY[recipe.system]['network'])}"])
    system = system_of(recipe, 3)
    optimizer = recipe.optimizer.made(system)
    told = {"recipe": recipe.plain(), "speech": {"people": 3, "utterances": 9}, "versions": {}}
    run = RunFolder(root)
    run.begin(told)
    kept = checkpoints.Checkpoint(
        system=dict(system.state_dict()), optimizer=optimizer.state_dict(), state={"best": None}, epoch=1, step=2
    )
    place = checkpoints.save(run.checkpoints, kept)
    run.keep_best_and(place, is_best=True)
    run.close()
    (root / "people.txt").write_text("toy/an\ntoy/bình\ntoy/chi\n", encoding="utf-8")
    (root / "steps.csv").write_text("epoch,step,loss,lr\n1,1,3.5,0.001\n1,2,3.4,0.001\n", encoding="utf-8")
    (root / ENCODER).mkdir()

    def read(path: Path) -> None:
        load_run(root)
        people_of(root)
        checkpoints.load(place)
        again = RunFolder(root)
        try:
            again.begin(told)
            again.forget_after(1, 2)
        finally:
            again.close()

    return [of_folder("run", root, read)]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def speechbrain_folders(folder: Path) -> list[Subject]:
    """Three kinds of networks as they are published, read as data and made."""
    from hyperpyyaml import load_hyperpyyaml

    found = []
    for kind, text in {"ecapa": ECAPA, "xvector": XVECTOR, "resnet": RESNET}.items():
        root = anew(folder / "speechbrain" / kind)
        (root / "hyperparams.yaml").write_text(text, encoding="utf-8")
        torch.manual_seed(0)
        made = load_hyperpyyaml(text)
        torch.save(made["embedding_model"].state_dict(), root / "embedding_model.ckpt")
        _forget_old_names()
        found.append(of_folder(f"SpeechBrain's {kind}", root, _speechbrain_reader(root)))
    return found


def _speechbrain_reader(root: Path):
    def read(path: Path) -> None:
        SpeechBrainEncoder(SpeechBrain(extractor="speechbrain", source=str(root), device="cpu")).embed([HEARD])

    return read


def onnx_files(folder: Path) -> list[Subject]:
    """A network of two layers, as WeSpeaker lays it out."""
    root = anew(folder / "onnx")
    filters = np.random.default_rng(0).normal(size=(4, 80, 5)).astype(np.float32) / 20
    nodes = [
        helper.make_node("Transpose", ["feats"], ["mel_BMT"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["mel_BMT", "filters"], ["seen"]),
        helper.make_node("Relu", ["seen"], ["rectified"]),
        helper.make_node("ReduceMean", ["rectified"], ["embs"], axes=[2], keepdims=0),
    ]
    given = helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["B", "T", 80])
    wanted = helper.make_tensor_value_info("embs", TensorProto.FLOAT, ["B", 4])
    graph = helper.make_graph(nodes, "network", [given], [wanted], [numpy_helper.from_array(filters, "filters")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    helper.set_model_props(model, {"framework": "wespeaker", "sample_rate": "16000", "normalize_samples": "0"})
    onnx.save(model, root / "network.onnx")

    def read(path: Path) -> None:
        FilterBankNetwork(Onnx(extractor="onnx", source=str(path), device="cpu")).embed([HEARD])

    return [of_folder("ONNX", root, read)]


def transformers_folders(folder: Path) -> list[Subject]:
    """A tiny wav2vec 2.0, its weights in safetensors and in the older pickle."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

        torch.manual_seed(0)
        network = AutoModel.from_config(AutoConfig.for_model("wav2vec2", **TINY_WAV2VEC2 | {"num_hidden_layers": 1}))
        safe, pickled = anew(folder / "transformers" / "safe"), folder / "transformers" / "pickled"
        network.save_pretrained(safe)
        Wav2Vec2FeatureExtractor().save_pretrained(safe)
        shutil.copytree(safe, anew(pickled), dirs_exist_ok=True)
        (pickled / "model.safetensors").unlink()
        torch.save(network.state_dict(), pickled / "pytorch_model.bin")

    def reader(root: Path):
        def read(path: Path) -> None:
            MeanOfLayer(Transformers(extractor="transformers", source=str(root), layer=1, device="cpu")).embed([HEARD])

        return read

    return [of_folder(f"transformers, {root.name}", root, reader(root)) for root in (safe, pickled)]
