"""How fast trials are sampled and enumerated, beside the plain ways, Parquet included.

    .venv/bin/python -m benchmarks.speed.trials [--speakers 1000] [--alone 3000000] [--listed-trials 1000000]

Speakers of 50 utterances in 5 sessions, half of them of each sex; targets across sessions, nontargets of one sex.
Beside ours, written plainly from what they do:

- rounds over pairs (as in disjoint-mtl): the shuffled utterances of every two people, and of every two sessions, are
  crossed lazily; each round takes one pair of every crossing, until there are enough; pairs become sets, then objects,
  which are sorted by their text. Preparing grows with the square of the speakers (`--listed`).
- nested loops over a notebook's rows, which enumerate all trials of a few speakers (`--looped`), as numbers in a list.
- DuckDB, a join of the utterances with themselves, for targets.

Ours writes Parquet; the plain ways are spared that, but for DuckDB. `--alone` is a number of nontargets that only ours
is run at. What is written is read back: no trial is there twice, and none is of a wrong kind. Timed as `turns` does.
"""

import argparse
import random
import time
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.speed.turns import extra_mb, in_turns, machine
from benchmarks.trial_rules import Rules
from benchmarks.trials import Draw, write_trials

OURS = "numbered, to Parquet (ours)"
UTTERANCES, SESSIONS = 50, 5
TARGETS = Rules(not_same=("session_id",))


def people(num_speakers: int) -> pa.Table:
    """The rows of a test."""
    speaker = np.repeat(np.arange(num_speakers), UTTERANCES)
    number = np.tile(np.arange(UTTERANCES), num_speakers)
    labels = [f"id{s:05}" for s in speaker]
    sessions = [f"{label}/video{n % SESSIONS}" for label, n in zip(labels, number, strict=True)]
    return pa.table(
        {
            "utterance_id": [f"vox/{session}/{n:05}" for session, n in zip(sessions, number, strict=True)],
            "identity_id": labels,
            "session_id": sessions,
            "sex": ["female" if s % 2 else "male" for s in speaker],
            "corpus": ["vox"] * len(speaker),
            "path": [f"{session}/{n:05}.wav" for session, n in zip(sessions, number, strict=True)],
        }
    )


def ours(test: pa.Table, out: Path, *, num_targets: int | None, num_nontargets: int, nontargets: Rules) -> pa.Table:
    """Both kinds, written; the report."""
    targets = Rules(not_same=TARGETS.not_same, max_trials=num_targets)
    asked = Rules(same=("sex",), balance=nontargets.balance, max_trials=num_nontargets)
    return write_trials(
        out, Draw(test, targets=targets, nontargets=asked, rng=np.random.default_rng(1)), benchmark="bench"
    )


@dataclass(frozen=True)
class Trial:
    """As an object."""

    left: str
    right: str
    is_target: bool


def by_rounds(test: pa.Table, num_targets: int, num_nontargets: int) -> list[Trial]:
    """As disjoint-mtl does it: see above."""
    rng = random.Random(1337)
    columns = (test[c].to_pylist() for c in ("utterance_id", "identity_id", "session_id", "sex"))
    of_session: dict[str, list[str]] = {}
    of_speaker: dict[str, list[str]] = {}
    sessions: dict[str, set[str]] = {}
    sex_of: dict[str, str] = {}
    for utterance, speaker, session, sex in zip(*columns, strict=True):
        of_session.setdefault(session, []).append(utterance)
        of_speaker.setdefault(speaker, []).append(utterance)
        sessions.setdefault(speaker, set()).add(session)
        sex_of[speaker] = sex
    two_sessions = {tuple(sorted(two)) for own in sessions.values() for two in permutations(own, 2)}
    two_people = {tuple(sorted((a, b))) for a, b in permutations(of_speaker, 2) if sex_of[a] == sex_of[b]}
    trials = [Trial(one, other, True) for one, other in _in_rounds(two_sessions, of_session, num_targets, rng)]
    trials += [Trial(one, other, False) for one, other in _in_rounds(two_people, of_speaker, num_nontargets, rng)]
    return sorted(set(trials), key=str)


def _in_rounds(
    twos: set[tuple[str, ...]], utterances: dict[str, list[str]], num: int, rng: random.Random
) -> list[tuple[str, ...]]:
    crossings = {}
    for two in twos:
        one, other = (rng.sample(utterances[name], len(utterances[name])) for name in two)
        crossings[two] = product(one, other)
    found: set[frozenset[str]] = set()
    waiting: list[tuple[str, ...]] = []
    while crossings and len(found) < num:
        waiting = waiting or sorted(crossings)
        two = waiting.pop()
        pair = next(crossings[two], None)
        if pair is None:
            del crossings[two]
        else:
            found.add(frozenset(pair))
    return [tuple(pair) for pair in found]


def by_loops(test: pa.Table) -> list[tuple[int, int, bool]]:
    """As a notebook does it: every row with every row after it."""
    rows = list(zip(*(test[c].to_pylist() for c in ("identity_id", "session_id", "sex")), strict=True))
    found = []
    for i, (speaker, session, sex) in enumerate(rows):
        for j in range(i + 1, len(rows)):
            other, then, theirs = rows[j]
            if speaker == other:
                if session != then:
                    found.append((i, j, True))
            elif sex == theirs:
                found.append((i, j, False))
    return found


def by_join(test: pa.Table, out: Path) -> None:
    """DuckDB joins the utterances with themselves; to Parquet."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("test", test)
        connection.execute(
            "COPY (SELECT a.utterance_id AS enrol_id, b.utterance_id AS test_id FROM test a JOIN test b "
            "ON a.identity_id = b.identity_id AND a.utterance_id < b.utterance_id AND a.session_id <> b.session_id) "
            f"TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
        )


def faults(test: pa.Table, path: Path) -> dict[str, int]:
    """What is wrong with a list, by kind: `trials` that are there twice, or are of a wrong kind."""
    place = {name: pc.index_in(pq.read_table(path, columns=[name])[name], test["utterance_id"]) for name in _SIDES}
    left, right = (place[name].to_numpy() for name in _SIDES)
    is_target = pq.read_table(path, columns=["is_target"])["is_target"].to_numpy()
    codes = {
        c: np.asarray(test[c].combine_chunks().dictionary_encode().indices)
        for c in ("identity_id", "session_id", "sex")
    }
    same = {c: code[left] == code[right] for c, code in codes.items()}
    low, high = np.minimum(left, right).astype(np.int64), np.maximum(left, right)
    return {
        "trials": len(left),
        "twice": len(left) - len(np.unique(low * len(test) + high)),
        "of a wrong person": int((same["identity_id"] != is_target).sum()),
        "of one session": int((is_target & same["session_id"]).sum()),
        "of two sexes": int((~is_target & ~same["sex"]).sum()),
    }


_SIDES = ("enrol_id", "test_id")


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("--speakers", 1000),
        ("--alone", 3_000_000),
        ("--listed", 1000),
        ("--listed-trials", 1_000_000),
        ("--looped", 40),
        ("--rounds", 3),
    ):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args()
    print(machine())
    with TemporaryDirectory() as folder:
        out = Path(folder) / "trials.parquet"
        theirs = sampled(out, asked)
        enumerated(out, asked)
        alone(out, asked, theirs)


def sampled(out: Path, asked: argparse.Namespace) -> float:
    """Nontargets beside rounds, which go once, between ours; how many of these rounds make a second."""
    test, num = people(asked.listed), asked.listed_trials
    print(f"{num:,} nontargets of {asked.listed:,} speakers x {UTTERANCES} utterances")
    write = partial(ours, test, out, num_targets=1, num_nontargets=num, nontargets=Rules())
    before = in_turns({OURS: write}, rounds=asked.rounds).seconds[OURS]
    started = time.process_time()
    found = len(by_rounds(test, 1, num))
    theirs = time.process_time() - started
    mine = np.array(before + in_turns({OURS: write}, rounds=asked.rounds).seconds[OURS])
    print(f"  {OURS:<44} {np.median(mine) * 1e3:10.2f} ms   {faults(test, out)}")
    print(f"  {'rounds over pairs, not written':<44} {theirs * 1e3:10.2f} ms   {found:,} trials")
    print(f"  ours {theirs / np.median(mine):.0f} x ({theirs / mine.max():.0f}-{theirs / mine.min():.0f})")
    return float(num / theirs)


def enumerated(out: Path, asked: argparse.Namespace) -> None:
    """All targets, beside a join; and all trials of a few speakers, beside loops."""
    test = people(asked.speakers)
    num = asked.speakers * UTTERANCES * (UTTERANCES - UTTERANCES // SESSIONS) // 2
    joined = out.with_suffix(".joined")
    print(f"all {num:,} targets of {asked.speakers:,} speakers")
    ready = Draw(test, targets=TARGETS, nontargets=Rules(same=("sex",), max_trials=1), rng=np.random.default_rng(1))
    turns = in_turns(
        {
            OURS: lambda: ours(test, out, num_targets=None, num_nontargets=1, nontargets=Rules()),
            "of these, writing (rules counted before)": lambda: write_trials(out, ready, benchmark="bench"),
            "of these, neither named nor written": lambda: sum(len(left) for left, _ in ready.kinds[0].chunks()),
            "DuckDB, a join, to Parquet": lambda: by_join(test, joined),
            "reading ours": lambda: pq.read_table(out).num_rows,
        },
        rounds=asked.rounds,
    )
    print(*turns.lines(OURS), sep="\n")
    print(", ".join(f"{num / np.median(taken) / 1e6:.1f}" for taken in turns.seconds.values()), "M/s in this order")
    print(f"  {faults(test, out)}; the join has {pq.read_metadata(joined).num_rows:,}")
    few = people(asked.looped)
    total = len(by_loops(few))
    print(f"all {total:,} trials of {asked.looped:,} speakers")
    turns = in_turns(
        {
            OURS: lambda: ours(few, out, num_targets=None, num_nontargets=total, nontargets=Rules()),
            "nested loops, not written": lambda: len(by_loops(few)),
        },
        rounds=asked.rounds,
    )
    print(*turns.lines(OURS), sep="\n")
    print(f"  {faults(few, out)}")


def alone(out: Path, asked: argparse.Namespace, theirs: float) -> None:
    """Many nontargets, drawn each of three ways; `theirs` is how many rounds over pairs make a second."""
    test = people(asked.speakers)
    print(f"{asked.alone:,} nontargets of {asked.speakers:,} speakers, ours alone")
    for name, rules in (
        ("any", Rules()),
        ("balanced over people", Rules(balance="people")),
        ("balanced over pairs of people", Rules(balance="pairs of people")),
    ):
        started = time.process_time()
        ours(test, out, num_targets=1, num_nontargets=asked.alone, nontargets=rules)
        rate = asked.alone / (time.process_time() - started)
        size = out.stat().st_size / asked.alone
        told = f"{rate / 1e6:6.1f} M/s, {rate / theirs:.0f} x the rate of rounds, {size:.1f} bytes a trial"
        print(f"  {name:<34} {told}; {faults(test, out)}")
    draw = Draw(
        test, targets=TARGETS, nontargets=Rules(same=("sex",), max_trials=asked.alone), rng=np.random.default_rng(1)
    )
    for kind in draw.kinds:
        started = time.process_time()
        num = sum(len(left) for left, _ in kind.chunks())
        rate = num / (time.process_time() - started) / 1e6
        print(f"  {'targets' if kind.is_target else 'nontargets'}, neither named nor written: {rate:.1f} M/s")
    extra = extra_mb(lambda: ours(test, out, num_targets=1, num_nontargets=asked.alone, nontargets=Rules()))
    print(f"  extra memory {extra:.0f} MB; the trials as two numbers of 4 bytes are {asked.alone * 8 / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
