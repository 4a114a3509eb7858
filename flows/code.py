"""Which code computes the tables: they are made anew when it has changed."""

from pathlib import Path

import benchmarks
import curate
from curate.runs import code_fingerprint

BENCHMARKS = (  # a step does not come to the others: what only a command or a bench calls
    *("balance.py", "drawing.py", "hard_pairs.py", "intervals.py", "metrics.py", "pair_kernels.py", "pairs.py"),
    *("scoring.py", "splits.py", "trial_rules.py", "trials.py"),
)
CODE = code_fingerprint(
    Path(curate.__path__[0]),
    *(Path(benchmarks.__path__[0]) / name for name in BENCHMARKS),
    *(Path(__file__).with_name(name) for name in ("reading.py", "embedding.py", "judging.py", "steps.py")),
)
