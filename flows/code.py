"""Which code computes the tables: they are made anew when it has changed."""

from pathlib import Path

import curate
from benchmarks import intervals, metrics, scoring, splits, trials
from curate.runs import code_fingerprint

CODE = code_fingerprint(
    Path(curate.__path__[0]),
    *(Path(str(module.__file__)) for module in (intervals, metrics, scoring, splits, trials)),
    *(Path(__file__).with_name(name) for name in ("reading.py", "embedding.py", "steps.py")),
)
