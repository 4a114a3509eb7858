"""What a table is made anew for: whatever code its step comes to is in its fingerprint."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import code
from tests.forked import Forks, forks

OF_STEPS = {"benchmarks": code.FILES["leaking"][0], "flows": {"leaking.py"}}  # one step has a fingerprint of its own
NO_RESULT = {  # they write files of the tables, each time anew, read what others wrote, or say which files these are
    "benchmarks": {"leakage_report.py", "list_files.py", "pictures.py", "protocol_card.py", "score_files.py"},
    "flows": {"code.py"},
}


@pytest.fixture(scope="module")
def forked() -> Iterator[Forks]:
    """Of a process that has others' packages alone."""
    with forks("scipy.stats", "pyarrow.dataset", "duckdb", "torch", "resemblyzer") as forked:
        yield forked


@pytest.mark.parametrize("module", code.FILES)
def test_every_module_that_a_step_imports_is_in_its_fingerprint(module, forked):
    root = Path(__file__).parents[2]
    told = forked.run(exec, f"import sys, flows.{module}; print(*sys.modules)")
    assert told.returncode == 0, told.stderr
    for package, covered in zip(("benchmarks", "flows"), code.FILES[module], strict=True):
        parts = [name.split(".") for name in told.stdout.split() if name.startswith(f"{package}.")]
        loaded = {f"{one[1]}.py" for one in parts}
        if module == "steps":
            loaded -= OF_STEPS[package]
        assert f"{module}.py" in covered or package != "flows"
        assert loaded - NO_RESULT[package] <= covered
        assert all((root / package / name).is_file() for name in covered)


def test_what_is_made_by_other_code_has_another_fingerprint():
    assert len({code.CODE, code.LEAKING, code.BUILDING, code.SCORING, code.EVALUATING}) == 5
