"""What a table is made anew for: whatever code its step comes to is in its fingerprint."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.code import BENCHMARKS, BUILDING, CODE, LEAKAGE, PROTOCOLS

WRITING = {"list_files", "leakage_report", "protocol_card"}  # files that are made of the tables, each time anew

OF_LEAKAGE = ("alike.py", "leakage.py")  # of one step alone, which has a fingerprint of its own


@pytest.mark.parametrize(
    ("module", "covered"),
    [("flows.steps", (*BENCHMARKS, *OF_LEAKAGE)), ("flows.building", (*BENCHMARKS, *PROTOCOLS))],
)
def test_every_module_that_a_step_imports_is_in_its_fingerprint(module, covered):
    script = f"import sys, {module}; print(*(name for name in sys.modules if name.startswith('benchmarks.')))"
    root = Path(__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[1] for name in told.stdout.split()}
    assert loaded
    assert loaded - WRITING <= {Path(name).stem for name in covered}
    assert all((root / "benchmarks" / name).is_file() for name in covered)


def test_what_is_built_and_what_is_run_have_fingerprints_of_their_own():
    assert len({CODE, BUILDING, LEAKAGE}) == 3
