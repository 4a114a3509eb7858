"""What fuzzing once found stays found: each file is told in one line, or read, in little time and memory."""

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.fuzz.trying import Trying, case

FOUND = Path(__file__).parent / "found"
FILES = tomllib.loads((FOUND / "found.toml").read_text(encoding="utf-8"))["found"]

pytestmark = pytest.mark.filterwarnings("ignore")  # what warns is told, and no fault


@pytest.fixture(scope="module")
def trying(tmp_path_factory) -> Callable[[str], Trying]:
    """The subjects of a kind, made once."""
    return cache(lambda kind: Trying(kind, tmp_path_factory.mktemp("found")))


@pytest.mark.parametrize("one", FILES, ids=lambda one: one["holds"])
def test_what_was_found_is_told_in_one_line_or_read(one, trying):
    of_kind = trying(one["kind"])
    data = case(one["subject"], one["file"], (FOUND / one["holds"]).read_bytes())
    assert (one["subject"], one["file"]) in of_kind.places
    said = of_kind.run(data)
    assert said["fault"] is None, f"{one['did']}; now: {said['fault']}"
    assert (said["told"] is None) == one.get("is_read", False)


def test_every_file_is_told_of():
    assert {one["holds"] for one in FILES} == {path.name for path in FOUND.iterdir()} - {"found.toml"}
