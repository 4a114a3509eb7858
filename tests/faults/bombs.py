"""Files that would be run, or would break what reads them: one line, and nothing runs."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.account import Tried
from tests.faults.commands import told_badly
from tests.faults.watched import opened_below
from tests.forked import Forks

DEEP = "[" * 100_000


class Payload:
    """What a pickle of it does when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def tried(folder: Path, forks: Forks) -> Iterator[Tried]:
    """Each file, read as what it says that it is."""
    folder.mkdir()
    for name in FILES:
        yield sprung(folder / name.replace(" ", "-"), forks, name)


def sprung(home: Path, forks: Forks, name: str) -> Tried:
    """A trap, made and read by a process of its own; `ran` is the file that it makes where it is run."""
    (home / "victim").mkdir(parents=True)
    (home / "victim" / "secret").write_bytes(b"\0\0\x80?" * 64)
    (home / "data").mkdir()
    with opened_below(home / "victim") as opened:
        done = forks.run(read, name, home / "data", argv=("curate", "read", name))
    ran = ("the file was run",) if (home / "data" / "ran").exists() else ()
    return Tried(
        suite="hostile",
        during="reading",
        fault="a file that is a trap",
        point=name,
        lost=(*ran, *dict.fromkeys(opened)),
        untold=told_badly(done, refused=True),
    )


def read(name: str, home: Path) -> None:
    """Write the file and read it; ends as the command line does."""
    from curate.errors import VoxcurateError
    from flows import cli

    try:
        FILES[name](home)
    except VoxcurateError as error:
        cli.refuse(str(error))


def a_deep_pipeline(home: Path) -> None:
    from curate.config import load_pipeline

    (home / "p.toml").write_text(f"name = {DEEP}", encoding="utf-8")
    load_pipeline(home / "p.toml")


def a_deep_protocol(home: Path) -> None:
    from benchmarks.protocol import load_protocol

    (home / "p.toml").write_text(f"name = {DEEP}", encoding="utf-8")
    load_protocol(str(home / "p.toml"))


def a_deep_recipe(home: Path) -> None:
    from models.training.systems import recipe_of

    (home / "r.toml").write_text(f"base = {DEEP}", encoding="utf-8")
    recipe_of(str(home / "r.toml"), [])


def a_deep_setting(home: Path) -> None:
    from models.training.systems import recipe_of, recipes

    recipe_of(next(iter(recipes())), [f"epochs={DEEP}"])


def a_deep_run(home: Path) -> None:
    from models.training.trained import description_of

    (home / "run.json").write_text(DEEP, encoding="utf-8")
    description_of(home)


def a_deep_description_of_a_checkpoint(home: Path) -> None:
    from models import checkpoint

    (home / "model.json").write_text(DEEP, encoding="utf-8")
    checkpoint.load(home)


def a_deep_state_of_training(home: Path) -> None:
    from models.training import checkpoints

    (home / checkpoints.STATE).write_text(DEEP, encoding="utf-8")
    checkpoints.load(home)


def a_deep_manifest_of_what_is_published(home: Path) -> None:
    from curate.export import manifest

    (home / manifest.MANIFEST).write_text(DEEP, encoding="utf-8")
    manifest.read(home)


def a_deep_line_of_a_manifest(home: Path) -> None:
    _rows(home, "manifest", "m.jsonl", DEEP + "\n", 'manifest = "m.jsonl"')


def a_deep_line_of_nemo(home: Path) -> None:
    _rows(home, "nemo", "m.json", DEEP + "\n", 'manifest = "m.json"')


def _rows(home: Path, reader: str, file: str, text: str, keys: str) -> None:
    from curate.config import load_pipeline
    from curate.corpora import READERS

    (home / file).write_text(text, encoding="utf-8")
    said = f'name = "p"\ncatalog = "c"\n[[corpora]]\nname = "toy"\nreader = "{reader}"\nroot = "."\n{keys}\n'
    (home / "p.toml").write_text(said, encoding="utf-8")
    corpus = load_pipeline(home / "p.toml").corpora[0]
    list(READERS[reader].rows(home, corpus))


def a_pickle_as_weights(home: Path) -> None:
    from safetensors.torch import save_file

    from models.training import checkpoints

    (home / checkpoints.STATE).write_text(json.dumps({"optimizer": {}, "state": {}}), encoding="utf-8")
    (home / checkpoints.SYSTEM).write_bytes(pickle.dumps(Payload(home / "ran")))
    save_file({}, home / checkpoints.OPTIMIZER)
    at = home.rename(home.with_name("000001-00000001"))
    try:
        checkpoints.load(at)
    finally:
        at.rename(home)


def a_pickle_as_an_array(home: Path) -> None:
    import numpy as np
    import soundfile

    from models.data.pcm_cache import FIRST, MappedReader, write
    from tests.models.data.speech_made import speech_of

    soundfile.write(home / "one.wav", np.zeros(800), 16_000)
    speech = speech_of(home / "one.wav")
    place = write(speech, home / "cache")
    np.save(place / FIRST, np.array([Payload(home / "ran")], dtype=object), allow_pickle=True)
    MappedReader(speech, home / "cache")


def a_pickle_as_a_published_network(home: Path) -> None:
    from models.angular_prototypical import key_map

    (home / "network.model").write_bytes(pickle.dumps(Payload(home / "ran")))
    key_map.read_voxceleb_trainer(home / "network.model")


def a_network_whose_weights_are_elsewhere(home: Path) -> None:
    _network(home, "../victim/secret")


def a_network_whose_weights_have_a_root(home: Path) -> None:
    _network(home, str(home.parent / "victim" / "secret"))


def a_network_whose_weights_are_a_link(home: Path) -> None:
    (home / "weights.data").symlink_to(home.parent / "victim" / "secret")
    _network(home, "weights.data")


def _network(home: Path, place: str) -> None:
    """A network in ONNX that adds 64 numbers, which lie in another file."""
    from onnx import TensorProto, helper

    from models.extractors.onnx import _session

    numbers = helper.make_tensor("numbers", TensorProto.FLOAT, [64], [0.0] * 64)
    numbers.ClearField("float_data")
    numbers.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "256")):
        numbers.external_data.add(key=key, value=value)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [64]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "numbers"], ["y"])], "g", ports[:1], ports[1:], [numbers])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (home / "n.onnx").write_bytes(model.SerializeToString())
    _session(home / "n.onnx", ("CPUExecutionProvider", {}))


FILES: dict[str, Callable[[Path], None]] = {
    one.__name__.replace("_", " "): one
    for one in (
        *(a_deep_pipeline, a_deep_protocol, a_deep_recipe, a_deep_setting, a_deep_run, a_deep_state_of_training),
        *(a_deep_description_of_a_checkpoint, a_deep_manifest_of_what_is_published, a_deep_line_of_a_manifest),
        *(a_deep_line_of_nemo, a_pickle_as_weights, a_pickle_as_an_array, a_pickle_as_a_published_network),
        *(a_network_whose_weights_are_elsewhere, a_network_whose_weights_have_a_root),
        *(a_network_whose_weights_are_a_link,),
    )
}
