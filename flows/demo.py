"""The demo: speak corpora with planted faults, curate them, and hold what was found against the truth."""

import csv
import logging
import shutil
import sys
import tomllib
from importlib import resources
from pathlib import Path

from benchmarks.demo.corpora import write_demo
from benchmarks.planted import Account, FalseAlarms, Planted, account, false_alarms
from curate.catalog import Catalog, write_text
from curate.errors import PipelineError
from curate.schema import DECISIONS, IDENTITIES, UTTERANCES

log = logging.getLogger("voxcurate")


def speak(root: Path, *, seed: int) -> None:
    """Write the corpora and their pipeline file. Raises PipelineError where the demo of another seed lies already."""
    pipeline, spoken = root / "demo.toml", root / "corpora"
    if spoken.exists():
        there = tomllib.loads(pipeline.read_text(encoding="utf-8"))["seed"]
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


def report(root: Path) -> str:
    """What was planted, found and missed, and where the results lie."""
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
        f'next        {sys.argv[0]} query "select reason, count(*) from decisions group by 1" -c {catalog.root}',
    ]
    return "\n".join([*_found(accounts), "", *_wrongly(alarms), "", *where])


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
