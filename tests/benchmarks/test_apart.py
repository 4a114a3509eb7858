"""What keeping two sides apart promises: whom a list names goes, and who sounds like somebody of the other side."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.protocol import KeptApart, Source, Split
from curate.errors import PipelineError
from tests.benchmarks.catalogs_made import ALL, TOY, built, catalog, protocol, removals, several, sides

OTHER = Source(name="other", corpora=("other",))
SPLITS = (Split(name="test", sources=("toy",)), Split(name="train", sources=("other",)))


def test_whom_a_list_names_goes_with_all_that_is_his():
    rows = catalog(
        {"utterance": "ann/1/a", "speaker": "ann"},
        {"utterance": "ann/1/b", "speaker": "ann"},
        {"utterance": "x", "speaker": "anna", "identity_id": "toy/ann"},
        {"utterance": "y", "speaker": "bob", "session_id": "toy/bob/2"},
        {"utterance": "z", "speaker": "eve"},
    )
    asked = protocol(ALL, keep_apart=(KeptApart(split="all", list="gone", list_url="https://where.org/it"),))
    made = built(asked, rows, lists={"gone": ["ann/1/a.wav", "bob/2", "# nobody", "", "who"]})
    assert sides(made) == {"all": {"toy/z"}}
    assert removals(made, "split", "all")[-1] == ("nobody whom the list gone names (2 people)", 5, 4)
    assert made.remarks == ("gone: 1 of 3 entries match nothing, such as 'who'",)
    with pytest.raises(
        PipelineError, match=r"'gone' is not given; expected `--list gone=FILE` \(to be had at https://w"
    ):
        built(asked, rows)
    with pytest.raises(PipelineError, match="the list 'gone' matches nothing: none of its 1 entries"):
        built(asked, rows, lists={"gone": ["nobody"]})
    with pytest.raises(PipelineError, match="keep_apart: gone: no entry"):
        built(asked, rows, lists={"gone": []})


def test_a_list_that_names_people_of_other_splits_alone_takes_nobody_and_is_told():
    """The draw may have put all whom it names into the test; who is in no source is of the catalog too."""
    rows = catalog(
        {"utterance": "t", "speaker": "tom"},
        {"utterance": "a", "speaker": "ann", "corpus": "other"},
        {"utterance": "z", "speaker": "zoe", "corpus": "third"},
    )
    asked = protocol(*SPLITS, sources=[TOY, OTHER], keep_apart=(KeptApart(split="train", list="gone"),))
    for entry in ("tom", "third/z"):
        made = built(asked, rows, lists={"gone": [entry, "who"]})
        assert sides(made) == {"test": {"toy/t"}, "train": {"other/a"}}
        assert removals(made, "split", "train")[-1] == ("nobody whom the list gone names (0 people)", 1, 0)
        assert made.remarks == (
            "gone: 1 of 2 entries match nothing, such as 'who'",
            "split train: the list gone names nobody of it; 1 of its 2 entries match others of the catalog",
        )
    made = built(asked, rows, lists={"gone": ["ann", "tom", "zoe"]})
    assert made.remarks == ("split train is empty: `nobody whom the list gone names (1 people)` took the last 1",)
    with pytest.raises(PipelineError, match="'gone' matches nothing: none of its 2 entries, such as 'nobody', is a sp"):
        built(asked, rows, lists={"gone": ["nobody", "who"]})


def test_who_sounds_like_somebody_of_the_other_side_goes():
    rows = catalog(
        {"utterance": "t1", "speaker": "tom"},
        {"utterance": "t2", "speaker": "tom"},
        {"utterance": "t3", "speaker": "unheard"},
        {"utterance": "a1", "speaker": "ann", "corpus": "other"},
        {"utterance": "a2", "speaker": "ann", "corpus": "other"},
        {"utterance": "b1", "speaker": "bob", "corpus": "other"},
    )
    vectors = {"toy/t1": (1, 0), "toy/t2": (0, 2), "other/a1": (3, 0), "other/a2": (1, 1), "other/b1": (-1, 0)}
    given = (pa.array(sorted(vectors)), np.array([vectors[one] for one in sorted(vectors)], np.float32))
    splits = (Split(name="test", sources=("toy",)), Split(name="train", sources=("other",)))
    sources = [TOY, Source(name="other", corpora=("other",))]
    similarity = (1 + 0 + 2 * np.sqrt(0.5)) / 4  # of tom and ann, by hand: 0.6036

    def apart(least, **more):
        kept = (KeptApart(split="train", other=("test",), min_similarity=least),)
        return built(protocol(*splits, sources=sources, keep_apart=kept), rows, **more)

    made = apart(0.6, vectors=given)
    assert sides(made) == {"test": {"toy/t1", "toy/t2", "toy/t3"}, "train": {"other/b1"}}
    assert made.remarks == (
        f"split train: other/ann sounds like toy/tom (mean cosine {similarity:.4f}) and was taken away",
        "split train: 1 people have no vector and were not compared",
    )
    assert len(sides(apart(0.61, vectors=given))["train"]) == 3
    told = {"toy": 0.5, "other": 0.6}
    assert sides(apart("calibrated", vectors=given, thresholds=told))["train"] == {"other/b1"}
    stricter = {"toy": 0.62, "other": 0.1}
    assert len(sides(apart("calibrated", vectors=given, thresholds=stricter))["train"]) == 3
    with pytest.raises(PipelineError, match="no calibrated threshold of corpus 'toy'"):
        apart("calibrated", vectors=given, thresholds={"other": 0.6})
    with pytest.raises(PipelineError, match=r"keep_apart.min_similarity: no vectors are given"):
        apart(0.6)


def test_the_account_tells_what_the_list_and_what_the_voices_took():
    """Ann is named and sounds like tom, bob is named and does not, eve sounds like him and is not named."""
    rows = catalog(
        {"utterance": "t", "speaker": "tom"},
        *({"utterance": name, "speaker": name, "corpus": "other"} for name in ("ann", "bob", "eve", "zoe")),
    )
    ids = ["toy/t", *(f"other/{name}" for name in ("ann", "bob", "eve", "zoe"))]
    vectors = np.array([(1, 0), (1, 0.1), (0, 1), (1, 0.2), (-1, 0)], np.float32)
    kept = (KeptApart(split="train", other=("test",), list="named", min_similarity=0.9),)
    made = built(
        protocol(*SPLITS, sources=[TOY, OTHER], keep_apart=kept),
        rows,
        vectors=(ids, vectors),
        lists={"named": ["ann", "bob"]},
    )
    assert sides(made)["train"] == {"other/zoe"}
    assert removals(made, "split", "train")[-2:] == [
        ("nobody whom the list named names (2 people)", 4, 2),
        ("nobody who sounds like somebody of test: mean cosine of at least 0.9 (1 people)", 2, 1),
    ]
    assert made.remarks == (
        "split train: other/eve sounds like toy/tom (mean cosine 0.9806) and was taken away",
        "of 2 people whom the list named names, 1 sound like somebody of test",
    )
    asked = protocol(*SPLITS, sources=[TOY, OTHER], keep_apart=kept)
    of_none = built(asked, rows, vectors=(ids, vectors), lists={"named": ["tom"]})
    assert not any(remark.startswith("of 0 people") for remark in of_none.remarks)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.6]), st.booleans())
def test_whoever_stays_is_less_similar_to_all_of_the_other_side_than_the_threshold(seed, least, is_calibrated):
    """Against the mean of all cosines, pair by pair."""
    rng = np.random.default_rng(seed)
    told = [
        {"utterance": f"{corpus}{at}", "speaker": f"{corpus}{rng.integers(4)}", "corpus": corpus}
        for corpus in ("toy", "other")
        for at in range(12)
    ]
    rows = catalog(*told)
    ids = rows["utterance_id"].to_pylist()
    vectors = rng.normal(size=(len(ids), 3)).astype(np.float32)
    thresholds = {"toy": least, "other": 0.2} if is_calibrated else None
    wanted = max(least, 0.2) if is_calibrated else least
    kept = (KeptApart(split="train", other=("test",), min_similarity="calibrated" if is_calibrated else least),)
    asked = protocol(*SPLITS, sources=[TOY, OTHER], keep_apart=kept)
    made = built(asked, rows, vectors=(ids, vectors), thresholds=thresholds)
    unit = dict(zip(ids, vectors / np.linalg.norm(vectors, axis=1)[:, None], strict=True))
    of_person = {}
    for row in rows.to_pylist():
        of_person.setdefault(row["speaker_id"], []).append(unit[row["utterance_id"]])
    stay = {
        one
        for one in of_person
        if one.startswith("other/")
        and all(
            np.mean([a @ b for a in of_person[one] for b in of_person[two]]) < wanted
            for two in of_person
            if two.startswith("toy/")
        )
    }
    found = {row["identity_id"] for row in made.splits.to_pylist() if row["split"] == "train"}
    assert found == stay


@pytest.mark.parametrize("tile", [1, 2, 512])
def test_the_nearest_is_told_and_of_equals_the_first_whatever_the_tiles(monkeypatch, tile):
    monkeypatch.setattr("benchmarks.alike.PEOPLE_PER_TILE", tile)
    heard = {"toy/a": (0, 1), "toy/b": (1, 0.1), "toy/c": (1, -0.1), "other/x": (1, 0), "other/y": (0.2, 1)}
    rows = catalog(*({"utterance": one[-1], "speaker": one[-1], "corpus": one[:-2]} for one in heard))
    kept = (KeptApart(split="train", other=("test",), min_similarity=0.0),)
    asked = protocol(*SPLITS, sources=[TOY, OTHER], keep_apart=kept)
    made = built(asked, rows, vectors=(list(heard), np.array(list(heard.values()), np.float32)))
    assert made.remarks[:2] == (
        "split train: other/x sounds like toy/b (mean cosine 0.9950) and was taken away",
        "split train: other/y sounds like toy/a (mean cosine 0.9806) and was taken away",
    )


def test_whom_reviewers_keep_apart_may_sound_alike(monkeypatch):
    """Ann and bob are kept apart from tom, their nearest: bob sounds like tim as well, ann does not."""
    monkeypatch.setattr("benchmarks.alike.PEOPLE_PER_TILE", 1)
    told = {"toy/tom": (1, 0), "toy/tim": (1, 0.3), "other/ann": (1, -0.2), "other/bob": (1, 0.1), "other/eve": (0, 1)}
    cut = [one.split("/") for one in told]
    rows = catalog(*({"utterance": name, "speaker": name, "corpus": corpus} for corpus, name in cut))
    kept = (KeptApart(split="train", other=("test",), min_similarity=0.95),)
    asked = protocol(*SPLITS, sources=[TOY, OTHER], keep_apart=kept)
    given = {"vectors": (list(told), np.array(list(told.values()), np.float32))}
    assert sides(built(asked, rows, **given))["train"] == {"other/eve"}
    pairs = [("other/ann", "toy/tom"), ("other/bob", "toy/tom"), ("other/eve", "other/ann"), ("gone", "toy/tim")]
    for apart in (pairs, [(two, one) for one, two in pairs]):
        made = built(asked, rows, **given, apart=apart)
        assert sides(made)["train"] == {"other/ann", "other/eve"}
        assert made.remarks == ("split train: other/bob sounds like toy/tim (mean cosine 0.9817) and was taken away",)


def test_vectors_are_looked_at_only_where_voices_are_compared():
    rows = catalog(*several(2))
    silent = (rows["utterance_id"], np.zeros((len(rows), 4), np.float32))
    assert len(built(protocol(ALL), rows, vectors=silent).splits) == 8


def test_whose_rest_no_split_may_take_is_told():
    rows = catalog(*several(2, corpus="one"), *several(3, corpus="two", identity_id="one/p000"))
    sources = [Source(name=name, corpora=(name,)) for name in ("one", "two")]
    test, train = Split(name="test", sources=("one",)), Split(name="train", sources=("two",))
    made = built(protocol(test, train, sources=sources), rows)
    assert set(sides(made)) == {"test"}
    assert made.remarks[0] == (
        "split train: 12 utterances of 1 person are not in it: other utterances of the same are in test"
    )
