"""What an explanation promises: every decision on an utterance or speaker, in words, and nothing of others."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from curate.catalog import Catalog, rows_of
from curate.decisions import Author, verdicts
from curate.errors import CatalogError
from curate.explain import counted, explain, for_a_terminal, not_applied
from curate.reasons import MEANING, Reason, Subject, Verdict
from curate.reviewed import reviewed
from curate.reviews import said, standing
from curate.schema import AGE_LABELS, DECISIONS, IDENTITIES, REVIEWS, RUNS, SPEAKER_PAIRS, SPLITS, UTTERANCES

CLEAN = Author(rule="vietsv", step="clean", run_id="c1ea0")
UNIFY = Author(rule="threshold", step="unify", run_id="0a1f1")


def utterance(name, speaker, **more):
    common = {"corpus": "toy", "path": f"{name}.wav", "start_s": 0.0, "duration_s": 1.25, "sample_rate_hz": 8000}
    return common | {"utterance_id": f"toy/{name}", "speaker_id": f"toy/{speaker}"} | more


def about_utterances(ids, verdict=Verdict.KEEP, reason=Reason.OK, **numbers):
    return verdicts(CLEAN, Subject.UTTERANCE, ids, verdict=verdict, reason=reason, **numbers)


def bare(root, *rows):
    catalog = Catalog(root)
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, list(rows)), part="toy", fingerprint="f")
    return catalog


@pytest.fixture
def catalog(tmp_path):
    """Speaker a has two utterances, one of them dropped; b is the same person; c is nobody's."""
    told = {"sex": "female", "age_min_years": 30, "age_max_years": 39, "session_id": "toy/a/1"}
    catalog = bare(
        tmp_path,
        utterance("a1", "a", **told),
        utterance("a2", "a", duration_s=None, age_min_years=31, age_max_years=31),
        utterance("b1", "b"),
        utterance("c1", "c"),
    )
    clean = pa.concat_tables(
        [
            about_utterances(["toy/a2"], Verdict.DROP, Reason.BELOW_RANGE, score=0.4, lower_bound=0.6, upper_bound=0.9),
            about_utterances(["toy/a1", "toy/b1", "toy/c1"]),
            verdicts(CLEAN, Subject.SPEAKER, ["toy/a"], verdict=Verdict.KEEP, reason=Reason.OK, score=0.75),
        ]
    )
    merge = {"verdict": Verdict.MERGE, "reason": Reason.SAME_PERSON, "other_ids": ["toy/b"], "score": 0.8}
    catalog.publish(DECISIONS, clean, part="clean", fingerprint="f")
    catalog.publish(DECISIONS, verdicts(UNIFY, Subject.PAIR, ["toy/a"], **merge), part="unify", fingerprint="f")
    pairs = [{"speaker_id": "toy/a", "other_id": "toy/b", "similarity": 0.8}]
    persons = {"toy/a": "toy/a", "toy/b": "toy/a", "toy/c": "toy/c"}
    label = {"scheme": "leq29", "utterance_id": "toy/a1", "age_group": "adult"}
    unlabelled = {"scheme": "leq17", "utterance_id": "toy/a1", "unlabelled_because": "straddles_groups"}
    split = {"benchmark": "bench", "utterance_id": "toy/a1", "identity_id": "toy/a", "split": "test"}
    for table, rows in (
        (SPEAKER_PAIRS, pairs),
        (IDENTITIES, [{"speaker_id": speaker, "identity_id": person} for speaker, person in persons.items()]),
        (AGE_LABELS, [label, unlabelled]),
        (SPLITS, [split]),
    ):
        catalog.publish(table, rows_of(table, rows), fingerprint="f")
    return catalog


def test_an_utterance_is_explained_from_its_file_to_its_benchmark(catalog):
    ok, same = MEANING[Reason.OK], MEANING[Reason.SAME_PERSON]
    assert explain(catalog, "toy/a1") == [
        "Utterance toy/a1: a1.wav, 1.25 s at 8000 Hz; sex female, age 30 to 39, session toy/a/1.",
        f"The utterance was kept, ok: {ok}. By the rule `vietsv`, step clean, run c1ea0.",
        f"Its speaker toy/a was kept, ok: {ok} (score 0.7500). By the rule `vietsv`, step clean, run c1ea0.",
        f"The pair toy/a and toy/b was merged, same_person: {same} (score 0.8000). "
        "By the rule `threshold`, step unify, run 0a1f1.",
        "Identity toy/a, one person with toy/b.",
        "Age group in leq29: adult, no one subgroup.",
        "Age group in leq17: none (straddles_groups).",
        "Benchmark bench: in test.",
    ]


def test_a_dropped_utterance_says_what_it_was_held_against(catalog):
    lines = explain(catalog, "toy/a2")
    assert lines[0] == "Utterance toy/a2: a2.wav, no audio; sex unknown, age 31, session unknown."
    assert lines[1] == (
        f"The utterance was dropped, below_range: {MEANING[Reason.BELOW_RANGE]} (score 0.4000, expected "
        "0.6000 to 0.9000). By the rule `vietsv`, step clean, run c1ea0."
    )
    assert not any("Benchmark" in line or "Age group" in line for line in lines)


def test_a_speaker_is_explained_by_counts_decisions_and_whom_it_is_like(catalog):
    assert explain(catalog, "toy/a") == [
        "Speaker toy/a: 2 utterances.",
        "  1 dropped, below_range",
        "  1 kept, ok",
        f"The speaker was kept, ok: {MEANING[Reason.OK]} (score 0.7500). By the rule `vietsv`, step clean, run c1ea0.",
        f"The pair toy/a and toy/b was merged, same_person: {MEANING[Reason.SAME_PERSON]} (score 0.8000). "
        "By the rule `threshold`, step unify, run 0a1f1.",
        "How alike toy/b sounds: a mean cosine of 0.8000, of at most 1.",
        "Identity toy/a, one person with toy/b.",
    ]


def test_the_second_of_a_pair_hears_of_it_too(catalog):
    lines = explain(catalog, "toy/b")
    assert "The pair toy/a and toy/b was merged" in lines[2]
    assert lines[3:] == [
        "How alike toy/a sounds: a mean cosine of 0.8000, of at most 1.",
        "Identity toy/a, one person with toy/a.",
    ]


def test_a_speaker_alone_is_said_to_be_alone(catalog):
    assert explain(catalog, "toy/c")[-1] == "Identity toy/c, of this speaker alone."


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("a2", "did you mean toy/a2?"),
        ("toy", "did you mean toy/a1 or toy/a2 or toy/b1?"),
        ("toy/z", "expected an id such as toy/a1"),
        ("TOY/A", "expected an id such as toy/a1"),
    ],
)
def test_an_unknown_id_is_refused_with_one_that_there_is(catalog, asked, hint):
    with pytest.raises(CatalogError) as caught:
        explain(catalog, asked)
    assert str(caught.value) == f"{asked!r}: neither an utterance nor a speaker of {catalog.root}; {hint}"


def test_before_anything_was_decided_the_file_is_explained_alone(tmp_path):
    catalog = bare(tmp_path, utterance("a1", "a"))
    assert explain(catalog, "toy/a1") == [
        "Utterance toy/a1: a1.wav, 1.25 s at 8000 Hz; sex unknown, age unknown, session unknown."
    ]
    assert explain(catalog, "toy/a") == ["Speaker toy/a: 1 utterance."]


def test_without_a_catalog_there_is_nothing_to_explain(tmp_path):
    with pytest.raises(CatalogError, match="no table 'utterances'"):
        explain(Catalog(tmp_path), "toy/a1")


def test_of_an_utterance_and_a_speaker_of_one_name_both_are_told_each_by_its_own_decisions(tmp_path):
    catalog = bare(tmp_path, utterance("a", "a"))
    both = [
        about_utterances(["toy/a"], Verdict.DROP, Reason.SILENT),
        verdicts(CLEAN, Subject.SPEAKER, ["toy/a"], verdict=Verdict.KEEP, reason=Reason.OK),
    ]
    catalog.publish(DECISIONS, pa.concat_tables(both), part="clean", fingerprint="f")
    lines = explain(catalog, "toy/a")
    assert [line.split(",")[0] for line in lines] == [
        "Utterance toy/a: a.wav",
        "The utterance was dropped",
        "Its speaker toy/a was kept",
        "Speaker toy/a: 1 utterance.",
        "  1 dropped",
        "The speaker was kept",
    ]


def test_a_speaker_that_has_the_name_of_anothers_utterance_is_told_after_it(tmp_path):
    catalog = bare(tmp_path, utterance("b", "a"), utterance("b1", "b"), utterance("b2", "b"))
    lines = explain(catalog, "toy/b")
    assert [line.split(";")[0] for line in lines] == [
        "Utterance toy/b: b.wav, 1.25 s at 8000 Hz",
        "Speaker toy/b: 2 utterances.",
    ]


def test_a_pair_that_a_rule_kept_is_said_to_be_kept_apart(catalog):
    apart = {"verdict": Verdict.KEEP, "reason": Reason.SEX_CONFLICT, "other_ids": ["toy/c"], "score": 0.9}
    catalog.publish(DECISIONS, verdicts(UNIFY, Subject.PAIR, ["toy/b"], **apart), part="unify", fingerprint="g")
    assert (
        f"The pair toy/b and toy/c was kept apart, sex_conflict: {MEANING[Reason.SEX_CONFLICT]} "
        "(score 0.9000). By the rule `threshold`, step unify, run 0a1f1."
    ) in explain(catalog, "toy/c")


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("speaker",), "0 speakers"),
        (1, ("speaker",), "1 speaker"),
        (2, ("speaker",), "2 speakers"),
        (1, ("person", "people"), "1 person"),
        (11, ("person", "people"), "11 people"),
    ],
)
def test_one_is_counted_in_the_singular_and_nothing_else(number, words, said):
    assert counted(number, *words) == said


# ---------------------------------------------------------------------------------------------------------- reviewers

SAID_AT = datetime(2026, 1, 2, 10, 30, tzinfo=UTC)


def say(catalog, *rows):
    """Rows of (subject, id, verdict, and more), said by ann a minute after one another."""
    said = [
        {"reviewer": "ann", "num_before": number, "said_at": SAID_AT + timedelta(minutes=number)}
        | {"subject": subject, "subject_id": one, "verdict": verdict}
        | more
        for number, (subject, one, verdict, more) in enumerate(rows)
    ]
    catalog.publish(REVIEWS, rows_of(REVIEWS, said), part="ann", fingerprint="f")


def apply_reviews(catalog, at):
    """The step `review` as a run carries it out at that time."""
    stands, utterances = standing(said(catalog)), catalog.read(UTTERANCES)
    ruled = catalog.read(DECISIONS, "clean")
    found = reviewed(stands, utterances, ruled, utterances["utterance_id"], run_id="e51ec")
    catalog.publish(DECISIONS, found.decisions, part="review", fingerprint="f")
    run = {"run_id": "e51ec", "step": "review", "part": "all", "started_at": at, "finished_at": at}
    run |= {"num_rows": 0, "summary": "", "settings": "", "versions": "", "fingerprint": ""}
    catalog.publish(RUNS, rows_of(RUNS, [run]), fingerprint="f")


LATER = SAID_AT + timedelta(hours=1)
BY_ANN = f"reviewed: {MEANING[Reason.REVIEWED]}. By ann, step review, run e51ec."


def test_what_a_reviewer_said_is_told_first_and_the_rules_as_outranked(catalog):
    say(catalog, ("utterance", "toy/a2", "keep", {"note": "a cold"}), ("pair", "toy/a", "keep", {"other_id": "toy/b"}))
    apply_reviews(catalog, LATER)
    assert explain(catalog, "toy/a2")[1:5] == [
        f"What stands: The utterance was kept, {BY_ANN} Noted: a cold",
        f"Outranked: The utterance was dropped, below_range: {MEANING[Reason.BELOW_RANGE]} (score 0.4000, expected "
        "0.6000 to 0.9000). By the rule `vietsv`, step clean, run c1ea0.",
        f"What stands: The pair toy/a and toy/b was kept apart, {BY_ANN}",
        f"Its speaker toy/a was kept, ok: {MEANING[Reason.OK]} (score 0.7500). By the rule `vietsv`, step clean, run "
        "c1ea0.",
    ]
    assert explain(catalog, "toy/a")[1:3] == ["  1 kept, ok", "  1 kept, reviewed"]
    assert not any("ann" in line for line in explain(catalog, "toy/c"))


def test_a_word_that_stands_again_since_the_last_run_waits_for_the_next_one(catalog):
    first = {"reviewer": "bob", "num_before": 0, "said_at": SAID_AT - timedelta(days=1)}
    rows = rows_of(REVIEWS, [first | {"subject": "utterance", "subject_id": "toy/a2", "verdict": "drop"}])
    catalog.publish(REVIEWS, rows, part="bob", fingerprint="f")
    kept = ("utterance", "toy/a2", "keep", {})
    say(catalog, kept)
    apply_reviews(catalog, SAID_AT + timedelta(seconds=30))
    assert not any("bob" in line for line in explain(catalog, "toy/a2"))
    say(catalog, kept, ("utterance", "toy/a2", None, {}))
    assert explain(catalog, "toy/a2")[1:3] == [
        f"What stands: The utterance was kept, {BY_ANN}",
        "By bob, 2026-01-01 10:30 UTC: drop utterance toy/a2: no run has applied it yet; `curate run` does.",
    ]


def test_what_carries_out_a_reviewers_word_is_not_outranked_by_it(catalog):
    say(catalog, ("pair", "toy/b", "merge", {"other_id": "toy/a"}))
    apply_reviews(catalog, LATER)
    merge = {"verdict": Verdict.MERGE, "reason": Reason.REVIEWED, "other_ids": ["toy/b"], "score": 0.1}
    catalog.publish(DECISIONS, verdicts(UNIFY, Subject.PAIR, ["toy/a"], **merge), part="unify", fingerprint="f")
    story = [line for line in explain(catalog, "toy/b") if "was merged" in line]
    assert [line.split(",")[0] for line in story] == [
        "What stands: The pair toy/a and toy/b was merged",
        "The pair toy/a and toy/b was merged",
    ]
    assert "(score 0.1000)" in story[1]


def test_an_utterance_under_a_new_label_tells_which_and_whose_it_is_now(catalog):
    say(catalog, ("utterance", "toy/a2", "relabel", {"other_id": "toy/c"}), ("speaker", "toy/c", "keep", {}))
    apply_reviews(catalog, LATER)
    story = explain(catalog, "toy/a2")
    assert f"What stands: The utterance was relabelled to toy/c, {BY_ANN}" in story
    assert f"What stands: Its new speaker toy/c was kept, {BY_ANN}" in story
    assert "Identity toy/c, of this speaker alone." in story


def test_what_no_run_has_applied_yet_is_told(catalog):
    say(catalog, ("utterance", "toy/a1", "drop", {"note": "music"}), ("speaker", "toy/a", "drop", {}))
    when, yet = "2026-01-02 10:3{} UTC", "no run has applied it yet; `curate run` does."
    assert not_applied(catalog) == ["2 things that reviewers said are not applied yet; `curate run FILE` does that"]
    said_of = [
        f"By ann, {when.format(0)}: drop utterance toy/a1 (music): {yet}",
        f"By ann, {when.format(1)}: drop speaker toy/a: {yet}",
    ]
    assert [line for line in explain(catalog, "toy/a1") if "ann" in line] == said_of
    assert [line for line in explain(catalog, "toy/a") if "ann" in line] == said_of[1:]
    apply_reviews(catalog, LATER)
    assert not any("no run" in line for line in explain(catalog, "toy/a1") + explain(catalog, "toy/a"))
    assert not_applied(catalog) == []
    say(
        catalog,
        ("utterance", "toy/a1", "drop", {}),
        *[("speaker", "toy/a", "drop", {})] * 60,
        ("speaker", "toy/a", None, {}),
    )
    assert [line for line in explain(catalog, "toy/a1") if "no run" in line] == [
        f"By ann, 2026-01-02 11:31 UTC: take back what was said of speaker toy/a: {yet}"
    ]  # that a1 be dropped was applied before
    assert not_applied(catalog) == ["1 thing that reviewers said is not applied yet; `curate run FILE` does that"]


def test_what_a_run_could_not_apply_is_told(catalog):
    assert not_applied(catalog) == []
    say(catalog, ("utterance", "toy/a1", "relabel", {"other_id": "toy/gone"}))
    apply_reviews(catalog, LATER)
    (line,) = [line for line in explain(catalog, "toy/a1") if "ann" in line]
    assert line.endswith("relabel utterance toy/a1 to toy/gone: the last run could not apply it.")
    assert not_applied(catalog) == [], "`curate run` would leave it out again"


def test_an_utterance_that_shares_its_speakers_verdict_is_no_open_question(catalog):
    say(
        catalog,
        ("utterance", "toy/a1", "keep", {}),
        ("utterance", "toy/a1", None, {}),
        ("speaker", "toy/a", "drop", {}),
    )
    apply_reviews(catalog, LATER)
    story = explain(catalog, "toy/a1")
    assert story[1] == f"What stands: The utterance was dropped, {BY_ANN}"
    assert not any("take back" in line for line in story)


def test_what_turns_or_moves_the_text_of_a_terminal_is_spelt_out_and_nothing_else_is():
    assert for_a_terminal("Thảo \u202eolleh\x1b[2J a\nb\u2028") == "Thảo \\u202eolleh\\x1b[2J a\\nb\\u2028"
    assert for_a_terminal("ใช่ \u200d 中文 🙂\u00a0!") == "ใช่ \u200d 中文 🙂\u00a0!"
