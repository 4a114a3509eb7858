"""What a test of a run found, in words and for programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks import class_results
from benchmarks.protocol import Figure
from curate.query import as_table
from flows import evaluating

OF_PAPERS = ["published by", "list", "metric", "value", "ours", "where"]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A figure of the benchmark's paper, and ours where it was computed."""

    figure: Figure
    ours: float | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found of a run."""

    about: str
    classes: pa.Table  # rows of CLASS_RESULTS
    results: pa.Table  # rows of RESULTS; of whole utterances, then of their first seconds
    first_s: float | None  # which those are
    layers: pa.Table  # rows of `flows.layers`
    papers: list[Beside]
    remarks: list[str]
    files: list[Path]


def in_words(found: Measured) -> str:
    """All of it, as it is printed."""
    blocks = [found.about]
    if len(found.classes):
        head, rows = class_table(found.classes)
        blocks += [as_table(head, rows)] if rows else []
        blocks.append("\n".join(_shares(found.classes)))
    if len(found.results):
        blocks.append(as_table(*list_table(found)))
    if len(found.layers):
        blocks.append(as_table(*layer_table(found.layers)))
    if found.papers:
        rows = [
            (one.figure.system, one.figure.list, one.figure.metric, one.figure.value, one.ours, one.figure.where)
            for one in found.papers
        ]
        blocks.append(as_table(OF_PAPERS, rows))
    conventions = [*class_results.conventions(found.classes), *evaluating.conventions(found.results)]
    blocks.append("\n".join([*conventions, *found.remarks]))
    blocks.append("\n".join(map(str, found.files)))
    return "\n\n".join(block for block in blocks if block)


def list_table(found: Measured) -> evaluating.Table:
    """A row for each list and metric; where beginnings were heard too, with what was heard."""
    head, rows = evaluating.as_rows(found.results)
    told = [(name, *row[1:]) for name, row in zip(found.results["list"].to_pylist(), rows, strict=True)]
    head = ["list", *head[1:]]
    if found.first_s is None:
        return head, told
    systems = found.results["system"].to_pylist()
    heard = ["whole" if one == systems[0] else f"first {found.first_s:g} s" for one in systems]
    return [head[0], "heard", *head[1:]], [(row[0], what, *row[1:]) for row, what in zip(told, heard, strict=True)]


def layer_table(layers: pa.Table) -> evaluating.Table:
    """A row for each list and layer, with its EER before and after training."""
    eers: dict[tuple[str, int], dict[str, str]] = {}
    for row in layers.to_pylist():
        eers.setdefault((row["list"], row["layer"]), {})[row["training"]] = f"{row['eer']:.4f}"
    trainings = [name for name in ("before", "after") if name in layers["training"].to_pylist()]
    head = ["list", "layer", *(f"eer {name} training" for name in trainings)]
    return head, [(*key, *(of_layer[name] for name in trainings)) for key, of_layer in eers.items()]


def class_table(classes: pa.Table) -> evaluating.Table:
    """A row for each class of each task, and for each kind of mean."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for row in classes.to_pylist():
        mean, _, metric = row["metric"].rpartition(" ")
        if metric in class_results.OF_A_CLASS:
            key = row["task"], f"{mean} mean" if mean else row["class_name"]
            cells.setdefault(key, {})[metric] = _cell(row)
            counts[key] = row["num_utterances"], row["num_people"]
    rows = [(*key, *(of_key[name] for name in class_results.OF_A_CLASS), *counts[key]) for key, of_key in cells.items()]
    return ["task", "class", *class_results.OF_A_CLASS, "utterances", "people"], rows


def _shares(classes: pa.Table) -> list[str]:
    """What is of a whole task, and no mean."""
    of_tasks = ("accuracy", class_results.CONTRADICTION, "wer", "cer")
    rows = [row for row in classes.to_pylist() if row["metric"] in of_tasks]
    return [f"{row['task']}: {row['metric']} {_cell(row)} of {row['num_utterances']} utterances" for row in rows]


def _cell(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "-"
    ends = "" if row["lower"] is None else f" [{row['lower']:.4f}, {row['upper']:.4f}]"
    return f"{row['value']:.4f}{ends}"


def as_json(found: Measured) -> str:
    """All of it, for programs."""
    papers = [{**asdict(one.figure), "ours": one.ours} for one in found.papers]
    told = {"classes": found.classes.to_pylist(), "results": found.results.to_pylist(), "published": papers}
    told |= {"layers": found.layers.to_pylist()} if len(found.layers) else {}
    told |= {"remarks": found.remarks, "files": list(map(str, found.files))}
    return json.dumps(told, ensure_ascii=False, indent=1)
