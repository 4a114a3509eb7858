"""What reviews promise: nothing that was said is lost, the last thing said stands, and it fits the catalog."""

import multiprocessing
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import lease, whole
from curate.catalog import Catalog, rows_of
from curate.decisions import Author, verdicts
from curate.errors import CatalogError
from curate.named import Named, Review, ReviewError
from curate.reasons import Reason, Subject, Verdict
from curate.reviewed import reviewed
from curate.reviews import decide, in_few_words, last_said, said, standing, undone
from curate.schema import DECISIONS, EMBEDDINGS, IDENTITIES, REVIEWS, UTTERANCES
from curate.storage import location

T0 = datetime(2026, 1, 2, tzinfo=UTC)
UTTERANCE, SPEAKER, PAIR = Subject.UTTERANCE, Subject.SPEAKER, Subject.PAIR
KEEP, DROP, MERGE, RELABEL = Verdict.KEEP, Verdict.DROP, Verdict.MERGE, Verdict.RELABEL

# utterance -> label: three labels of one corpus, one of another, and an utterance that is called as its label
LABELS = {"a/1": "c/a", "a/2": "c/a", "b/1": "c/b", "b/2": "c/b", "e/1": "c/e", "f/1": "d/f", "d/g": "d/g"}
UNHEARD = ("b/2", "e/1")


def left_out(step, reason, one):
    return verdicts(Author(rule="a rule", step=step, run_id="0"), UTTERANCE, [one], verdict=DROP, reason=reason)


def filled(root):
    """b/2 is too short to be heard, e/1 holds no speech; a and b are one person by a rule, and so is f."""
    catalog = Catalog(root)
    common = {"path": "x.wav", "start_s": 0.0}
    for corpus in ("c", "d"):
        rows = [
            common | {"utterance_id": one, "corpus": corpus, "speaker_id": label}
            for one, label in LABELS.items()
            if label.startswith(corpus)
        ]
        catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part=corpus, fingerprint="f")
    heard = [{"utterance_id": one, "extractor": "x", "vector": [1.0]} for one in LABELS if one not in UNHEARD]
    catalog.publish(EMBEDDINGS, rows_of(EMBEDDINGS, heard), part="x", fingerprint="f")
    short, silent = left_out("ingest", Reason.TOO_SHORT, "b/2"), left_out("embed", Reason.NO_SPEECH, "e/1")
    catalog.publish(DECISIONS, short, part="ingest-c", fingerprint="f")
    catalog.publish(DECISIONS, silent, part="embed", fingerprint="f")
    people = {"c/a": "c/a", "c/b": "c/a", "c/e": "c/e", "d/f": "c/a", "d/g": "d/g"}
    identities = [{"speaker_id": one, "identity_id": identity} for one, identity in people.items()]
    catalog.publish(IDENTITIES, rows_of(IDENTITIES, identities), fingerprint="f")
    return catalog


@pytest.fixture
def catalog(tmp_path):
    return filled(tmp_path)


def on(subject, one, verdict, other=None, note=None):
    return Review(subject=subject, subject_id=one, other_id=other, verdict=verdict, note=note)


def stands(catalog):
    """What stands, in few words, and who said it."""
    return {in_few_words(row): row["reviewer"] for row in standing(said(catalog)).to_pylist()}


# ---------------------------------------------------------------------------------------------------- said and stands


def test_what_was_said_is_kept_in_order_with_name_time_and_note(catalog):
    before = datetime.now(UTC)
    decide(catalog, "ann", [on(UTTERANCE, "a/1", DROP, note="a dog")])
    decide(catalog, "bob", [on(SPEAKER, "c/b", KEEP)])
    decide(catalog, "ann", [on(PAIR, "d/f", MERGE, "c/b"), on(UTTERANCE, "a/2", RELABEL, "c/b")])
    rows = said(catalog).to_pylist()
    assert [
        (r["reviewer"], r["num_before"], r["subject"], r["subject_id"], r["other_id"], r["note"]) for r in rows
    ] == [
        ("ann", 0, "utterance", "a/1", None, "a dog"),
        ("ann", 1, "pair", "d/f", "c/b", None),
        ("ann", 2, "utterance", "a/2", "c/b", None),
        ("bob", 0, "speaker", "c/b", None, None),
    ]
    assert before <= rows[0]["said_at"] < rows[3]["said_at"] < rows[1]["said_at"] == rows[2]["said_at"]
    assert stands(catalog) == {
        "merge c/b and d/f": "ann",
        "keep speaker c/b": "bob",
        "drop utterance a/1": "ann",
        "relabel utterance a/2 to c/b": "ann",
    }


def test_the_last_thing_said_stands_whoever_said_it_and_nothing_after_all_was_taken_back(catalog):
    decide(catalog, "bob", [on(UTTERANCE, "a/1", DROP), on(PAIR, "c/a", MERGE, "c/b")])
    decide(catalog, "ann", [on(UTTERANCE, "a/1", KEEP), on(PAIR, "c/b", KEEP, "c/a")])
    assert stands(catalog) == {"keep utterance a/1": "ann", "keep c/a and c/b apart": "ann"}
    decide(catalog, "carl", [on(UTTERANCE, "a/1", None), on(PAIR, "c/b", None, "c/a")])
    assert stands(catalog) == {}
    decide(catalog, "ann", [on(UTTERANCE, "a/1", RELABEL, "c/b")])
    assert stands(catalog) == {"relabel utterance a/1 to c/b": "ann"}


# who says what of one utterance, in turn (None: takes back), and who is the last to stand: worked by hand
@pytest.mark.parametrize(
    ("turns", "who"),
    [
        ([("ann", DROP), ("bob", KEEP), ("bob", None)], "ann"),
        ([("ann", DROP), ("bob", KEEP), ("ann", None)], "bob"),
        ([("ann", DROP), ("bob", KEEP), ("carl", None)], None),
        ([("ann", DROP), ("bob", KEEP), ("bob", None), ("bob", None)], None),
        ([("ann", DROP), ("bob", KEEP), ("ann", None), ("bob", None)], None),
        ([("ann", DROP), ("ann", KEEP), ("ann", None)], None),  # his earlier word was replaced
        ([("ann", DROP), ("bob", KEEP), ("ann", DROP), ("ann", None)], "bob"),
        ([("ann", DROP), ("carl", None), ("bob", KEEP), ("ann", None)], None),  # ann's is gone: she has none
        ([("ann", DROP), ("carl", None), ("bob", KEEP), ("bob", None)], None),
        ([("ann", None), ("bob", KEEP)], "bob"),
        ([("ann", DROP), ("bob", DROP), ("carl", DROP), ("carl", None), ("bob", None)], "ann"),
    ],
)
def test_who_takes_back_takes_back_his_own_word_and_all_where_he_has_none(catalog, turns, who):
    for reviewer, verdict in turns:
        decide(catalog, reviewer, [on(UTTERANCE, "a/1", verdict)])
    assert list(stands(catalog).values()) == ([] if who is None else [who])
    (last,) = last_said(said(catalog)).to_pylist()
    assert (last["reviewer"], last["verdict"]) == ((who, last["verdict"]) if who else (turns[-1][0], None))


def test_what_answers_comes_after_what_it_answers_though_a_clock_is_behind(catalog):
    ahead = {"reviewer": "bob", "num_before": 0, "said_at": datetime.now(UTC) + timedelta(days=1)}
    rows = rows_of(REVIEWS, [ahead | {"subject": "utterance", "subject_id": "a/1", "verdict": "drop"}])
    catalog.publish(REVIEWS, rows, part="bob", fingerprint="f")
    decide(catalog, "ann", [on(UTTERANCE, "a/1", KEEP)])
    assert stands(catalog) == {"keep utterance a/1": "ann"}


spoken = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "carl"]),
        st.integers(0, 2),  # few moments, so that several fall on one
        st.sampled_from([(UTTERANCE, "x", None), (UTTERANCE, "x", "s"), (SPEAKER, "x", None)])
        | st.tuples(st.just(PAIR), *[st.sampled_from(["s", "t"])] * 2),
        st.sampled_from([KEEP, DROP, None]),
    ),
    max_size=20,
)


def by_a_loop(rows):
    """Of each subject the row that stands, or None, by a list of what was not taken back."""
    left = {}
    for row in sorted(rows, key=lambda row: (row["said_at"], row["reviewer"], row["num_before"])):
        about = (row["subject"], row["subject_id"], None)
        if row["subject"] == PAIR:
            about = (PAIR, *sorted([row["subject_id"], row["other_id"]]))
        others = [one for one in left.get(about, []) if one["reviewer"] != row["reviewer"]]
        if row["verdict"] is not None:
            left[about] = [*others, row]
        else:
            left[about] = others if len(others) < len(left.get(about, [])) else []
    return {about: stands[-1] if stands else None for about, stands in left.items()}


@given(spoken, st.randoms(use_true_random=False))
def test_standing_is_what_a_plain_loop_over_time_leaves_in_any_order_of_rows(things, shuffled):
    numbers = {"ann": 0, "bob": 0, "carl": 0}
    rows = []
    for reviewer, moment, (subject, one, other), verdict in things:
        key = {"reviewer": reviewer, "num_before": numbers[reviewer], "said_at": T0 + timedelta(seconds=moment)}
        rows.append(key | {"subject": subject, "subject_id": one, "other_id": other, "verdict": verdict})
        numbers[reviewer] += 1
    expected = by_a_loop(rows)
    shuffled.shuffle(rows)
    found = standing(rows_of(REVIEWS, rows))
    assert found.schema.equals(REVIEWS.arrow())
    last = [row for row in expected.values() if row is not None]
    pick = ("reviewer", "num_before", "verdict")
    assert sorted([row[k] for k in pick] for row in found.to_pylist()) == sorted([row[k] for k in pick] for row in last)
    keys = [(row["subject"], row["subject_id"], row["other_id"] or "") for row in found.to_pylist()]
    assert keys == sorted(keys)
    assert all(row["subject_id"] <= row["other_id"] for row in found.to_pylist() if row["subject"] == PAIR)
    assert len(last_said(rows_of(REVIEWS, rows))) == len(expected)


# --------------------------------------------------------------------------------------------- whole, and on the disk


def test_a_failing_disk_loses_nothing_that_was_acknowledged(catalog, monkeypatch):
    decide(catalog, "ann", [on(UTTERANCE, "a/1", DROP)])

    def fails(aside, path):
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(whole, "rename_durably", fails)  # all is written, and not yet current
        with pytest.raises(OSError, match="no space"):
            decide(catalog, "ann", [on(UTTERANCE, "a/2", DROP)])
    assert stands(catalog) == {"drop utterance a/1": "ann"}
    decide(catalog, "ann", [on(SPEAKER, "c/b", DROP)])
    assert stands(catalog) == {"drop utterance a/1": "ann", "drop speaker c/b": "ann"}
    assert said(catalog)["num_before"].to_pylist() == [0, 1]
    assert not list(catalog.root.rglob("*.new"))


def test_of_several_things_all_are_said_or_none(catalog):
    with pytest.raises(ReviewError, match="no utterance"):
        decide(catalog, "ann", [on(UTTERANCE, "a/1", DROP), on(UTTERANCE, "nobody", DROP)])
    with pytest.raises(ReviewError, match="contradicts"):
        decide(
            catalog,
            "ann",
            [on(PAIR, "c/a", MERGE, "c/b"), on(PAIR, "c/b", MERGE, "c/e"), on(PAIR, "c/a", KEEP, "c/e")],
        )
    assert said(catalog).num_rows == 0


def say_often(root, start):
    start.wait()
    for number in range(6):
        decide(Catalog(root), "ann", [on(UTTERANCE, "a/1", (KEEP, DROP)[number % 2], note=str(number))])


def test_two_processes_of_one_reviewer_lose_nothing(catalog):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    both = [context.Process(target=say_often, args=(catalog.root, start)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    rows = said(catalog).to_pylist()
    assert [row["num_before"] for row in rows] == list(range(12))
    assert sorted(row["note"] for row in rows) == sorted([str(number) for number in range(6)] * 2)
    assert [row["said_at"] for row in rows] == sorted({row["said_at"] for row in rows})


def test_a_reviewer_speaks_while_a_run_holds_the_catalog_and_never_into_its_drafts(catalog):
    run = Catalog(catalog.root, drafts=True)
    with run.locked():
        decide(run, "ann", [on(UTTERANCE, "a/1", DROP)])
    assert stands(catalog) == {"drop utterance a/1": "ann"}
    assert not (catalog.root / "cache").exists()


def test_in_a_store_a_reviewer_holds_a_lease_and_a_second_process_of_his_is_refused():
    catalog = filled(location("memory://reviews/catalog"))
    decide(catalog, "ann", [on(UTTERANCE, "a/1", DROP)])
    with lease.held(catalog.root / "reviews" / "ann"), pytest.raises(CatalogError, match="is writing it"):
        decide(catalog, "ann", [on(UTTERANCE, "a/2", DROP)])
    decide(catalog, "bob", [on(UTTERANCE, "a/2", DROP)])
    decide(catalog, "ann", [on(UTTERANCE, "a/2", KEEP)])
    assert stands(catalog) == {"drop utterance a/1": "ann", "keep utterance a/2": "ann"}


# --------------------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "../ann",
        "ann/bob",
        "-ann",
        "ann bob",
        "ann\n",
        "a" * 65,
        "_ann",
        "x\u0301",
        "\U00020000" * 51,
        "\udcff",
    ],
)
def test_a_name_that_no_file_should_have_is_refused(catalog, name):
    with pytest.raises(ReviewError, match="expected at most 64 letters") as told:
        decide(catalog, name, [on(UTTERANCE, "a/1", DROP)])
    assert repr(name) in str(told.value)
    assert not (catalog.root / "reviews").exists()


def test_a_name_is_one_reviewer_however_its_accents_are_typed(catalog):
    composed, apart = (unicodedata.normalize(form, "Thảo Đỗ".replace(" ", "-")) for form in ("NFC", "NFD"))
    assert composed != apart
    decide(catalog, apart, [on(UTTERANCE, "a/1", DROP)])
    decide(catalog, composed, [on(UTTERANCE, "a/2", DROP)])
    assert set(said(catalog)["reviewer"].to_pylist()) == {composed}
    assert said(catalog)["num_before"].to_pylist() == [0, 1]
    assert catalog.parts(REVIEWS) == [composed]


@pytest.mark.parametrize("name", ["ann", "Thảo", "a.b-c_d", "7", "a" * 64, "ả" * 64, "\U00020000" * 50])
def test_letters_digits_and_three_signs_are_a_name(catalog, name):
    decide(catalog, name, [on(UTTERANCE, "a/1", DROP)])
    assert stands(catalog) == {"drop utterance a/1": name}


@pytest.mark.parametrize(
    ("review", "told"),
    [
        (
            on(UTTERANCE, "a/1", MERGE, "c/b"),
            "'a/1': merge is no verdict on utterances; expected keep or drop or relabel",
        ),
        (on(SPEAKER, "c/a", RELABEL, "c/b"), "'c/a': relabel is no verdict on speakers; expected keep or drop"),
        (on(PAIR, "c/a", DROP, "c/b"), "'c/a': drop is no verdict on pairs; expected merge or keep"),
        (on(UTTERANCE, "a/1", RELABEL), "'a/1': relabel without a second id; expected the label that it goes to"),
        (on(UTTERANCE, "a/1", KEEP, "c/b"), "'a/1': keep with 'c/b'; expected one id"),
        (on(PAIR, "c/a", MERGE), "'c/a': merge without a second id; expected a second speaker"),
        (on(UTTERANCE, "/1", DROP), "'/1': no utterance of {}; did you mean a/1 or b/1 or e/1?"),
        (on(UTTERANCE, "zz", DROP), "'zz': no utterance of {}; expected an id such as a/1"),
        (on(UTTERANCE, "a/1", RELABEL, "b"), "'b': no speaker of {}; did you mean c/b?"),
        (on(SPEAKER, "f", DROP), "'f': no speaker of {}; did you mean d/f?"),
        (on(PAIR, "c/a", KEEP, "e"), "'e': no speaker of {}; did you mean c/e?"),
        (on(PAIR, "c/a", MERGE, "c/a"), "'c/a': twice; expected two speakers"),
        (
            on(UTTERANCE, "a/1", RELABEL, "c/a"),
            "'a/1': its label is c/a already; expected another, or the verdict keep",
        ),
        (
            on(UTTERANCE, "b/2", KEEP),
            "'b/2': no embedding: step ingest dropped, too_short: shorter than the limit of its corpus; expected one "
            "that was heard; the section of its corpus in the pipeline file sets that limit",
        ),
        (
            on(UTTERANCE, "e/1", RELABEL, "c/a"),
            "'e/1': no embedding: step embed dropped, no_speech: the extractor found no speech in it; expected one "
            "that was heard",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_that_names_it(catalog, review, told):
    with pytest.raises(ReviewError) as refusal:
        decide(catalog, "ann", [review])
    assert str(refusal.value) == told.format(catalog.root)
    assert said(catalog).num_rows == 0


def test_an_utterance_that_was_not_heard_may_be_dropped(catalog):
    decide(catalog, "ann", [on(UTTERANCE, "b/2", DROP)])
    assert stands(catalog) == {"drop utterance b/2": "ann"}


def test_a_catalog_that_is_not_there_is_told(tmp_path):
    nowhere = Catalog(tmp_path / "nowhere")
    for ask in (said, lambda c: decide(c, "ann", [on(UTTERANCE, "x", DROP)]), lambda c: undone(c, "x")):
        with pytest.raises(CatalogError, match="expected a catalog"):
            ask(nowhere)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("ids", "verdict", "asked", "expected"),
    [
        (("a/1", None), KEEP, None, UTTERANCE),
        (("c/a", None), DROP, None, SPEAKER),
        (("c/a", "c/b"), KEEP, None, PAIR),
        (("a/1", "c/b"), KEEP, None, UTTERANCE),  # which no second id goes with: `require_fit` says so
        (("c/a", "c/b"), MERGE, None, PAIR),
        (("a/1", "c/b"), RELABEL, None, UTTERANCE),
        (("d/g", None), DROP, SPEAKER, SPEAKER),
        (("d/g", None), DROP, UTTERANCE, UTTERANCE),
        (("d/g", None), DROP, None, "both an utterance and a speaker; expected `--subject`"),
        (("a/1", None), DROP, SPEAKER, "no speaker of"),
        (("1", None), DROP, None, "no utterance or speaker of .*; did you mean a/1 or b/1 or e/1"),
    ],
)
def test_ids_say_what_is_meant_unless_there_are_two(catalog, ids, verdict, asked, expected):
    named = Named(catalog, [one for one in ids if one])
    if isinstance(expected, Subject):
        assert named.subject_of(*ids, verdict, asked) == expected
    else:
        with pytest.raises(ReviewError, match=expected):
            named.subject_of(*ids, verdict, asked)


# ----------------------------------------------------------------------------------------------------- contradictions


def test_a_merge_that_contradicts_what_stands_names_it(catalog):
    decide(catalog, "ann", [on(PAIR, "c/a", MERGE, "c/b")])
    decide(catalog, "bob", [on(PAIR, "c/e", KEEP, "c/a")])
    with pytest.raises(ReviewError) as told:
        decide(catalog, "ann", [on(PAIR, "c/e", MERGE, "c/b")])
    assert str(told.value) == (
        "c/b and c/e: merge contradicts what stands: merge c/a and c/b (ann), keep c/a and c/e apart (bob); expected "
        "`curate undo` of one of these first"
    )
    decide(catalog, "bob", [on(PAIR, "c/a", None, "c/e")])
    decide(catalog, "ann", [on(PAIR, "c/e", MERGE, "c/b")])
    with pytest.raises(
        ReviewError, match=r"keep contradicts what stands: merge c/a and c/b \(ann\), merge c/b and c/e"
    ):
        decide(catalog, "bob", [on(PAIR, "c/a", KEEP, "c/e")])


def test_who_says_otherwise_of_the_same_pair_contradicts_nobody(catalog):
    decide(catalog, "ann", [on(PAIR, "c/a", MERGE, "c/b")])
    decide(catalog, "bob", [on(PAIR, "c/a", KEEP, "c/b")])
    decide(catalog, "ann", [on(PAIR, "c/b", MERGE, "c/a")])
    assert stands(catalog) == {"merge c/a and c/b": "ann"}


def test_what_would_stand_again_must_not_contradict_what_was_said_since(catalog):
    decide(catalog, "bob", [on(PAIR, "c/a", MERGE, "c/b")])
    decide(catalog, "ann", [on(PAIR, "c/b", KEEP, "c/a")])
    decide(catalog, "carl", [on(PAIR, "c/a", MERGE, "c/e"), on(PAIR, "c/b", KEEP, "c/e")])
    with pytest.raises(ReviewError) as told:
        decide(catalog, "ann", [on(PAIR, "c/a", None, "c/b")])
    assert str(told.value) == (
        "c/a and c/b: merge (bob) would stand again and contradicts what stands: merge c/a and c/e (carl), keep c/b "
        "and c/e apart (carl); expected `curate undo` of one of these first"
    )
    decide(catalog, "carl", [on(PAIR, "c/b", None, "c/e")])
    decide(catalog, "ann", [on(PAIR, "c/a", None, "c/b")])
    assert stands(catalog) == {"merge c/a and c/b": "bob", "merge c/a and c/e": "carl"}


# --------------------------------------------------------------------------------------------------------------- undo


def test_undo_takes_back_what_stands_before_it_looks_at_rules(catalog):
    decide(catalog, "ann", [on(UTTERANCE, "a/1", DROP), on(SPEAKER, "c/b", DROP), on(PAIR, "c/a", MERGE, "c/b")])
    assert undone(catalog, "a/1") == [on(UTTERANCE, "a/1", None)]
    assert undone(catalog, "c/b") == [on(SPEAKER, "c/b", None)]
    assert undone(catalog, "c/b", "c/a") == [on(PAIR, "c/a", None, "c/b")]


def test_undo_of_a_merge_that_a_rule_made_keeps_the_pair_apart(catalog):
    assert undone(catalog, "d/f", "c/a") == [on(PAIR, "c/a", KEEP, "d/f")]
    assert undone(catalog, "c/b") == [on(PAIR, "c/a", KEEP, "c/b"), on(PAIR, "c/b", KEEP, "d/f")]
    decide(catalog, "ann", undone(catalog, "d/f", "c/b"))
    assert undone(catalog, "c/b") == [on(PAIR, "c/a", KEEP, "c/b")]
    decide(catalog, "ann", undone(catalog, "c/b"))
    assert stands(catalog) == {"keep c/a and c/b apart": "ann", "keep c/b and d/f apart": "ann"}
    with pytest.raises(ReviewError, match="'c/b': nothing to undo"):
        undone(catalog, "c/b")


def test_one_label_is_parted_from_those_that_reviewers_merged_it_with_as_well(catalog):
    decide(catalog, "ann", [on(PAIR, "c/a", MERGE, "c/b"), on(PAIR, "c/b", MERGE, "d/f")])
    decide(catalog, "bob", undone(catalog, "c/b"))
    assert stands(catalog) == {"keep c/a and c/b apart": "bob", "keep c/b and d/f apart": "bob"}


def test_a_merge_of_reviewers_that_was_taken_back_is_not_undone_twice(catalog):
    """The tables still say that they are one; the next run parts them."""
    decide(catalog, "ann", [on(PAIR, "c/a", MERGE, "c/b")])
    utterances, heard = catalog.read(UTTERANCES), catalog.read(EMBEDDINGS)["utterance_id"]
    applied = reviewed(standing(said(catalog)), utterances, rows_of(DECISIONS, []), heard, run_id="0")
    catalog.publish(DECISIONS, applied.decisions, part="review", fingerprint="f")
    decide(catalog, "ann", undone(catalog, "c/a", "c/b"))
    with pytest.raises(ReviewError, match="nothing to undo; expected a pair that a rule merged"):
        undone(catalog, "c/a", "c/b")


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (("a/1",), "'a/1': nothing to undo; expected one on which a reviewer's verdict stands"),
        (("c/e",), "'c/e': nothing to undo; expected one on which"),
        (("c/e", "c/a"), "'c/e' and 'c/a': nothing to undo; expected a pair that a rule merged"),
        (("nobody",), "'nobody': no utterance or speaker of .*; expected an id such as"),
        (("c/e", "nobody"), "'nobody': no speaker of"),
    ],
)
def test_where_there_is_nothing_to_undo_it_says_so(catalog, ids, told):
    with pytest.raises(ReviewError, match=told):
        undone(catalog, *ids)


def test_what_stands_on_things_that_are_gone_can_be_taken_back(catalog):
    rows = rows_of(
        REVIEWS,
        [
            {"reviewer": "bob", "num_before": 0, "said_at": T0, "subject": "utterance"}
            | {"subject_id": "gone", "verdict": "drop"}
        ],
    )
    catalog.publish(REVIEWS, rows, part="bob", fingerprint="f")
    decide(catalog, "ann", undone(catalog, "gone"))
    assert stands(catalog) == {}


def test_verdicts_on_an_utterance_and_a_speaker_of_one_name_are_told_apart(catalog):
    decide(catalog, "ann", [on(UTTERANCE, "d/g", DROP), on(SPEAKER, "d/g", KEEP)])
    with pytest.raises(ReviewError, match="stand on the utterance and on the speaker; expected `--subject`"):
        undone(catalog, "d/g")
    assert undone(catalog, "d/g", asked=SPEAKER) == [on(SPEAKER, "d/g", None)]
    assert undone(catalog, "d/g", asked=UTTERANCE) == [on(UTTERANCE, "d/g", None)]
