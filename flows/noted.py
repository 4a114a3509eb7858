"""What a catalog, or what lies beside it, knows of how a benchmark came to be: protocol, draw, what was planted."""

import csv
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from benchmarks.planted import Planted, account
from benchmarks.planting.faults import TRUTH, Fault
from benchmarks.protocol import Protocol
from curate.ages import label_ages
from curate.catalog import Catalog, read_parquet
from curate.decisions import dropped, new_labels, settled
from curate.reasons import Subject
from curate.runs import last_done
from curate.schema import DECISIONS, IDENTITIES, RUNS

BUILT, DRAWN = "build", ("split", "trials")  # steps
TRUTH_FILES = ("truth.parquet", "corpora/truth.csv")  # of `curate plant` and `curate demo`, beside the catalog


def protocol_of(catalog: Catalog, benchmark: str) -> Protocol | None:
    """The protocol that last built the benchmark; None where none did, or one that this version cannot read."""
    for text in _settings(catalog, benchmark, (BUILT,)).values():
        try:
            return TypeAdapter(Protocol).validate_json(json.dumps(json.loads(text)["protocol"]))
        except (ValidationError, KeyError):
            return None
    return None


def drawn_with(catalog: Catalog, benchmark: str) -> list[tuple[str, str, str]]:
    """Step, key and value of what `curate run` drew splits and trials with; values as a pipeline file has them."""
    found = _settings(catalog, benchmark, DRAWN)
    return [
        (step, key, "none" if value is None else json.dumps(value, ensure_ascii=False))
        for step in found
        for key, value in sorted(json.loads(found[step]).items())
    ]


def _settings(catalog: Catalog, benchmark: str, steps: tuple[str, ...]) -> dict[str, str]:
    if not catalog.parts(RUNS):
        return {}
    return {
        row["step"]: row["settings"] for row in last_done(catalog) if row["step"] in steps and row["part"] == benchmark
    }


def age_groups(rows: pa.Table, labels: pa.Table, protocol: Protocol | None) -> pa.Table:
    """The rows with `age_group`: in the protocol's scheme, else in the first that the catalog labels."""
    if protocol is not None and protocol.filters.age_scheme is not None:
        labels = label_ages(rows, (protocol.filters.age_scheme,))
    elif len(labels):
        labels = labels.filter(pc.equal(labels["scheme"], labels["scheme"][0]))
    place = pc.index_in(rows["utterance_id"].combine_chunks(), value_set=labels["utterance_id"].combine_chunks())
    return rows.append_column("age_group", labels["age_group"].combine_chunks().take(place))


# -------------------------------------------------------------------------------------------------- what was planted


def planted_in(catalog: Catalog) -> list[tuple[str, int, int]]:
    """Each fault that is known to be planted, how often, and how often curation found it; nothing where none is known.

    A planted utterance is found when it is dropped or put under another label, a label that was split when both its
    halves are one person.
    """
    of_plant, of_demo = (catalog.root.parent / name for name in TRUTH_FILES)
    if of_plant.exists():
        return _of_plant(catalog, of_plant)
    return _of_demo(catalog, of_demo) if of_demo.exists() else []


def _of_plant(catalog: Catalog, path: Path) -> list[tuple[str, int, int]]:
    truth, decisions = read_parquet(path), settled(catalog.read(DECISIONS))
    if not set(TRUTH.arrow().names) <= set(truth.column_names):
        return []
    touched = {*dropped(decisions, Subject.UTTERANCE).to_pylist(), *new_labels(decisions)["utterance_id"].to_pylist()}
    identities = catalog.read(IDENTITIES)
    person = dict(zip(*(identities[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))
    planted, found = Counter[str](), Counter[str]()
    for row in truth.to_pylist():
        is_one = person.get(row["speaker_id"], "") == person.get(row["true_speaker_id"])
        planted[row["fault"]] += 1
        found[row["fault"]] += is_one if row["fault"] == Fault.SPLIT else row["utterance_id"] in touched
    return [(fault, num, found[fault]) for fault, num in sorted(planted.items())]


def _of_demo(catalog: Catalog, path: Path) -> list[tuple[str, int, int]]:
    keys = ("fault", "subject", "subject_id", "other_id")
    with path.open(encoding="utf-8", newline="") as file:
        planted = [Planted(**{key: row[key] for key in keys}) for row in csv.DictReader(file)]
    accounts = account(planted, settled(catalog.read(DECISIONS)), catalog.read(IDENTITIES))
    return [(one.fault, len(one.found) + len(one.missed), len(one.found)) for one in accounts]
