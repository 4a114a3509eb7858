"""What is known of how a benchmark came to be is found where the catalog, or what lies beside it, has it."""

import csv
from dataclasses import asdict
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from benchmarks.planting.faults import TRUTH
from benchmarks.protocol import load_protocol, names
from curate.catalog import canonical_json, rows_of, write_parquet
from curate.schema import DECISIONS, RUNS
from flows.noted import age_groups, drawn_with, planted_in, protocol_of
from flows.publishing import Asked, publish_benchmark
from tests.flows.published_made import write_catalog


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path)


def note(catalog, step, settings):
    row = {"run_id": "9", "step": step, "part": "toy", "finished_at": datetime(2026, 5, 6, tzinfo=UTC), "num_rows": 1}
    row |= {"summary": "", "settings": canonical_json(settings), "versions": "{}", "fingerprint": "f"}
    catalog.publish(RUNS, rows_of(RUNS, [row]), fingerprint="")


def test_the_protocol_that_built_it_is_found_as_it_was(catalog):
    assert protocol_of(catalog, "toy") is None
    for name in names():
        note(catalog, "build", {"protocol": asdict(load_protocol(name)), "lists": {}, "readers": {}})
        assert protocol_of(catalog, "toy") == load_protocol(name)
    assert protocol_of(catalog, "another") is None


def test_a_protocol_of_another_version_is_not_known(catalog):
    note(catalog, "build", {"protocol": {"name": "toy", "was": "otherwise"}})
    assert protocol_of(catalog, "toy") is None


def test_the_card_has_the_protocol_in_words(catalog, tmp_path):
    protocol = load_protocol("vietsv")
    note(catalog, "build", {"protocol": asdict(protocol), "lists": {}, "readers": {}})
    assert drawn_with(catalog, "toy") == []
    publish_benchmark(catalog, "toy", tmp_path / "out", Asked())
    text = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert f"# {protocol.title}\n" in text
    assert " ".join(protocol.description.split())[:60] in text
    assert "```text\nSources" in text
    assert text.count("- It differs from the paper: ") == len(protocol.differences)


def test_ages_are_in_the_protocols_scheme(catalog):
    rows = pa.table(
        {
            "utterance_id": ["a", "b"],
            "age_min_years": pa.array([15, None], pa.int16()),
            "age_max_years": pa.array([15, None], pa.int16()),
        }
    )
    labels = pa.table({"scheme": ["leq29"], "utterance_id": ["b"], "age_group": ["adult"]})
    assert age_groups(rows, labels, None)["age_group"].to_pylist() == [None, "adult"]
    leq17 = load_protocol("voxceleb-enrichment-leq17")
    assert age_groups(rows, labels, leq17)["age_group"].to_pylist() == ["young", None]


def test_what_was_planted_is_counted_with_what_was_found_of_it(catalog):
    assert planted_in(catalog) == []
    truth = [
        {
            "fault": fault,
            "kind": "",
            "utterance_id": one,
            "original_id": one,
            "speaker_id": label,
            "true_speaker_id": true,
        }
        for fault, one, label, true in (
            ("clipped", "studio/bình/3", "studio/bình", "studio/bình"),
            ("clipped", "studio/bình/1", "studio/bình", "studio/bình"),
            ("split", "studio/an/1", "studio/an", "studio/bình"),
            ("split", "studio/an/2", "studio/bình", "studio/bình"),
        )
    ]
    write_parquet(catalog.root.parent / "truth.parquet", pa.Table.from_pylist(truth, schema=TRUTH.arrow()))
    assert planted_in(catalog) == [("clipped", 2, 1), ("split", 2, 1)]


def test_what_the_demo_planted_is_counted(catalog):
    path = catalog.root.parent / "corpora" / "truth.csv"
    path.parent.mkdir()
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["fault", "subject", "subject_id", "other_id", "detail"])
        rows.writerow(["silence", "utterance", "studio/bình/3", "", ""])
        rows.writerow(["silence", "utterance", "studio/bình/2", "", ""])
        rows.writerow(["same_person", "pair", "studio/an", "studio/bình", ""])
    assert planted_in(catalog) == [("silence", 2, 1), ("same_person", 1, 0)]
    kept = {"subject": "utterance", "subject_id": "studio/bình/3", "verdict": "keep", "reason": "reviewed"}
    kept |= {"decided_by": "ann", "step": "review", "run_id": "9"}
    catalog.publish(DECISIONS, rows_of(DECISIONS, [kept]), part="review", fingerprint="")
    assert planted_in(catalog) == [("silence", 2, 0), ("same_person", 1, 0)], "a reviewer kept what a rule had found"
