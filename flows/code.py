"""Which code computes the tables: they are made anew when it has changed."""

from pathlib import Path

import benchmarks
import curate
from curate.runs import code_fingerprint

FIGURES = ("comparison.py", "evaluation.py", "intervals.py", "metrics.py", "protocol.py", "trial_rules.py")
LISTS = (
    *("balance.py", "drawing.py", "hard_pairs.py", "pair_kernels.py", "pairs.py", "protocol.py", "sexes.py"),
    *("trial_rules.py", "trials.py"),
)
LEAKS = ("alike.py", "leakage.py", "protocol.py", "trial_rules.py")
SCORES = ("calibration.py", "scoring.py", "scoring_kernels.py")

# What a module of flows/ comes to, of benchmarks/ and of flows/; all of them come to all of curate/.
FILES = {
    "steps": (
        {*LISTS, *SCORES, *FIGURES, "splits.py"},
        {"reading.py", "embedding.py", "judging.py", "seeds.py", "steps.py"},
    ),
    "leaking": ({*LEAKS}, {"leaking.py"}),  # of one step alone, which is made anew without the others
    "building": (
        {*LISTS, *LEAKS, "account.py", "apart.py", "building.py", "division.py", "protocol_trials.py"},
        {"building.py", "leaking.py"},
    ),
    "scoring": (
        {*SCORES, *FIGURES, "backends.py"},
        {"beginnings.py", "embedding.py", "scoring.py", "seeds.py", "systems.py"},
    ),
    "evaluating": ({*FIGURES, *SCORES}, {"evaluating.py", "listed.py", "seeds.py"}),
    "testing": (
        {*SCORES, *FIGURES, "backends.py", "class_results.py", "classes.py", "sexes.py", "words.py"},
        {
            "evaluating.py",
            "layers.py",
            "listed.py",
            "measured.py",
            "scoring.py",
            "seeds.py",
            "systems.py",
            "tested.py",
            "testing.py",
            "transcribed.py",
        },
    ),
}


def _fingerprint(name: str) -> str:
    of_benchmarks, of_flows = FILES[name]
    return code_fingerprint(
        Path(curate.__path__[0]),
        *(Path(benchmarks.__path__[0]) / name for name in sorted(of_benchmarks)),
        *(Path(__file__).with_name(name) for name in sorted(of_flows)),
    )


CODE, LEAKING, BUILDING, SCORING, EVALUATING, TESTING = map(_fingerprint, FILES)
