"""Which code computes the tables: they are made anew when it has changed."""

from pathlib import Path

import benchmarks
import curate
from curate.runs import code_fingerprint

BENCHMARKS = (  # a step does not come to the others: what only a command or a bench calls
    *("account.py", "balance.py", "calibration.py", "comparison.py", "drawing.py", "evaluation.py", "hard_pairs.py"),
    *("intervals.py", "metrics.py", "pair_kernels.py", "pairs.py", "protocol.py", "scoring.py", "scoring_kernels.py"),
    *("splits.py", "trial_rules.py", "trials.py"),
)
PROTOCOLS = (  # what `curate build` comes to beside these
    *("alike.py", "apart.py", "building.py", "leakage.py", "protocol_trials.py"),
)
CODE = code_fingerprint(
    Path(curate.__path__[0]),
    *(Path(benchmarks.__path__[0]) / name for name in BENCHMARKS),
    *(Path(__file__).with_name(name) for name in ("reading.py", "embedding.py", "judging.py", "steps.py")),
)
LEAKAGE = code_fingerprint(
    Path(curate.__path__[0]),
    *(Path(benchmarks.__path__[0]) / name for name in ("alike.py", "leakage.py", "leakage_report.py")),
    *(Path(__file__).with_name(name) for name in ("building.py", "leakage.py")),
)
BUILDING = code_fingerprint(
    Path(curate.__path__[0]),
    *(Path(benchmarks.__path__[0]) / name for name in (*BENCHMARKS, *PROTOCOLS)),
    *(Path(__file__).with_name(name) for name in ("building.py", "leakage.py")),
)
