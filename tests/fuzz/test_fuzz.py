"""The short form of `make fuzz`: what reads a user's bytes reads them or says one line, whatever they are.

And the fuzzer itself: every kind of fault is found, also one that ends the process.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.kinds import KINDS
from tests.fuzz.trying import Trying, case

ONE_OF = 5  # of a kind's share: so many damaged files
EVERY = 4  # of its whole files
ANY = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text("0123456789eE.,:;-+[]{}\"'\\ \t\n=#abc", max_size=200).map(str.encode),
)

pytestmark = pytest.mark.filterwarnings("ignore")  # what warns is told, and no fault


@pytest.fixture(scope="module")
def trying(tmp_path_factory) -> Callable[[str], Trying]:
    """The subjects of a kind, made once."""
    return cache(lambda kind: Trying(kind, tmp_path_factory.mktemp("fuzz")))


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """What is tried is not the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(kind, trying):
    of_kind = trying(kind)
    said = [of_kind.run(of_kind.whole(number)) for number in range(0, len(of_kind.places), EVERY)]
    assert [one["fault"] for one in said if one["fault"]] == []
    assert sum(one["told"] is None for one in said) > len(said) / 2  # a few are whole, and odd: sound of no numbers


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_told_in_one_line(kind, trying):
    of_kind = trying(kind)
    num = KINDS[kind].share // ONE_OF + 1
    step = max(len(of_kind.places) // num, 1)  # all whole files in turn; where there are more, some of them, evenly
    for number in range(num):
        rng = np.random.default_rng([number, len(kind)])
        data = of_kind.change(of_kind.whole(number * step), rng)
        assert of_kind.run(data)["fault"] is None, data[:200]


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes_and_any_text_are_read_or_told_in_one_line(kind, trying):
    of_kind = trying(kind)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(of_kind.places), ANY)
    def told(place, content):
        assert of_kind.run(case(*place, content))["fault"] is None

    told()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"6", "ValueError at "),
        (b"4", "AssertionError at "),
        (b"?", "memory"),
        (b"2", None),
        (b"whole", None),
    ],
)
def test_a_fault_is_found(content, fault, trying):
    said = trying("faulty").run(case("faulty", "a.txt", content))["fault"]
    assert (said or "").startswith(fault or "")
    assert (said is None) == (fault is None)


def test_fuzzing_goes_on_after_a_death_and_a_hang_and_tells_of_both(tmp_path):
    words = ["-m", "tests.fuzz", "faulty", "--files", "200", "--wait-s", "2", "--blind", "--out", tmp_path / "out"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    kept = {"death-SIGABRT": {5}, "hang": {3, 15}}  # on a busy machine what takes memory hangs, too
    for fault, bits in kept.items():
        files = [path for path in (tmp_path / "out").rglob("a.txt") if path.parent.name.startswith(fault)]
        assert files, done.stdout
        assert {path.read_bytes()[0] % 16 for path in files} <= bits
