"""`curate audit` on real speech: the figures follow from both catalogs, which stay as they were."""

import hashlib
import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from benchmarks.metrics import equal_error_rate
from curate.blocks import matrix
from curate.catalog import Catalog, read_parquet, write_parquet
from curate.errors import VoxcurateError
from curate.schema import DECISIONS, EMBEDDINGS, IDENTITIES, RESULTS, SPLITS, TRIALS, UTTERANCES
from flows.cli import app
from flows.pipeline import run

pytestmark = pytest.mark.real

# All pairs are trials, so that those of the cleaned test are known without drawing them again.
REPLACED = {
    "max_nontargets = 40": "",
    "[splits]": "min_speaker_similarity = 0.4\n\n[identities]\nmin_similarity = 0.7\n\n[splits]\nsex_balanced = false",
}


@pytest.fixture(scope="module")
def filled(prefect_server, write_pipeline, tmp_path_factory) -> tuple[Path, Path]:
    """The small pipeline, strict enough to drop some: heard so briefly that it errs, and longer, as the judge."""
    files = []
    for part_s in (0.8, 1.5):
        file = write_pipeline(tmp_path_factory.mktemp("filled"), iqr_factor=0.2)
        text = file.read_text(encoding="utf-8")
        hearing = {"[embedding]": f'[embedding]\npart = "first"\npart_s = {part_s}'}
        for old, new in (REPLACED | hearing).items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        run(file)
        files.append(file)
    return files[0], files[1]


@pytest.fixture
def judge(filled, tmp_path) -> Path:
    """The judge's pipeline file with a catalog that a test may change."""
    shutil.copytree(filled[1].parent, tmp_path / "judge")
    return tmp_path / "judge" / "small.toml"


def asked(pipeline: Path, judge: Path, *words: str):
    return CliRunner().invoke(app, ["audit", "circularity", str(pipeline), "--judge", str(judge), *words])


def told(pipeline: Path, judge: Path) -> dict:
    done = asked(pipeline, judge, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def fault(pipeline: Path, judge: Path) -> str:
    done = asked(pipeline, judge)
    assert isinstance(done.exception, VoxcurateError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


def change(file: Path, table, part: str, rows) -> None:
    """Put what `rows` makes of a part in its place."""
    path = Catalog(file.parent / "catalog").path(table, part)
    write_parquet(path, rows(read_parquet(path)))


def by_key(table: pa.Table, key: str, value: str) -> dict:
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))


def dropped_by(catalog: Catalog) -> set[str]:
    is_drop = (pc.field("subject") == "utterance") & (pc.field("verdict") == "drop")
    return set(catalog.read(DECISIONS).filter(is_drop)["subject_id"].to_pylist())


def slowly(filled) -> dict[tuple[str, str], float]:
    """{(system, condition): EER}, from the tables of both catalogs, pair by pair."""
    catalogs = dict(zip(("audited", "judge"), (Catalog(file.parent / "catalog") for file in filled), strict=True))
    utterances = catalogs["audited"].read(UTTERANCES)
    label, sex = (by_key(utterances, "utterance_id", column) for column in ("speaker_id", "sex"))
    person = by_key(catalogs["audited"].read(IDENTITIES), "speaker_id", "identity_id")
    in_test = catalogs["audited"].read(SPLITS).filter(pc.field("split") == "test")
    people = set(in_test["identity_id"].to_pylist())
    test = sorted(one for one in label if person[label[one]] in people)
    left = {"uncleaned": set(test), "cleaned_by_audited": set(in_test["utterance_id"].to_pylist())}
    left["cleaned_by_judge"] = set(test) - dropped_by(catalogs["judge"])
    found = {}
    for system, catalog in catalogs.items():
        rows = catalog.read(EMBEDDINGS)
        unit = {
            one: vector / np.linalg.norm(vector)
            for one, vector in zip(rows["utterance_id"].to_pylist(), matrix(rows["vector"]), strict=True)
        }
        for name, ids in left.items():
            pairs = [
                (float(unit[one] @ unit[other]), person[label[one]] == person[label[other]])
                for one, other in combinations(sorted(ids), 2)
                if sex[one] == sex[other]
            ]
            scores, is_target = zip(*pairs, strict=True)
            found[system, name] = equal_error_rate(np.array(scores), np.array(is_target))
    return found


def hashes(root: Path) -> dict[str, str]:
    files = (file for file in sorted(root.rglob("*")) if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_figures_are_those_of_the_tables_pair_by_pair(filled):
    found = told(*filled)
    figures = {
        (system, name): one["figures"][system]["eer"]["value"]
        for name, one in found["conditions"].items()
        for system in ("audited", "judge")
    }
    assert figures == pytest.approx(slowly(filled), abs=1e-6)
    assert found["systems"] == {"audited": "ge2e, first 0.8 s", "judge": "ge2e, first 1.5 s"}
    assert found["num_utterances"] == found["num_test_utterances"]
    assert found["taken"]["audited"]["dropped"] > 0  # or this test says little
    assert found["taken"]["judge"]["dropped"] > 0
    assert len(set(figures.values())) > 3


def test_the_cleaned_benchmark_is_the_one_that_was_published(filled):
    catalog, found = Catalog(filled[0].parent / "catalog"), told(*filled)
    cleaned, trials = found["conditions"]["cleaned_by_audited"], catalog.read(TRIALS)
    assert cleaned["num_target"] == pc.sum(trials["is_target"]).as_py()
    assert cleaned["num_nontarget"] == len(trials) - cleaned["num_target"]
    published = by_key(catalog.read(RESULTS), "metric", "value")
    assert {metric: one["value"] for metric, one in cleaned["figures"]["audited"].items()} == pytest.approx(published)


def test_the_tables_and_words_are_printed_and_nothing_is_written(filled):
    before = [hashes(file.parent) for file in filled]
    done = asked(*filled)
    assert done.exit_code == 0
    assert "small: a test of 4 people, " in done.output
    assert "utterances (100.0%) in both catalogs." in done.output
    for line in ("before cleaning", "cleaned by ge2e, first 1.5 s", "as many dropped at random, 20 times"):
        assert line in done.output
    assert "Circularity: " in done.output
    assert "Cohen's kappa" in done.output
    assert asked(*filled).output == done.output  # the same seeds
    assert [hashes(file.parent) for file in filled] == before


def test_what_the_judge_did_not_hear_is_left_out_and_told(filled, judge):
    before = told(*filled)
    test = Catalog(filled[0].parent / "catalog").read(SPLITS).filter(pc.field("split") == "test")
    unheard = test["utterance_id"][0].as_py()
    change(judge, EMBEDDINGS, "ge2e", lambda rows: rows.filter(pc.field("utterance_id") != unheard))
    found = told(filled[0], judge)
    assert found["num_utterances"] == before["num_utterances"] - 1
    assert found["num_test_utterances"] == before["num_test_utterances"]
    assert found["conditions"]["uncleaned"]["num_target"] < before["conditions"]["uncleaned"]["num_target"]
    shares = f"{found['num_utterances']} of its {found['num_test_utterances']} utterances ("
    assert shares in asked(filled[0], judge).output


def test_what_another_step_than_cleaning_set_aside_is_in_no_condition(filled, judge):
    """A duplicate is no matter of taste."""
    test = Catalog(filled[0].parent / "catalog").read(SPLITS).filter(pc.field("split") == "test")
    copy = test["utterance_id"][0].as_py()
    row = {"subject": "utterance", "subject_id": copy, "verdict": "drop", "reason": "near_duplicate"}
    row |= {"decided_by": "toy", "step": "duplicates", "run_id": ""}
    more = pa.Table.from_pylist([row], schema=DECISIONS.arrow())
    path = Catalog(judge.parent / "catalog").path(DECISIONS, "toy")
    write_parquet(path, more)
    before, found = told(*filled), told(filled[0], judge)
    assert found["num_utterances"] == before["num_utterances"] - 1
    assert (
        sum(found["agreement"][one] for one in ("both", "audited_only", "judge_only", "neither"))
        == (found["num_utterances"])
    )


def test_an_utterance_under_another_label_is_asked_under_it(filled, judge):
    """The judge gives an utterance to another of the test: some of its targets become nontargets."""
    catalog = Catalog(filled[0].parent / "catalog")
    person = by_key(catalog.read(IDENTITIES), "speaker_id", "identity_id")
    label, sex = (by_key(catalog.read(UTTERANCES), "utterance_id", one) for one in ("speaker_id", "sex"))
    test = catalog.read(SPLITS).filter(pc.field("split") == "test")
    left = set(test["utterance_id"].to_pylist()) - dropped_by(Catalog(judge.parent / "catalog"))
    one, other = next(
        (one, other)
        for one, other in combinations(sorted(left), 2)
        if person[label[one]] != person[label[other]] and sex[one] == sex[other]
    )
    row = {"subject": "utterance", "subject_id": one, "other_id": label[other], "verdict": "relabel"}
    row |= {"reason": "wrong_speaker", "decided_by": "toy", "step": "clean", "run_id": ""}
    more = pa.Table.from_pylist([row], schema=DECISIONS.arrow())
    change(judge, DECISIONS, "clean", lambda rows: pa.concat_tables([rows, more]))
    before, found = told(*filled), told(filled[0], judge)
    assert found["taken"]["judge"] == {"dropped": before["taken"]["judge"]["dropped"], "relabelled": 1}
    was, now = (told["conditions"]["cleaned_by_judge"] for told in (before, found))
    assert now["num_target"] + now["num_nontarget"] == was["num_target"] + was["num_nontarget"]
    assert now["figures"] != was["figures"]
    assert found["conditions"]["cleaned_by_audited"] == before["conditions"]["cleaned_by_audited"]


def test_a_judge_with_the_same_ears_is_refused(filled):
    assert "heard by the encoder that cleaned" in fault(filled[0], filled[0])
    assert "expected another encoder, or another `part` or `speech` of it" in fault(filled[1], filled[1])


def test_a_catalog_that_was_not_run_is_told(filled, tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(filled[1].read_text(encoding="utf-8"), encoding="utf-8")
    expected = f"{tmp_path / 'catalog'}: no catalog is there; expected a catalog that `curate run` has filled"
    assert fault(filled[0], file) == expected
    assert fault(file, filled[0]) == expected


def test_a_pipeline_file_that_was_changed_after_its_run_is_told(filled, judge):
    text = judge.read_text(encoding="utf-8")
    judge.write_text(text.replace("part_s = 1.5", "part_s = 2.5"), encoding="utf-8")
    assert "heard with part_s 1.5, not 2.5 as the pipeline file has it now; expected `curate run`" in fault(
        filled[0], judge
    )
    judge.write_text(text.replace('part = "first"', 'part = "first"\nname = "other"'), encoding="utf-8")
    assert "not heard by other; expected a catalog that `curate run` has filled" in fault(filled[0], judge)


def test_a_judge_over_other_corpora_is_told(filled, judge):
    change(judge, EMBEDDINGS, "ge2e", lambda rows: rows.slice(0, 0))
    assert "holds none of the" in fault(filled[0], judge)


@pytest.mark.parametrize("column", ["content_sha256", "speaker_id"])
def test_an_id_of_other_audio_or_another_label_is_told(filled, judge, column):
    def other(rows):
        at = rows.column_names.index(column)
        return rows.set_column(at, rows.schema.field(at), pa.array(["other"] * len(rows)))

    change(judge, UTTERANCES, "one", other)
    assert f"test utterances have another {column} there, one/" in fault(filled[0], judge)
