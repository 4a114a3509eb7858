"""Whether a catalog of ten million utterances of 200,000 speakers can be worked on: time, memory, growth of each step.

    python -m benchmarks.speed.load make FOLDER --utterances 1_000_000 [--speakers 20_000] [--size 64]
    python -m benchmarks.speed.load measure FOLDER [--steps clean identities]
    python -m benchmarks.speed.load growth FOLDER/measured.jsonl ...
    python -m benchmarks.speed.load all ROOT [--utterances 1_000_000 3_000_000 10_000_000]

`make` makes a catalog up (`load_made`). `measure` carries out each step of `curate run` that follows the embeddings, in
drafts as a run does it, then publishes them, and gives the commands that read what is there; each in a process of its
own, started anew, whose processor time (of all its threads) and greatest memory the system tells. The steps are those
of the product; Prefect's flow around them is not there, nor scans and embeddings, which audio decides. `growth` holds
what was measured against what each step promises: no more than 8 GB, and a time that grows with the utterances no
faster than its law; it ends with exit code 1 where one does not. `all` does this for one size after another in a
folder, taking each catalog away before the next.

The start of a process, which reads nothing, is taken off before growth is told; of what takes less than three seconds
beyond it no growth is told.
Circularity is not measured: it needs a second catalog, heard by another encoder, and draws the same trials.
"""

import argparse
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.speed.load_made import make, planned
from benchmarks.speed.turns import machine

UTTERANCES_A_SPEAKER = 50
SIZES = (1_000_000, 3_000_000, 10_000_000)
MAX_MB = 8_000
SLACK = 0.2  # of an exponent: n log n over a factor of ten is 1.06, and machines are not quiet
MIN_S = 3.0  # less, beyond a start that varies by one, says nothing of growth


@dataclass(frozen=True)
class Law:
    """How the time of a step may grow with the utterances, where each speaker has as many."""

    exponent: float
    words: str


ALL, NOTHING = Law(1, "utterances"), Law(0, "does not grow")
LAWS = {
    "start": NOTHING,  # what every process takes that computes
    "duplicates": Law(1.5, "landmarks, sorted, and what is around the seeds that are shared: ever more, until all are"),
    "clean": Law(2, "utterances x labels of their corpus"),
    "review": ALL,
    "identities": Law(2, "pairs of labels"),
    "ages": ALL,
    "split": ALL,
    "trials": ALL,
    "leakage": Law(2, "pairs of people of two splits"),
    "score": ALL,
    "publish": NOTHING,
    "finish": Law(1, "utterances: the card, the list, the views"),
    "status": NOTHING,
    "query counts": ALL,
    "query join": ALL,
    "query quartiles": ALL,
    "query one": ALL,
    "doubts": Law(1, "utterances: the order of the review queue"),
    "audit leakage": Law(2, "pairs of people of two splits"),
}
QUERIES = {
    "query counts": "select step, subject, verdict, reason, count(*) from decisions group by all order by all",
    "query join": "select sex, split, count(*), sum(duration_s) from utterances join splits using (utterance_id) "
    "group by all order by all",
    "query quartiles": "select count(*), avg(q[2]) from (select quantile_cont(average_similarity, [0.25, 0.5, 0.75]) q "
    "from utterance_scores group by speaker_id)",
    "query one": "select * from utterances where utterance_id = 'read/s{label:07d}/v000/u00000'",
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one step took on one catalog."""

    utterances: int
    speakers: int
    step: str
    wall_s: float
    processor_s: float
    peak_mb: float
    told: str  # its own summary


# ------------------------------------------------------------------------------------------- one step, in its process


def carry_out(folder: Path, name: str) -> str:
    """Do one of the steps that are no command, and say what it found. A part that was made before is made again."""
    from curate import whole
    from curate.catalog import Catalog
    from curate.config import load_pipeline
    from curate.doubts import doubts
    from curate.runs import take_note
    from flows import steps

    pipeline = load_pipeline(folder / "load.toml")
    drafts, catalog = Catalog(pipeline.catalog, drafts=True), Catalog(pipeline.catalog)
    if name == "publish":
        with catalog.locked():
            drafts.publish_drafts()
        return "drafts are current"
    if name == "finish":
        return ", ".join(str(path.relative_to(catalog.root)) for path in steps.finish(pipeline, catalog))
    if name == "doubts":
        return f"{len(doubts(catalog))} verdicts in order"
    step = steps.AFTER_INGEST["clean" if name == "start" else name](pipeline, drafts)
    if name == "start":
        return f"read to judge, run {step.run_id}"
    for part in step.publishes:
        whole.remove(catalog.path(*part))
        whole.remove(drafts.path(*part))
    done = step.carry_out()
    take_note(drafts, done)
    return done.summary


def command_of(folder: Path, name: str) -> list[str]:
    """What to start for a step."""
    catalog = ["-c", str(folder / "catalog")]
    curate = [sys.executable, "-m", "flows.cli"]
    if name == "status":
        return [*curate, "status", *catalog]
    if name == "audit leakage":
        return [*curate, "audit", "leakage", *catalog]
    if name in QUERIES:
        label = json.loads((folder / "made.json").read_text())["speakers"] // 5  # some label of the corpus `read`
        return [*curate, "query", QUERIES[name].format(label=label), *catalog]
    return [sys.executable, "-m", "benchmarks.speed.load", "step", str(folder), name]


# ---------------------------------------------------------------------------------------------------------- measuring


def measure(folder: Path, names: Iterable[str]) -> Path:
    """Carry out each and note what it took, a line of JSON each. Raises RuntimeError for a step that fails."""
    made, file = json.loads((folder / "made.json").read_text()), folder / "measured.jsonl"
    for name in names:
        said = folder / "said.txt"
        with said.open("w+") as output:
            started = time.perf_counter()
            process = subprocess.Popen(command_of(folder, name), stdout=output, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        lines = said.read_text().splitlines() or [""]
        if process.returncode > (name == "audit leakage"):  # which ends with 1 where it finds something
            raise RuntimeError(f"{name}: exit code {process.returncode}: {lines[-1]}")
        found = Measured(
            utterances=made["utterances"],
            speakers=made["speakers"],
            step=name,
            wall_s=round(wall_s, 2),
            processor_s=round(used.ru_utime + used.ru_stime, 2),
            peak_mb=round(used.ru_maxrss / 1024, 1),
            told=lines[-1],
        )
        with file.open("a") as notes:
            notes.write(json.dumps(asdict(found)) + "\n")
        print(f"{name:<16} {found.processor_s:9.1f} s {found.peak_mb:8.0f} MB   {found.told[:100]}", flush=True)
    return file


# ------------------------------------------------------------------------------------------------------------- growth


def growth(files: Iterable[Path]) -> bool:
    """Print a line a step, as Markdown; whether all keep to their laws and to the memory."""
    latest: dict[tuple[str, int], Measured] = {}
    for file in files:
        for line in file.read_text().splitlines():
            one = Measured(**json.loads(line))
            latest[one.step, one.utterances] = one
    sizes = sorted({size for _, size in latest})
    spans = list(itertools.pairwise(sizes))
    head = [f"{size / 1e6:g} M: s, GB" for size in sizes] + [f"{a / 1e6:g} to {b / 1e6:g} M" for a, b in spans]
    print("\n| step | " + " | ".join(head) + " | law |")
    print("| --- |" + " ---: |" * len(head) + " --- |")
    faults = []
    for step, law in LAWS.items():
        at = [latest.get((step, size)) for size in sizes]
        if not any(at):
            continue
        cells = ["" if one is None else f"{one.processor_s:.1f}, {one.peak_mb / 1000:.1f}" for one in at]
        exponents = [exponent(latest, step, span) for span in spans]
        cells += ["" if value is None else f"{value:.2f}" for value in exponents]
        print(f"| {step} | " + " | ".join(cells) + f" | {law.exponent:g}: {law.words} |")
        faults += [
            f"{step}: grows as utterances^{value:.2f} from {low:,} to {high:,}; expected at most {law.exponent:g}"
            for value, (low, high) in zip(exponents, spans, strict=True)
            if value is not None and value > law.exponent + SLACK
        ]
        faults += [
            f"{step}: {one.peak_mb:.0f} MB of {one.utterances:,}; expected at most {MAX_MB}"
            for one in at
            if one is not None and one.peak_mb > MAX_MB
        ]
    print("", *faults, "all keep to their laws" if not faults else f"{len(faults)} beyond its law", sep="\n")
    return not faults


def exponent(latest: dict[tuple[str, int], Measured], step: str, span: tuple[int, int]) -> float | None:
    """Of the utterances, by which the processor time grows; None where one was not measured, or took too little."""
    if any((name, size) not in latest for name in (step, "start") for size in span):
        return None
    low, high = (latest[step, size].processor_s for size in span)
    if step not in QUERIES and step not in ("status", "start"):  # they start otherwise
        start = min(latest["start", size].processor_s for size in span)
        low, high = low - start, high - start
    return math.log(high / low) / math.log(span[1] / span[0]) if low >= MIN_S and high > 0 else None


# ----------------------------------------------------------------------------------------------------------- commands


def make_one(folder: Path, utterances: int, speakers: int | None, size: int, landmarks: float) -> None:
    """Make a catalog, and note of how many."""
    started, speakers = time.process_time(), speakers or max(20, utterances // UTTERANCES_A_SPEAKER)
    make(folder, planned(utterances, speakers, dimension=size, landmarks_a_second=landmarks, seed=1))
    (folder / "made.json").write_text(json.dumps({"utterances": utterances, "speakers": speakers}))
    print(f"{folder}: {utterances:,} utterances, {speakers:,} speakers; {time.process_time() - started:.0f} s")


def all_sizes(root: Path, sizes: list[int]) -> bool:
    """Make, measure and take away one after the other; what was measured stays, as `ROOT/<utterances>.jsonl`."""
    print(machine())
    files = []
    for size in sizes:
        folder = root / f"{size}"
        make_one(folder, size, None, 64, 3.0)
        files.append(measure(folder, LAWS).replace(root / f"{size}.jsonl"))
        shutil.rmtree(folder)
    return growth(files)


def number(text: str) -> int:
    """`10_000_000` as well as `10,000,000`."""
    return int(text.replace(",", "_"))


def main() -> None:
    """One of the four, or one step of `measure`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make up a catalog")
    making.add_argument("folder", type=Path)
    making.add_argument("--utterances", type=number, default=1_000_000)
    making.add_argument("--speakers", type=number)
    making.add_argument("--size", type=int, default=64, help="of a vector")
    making.add_argument("--landmarks", type=float, default=3.0, help="a second of audio; real speech has 30")
    measuring = commands.add_parser("measure", help="carry out the steps on it")
    measuring.add_argument("folder", type=Path)
    measuring.add_argument("--steps", nargs="+", choices=list(LAWS), default=list(LAWS))
    growing = commands.add_parser("growth", help="hold what was measured against the laws")
    growing.add_argument("files", type=Path, nargs="+")
    everything = commands.add_parser("all", help="make and measure one size after another")
    everything.add_argument("root", type=Path)
    everything.add_argument("--utterances", type=number, nargs="+", default=list(SIZES))
    one = commands.add_parser("step", help="one step, in this process")
    one.add_argument("folder", type=Path)
    one.add_argument("name", choices=list(LAWS))
    asked = parser.parse_args()
    well = True
    if asked.command == "make":
        make_one(asked.folder, asked.utterances, asked.speakers, asked.size, asked.landmarks)
    elif asked.command == "measure":
        well = growth([measure(asked.folder, asked.steps)])
    elif asked.command == "growth":
        well = growth(asked.files)
    elif asked.command == "all":
        well = all_sizes(asked.root, asked.utterances)
    else:
        print(carry_out(asked.folder, asked.name))
    sys.exit(not well)


if __name__ == "__main__":
    main()
