"""What `leaks` promises: what two sides share is found, nothing else is, and what is not known is no clean bill."""

import re
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.leakage import CHECKS, allowed_by, leaks, words
from benchmarks.leakage_report import conclusion, does_leak, told
from benchmarks.protocol import KeptApart, Protocol, Source, Split
from curate.conforming import conform
from curate.errors import CorpusError
from curate.marks import Prints
from curate.schema import LEAKS
from tests.benchmarks.leaks_made import KEYED, found, names, row, shared_checks, tables

WORDS = "the same words are said on both sides here"
SHARED = {  # of each check, what two utterances have in common where it finds something
    "person": {"identity_id": "toy/an"},
    "speaker": {"speaker_id": "toy/an"},
    "session": {"session_id": "toy/an/call"},
    "recording": {"content_sha256": "of one file"},
    "samples": {"samples_sha256": "of one stretch"},
    "transcript": {"transcript": WORDS},
}


def rows_of(*shared):
    """Three utterances of the test and three of train, the first of either with this in common."""
    both = {key: value for one in shared for key, value in SHARED[one].items()}
    own = [row(f"{split}-{n}", split) for split in ("test", "train") for n in range(3)]
    return [one | both if one["utterance_id"].endswith("-0") else one for one in own]


# ------------------------------------------------------------------------------------------------------------ by hand


def test_splits_that_have_nothing_in_common_are_clean():
    checks = found(rows_of())
    assert set(checks) == {(check, "test", "train") for check in CHECKS if check != "named"}
    assert all(
        one["num_shared"] == one["num_utterances"] == one["num_other_utterances"] == 0 for one in checks.values()
    )
    assert [checks[check, "test", "train"]["num_side"] for check in KEYED] == [3] * 6
    assert not any(one["num_unknown"] for (check, *_), one in checks.items() if check in KEYED)


@pytest.mark.parametrize("check", KEYED)
def test_what_is_shared_is_found_by_its_own_check_and_by_no_other(check):
    rows = rows_of(check)
    assert shared_checks(rows) == {check}
    one = found(rows)[check, "test", "train"]
    assert (one["num_side"], one["num_other"], one["num_shared"]) == (3, 3, 1)
    assert (one["num_utterances"], one["num_other_utterances"], one["num_unknown"]) == (1, 1, 0)
    assert one["examples"].endswith("toy/test-0 | toy/train-0")
    assert one["is_allowed"] == (check == "transcript")


@pytest.mark.parametrize(
    ("check", "shown"),
    [
        ("person", "toy/an: "),
        ("speaker", "toy/an: "),
        ("session", "toy/an/call: "),
        ("recording", ""),
        ("samples", ""),
        ("transcript", f"{WORDS}: "),
    ],
)
def test_an_example_says_what_is_shared_where_it_has_a_name(check, shown):
    assert found(rows_of(check))[check, "test", "train"]["examples"] == f"{shown}toy/test-0 | toy/train-0"


def test_things_are_counted_once_and_the_utterances_of_either_side_that_have_them():
    people = {"test": ["an", "an", "an", "bo", "chi"], "train": ["bo", "an", "an", "do"]}
    rows = [
        row(f"{split}-{n}", split, identity_id=f"toy/{person}")
        for split, spoken in people.items()
        for n, person in enumerate(spoken)
    ]
    one = found(rows)["person", "test", "train"]
    assert (one["num_side"], one["num_other"], one["num_shared"]) == (3, 3, 2)
    assert (one["num_utterances"], one["num_other_utterances"]) == (4, 3)
    assert one["examples"].splitlines() == ["toy/an: toy/test-0 | toy/train-1", "toy/bo: toy/test-3 | toy/train-0"]


def test_a_few_examples_are_given_those_that_come_first():
    rows = [row(f"{split}-{n}", split, session_id=f"toy/s{n}") for split in ("a", "b") for n in range(9)]
    one = found(rows)["session", "a", "b"]
    assert one["num_shared"] == 9
    assert one["examples"].splitlines() == [f"toy/s{n}: toy/a-{n} | toy/b-{n}" for n in range(3)]


def test_one_file_is_one_recording_in_two_stretches_two_corpora_and_by_its_name_alone():
    stretches = [row("a", "test", content_sha256="x"), row("b", "train", content_sha256="x")]
    copies = [stretches[0], stretches[1] | {"corpus": "other", "path": "elsewhere.wav"}]
    named = [row("a", "test", content_sha256=None, path="x.wav"), row("b", "train", content_sha256=None, path="x.wav")]
    others = [named[0], named[1] | {"corpus": "other"}]
    for rows, is_one in ((stretches, True), (copies, True), (named, True), (others, False)):
        assert shared_checks(rows) == ({"recording"} if is_one else set())


def test_what_is_not_known_is_not_shared_and_is_counted():
    rows = [row(f"{split}-{n}", split, session_id=None) for split in ("test", "train") for n in range(2)]
    rows[0]["session_id"] = "toy/s"
    one = found(rows)["session", "test", "train"]
    assert (one["num_side"], one["num_other"], one["num_shared"], one["num_unknown"]) == (1, 0, 0, 3)
    assert one["examples"] is None


def test_without_prints_vectors_and_threshold_nothing_is_known_of_the_sound():
    vectors = (pa.chunked_array([["toy/test-0", "toy/train-0"]]), np.float32([[1, 0], [1, 0]]))
    for more in ({"sound_prints": None}, {"sound_prints": None, "vectors": vectors}, {"threshold": 0.5}):
        checks = found(rows_of(), **more)
        lacking = {"voice"} | ({"samples", "near_duplicate"} if "sound_prints" in more else set())
        for check in lacking:
            one = checks[check, "test", "train"]
            assert (one["num_side"], one["num_other"], one["num_unknown"]) == (0, 0, 6)


def test_every_two_splits_are_compared_and_a_single_one_with_none():
    rows = [row(f"{split}-{n}", split) for split in "dbac" for n in range(2)]
    pairs = {(side, other) for _, side, other in found(rows)}
    assert pairs == set(combinations("abcd", 2))
    assert found(rows[:2]) == {}


def test_an_utterance_that_is_not_told_is_an_error():
    splits, utterances, _ = tables(rows_of())
    with pytest.raises(ValueError, match=r"^toy/test-1: in a split of made, but not among the utterances given$"):
        leaks("made", splits, utterances.filter(pa.array([n != 1 for n in range(6)])).select)


def test_the_rows_fit_the_schema():
    splits, utterances, prints = tables(rows_of("person"))
    assert (
        conform(LEAKS, leaks("made", splits, utterances.select, sound_prints=Prints.held(prints))).schema
        == LEAKS.arrow()
    )


# -------------------------------------------------------------------------------------------------------- in general

few = st.sampled_from([None, "a", "b", "c"])
some = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["one", "two", "three"]),
        "identity_id": st.sampled_from("abcd"),
        "speaker_id": st.sampled_from("abcd"),
        "session_id": few,
        "content_sha256": few,
        "path": st.sampled_from(["x.wav", "y.wav"]),
        "samples_sha256": few,
        "transcript": st.sampled_from(
            [None, "no", WORDS, WORDS.upper() + "!", "other words are said on both sides here"]
        ),
    }
)


def key_of(check, one):
    """What one utterance has of a check."""
    if check == "recording":
        return one["content_sha256"] or ("a path", one["corpus"], one["path"])
    if check == "transcript":
        text = (one["transcript"] or "").lower().rstrip("!")
        return text if len(text.split()) >= 8 else None
    names = {"person": "identity_id", "speaker": "speaker_id", "session": "session_id", "samples": "samples_sha256"}
    return one[names[check]]


@given(told=st.lists(some, min_size=1, max_size=12), seed=st.integers(0, 2**32 - 1))
def test_counts_are_those_of_sets_in_whatever_order_rows_come(told, seed):
    rows = [row(f"{n:02}", **one) for n, one in enumerate(told)]
    checks = found(rows)
    splits = sorted({one["split"] for one in rows})
    for check in KEYED:
        for side, other in combinations(splits, 2):
            have = {name: [key_of(check, one) for one in rows if one["split"] == name] for name in (side, other)}
            mine, others = ({key for key in keys if key is not None} for keys in have.values())
            expected = {
                "num_side": len(mine),
                "num_other": len(others),
                "num_shared": len(mine & others),
                "num_unknown": sum(key is None for keys in have.values() for key in keys),
                "num_utterances": sum(key in mine & others for key in have[side]),
                "num_other_utterances": sum(key in mine & others for key in have[other]),
            }
            one = checks[check, side, other]
            assert {key: one[key] for key in expected} == expected
            assert (one["examples"] is not None) == bool(mine & others)
    assert found(np.random.default_rng(seed).permutation(np.array(rows, object)).tolist()) == checks


# ------------------------------------------------------------------------------------------------------- transcripts


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("One two three four five six seven eight", "one two three four five six seven eight"),
        ("  One — two, three: FOUR?! five\nsix\tseven (eight)...", "one two three four five six seven eight"),
        ("I don't, we’re not; they ʼre one two three", "i dont were not they re one two three"),
        ("one two three four five six seven", None),
        ("... - !", None),
        ("", None),
        (None, None),
        ("Ngươ\u0300i a\u0302\u0301y đã nói với chúng tôi nay", "người ấy đã nói với chúng tôi nay"),
        ("今天天气很好。我们", "今天天气很好 我们"),
        ("今天天气很好。", None),
    ],
)
def test_words_are_told_again_however_they_are_written_and_few_tell_nothing(said, expected):
    assert words(pa.chunked_array([[said]], pa.string())).to_pylist() == [expected]


def test_transcripts_are_allowed_whatever_the_protocol_says():
    rows = rows_of("transcript")
    splits, utterances, prints = tables(rows)
    shared = leaks("made", splits, utterances.select, sound_prints=Prints.held(prints))
    assert not does_leak(shared)
    assert [one.what for one in told(shared) if one.status == "allowed"] == ["transcripts"]


# -------------------------------------------------------------------------------------------------------------- lists


def test_what_a_list_names_is_found_in_each_split():
    rows = [row(f"{split}-{n}", split) for split in ("test", "train") for n in range(3)]
    given = names("test-0", "test-1", "train-2", "toy/test-1", "nobody")
    checks = found(rows, lists={"names.txt": given}, allowed=frozenset({("named", "test", "names.txt")}))
    test, train = checks["named", "test", "names.txt"], checks["named", "train", "names.txt"]
    assert (test["num_side"], test["num_other"], test["num_shared"], test["num_utterances"]) == (3, 5, 3, 2)
    assert (train["num_shared"], train["num_utterances"], train["num_other_utterances"]) == (1, 1, None)
    assert test["examples"].splitlines() == ["test-0", "test-1", "toy/test-1"]
    assert (test["is_allowed"], train["is_allowed"]) == (True, False)
    assert given.remark == "names.txt: 1 of 5 entries match nothing, such as 'nobody'"


def test_names_are_those_of_each_corpus():
    rows = [row("a", "test"), row("b", "train", corpus="other", speaker_id="other/x", utterance_id="other/b")]
    checks = found(rows, lists={"l": names("x", "a")})
    assert [checks["named", split, "l"]["examples"] for split in ("test", "train")] == ["a", "x"]


def test_a_list_that_names_nothing_is_an_error_that_says_so():
    """As Kaldi's of the speakers of SITW, after VoxCeleb had been given other ids (kaldi-asr/kaldi#2690)."""
    words = (
        "sitw.txt: matches nothing: none of its 2 entries, such as 'A.J._Buckley', is a speaker, session or file of "
        "the 6 utterances, such as toy/test-0; expected names as the catalog has"
    )
    with pytest.raises(CorpusError, match=f"^{re.escape(words)}$"):
        found(rows_of(), lists={"sitw.txt": names("A.J._Buckley", "Zoe_Saldana")})


def test_a_list_of_what_was_left_out_before_is_clean():
    """Whom nothing uses any more was named well."""
    rows = [*rows_of(), row("gone", None)]
    checks = found(rows, lists={"names.txt": names("gone")})
    assert [checks["named", split, "names.txt"]["num_shared"] for split in ("test", "train")] == [0, 0]


# --------------------------------------------------------------------------------------------------- what is allowed


def protocol(*splits, keep_apart=()):
    about = {"version": 1, "title": "t", "paper": "p", "description": "d", "seed": 1}
    return Protocol(
        name="made", **about, sources=(Source(name="s", readers=("folder",)),), splits=splits, keep_apart=keep_apart
    )


def split(name, **more):
    return Split(name=name, sources=("s",), **more)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("people", {"person", "speaker", "voice"}),
        ("sessions", {"person", "speaker", "voice"}),
        ("utterances", {"person", "speaker", "voice", "session", "recording"}),
    ],
)
def test_splits_that_share_people_may_share_what_their_drawing_cannot_keep_apart(unit, expected):
    made = protocol(split("train", unit=unit, share=0.8), split("test", shares_people=("train",)), split("dev"))
    assert allowed_by(made) == {(check, "test", "train") for check in expected}
    assert allowed_by(protocol(split("train"), split("test"))) == frozenset()


def test_a_list_is_about_the_splits_that_are_kept_apart_from_it():
    apart = (KeptApart(split="train", list="sitw"), KeptApart(split="train", other=("test",), min_similarity=0.5))
    made = protocol(split("train"), split("test"), split("dev"), keep_apart=apart)
    assert allowed_by(made) == {("named", "test", "sitw"), ("named", "dev", "sitw")}


def test_what_is_allowed_is_told_and_is_no_leak():
    splits, utterances, prints = tables(rows_of("person", "session"))
    for allowed, is_leak in ((["person"], True), (["person", "session"], False)):
        shared = leaks(
            "made",
            splits,
            utterances.select,
            sound_prints=Prints.held(prints),
            allowed=frozenset((check, "test", "train") for check in allowed),
        )
        assert does_leak(shared) == is_leak
        assert {one.what for one in told(shared) if one.status == "allowed"} == {
            {"person": "people", "session": "sessions"}[check] for check in allowed
        }


# ------------------------------------------------------------------------------------------------------------ in words


def test_the_worst_comes_first_and_the_conclusion_names_it():
    rows = rows_of("person", "session", "transcript")
    rows[1] |= {"session_id": "toy/an/call"}
    rows[2] |= {"transcript": None}
    splits, utterances, _ = tables(rows)
    shared = leaks("made", splits, utterances.select)
    lines = told(shared)
    assert [(one.status, one.what) for one in lines] == [
        ("LEAK", "sessions"),
        ("LEAK", "people"),
        ("not known", "the same samples"),
        ("not known", "recordings, changed or cut"),
        ("not known", "two people who sound alike"),
        ("allowed", "transcripts"),
        ("clean", "speaker labels"),
        ("clean", "recordings"),
    ]
    assert lines[0].cells == ("LEAK", "sessions", "test and train", "2 with 3", 1, "2 of test, 1 of train", "")
    assert lines[2].cells == ("not known", "the same samples", "test and train", "0 with 0", 0, "", "6 utterances")
    assert conclusion(shared) == (
        "Something leaks that should not: sessions (test and train); people (test and train). Whether these "
        "leak cannot be told, since nothing is known of them: the same samples (test and train); recordings, changed "
        "or cut (test and train); two people who sound alike (test and train)."
    )


def test_what_is_known_in_part_is_said_beside_what_is_clean():
    rows = rows_of()
    rows[0] |= {"session_id": None}
    splits, utterances, prints = tables(rows)
    said = conclusion(leaks("made", splits, utterances.select, sound_prints=Prints.held(prints)))
    assert said.startswith(
        "Nothing leaks that should not. Whether these leak cannot be told, since nothing is known of "
    )
    assert said.endswith(" Of these only some utterances could be compared: sessions (test and train).")


def test_one_split_and_no_list_is_no_clean_bill():
    splits, utterances, prints = tables(rows_of()[:3])
    assert conclusion(leaks("made", splits, utterances.select, sound_prints=Prints.held(prints))).startswith(
        "Nothing was compared"
    )
