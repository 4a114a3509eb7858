"""What the data card promises: front matter that the hub can read, the counts of the tables, no harm by odd text."""

import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import publish
from curate.catalog import Catalog, rows_of
from curate.config import Card, Pipeline, Splits, Trials
from curate.corpora import folder
from curate.hearing import Checkpoint, Ge2e, Hearing, SpeechBrain, Transformers
from curate.publish import card
from curate.query import ask
from curate.schema import AGE_LABELS, CALIBRATIONS, CORPORA, DECISIONS, IDENTITIES, RESULTS, SPLITS, TRIALS, UTTERANCES

CALIBRATED = {
    "corpus": "hue",
    "told_by": "sai",
    "threshold": 0.7871,
    "threshold_lower": 0.77,
    "threshold_upper": 0.801,
    "wanted_rate": 0.001,
    "rate": 0.0009,
    "rate_lower": 0.0002,
    "rate_upper": 0.0021,
    "num_people": 13,
    "num_pairs": 78,
    "is_told_apart": False,
}
# Utterance: corpus, speaker, seconds. `c` is dropped whole; `x` and `b` are one person.
UTTERED = {
    "hue/1": ("hue", "hue/a", 1800.0),
    "hue/2": ("hue", "hue/a", 900.0),
    "hue/3": ("hue", "hue/b", 900.0),
    "hue/4": ("hue", "hue/c", 5.0),
    "sai/1": ("sai", "sai/x", 3600.0),
    "sai/2": ("sai", "sai/x", None),
}
DROPPED = {"hue/4": "invalid_speaker", "sai/2": "truncated"}


def decision(utterance, reason):
    common = {"subject": "utterance", "decided_by": "a rule", "step": "clean", "run_id": "0"}
    return common | {"subject_id": utterance, "verdict": "drop" if reason != "ok" else "keep", "reason": reason}


MERGED = decision("hue/b", "same_person") | {
    "subject": "pair",
    "other_id": "sai/x",
    "verdict": "merge",
    "step": "identities",
    "score": 0.875,
}


def tables(*, licence="CC0-1.0", citation="Somebody | 2020", languages=("vi", "en")):
    """The tables of a small catalog."""
    uttered = [
        {
            "utterance_id": utterance,
            "corpus": corpus,
            "speaker_id": speaker,
            "path": utterance,
            "start_s": 0.0,
            "duration_s": duration_s,
            "language": languages[i % len(languages)] if languages else None,
        }
        for i, (utterance, (corpus, speaker, duration_s)) in enumerate(UTTERED.items())
    ]
    terms = {"reader": "folder", "root": "/r", "licence": licence, "citation": citation}
    person = {"hue/a": "hue/a", "hue/b": "hue/b", "hue/c": "hue/c", "sai/x": "hue/b"}
    groups = {"hue/1": "adult", "hue/2": "adult", "hue/3": "young"}
    split = {"hue/1": ("hue/a", "test"), "hue/2": ("hue/a", "test"), "hue/3": ("hue/b", "train")}
    asked = [("hue/1", "hue/2", True), ("hue/1", "hue/3", False), ("hue/2", "hue/3", False)]
    figures = [("eer", 0.0123, "tied scores | one point"), ("min_dcf", 0.5, "p_target 0.01")]
    bounds: dict = {"eer": {}, "min_dcf": {"lower": 0.4, "upper": 0.6}}
    numbers = {"benchmark": "toy", "system": "ge2e", "num_target": 1, "num_nontarget": 2}
    return {
        "corpora": rows_of(CORPORA, [terms | {"corpus": corpus} for corpus in ("hue", "sai")]),
        "utterances": rows_of(UTTERANCES, uttered),
        "decisions": rows_of(DECISIONS, [*(decision(u, DROPPED.get(u, "ok")) for u in UTTERED), MERGED]),
        "identities": rows_of(IDENTITIES, [{"speaker_id": s, "identity_id": i} for s, i in person.items()]),
        "calibrations": rows_of(CALIBRATIONS, [CALIBRATED]),
        "age_labels": rows_of(
            AGE_LABELS,
            [
                {
                    "scheme": "leq29",
                    "utterance_id": u,
                    "age_group": groups.get(u),
                    "unlabelled_because": None if u in groups else "no_age",
                }
                for u in UTTERED
            ],
        ),
        "splits": rows_of(
            SPLITS,
            [{"benchmark": "toy", "utterance_id": u, "identity_id": i, "split": s} for u, (i, s) in split.items()],
        ),
        "trials": rows_of(
            TRIALS, [{"benchmark": "toy", "enrol_id": a, "test_id": b, "is_target": t} for a, b, t in asked]
        ),
        "results": rows_of(
            RESULTS, [numbers | bounds[m] | {"metric": m, "value": v, "conventions": c} for m, v, c in figures]
        ),
    }


def pipeline(*, trials=None, hearing: Hearing | None = None, **of_card):
    corpora = tuple(folder.Settings(reader="folder", name=name, root=Path("/r")) for name in ("hue", "sai"))
    return Pipeline(
        name="toy",
        catalog=Path("/c"),
        seed=7,
        corpora=corpora,
        splits=Splits(num_test_speakers=2, test_from=("hue",)),
        trials=trials or Trials(),
        embedding=hearing or Ge2e(),
        card=Card(**of_card),
    )


def front_matter(text):
    """As the hub finds it: YAML between the first two lines of three dashes. And what follows."""
    _, matter, body = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(matter), body


def rows_under(text, heading):
    """Cells of the table rows under a heading, as a Markdown reader splits them: an escaped pipe is text."""
    section = re.split(r"^##+ ", text.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in cells]


def test_the_front_matter_is_what_the_hub_reads():
    matter, body = front_matter(card(pipeline(title="Huế, Sài Gòn", licence="CC-BY-4.0"), **tables()))
    assert matter["pretty_name"] == "Huế, Sài Gòn"
    assert matter["language"] == ["en", "vi"]
    assert (matter["license"], matter["license_name"]) == ("other", "CC-BY-4.0")
    assert matter["size_categories"] == ["n<1K"]
    files = {config["config_name"]: config["data_files"] for config in matter["configs"]}
    assert files["trials"] == "trials/toy.parquet"
    assert body.strip().startswith("# Huế, Sài Gòn\n")


def test_a_card_of_which_nothing_is_said_is_named_after_its_benchmark():
    matter, body = front_matter(card(pipeline(), **tables(languages=(None,), licence=None, citation=None)))
    assert matter["pretty_name"] == "toy"
    assert "language" not in matter
    assert matter["license_name"] == "see-each-corpus"
    assert [row[5:] for row in rows_under(body, "Sources")] == [["not stated", ""]] * 2


def test_the_counts_equal_the_tables():
    text = card(pipeline(), **tables())
    assert "4 of 6 utterances are kept (2.00 hours),\nby 2 people under 3 speaker labels." in text
    assert [row[:5] for row in rows_under(text, "Sources")] == [
        ["hue", "4", "3", "1.00", "3"],
        ["sai", "2", "1", "1.00", "1"],
    ]
    assert [row[:5] for row in rows_under(text, "What was decided")] == [
        ["clean", "utterance", "drop", "invalid_speaker", "1"],
        ["clean", "utterance", "drop", "truncated", "1"],
        ["clean", "utterance", "keep", "ok", "4"],
        ["identities", "pair", "merge", "same_person", "1"],
    ]
    assert rows_under(text, "Who loses more?") == [
        ["sex", "unknown", "6", "4", "66.7 %"],
        ["age_group", "adult", "2", "2", "100.0 %"],
        ["age_group", "young", "1", "1", "100.0 %"],
        ["age_group", "unknown", "3", "1", "33.3 %"],
    ]
    assert rows_under(text, "Age groups") == [
        ["leq29", "adult", "", "2"],
        ["leq29", "young", "", "1"],
        ["leq29", "", "no_age", "3"],
    ]
    assert rows_under(text, "Benchmark `toy`")[:2] == [["train", "1", "1"], ["test", "2", "1"]]
    assert "\n1 target trial (two sessions of one person) and\n2 nontarget trials (two people of one sex)" in text
    assert "- hue/b = sai/x (similarity 0.875)\n" in text
    assert "Of the target trials 1 has a side without a known session" in text


def test_the_card_of_a_pipeline_without_a_benchmark_ends_with_what_was_curated():
    rows = {name: value for name, value in tables().items() if name not in ("splits", "trials", "results")}
    alone = replace(pipeline(), splits=None)
    matter, body = front_matter(card(alone, **rows))
    assert {config["config_name"] for config in matter["configs"]} == {
        *("utterances", "decisions", "identities", "age_labels"),
    }
    whole = card(pipeline(), **tables())
    assert body.split("## Benchmarks\n")[0] == front_matter(whole)[1].split("## Benchmark `toy`\n")[0]
    assert "`curate build` makes benchmarks of published designs from what it left" in body
    assert "target trial" not in body


def test_utterances_under_another_label_are_counted_under_it_and_by_the_corpus_they_lie_in():
    rows = tables()
    sexes = {"hue/a": "male", "hue/b": "female", "sai/x": "female"}
    uttered = [row | {"sex": sexes.get(row["speaker_id"])} for row in rows["utterances"].to_pylist()]
    moves = {"hue/2": "sai/x", "hue/3": "hue/a", "hue/4": "sai/x"}  # the last one is dropped all the same
    judged = [
        decision(one, "wrong_speaker") | {"verdict": "relabel", "other_id": label, "step": "review"}
        for one, label in moves.items()
    ]
    dropped = decision("hue/4", "invalid_speaker") | {"step": "review"}
    judged = [row for row in judged if row["subject_id"] != "hue/4"] + [dropped, judged[-1]]
    text = card(
        pipeline(),
        **rows
        | {
            "utterances": rows_of(UTTERANCES, uttered),
            "decisions": pa.concat_tables([rows["decisions"], rows_of(DECISIONS, judged)]),
        },
    )
    assert (
        "4 of 6 utterances are kept (2.00 hours),\nby 2 people under 2 speaker labels." in text
    )  # hue/b has none left
    assert "Of the kept utterances 2 are under another label than the corpus gave (hue 2)." in text
    assert [row[:5] for row in rows_under(text, "Sources")] == [
        ["hue", "4", "3", "1.00", "3"],
        ["sai", "2", "1", "1.00", "1"],
    ]
    assert rows_under(text, "Who loses more?")[:3] == [
        ["sex", "female", "4", "2", "50.0 %"],  # of sai/x its own two and the two that were moved there
        ["sex", "male", "2", "2", "100.0 %"],
        ["age_group", "adult", "2", "2", "100.0 %"],
    ]
    assert ["review", "utterance", "relabel", "wrong_speaker", "3"] in [
        row[:5] for row in rows_under(text, "What was decided")
    ]
    assert "Of the target trials 1 has a side under another label than its corpus gave." in text


def with_reviews(decisions):
    """ann brings hue/4 back and makes the merge her own; bob drops hue/1; the rule's rows stay, as in a catalog."""
    outranking = {"reason": "reviewed", "step": "review", "score": None}
    said = [
        decision("hue/4", "ok") | outranking | {"decided_by": "ann"},
        decision("hue/1", "reviewed") | outranking | {"decided_by": "bob"},
        MERGED | outranking | {"decided_by": "ann"},
    ]
    return pa.concat_tables([decisions, rows_of(DECISIONS, said)])


def test_the_card_counts_verdicts_that_stand_and_says_how_many_are_reviewers(tmp_path):
    rows = tables()
    decisions = with_reviews(rows["decisions"])
    text = card(pipeline(), **rows | {"decisions": decisions})
    assert [row[:5] for row in rows_under(text, "What was decided")] == [
        ["clean", "utterance", "drop", "truncated", "1"],
        ["clean", "utterance", "keep", "ok", "3"],
        ["review", "pair", "merge", "reviewed", "1"],
        ["review", "utterance", "drop", "reviewed", "1"],
        ["review", "utterance", "keep", "reviewed", "1"],
    ]
    assert "\n3 verdicts of 2 reviewers stand in place of rules:" in text
    catalog = Catalog(tmp_path)
    catalog.publish(DECISIONS, decisions, part="all", fingerprint="f")
    _, totals = ask(catalog, "select reason, count(*) from settled group by 1 order by 1")
    told = ", ".join(f"{reason} {count}" for reason, count in totals)
    assert told == "ok 3, reviewed 3, truncated 1"
    assert f"\nIn all, by reason: {told}.\n" in text


def test_of_one_verdict_of_a_reviewer_is_told_in_the_singular_and_of_none_nothing():
    rows = tables()
    one = with_reviews(rows["decisions"]).slice(0, len(rows["decisions"]) + 1)
    assert "\n1 verdict of 1 reviewer stands in place of rules:" in card(pipeline(), **rows | {"decisions": one})
    assert "in place of rules" not in card(pipeline(), **rows)


def test_nothing_is_told_of_labels_that_changed_where_none_did():
    assert "another label" not in card(pipeline(), **tables())


def test_the_conditions_of_the_trials_are_told_as_they_were_set():
    text = card(pipeline(trials=Trials(cross_session_targets=False, same_sex_nontargets=False)), **tables())
    assert "1 target trial (any two utterances of one person)" in text
    assert "2 nontarget trials (any two people)" in text
    assert "drawn with seed 7 from hue, half of each sex." in text


def test_of_one_is_told_in_the_singular():
    rows = tables()
    alone = [row for row in rows["utterances"].to_pylist() if row["utterance_id"] == "hue/1"]
    text = card(pipeline(), **rows | {"utterances": rows_of(UTTERANCES, alone)})
    assert "1 of 1 utterance is kept (0.50 hours),\nby 1 person under 1 speaker label." in text


@pytest.mark.parametrize(
    ("hearing", "told"),
    [
        (Ge2e(), "`ge2e` (extractor `ge2e`), which heard the whole of each utterance, without speech detection"),
        (
            SpeechBrain(extractor="speechbrain", source="/home/me/ecapa", speech="silero", part="windows", part_s=2.5),
            "`ecapa` (extractor `speechbrain`), which heard windows of 2.5 s, one every 1.25 s, of the speech in each "
            "utterance, detected by silero-vad",
        ),
        (
            Transformers(extractor="transformers", source="a/wavlm", layer=9, part="windows", part_s=3, hop_s=1),
            "`wavlm` (extractor `transformers`, layer 9), which heard windows of 3 s, one every 1 s, of each "
            "utterance, without speech detection",
        ),
        (
            Checkpoint(extractor="checkpoint", source="c", name="mine", speech="energy", part="first", part_s=4),
            "`mine` (extractor `checkpoint`), which heard the first 4 s of the speech in each utterance, detected by "
            "its energy",
        ),
    ],
    ids=lambda value: getattr(value, "extractor", ""),
)
def test_the_card_says_who_listened_and_to_what_and_names_no_folder(hearing, told):
    text = card(pipeline(hearing=hearing), **tables())
    assert f" Voices were\ncompared by the encoder {told}.\n" in text
    assert "/home" not in text


def test_figures_carry_their_unit_and_conventions():
    figures = rows_under(card(pipeline(), **tables()), "Benchmark `toy`")[-2:]
    assert figures == [
        ["ge2e", "eer", "1.23 %", "none", "1", "2", "tied scores | one point"],
        ["ge2e", "min_dcf", "0.5000", "0.4000 to 0.6000", "1", "2", "p_target 0.01"],
    ]


def test_a_calibrated_threshold_is_told_with_its_uncertainty_and_where_one_person_may_be_missed():
    rows = tables()
    text = card(pipeline(), **rows)
    assert rows_under(text, "Labels that are one person") == [
        ["hue", "sai", "0.787", "0.770 to 0.801", "0.0009", "0.0002 to 0.0021", "13", "78"]
    ]
    assert "In hue one person is not always as alike as that: expect missing merges." in text
    well = rows_of(CALIBRATIONS, [CALIBRATED | {"is_told_apart": True}])
    assert "expect missing merges" not in card(pipeline(), **rows | {"calibrations": well})
    assert "people of a corpus themselves tell" not in card(pipeline(), **rows | {"calibrations": well.slice(0, 0)})


def test_where_nobody_was_merged_the_card_says_so():
    rows = tables()
    alone = rows["identities"].set_column(1, "identity_id", rows["identities"]["speaker_id"])
    assert "None were found." in card(pipeline(), **rows | {"identities": alone})


def test_a_catalog_of_which_nothing_is_left_has_a_card():
    empty = {name: rows.slice(0, 0) for name, rows in tables().items()}
    text = card(pipeline(), **empty)
    assert "0 of 0 utterances are kept (0.00 hours)" in text
    assert "0 target trials" in text


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(5, "few"), (9, "some")], "few"),
        ([(4, "few"), (5, "some")], "some"),
        ([(3, "few"), (4, "some")], "10M<n<100M"),
    ],
)
def test_the_size_category_is_that_of_the_kept_utterances(sizes, expected, monkeypatch):
    """Four are kept; a limit belongs to the category above it."""
    monkeypatch.setattr(publish, "SIZES", sizes)
    matter, _ = front_matter(card(pipeline(), **tables()))
    assert matter["size_categories"] == [expected]


ODD = st.text(st.characters(codec="utf-8"), min_size=1) | st.sampled_from(
    [
        'a "b" | c\\',
        "two\nlines\n---\n",
        "{{ 1 + 1 }}",
        "#: - [x]",
        "a\\|b",
        "\x00\x07\x1b\x7f\x85",
        "'",
        "\ufeff\ufffe",
    ]
)


@settings(deadline=None)
@given(ODD, ODD, ODD)
def test_odd_text_stays_harmless(title, licence, citation):
    text = card(pipeline(title=title, licence=licence), **tables(licence=licence, citation=citation))
    matter, body = front_matter(text)
    assert matter["pretty_name"] == " ".join(title.split())
    assert matter["license_name"] == " ".join(licence.split())
    assert matter["tags"] == ["speaker-verification", "voxcurate"]
    headings = [line for line in body.split("\n") if line.startswith("#")]
    assert len(headings) == 7
    sources = rows_under(body, "Sources")
    assert [len(row) for row in sources] == [7, 7]
    assert [row[0] for row in sources] == ["hue", "sai"]


def test_odd_labels_stay_in_their_line():
    rows = tables()
    names = {"hue/b": "hue/b\n# no heading", "sai/x": "sai/x | y"}
    people = [{key: names.get(value, value) for key, value in row.items()} for row in rows["identities"].to_pylist()]
    uttered = [
        row | {"speaker_id": names.get(row["speaker_id"], row["speaker_id"])} for row in rows["utterances"].to_pylist()
    ]
    merged = MERGED | {"subject_id": names["hue/b"], "other_id": names["sai/x"]}
    odd = {"identities": rows_of(IDENTITIES, people), "utterances": rows_of(UTTERANCES, uttered)}
    odd["decisions"] = rows_of(DECISIONS, [*(decision(u, DROPPED.get(u, "ok")) for u in UTTERED), merged])
    text = card(pipeline(makers=("A\n# B", "C")), **rows | odd)
    assert "- hue/b # no heading = sai/x \\| y (similarity 0.875)\n" in text
    assert "Made by A # B, C.\n" in text


def test_what_the_splits_share_is_told_where_it_was_looked_for():
    row = ("LEAK", "sessions", "test and train", "2 with 1", 1, "2 of test, 1 of train", "")
    text = card(pipeline(), **tables(), leakage=("Something leaks that should not: sessions.", [row]))
    assert "\nSomething leaks that should not: sessions.\n\n| | what | between | compared |" in text
    assert "\n| LEAK | sessions | test and train | 2 with 1 | 1 | 2 of test, 1 of train |  |\n\n1 target trial" in text
    assert "leaks" not in card(pipeline(), **tables())
