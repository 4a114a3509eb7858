"""Reviewers' verdicts from the command to the tables: applied by the next run, and by every one after it."""

import csv
import io
import json
import shutil

import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from curate.catalog import Catalog
from curate.config import load_pipeline
from curate.explain import explain
from curate.runs import last_done
from curate.schema import DECISIONS, IDENTITIES, REVIEWS, SPLITS, UTTERANCES
from flows import steps
from flows.cli import app
from flows.pipeline import run

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def pipeline(small_run, tmp_path):
    """A copy of it, of which reviewers may speak."""
    shutil.copytree(small_run.parent, tmp_path / "copy")
    return tmp_path / "copy" / small_run.name


@pytest.fixture
def say(pipeline):
    """A command on the catalog, by ann unless it says otherwise; what it printed."""

    def command(*words, who="ann"):
        by = [] if words[0] == "reviews" else ["--reviewer", who]
        told = CliRunner().invoke(app, [*words, *by, "-c", str(pipeline.parent / "catalog")], catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return told.output

    return command


def catalog_of(pipeline):
    return Catalog(pipeline.parent / "catalog")


def identity(pipeline):
    rows = catalog_of(pipeline).read(IDENTITIES)
    return dict(zip(*(rows[name].to_pylist() for name in ("speaker_id", "identity_id")), strict=True))


def in_benchmark(pipeline):
    return set(catalog_of(pipeline).read(SPLITS)["utterance_id"].to_pylist())


def utterances_of(pipeline, speaker):
    rows = catalog_of(pipeline).read(UTTERANCES)
    return rows.filter(pc.equal(rows["speaker_id"], speaker))["utterance_id"].to_pylist()


def summary(pipeline, step):
    return next(row["summary"] for row in last_done(catalog_of(pipeline)) if row["step"] == step)


def test_what_was_said_is_applied_by_the_next_run_and_by_one_with_other_settings(
    pipeline, say, write_pipeline, contents
):
    dropped, relabelled, *_ = [one for one in utterances_of(pipeline, "one/2033") if one in in_benchmark(pipeline)]
    by_rule = (
        catalog_of(pipeline)
        .read(DECISIONS, "clean")
        .filter((pc.field("subject") == "utterance") & (pc.field("verdict") == "drop"))["subject_id"]
        .to_pylist()
    )
    assert by_rule
    assert say("decide", dropped, "drop", "--note", "a door") == (
        f"ann: drop utterance {dropped}. `curate run FILE` applies it.\n"
    )
    say("decide", relabelled, "relabel", "one/1998")
    say("decide", "two/3005", "drop")
    for one in by_rule:
        say("decide", one, "keep")
    opened = load_pipeline(pipeline)
    assert not steps.is_complete(opened, Catalog(opened.catalog, drafts=True))
    assert "no run has applied it yet" in "\n".join(explain(catalog_of(pipeline), dropped))

    for iqr_factor in (None, 0.5):
        if iqr_factor is not None:
            write_pipeline(pipeline.parent, iqr_factor=iqr_factor, num_test=4)
        done = run(pipeline)
        assert "review" in [step.step for step in done if step.changed]
        assert summary(pipeline, "review") == f"{3 + len(by_rule)} verdicts of 1 reviewer"
        benchmark = in_benchmark(pipeline)
        assert dropped not in benchmark
        assert not benchmark & set(utterances_of(pipeline, "two/3005"))
        assert benchmark >= {relabelled, *by_rule}
        rows = catalog_of(pipeline).read(SPLITS)
        splits = dict(zip(*(rows[name].to_pylist() for name in ("utterance_id", "identity_id")), strict=True))
        assert splits[relabelled] == identity(pipeline)["one/1998"]
        before = contents(pipeline.parent / "catalog")
        assert not any(step.changed for step in run(pipeline))
        assert contents(pipeline.parent / "catalog") == before
        assert steps.is_complete(load_pipeline(pipeline), Catalog(opened.catalog, drafts=True))


def test_a_merge_that_a_rule_made_is_undone_and_stays_so_until_that_is_taken_back(pipeline, say, write_pipeline):
    assert identity(pipeline)["two/1688"] == "one/1688"
    assert say("undo", "two/1688") == ("ann: keep one/1688 and two/1688 apart. `curate run FILE` applies it.\n")
    run(pipeline)
    assert identity(pipeline)["two/1688"] == "two/1688"
    write_pipeline(pipeline.parent, iqr_factor=3.0)
    run(pipeline)
    assert identity(pipeline)["two/1688"] == "two/1688"
    assert say("undo", "two/1688", "one/1688") == (
        "ann: take back what was said of one/1688 and two/1688. `curate run FILE` applies it; where nothing else that "
        "was said stands, the rules decide again.\n"
    )
    run(pipeline)
    assert identity(pipeline)["two/1688"] == "one/1688"
    assert catalog_of(pipeline).parts(REVIEWS) == ["ann"]


def test_what_reviewers_merge_is_one_person_when_the_steps_run(pipeline, say):
    """Also a label of which nothing is left."""
    opened = load_pipeline(pipeline)
    catalog = Catalog(opened.catalog, drafts=True)
    say("decide", "two/3005", "drop")
    say("decide", "two/3005", "merge", "one/2033")
    for name in ("review", "identities"):
        steps.AFTER_INGEST[name](opened, catalog).carry_out()
    identities = catalog.read(IDENTITIES)
    merged = identities.filter(pc.field("speaker_id") == "two/3005")["identity_id"].to_pylist()
    assert merged == ["one/2033"]
    pair = (pc.field("subject_id") == "one/2033") & (pc.field("other_id") == "two/3005")
    rows = catalog.read(DECISIONS).filter(pair).to_pylist()
    assert [(row["step"], row["verdict"], row["reason"], row["decided_by"]) for row in rows] == [
        ("identities", "merge", "reviewed", "mean cosine, complete groups"),
        ("review", "merge", "reviewed", "ann"),
    ]


def test_a_run_never_takes_reviews_away_nor_fails_for_what_is_gone(pipeline, say):
    """The second corpus is no longer named: what was said of it is told, and the rest is applied."""
    gone, stays = utterances_of(pipeline, "two/3331")[0], utterances_of(pipeline, "one/1998")[0]
    say("decide", gone, "drop")
    say("decide", stays, "drop")
    text = pipeline.read_text()
    first, second, rest = text.index("[[corpora]]"), text.rindex("[[corpora]]"), text.index("[embedding]")
    assert first < second
    pipeline.write_text(text[:second] + text[rest:].replace("num_test_speakers = 4", "num_test_speakers = 2"))
    pipeline.write_text(pipeline.read_text() + "same_sex_nontargets = false\n")  # it has one reader of each sex
    run(pipeline)
    assert summary(pipeline, "review") == "2 verdicts of 1 reviewer; 1 about what is not there any more"
    assert stays not in in_benchmark(pipeline)
    assert len(catalog_of(pipeline).read(REVIEWS)) == 2


def test_what_stands_is_listed_as_table_csv_and_json(pipeline, say):
    one = utterances_of(pipeline, "one/1998")[0]
    assert say("reviews").endswith("(0 rows)\n")
    say("decide", "one/1688", "keep", "two/3331", "--note", 'no, "not" he')
    say("decide", one, "drop")
    say("decide", "one/2033", "drop")
    say("undo", "one/2033")
    rows = json.loads(say("reviews", "--json"))
    assert [
        [row[name] for name in ("subject", "subject_id", "verdict", "other_id", "reviewer", "note")] for row in rows
    ] == [
        ["pair", "one/1688", "keep", "two/3331", "ann", 'no, "not" he'],
        ["utterance", one, "drop", None, "ann", None],
    ]
    listed = list(csv.DictReader(io.StringIO(say("reviews", "--csv"))))
    assert listed == [{name: value or "" for name, value in row.items()} for row in rows]
    assert all(word in say("reviews") for word in ("one/1688", one, "(2 rows)"))


def test_what_was_listed_can_be_said_at_once(pipeline, say, tmp_path):
    one = utterances_of(pipeline, "one/1998")[0]
    say("decide", "one/1688", "keep", "two/3331", "--note", 'no, "not" he')
    say("decide", one, "drop")
    listed = tmp_path / "said.csv"
    listed.write_text(say("reviews", "--csv"))
    say("undo", "one/1688", "two/3331")
    say("undo", one)
    told = say("decide", "--file", str(listed))
    assert told.startswith(f"ann: keep one/1688 and two/3331 apart; drop utterance {one}. ")
    again = list(csv.DictReader(io.StringIO(say("reviews", "--csv"))))
    assert [row["note"] for row in again] == ['no, "not" he', ""]


def test_whose_word_goes_is_told_where_it_is_not_ones_own(pipeline, say):
    say("decide", "one/1688", "keep", "two/3331")
    say("decide", "one/1688", "keep", "two/3331", who="bob")
    assert "had said" not in say("undo", "one/1688", "two/3331", who="bob")
    told = say("undo", "one/1688", "two/3331", who="bob")
    assert told.endswith("the rules decide again. ann had said: keep one/1688 and two/3331 apart.\n")
    assert catalog_of(pipeline).parts(REVIEWS) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("decide", "--file", "no.csv"), "curate: no.csv: No such file or directory; expected CSV with the columns"),
        (("decide", "1688-142285", "drop"), "curate: '1688-142285': no utterance or speaker of "),
        (("decide", "one/1688", "merge"), "curate: 'one/1688': merge without a second id; expected a second speaker"),
        (
            ("undo", "two/3331"),
            "curate: 'two/3331': nothing to undo; expected one on which a reviewer's verdict stands",
        ),
        (("decide", "one/1688", "drop", "--reviewer", "a/b"), "curate: reviewer 'a/b': expected at most 64 letters"),
        (("decide", "one/1688", "drop", "--reviewer", ""), "curate: reviewer '': expected at most 64 letters"),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_line_and_nothing_is_kept(words, told, curate, pipeline):
    result = curate(*words, "-c", pipeline.parent / "catalog")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(told)
    assert catalog_of(pipeline).parts(REVIEWS) == []


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"VOXCURATE_REVIEWER": "bob", "LOGNAME": "carl"}, "bob"),
        ({"LOGNAME": "carl"}, "carl"),
        ({"VOXCURATE_REVIEWER": "Tha\u0309o"}, "Th\u1ea3o"),
    ],
)
def test_who_says_it_comes_from_the_environment_else_from_the_login(environment, name, pipeline, monkeypatch):
    monkeypatch.delenv("VOXCURATE_REVIEWER", raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    told = CliRunner().invoke(app, ["decide", "one/1688", "drop", "-c", str(pipeline.parent / "catalog")])
    assert told.output == f"{name}: drop speaker one/1688. `curate run FILE` applies it.\n"
