"""The demo: speak corpora with planted faults, curate them, hold what was found against the truth, and train."""

import csv
import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from benchmarks.demo.corpora import write_demo
from benchmarks.planted import Account, FalseAlarms, Planted, account, false_alarms
from curate.audio import sha256_of
from curate.catalog import Catalog, write_text
from curate.config import load_pipeline
from curate.errors import PipelineError
from curate.schema import DECISIONS, IDENTITIES, SPLITS, TRIALS, UTTERANCES

log = logging.getLogger("voxcurate")

BENCHMARK, TRIAL_LIST = "demo", "test"  # as the pipeline file has them
ENCODER = "encoder"  # where it is, a run is complete


def speak(root: Path, *, seed: int) -> None:
    """Write the corpora and their pipeline file. Raises PipelineError where the demo of another seed lies already."""
    pipeline, spoken = root / "demo.toml", root / "corpora"
    if spoken.exists():
        there = load_pipeline(pipeline).seed
        if there != seed:
            raise PipelineError(f"{root}: holds the demo of seed {there}; expected another folder, or --seed {there}")
        return
    aside = root / "corpora.new"
    shutil.rmtree(aside, ignore_errors=True)  # of a demo that died while it spoke
    log.info("speaking three corpora")
    write_demo(aside, seed=seed)
    text = resources.files("benchmarks.demo").joinpath("pipeline.toml").read_text(encoding="utf-8")
    write_text(pipeline, text.format(seed=seed))
    aside.rename(spoken)  # last: where it is, all is there


def train(root: Path, settings: Sequence[str] = ()) -> float | None:
    """Train a small system on the split, by `benchmarks/demo/recipe.toml`, in the folder `run`: the seconds it took.

    None where it was trained before, or where a run that had been stopped went on. A run of another catalog, recipe or
    settings of it gives way. Raises as `curate train`.
    """
    run, trained_on = root / "run", root / "trained_on.json"
    with resources.as_file(resources.files("benchmarks.demo") / "recipe.toml") as recipe:
        asked = json.dumps(_trained_on(root, recipe, settings), indent=1) + "\n"
        if not trained_on.exists() or trained_on.read_text(encoding="utf-8") != asked:
            shutil.rmtree(run, ignore_errors=True)
            write_text(trained_on, asked)
        if (run / ENCODER).exists():
            log.info(f"Nothing to train: {run} is complete.")
            return None
        goes_on, began = run.exists(), time.monotonic()
        _train(root, recipe, settings)
    return None if goes_on else time.monotonic() - began


def _train(root: Path, recipe: Path, settings: Sequence[str]) -> None:
    import torch  # only now: it takes seconds

    from flows.training import train_on_split

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums alike on all machines; where others compute too, two threads wait for each other
    try:
        train_on_split(
            str(recipe),
            settings,
            Catalog(root / "catalog"),
            benchmark=BENCHMARK,
            split="train",
            also=None,
            trials=TRIAL_LIST,
            dev=None,
            hold_out=None,
            out=root / "run",
            initial=None,
            cache=False,
            device="cpu",
        )
    finally:
        torch.set_num_threads(before)


def _trained_on(root: Path, recipe: Path, settings: Sequence[str]) -> dict[str, object]:
    """All that a run follows from, by its hashes: the corpora themselves do not change."""
    catalog = Catalog(root / "catalog")
    tables = {table.name: sha256_of(catalog.path(table, BENCHMARK)) for table in (SPLITS, TRIALS)}
    return {"recipe": sha256_of(recipe), "settings": list(settings), **tables}


def report(root: Path, *, trained_s: float | None = None) -> str:
    """What was planted, found and missed, what was learnt, and where the results lie."""
    catalog = Catalog(root / "catalog")
    with (root / "corpora" / "truth.csv").open(encoding="utf-8", newline="") as file:
        keys = ("fault", "subject", "subject_id", "other_id")
        planted = [Planted(**{key: row[key] for key in keys}) for row in csv.DictReader(file)]
    decisions, identities = catalog.read(DECISIONS), catalog.read(IDENTITIES)
    accounts = account(planted, decisions, identities)
    alarms = false_alarms(planted, catalog.read(UTTERANCES), decisions, identities)
    where = [
        f"catalog     {catalog.root}",
        f"trial list  {catalog.root / 'lists' / 'demo.txt'}",
        f"card        {catalog.root / 'README.md'}",
        f"trained     {_trained(root / 'run', trained_s)}",
        f"listen      {sys.argv[0]} review {catalog.root}",
        f'next        {sys.argv[0]} query "select reason, count(*) from decisions group by 1" -c {catalog.root}',
    ]
    return "\n".join([*_found(accounts), "", *_wrongly(alarms), "", *where])


def _trained(run: Path, seconds: float | None) -> str:
    """What training gave, read without torch."""
    from safetensors import safe_open

    name = json.loads((run / "run.json").read_text(encoding="utf-8"))["recipe"]["name"]
    with safe_open(run / ENCODER / "model.safetensors", framework="np") as weights:
        num = sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
    with (run / "validations.csv").open(encoding="utf-8", newline="") as file:
        first, *_, last = (100 * float(row["eer"]) for row in csv.DictReader(file))
    took = "" if seconds is None else f", {seconds:.0f} s"
    return f"{name} ({num / 1e6:.1f} M parameters{took}): EER {first:.1f} % before, {last:.1f} % after; {run}"


def _found(accounts: list[Account]) -> list[str]:
    lines = ["planted fault   found   missed"]
    for one in accounts:
        total = len(one.found) + len(one.missed)
        missed = ", ".join(
            row.subject_id + (f" = {row.other_id}" if row.subject == "pair" else "") for row in one.missed
        )
        lines.append(f"{one.fault:<14}  {len(one.found):>2}/{total:<3}  {missed or '-'}")
    return lines


def _wrongly(alarms: FalseAlarms) -> list[str]:
    pairs = [f"{a} = {b}" for a, b in alarms.pairs]
    return [
        f"wrongly dropped or merged: {len(alarms.utterances)} utterances, "
        f"{len(alarms.speakers)} speakers, {len(alarms.pairs)} pairs",
        *(f"  {one}" for one in (*alarms.utterances, *alarms.speakers, *pairs)),
    ]
