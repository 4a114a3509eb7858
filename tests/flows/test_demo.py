"""The demo runs to its end and accounts for every fault that it planted."""

import csv
import re

import pytest

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_the_demo_accounts_for_every_planted_fault_and_says_where_things_lie(curate, tmp_path):
    result = curate("demo", tmp_path)
    assert result.returncode == 0, result.stderr
    with (tmp_path / "corpora" / "truth.csv").open(encoding="utf-8", newline="") as file:
        planted = [row["fault"] for row in csv.DictReader(file)]
    accounts = re.findall(r"^(\w+) +(\d+)/(\d+) +(.+)$", result.stdout, flags=re.MULTILINE)
    assert {fault: int(total) for fault, _, total, _ in accounts} == {f: planted.count(f) for f in set(planted)}
    for fault, found, total, missed in accounts:
        assert int(total) - int(found) == (0 if missed == "-" else len(missed.split(", "))), fault
        assert int(found) > int(total) / 2, f"{fault}: hardly any was found"
    for place in ("catalog", "catalog/lists/demo.txt", "catalog/README.md"):
        assert (tmp_path / place).exists()
        assert str(tmp_path / place) in result.stdout
    assert "expected another folder" in curate("demo", tmp_path, "--seed", "2").stderr
