"""What is chosen to go out: what nothing dropped, under the people found, with its split, its age and its terms."""

import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from curate.catalog import Catalog, rows_of
from curate.errors import CatalogError, ExportError
from curate.export import chosen
from curate.export.chosen import (
    as_export,
    benchmark_of,
    each_trial,
    in_order,
    models_among,
    outgoing_rows,
    trials_among,
    with_audio,
)
from curate.export.outgoing import Outgoing, Trial
from curate.schema import CORPORA, DECISIONS, IDENTITIES, SPLITS, TRIALS, UTTERANCES


def utterance(name, **told):
    """A second of audio of `<corpus>/<label>/...`, as the scan writes it."""
    corpus, label, *_ = name.split("/")
    found = {
        "utterance_id": name,
        "corpus": corpus,
        "speaker_id": f"{corpus}/{label}",
        "path": name.removeprefix(f"{corpus}/") + ".flac",
        "start_s": 0.0,
        "duration_s": 1.0,
        "sample_rate_hz": 16_000,
        "num_channels": 1,
        "num_samples": 16_000,
        "content_sha256": "0" * 64,
    }
    return found | told


TOLD = {
    "session_id": "b/an/1",
    "path": "calls/7.wav",
    "channel": 1,
    "start_s": 0.5,
    "duration_s": 2.5,
    "sample_rate_hz": 8_000,
    "num_channels": 2,
    "num_samples": 24_000,
    "sex": "female",
    "age_min_years": 30,
    "age_max_years": 39,
    "age_source": "speakers.csv",
    "accent": "northern",
    "nationality": "Việt Nam",
    "language": "vi",
    "transcript": "xin  chào",
    "corpus_split": "dev",
    "licence": "CC0-1.0",
}
ROWS = [
    utterance("b/an/told", **TOLD),
    utterance("b/an/dropped"),
    utterance("b/chi/2", age_min_years=34, age_max_years=34),
    utterance("a/an/1", duration_s=0.5),
    utterance("a/an/10", duration_s=4.0),
    utterance("a/an/9"),
]
PEOPLE = {"a/an": "a/an", "b/an": "a/an", "b/chi": "b/chi"}  # `an` was found to be one person
SPLIT = {"b/an/told": "test", "b/chi/2": "train", "a/an/1": "test", "a/an/10": "test", "a/an/9": "test"}
PAIRS = [("a/an/1", "b/an/told", True), ("a/an/10", "a/an/9", True), ("a/an/9", "b/an/told", True)]


@pytest.fixture
def catalog(tmp_path):
    """Two corpora, three labels, two people, one utterance that was dropped; the benchmark `toy`."""
    made = Catalog(tmp_path / "catalog")
    corpora = [
        {"corpus": "a", "reader": "folder", "root": "/corpora/a", "licence": "CC-BY-4.0"},
        {"corpus": "b", "reader": "folder", "root": "/corpora/b c"},
    ]
    made.publish(CORPORA, rows_of(CORPORA, corpora), fingerprint="")
    for corpus in "ab":
        rows = [row for row in ROWS if row["corpus"] == corpus]
        made.publish(UTTERANCES, rows_of(UTTERANCES, rows), part=corpus, fingerprint="")
    people = [{"speaker_id": label, "identity_id": person} for label, person in PEOPLE.items()]
    made.publish(IDENTITIES, rows_of(IDENTITIES, people), fingerprint="")
    judge(made)
    publish(made, "toy", SPLIT)
    return made


def judge(catalog, moved=()):
    """Publish the decisions of a step: `b/an/dropped` is dropped, and each of `moved` goes to the label beside it."""
    common = {"subject": "utterance", "decided_by": "a rule", "step": "clean", "run_id": "0", "reason": "wrong_speaker"}
    rows = [common | {"subject_id": "b/an/dropped", "other_id": "b/chi", "verdict": "drop"}]
    rows += [common | {"subject_id": one, "other_id": label, "verdict": "relabel"} for one, label in moved]
    catalog.publish(DECISIONS, rows_of(DECISIONS, rows), part="clean", fingerprint="")


def publish(catalog, benchmark, split, pairs=PAIRS):
    speaker = {row["utterance_id"]: row["speaker_id"] for row in ROWS}
    rows = [
        {"benchmark": benchmark, "utterance_id": one, "identity_id": PEOPLE[speaker.get(one, "a/an")], "split": name}
        for one, name in split.items()
    ]
    catalog.publish(SPLITS, rows_of(SPLITS, rows), part=benchmark, fingerprint="")
    trials = [
        {"benchmark": benchmark, "list": "test", "enrol_id": a, "test_id": b, "is_target": same} for a, b, same in pairs
    ]
    catalog.publish(TRIALS, rows_of(TRIALS, trials), part=benchmark, fingerprint="")


def exported(catalog, **length):
    rows = outgoing_rows(catalog, "toy", **length)
    return as_export("toy", rows, trials_among(catalog, "toy", rows), models_among(catalog, "toy", rows), Path("/out"))


# -------------------------------------------------------------------------------------------------------------- chosen


def test_what_was_not_dropped_goes_out_in_the_order_of_ids(catalog):
    ids = [one.utterance for one in in_order(outgoing_rows(catalog, "toy"))]
    assert ids == ["a/an/1", "a/an/10", "a/an/9", "b/an/told", "b/chi/2"]
    assert "b/an/dropped" not in ids


def test_it_goes_out_under_people_beside_the_labels_of_its_corpus(catalog):
    rows = {one.utterance: one for one in in_order(outgoing_rows(catalog, "toy"))}
    assert {name: one.speaker for name, one in rows.items()} == {
        name: PEOPLE["/".join(name.split("/")[:2])] for name in SPLIT
    }
    assert {name: one.label for name, one in rows.items()} == {name: "/".join(name.split("/")[:2]) for name in SPLIT}
    assert {name: one.split for name, one in rows.items()} == SPLIT


def test_each_utterance_is_of_its_split_and_of_no_other(catalog):
    export = exported(catalog)
    assert export.splits == ("test", "train")
    for _ in range(2):  # as often as a form needs
        found = {split: [one.utterance for one in export.utterances(split)] for split in export.splits}
        assert found == {"test": ["a/an/1", "a/an/10", "a/an/9", "b/an/told"], "train": ["b/chi/2"]}


def test_all_that_the_catalog_tells_goes_out(catalog):
    told = next(one for one in in_order(outgoing_rows(catalog, "toy")) if one.utterance == "b/an/told")
    assert replace(told, readable=None) == Outgoing(
        utterance="b/an/told",
        speaker="a/an",
        label="b/an",
        corpus="b",
        split="test",
        file_in_corpus="calls/7.wav",
        file=Path("/corpora/b c/calls/7.wav"),
        file_rate_hz=8_000,
        file_num_samples=24_000,
        file_num_channels=2,
        start_s=0.5,
        duration_s=2.5,
        channel=1,
        session="b/an/1",
        sex="female",
        age_years=(30, 39),
        age_source="speakers.csv",
        accent="northern",
        nationality="Việt Nam",
        language="vi",
        transcript="xin  chào",
        corpus_split="dev",
        licence="CC0-1.0",
        content_sha256=told.content_sha256,
    )
    assert re.fullmatch("[0-9a-f]{64}", told.content_sha256)
    assert told.source == told.file


def test_what_the_catalog_does_not_tell_is_none(catalog):
    bare = next(one for one in in_order(outgoing_rows(catalog, "toy")) if one.utterance == "a/an/9")
    assert {name for name, value in vars(bare).items() if value is None} == {
        *("channel", "session", "sex", "age_years", "age_source", "accent", "nationality", "language", "transcript"),
        *("corpus_split", "licence"),
    }


def test_ages_are_ranges_or_years(catalog):
    ages = {one.utterance: (one.age_years, one.age) for one in in_order(outgoing_rows(catalog, "toy"))}
    assert ages["b/an/told"] == ((30, 39), "30-39")
    assert ages["b/chi/2"] == ((34, 34), "34")
    assert ages["a/an/1"] == (None, None)


def test_files_are_where_the_root_of_their_corpus_is_now(catalog):
    moved = [{"corpus": name, "reader": "folder", "root": f"/moved/{name}"} for name in "ab"]
    catalog.publish(CORPORA, rows_of(CORPORA, moved), fingerprint="")
    files = {one.utterance: str(one.file) for one in in_order(outgoing_rows(catalog, "toy"))}
    assert (files["a/an/1"], files["b/an/told"]) == ("/moved/a/an/1.flac", "/moved/b/calls/7.wav")


@pytest.mark.parametrize(("licences", "said"), [(["X", "X"], "X"), (["X", "Y"], None), (["X", None], None)])
def test_the_whole_has_a_licence_where_all_of_it_has_one(catalog, licences, said):
    for corpus, licence in zip("ab", licences, strict=True):
        rows = [row | {"licence": licence} for row in ROWS if row["corpus"] == corpus]
        catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part=corpus, fingerprint="")
    assert exported(catalog).licence == said


def test_many_rows_are_as_few(catalog, monkeypatch):
    rows = outgoing_rows(catalog, "toy")
    whole, trials = list(in_order(rows)), list(exported(catalog).trials("test"))
    monkeypatch.setattr(chosen, "ROWS_AT_ONCE", 2)
    assert list(in_order(rows)) == whole
    assert list(exported(catalog).trials("test")) == trials


def test_what_was_moved_goes_out_as_its_new_labels(catalog):
    before = {one.utterance: one for one in in_order(outgoing_rows(catalog, "toy"))}
    judge(catalog, moved=[("b/chi/2", "b/an"), ("a/an/9", "b/chi")])
    after = {one.utterance: one for one in in_order(outgoing_rows(catalog, "toy"))}
    assert list(after) == list(before)
    of_an = {"sex": "female", "age_years": (30, 39), "accent": "northern", "nationality": "Việt Nam"}
    assert after.pop("b/chi/2") == replace(before.pop("b/chi/2"), label="b/an", age_source=None, **of_an)
    assert after.pop("a/an/9") == replace(before.pop("a/an/9"), label="b/chi", age_years=(34, 34))
    assert after == before  # whose person each is the split says: it was drawn by the new labels


def test_a_session_goes_along_under_the_name_of_the_new_label(catalog):
    judge(catalog, moved=[("b/an/told", "b/chi")])
    told = next(one for one in in_order(outgoing_rows(catalog, "toy")) if one.utterance == "b/an/told")
    assert (told.label, told.session, told.sex, told.age_years) == ("b/chi", "b/chi/1", None, (34, 34))
    assert (told.corpus, told.language, told.transcript, told.licence) == ("b", "vi", "xin  chào", "CC0-1.0")


# -------------------------------------------------------------------------------------------------------------- length


@pytest.mark.parametrize(
    ("length", "left", "num_trials"),
    [
        ({}, {"a/an/1", "a/an/10", "a/an/9", "b/an/told", "b/chi/2"}, 3),
        ({"min_duration_s": 0.5}, {"a/an/1", "a/an/10", "a/an/9", "b/an/told", "b/chi/2"}, 3),
        ({"min_duration_s": 1.0}, {"a/an/10", "a/an/9", "b/an/told", "b/chi/2"}, 2),
        ({"max_duration_s": 2.5}, {"a/an/1", "a/an/9", "b/an/told", "b/chi/2"}, 2),
        ({"min_duration_s": 1.5}, {"a/an/10", "b/an/told"}, 0),
        ({"min_duration_s": 3.0, "max_duration_s": 4.0}, {"a/an/10"}, 0),
    ],
)
def test_what_is_too_short_or_too_long_stays_with_its_trials(catalog, length, left, num_trials):
    export = exported(catalog, **length)
    there = {one.utterance for split in export.splits for one in export.utterances(split)}
    trials = list(export.trials("test"))
    assert (there, len(trials)) == (left, num_trials)
    assert {side for one in trials for side in (one.enrol, one.test)} <= there


@pytest.mark.parametrize("length", [{"min_duration_s": 60.0}, {"min_duration_s": 3.0, "max_duration_s": 2.0}])
def test_a_length_that_nothing_has_is_an_error(catalog, length):
    with pytest.raises(ExportError, match=r"none of 5 utterances of 'toy' lasts [\d.]+ to [\w.]+ seconds; exp[^\n]*$"):
        outgoing_rows(catalog, "toy", **length)


def test_trials_are_those_of_the_benchmark_in_its_order(catalog):
    publish(catalog, "other", SPLIT, [("a/an/9", "a/an/1", True)])
    assert list(exported(catalog).trials("test")) == [Trial(enrol=a, test=b, is_target=same) for a, b, same in PAIRS]


def test_a_benchmark_without_trials_has_none(catalog):
    publish(catalog, "toy", SPLIT, [])
    assert list(exported(catalog).trials("test")) == []


# -------------------------------------------------------------------------------------------------------------- faults


def test_the_only_benchmark_needs_no_name(catalog):
    assert benchmark_of(catalog, None) == benchmark_of(catalog, "toy") == "toy"


def test_one_of_several_must_be_named(catalog):
    publish(catalog, "other", SPLIT)
    assert benchmark_of(catalog, "other") == "other"
    with pytest.raises(ExportError, match=r"catalog holds other, toy; expected `--benchmark` to name one$"):
        benchmark_of(catalog, None)
    with pytest.raises(ExportError, match=r"catalog: no benchmark 'tay'; expected one of other, toy$"):
        benchmark_of(catalog, "tay")


@pytest.mark.parametrize("name", [None, "toy"])
@pytest.mark.parametrize("place", ["nowhere", "catalog/corpora", "file"])
def test_where_there_is_no_catalog_is_an_error(catalog, tmp_path, name, place):
    (tmp_path / "file").touch()
    with pytest.raises(
        ExportError, match=rf"{place}: no splits; expected a benchmark that `curate run` or `curate build` made$"
    ):
        benchmark_of(Catalog(tmp_path / place), name)


@pytest.mark.parametrize("table", [CORPORA, UTTERANCES, DECISIONS, TRIALS], ids=lambda table: table.name)
def test_a_table_that_is_missing_is_an_error(catalog, table):
    for part in catalog.parts(table):
        catalog.path(table, part).unlink()
    with pytest.raises(CatalogError, match=rf"no table '{table.name}'; expected a catalog"):
        exported(catalog)


@pytest.mark.parametrize("gone", ["a row of utterances", "a corpus"])
def test_nothing_is_left_out_where_tables_are_of_two_runs(catalog, gone):
    """A crash between two renames leaves such a catalog, until the next run."""
    if gone == "a corpus":
        rows = [{"corpus": "a", "reader": "folder", "root": "/corpora/a"}]
        catalog.publish(CORPORA, rows_of(CORPORA, rows), fingerprint="")
    else:
        publish(catalog, "toy", SPLIT | {"a/an/new": "test", "a/an/newer": "train"})
    with pytest.raises(ExportError, match=r": 2 of [57] utterances of 'toy' are not in the [^\n]+; expected [^\n]+$"):
        outgoing_rows(catalog, "toy")


# --------------------------------------------------------------------------------------------------------------- audio


def test_rows_take_on_their_audio_as_it_was_converted(catalog):
    rows = outgoing_rows(catalog, "toy")
    converted = [
        replace(
            one,
            file=Path(f"/out/audio/{one.utterance}.wav"),
            readable=Path(f"/out.unfinished/audio/{one.utterance}.wav"),
            file_rate_hz=8_000,
            file_num_samples=8_000 + number,
            file_num_channels=1,
            start_s=0.0,
            duration_s=(8_000 + number) / 8_000,
            channel=None,
        )
        for number, one in enumerate(in_order(rows))
    ]
    again = with_audio(rows, iter(converted))
    assert list(in_order(again)) == converted
    assert again.schema.equals(rows.schema)


def test_trials_come_one_by_one():
    columns = {"enrol_id": ["a", "b"], "test_id": ["c", "d"], "is_target": [True, False]}
    assert list(each_trial(pa.table(columns))) == [
        Trial(enrol="a", test="c", is_target=True),
        Trial(enrol="b", test="d", is_target=False),
    ]
