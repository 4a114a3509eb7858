"""How fast trials are sampled and enumerated, beside the plain ways, Parquet included.

    .venv/bin/python -m benchmarks.speed.trials [--speakers 1000] [--alone 10000000] [--rounds 3]

Speakers of 50 utterances in 5 sessions, half of them of each sex; targets across sessions, nontargets of one sex.
Beside ours, written plainly from what they do:

- rounds over speakers (as in disjoint-mtl): the partners of each utterance are listed, as sets of names, before the
  first trial; then trials are taken speaker by speaker in turn, until there are enough. Its listing grows with the
  square of the speakers: `--listed` is how many of them it is timed on, `--listed-trials` for how many trials. This
  plain form is faster than what is published, which takes 14 s for a million trials of 1,000 speakers.
- nested loops over a notebook's rows, which enumerate all trials of a few speakers (`--looped`), as numbers in a list.
- DuckDB, a join of the utterances with themselves, for targets.

Ours writes Parquet; the plain ways are spared that. `--alone` is a number that only ours is run at. What is written is
read back: no trial is there twice, and none is of a wrong kind. How it is timed: `turns`.
"""

import argparse
import random
import time
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
Trials = list[tuple[str, str]]


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


def by_rounds(test: pa.Table, num_each: int) -> tuple[Trials, Trials]:
    """As disjoint-mtl does it: all partners are listed first, then taken in rounds over the speakers."""
    rng = random.Random(1337)
    rows = list(zip(*(test[c].to_pylist() for c in ("utterance_id", "identity_id", "session_id", "sex")), strict=True))
    by_speaker: dict[str, list[tuple[str, str]]] = {}
    sex_of: dict[str, str] = {}
    for utterance, speaker, session, sex in rows:
        by_speaker.setdefault(speaker, []).append((utterance, session))
        sex_of[speaker] = sex
    positives: dict[str, Trials] = {}
    negatives: dict[str, list[str]] = {}
    for speaker, own in by_speaker.items():
        positives[speaker] = [(a, b) for i, (a, s) in enumerate(own) for b, t in own[i + 1 :] if s != t]
        negatives[speaker] = [
            utterance
            for other, theirs in by_speaker.items()
            if other != speaker and sex_of[other] == sex_of[speaker]
            for utterance, _ in theirs
        ]
        rng.shuffle(positives[speaker])
    return _in_rounds_of_targets(positives, num_each), _in_rounds_of_nontargets(by_speaker, negatives, num_each, rng)


def _in_rounds_of_targets(positives: dict[str, Trials], num: int) -> Trials:
    found: Trials = []
    while len(found) < num and any(positives.values()):
        for pairs in positives.values():
            if pairs and len(found) < num:
                found.append(pairs.pop())
    return found


def _in_rounds_of_nontargets(
    by_speaker: dict[str, list[tuple[str, str]]], negatives: dict[str, list[str]], num: int, rng: random.Random
) -> Trials:
    found: Trials = []
    seen: set[tuple[str, str]] = set()
    while len(found) < num:
        for speaker, own in by_speaker.items():
            pair = (rng.choice(own)[0], rng.choice(negatives[speaker]))
            if pair not in seen and pair[::-1] not in seen and len(found) < num:
                seen.add(pair)
                found.append(pair)
    return found


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
        ("--alone", 10_000_000),
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
        sampled(out, asked)
        enumerated(out, asked)
        alone(out, asked)


def sampled(out: Path, asked: argparse.Namespace) -> None:
    """Half targets, half nontargets, of as many speakers as the listing way is timed on."""
    test, half = people(asked.listed), asked.listed_trials // 2
    targets = min(half, asked.listed * UTTERANCES * (UTTERANCES - UTTERANCES // SESSIONS) // 2)
    print(f"{targets:,} targets and {half:,} nontargets of {asked.listed:,} speakers x {UTTERANCES} utterances")
    turns = in_turns(
        {
            OURS: lambda: ours(test, out, num_targets=targets, num_nontargets=half, nontargets=Rules()),
            "rounds over speakers, listed, not written": lambda: len(by_rounds(test, half)),
        },
        rounds=asked.rounds,
    )
    print(*turns.lines(OURS), sep="\n")
    print(f"  {faults(test, out)}")


def enumerated(out: Path, asked: argparse.Namespace) -> None:
    """All targets, beside a join; and all trials of a few speakers, beside loops."""
    test = people(asked.speakers)
    num = asked.speakers * UTTERANCES * (UTTERANCES - UTTERANCES // SESSIONS) // 2
    print(f"all {num:,} targets of {asked.speakers:,} speakers")
    turns = in_turns(
        {
            OURS: lambda: ours(test, out, num_targets=None, num_nontargets=1, nontargets=Rules()),
            "DuckDB, a join, to Parquet": lambda: by_join(test, out.with_suffix(".joined")),
        },
        rounds=asked.rounds,
    )
    print(*turns.lines(OURS), sep="\n")
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


def alone(out: Path, asked: argparse.Namespace) -> None:
    """Many nontargets, drawn each of three ways."""
    test = people(asked.speakers)
    print(f"{asked.alone:,} nontargets of {asked.speakers:,} speakers, ours alone")
    for name, rules in (
        ("any", Rules()),
        ("balanced over people", Rules(balance="people")),
        ("balanced over pairs of people", Rules(balance="pairs of people")),
    ):
        started = time.process_time()
        ours(test, out, num_targets=1, num_nontargets=asked.alone, nontargets=rules)
        taken = time.process_time() - started
        size = out.stat().st_size / asked.alone
        print(f"  {name:<34} {asked.alone / taken / 1e6:6.1f} M/s, {size:.1f} bytes a trial; {faults(test, out)}")
    draw = Draw(
        test, targets=TARGETS, nontargets=Rules(same=("sex",), max_trials=asked.alone), rng=np.random.default_rng(1)
    )
    for kind in draw.kinds:
        started = time.process_time()
        num = sum(len(left) for left, _ in kind.chunks())
        rate = num / (time.process_time() - started) / 1e6
        print(f"  {'targets' if kind.is_target else 'nontargets'}, neither named nor written: {rate:.1f} M/s")
    extra = extra_mb(lambda: ours(test, out, num_targets=1, num_nontargets=asked.alone, nontargets=Rules()))
    print(f"  extra memory {extra:.0f} MB")


if __name__ == "__main__":
    main()
