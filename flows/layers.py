"""What each layer of a network knows of voices, before training and after it (Vaessen and van Leeuwen 2023, figure 1).

Trials are scored by the cosine of the mean over time of a layer's output. Before training is the network as the run
began: its weights as the recipe's seed draws them, and those of `--from`, where they are still what they were.

<run>/tests/<benchmark>-<split>/layers.parquet       a row a list, network and layer: its EER
<run>/tests/<benchmark>-<split>/layers_<list>.svg    both networks, layer by layer
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import pictures
from benchmarks.evaluation import names_in, plain
from benchmarks.metrics import equal_error_rate
from benchmarks.scoring import cosine_scores
from curate.catalog import write_parquet
from curate.errors import ExtractorError, TrainingError
from curate.similarity import unit
from flows.listed import Listed
from models.data.crops import FileReader
from models.data.speech import Speech
from models.training.run import LONGEST_S
from models.training.system import System
from models.training.trained import load_beginning
from models.training.validation import Validation

BEFORE, AFTER = "before", "after"
SCHEMA = pa.schema(
    [
        pa.field("list", pa.string()),
        pa.field("training", pa.string()),  # before or after
        pa.field("layer", pa.int64()),  # 0: what enters the first
        pa.field("eer", pa.float64()),
        pa.field("num_target", pa.int64()),
        pa.field("num_nontarget", pa.int64()),
    ]
)
Rates = NDArray[np.float64]


class Layers(NamedTuple):
    """Rows of SCHEMA, what must be said beside them, and the files."""

    rows: pa.Table
    remarks: Sequence[str]
    files: Sequence[Path]


NONE = Layers(SCHEMA.empty_table(), (), ())


def measure(
    run: Path, trained: System, speech: Speech, chosen: Sequence[Listed], folder: Path, *, title: str
) -> Layers:
    """Of each list; nothing without one.

    `speech` holds the utterances of the lists, and others. Raises TrainingError where what a layer gives is not finite.
    """
    if not chosen:
        return NONE._replace(remarks=["layers: no list to score"])
    asked = {name for one in chosen for name in names_in(one.trials)}
    speech = speech.take(np.flatnonzero([name in asked for name in speech.utterance_ids.to_pylist()]))
    networks, remarks = {AFTER: trained}, []
    try:
        networks = {BEFORE: load_beginning(run).to(next(trained.parameters()).device), AFTER: trained}
    except (TrainingError, ExtractorError) as error:
        remarks.append(f"layers: after training alone: {error}")
    eers = {name: of_layers(system, speech, chosen) for name, system in networks.items()}
    rows, files = [], []
    for at, one in enumerate(chosen):
        num_target = int(one.is_target.sum())
        about = {"list": one.name, "num_target": num_target, "num_nontarget": len(one.is_target) - num_target}
        for name, of_lists in eers.items():
            found = enumerate(of_lists[at].tolist())
            rows += [about | {"training": name, "layer": layer, "eer": eer} for layer, eer in found]
        told = f"{title}, list {one.name}\n{num_target:,} targets, {about['num_nontarget']:,} nontargets"
        curves = {f"{name} training": of_lists[at] for name, of_lists in eers.items()}
        files.append(pictures.save(pictures.layers(curves, title=told), folder / f"layers_{plain(one.name)}.svg"))
    table = pa.Table.from_pylist(rows, SCHEMA)
    write_parquet(folder / "layers.parquet", table)
    return Layers(table, remarks, [folder / "layers.parquet", *files])


def of_layers(system: System, speech: Speech, chosen: Sequence[Listed]) -> list[Rates]:
    """Of each list the EER (L,) of every layer."""
    vectors = Validation(reader=FileReader(speech), longest_s=LONGEST_S).layer_vectors(system)  # (U, L, D)
    found = [np.empty(vectors.shape[1]) for _ in chosen]
    for layer in range(vectors.shape[1]):
        of_one = unit(vectors[:, layer])
        for one, eer in zip(chosen, found, strict=True):
            scores = cosine_scores(one.trials, speech.utterance_ids, of_one)
            eer[layer] = equal_error_rate(scores, one.is_target)
    return found
