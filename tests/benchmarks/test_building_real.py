"""The protocols on what is real: the people of VoxCeleb2, and speech of LibriSpeech."""

from itertools import combinations

import pytest

from benchmarks.protocol import Source, Split, load_protocol
from curate.corpora import librispeech, voxceleb
from tests.benchmarks.catalogs_made import built, catalog, pairs, people, protocol, removals, sides


@pytest.mark.real
def test_97_women_and_97_men_of_voxceleb2_are_held_out(corpora):
    known = voxceleb.speakers([corpora / "voxceleb-metadata" / name for name in ("vox1_meta.csv", "vox2_meta.csv")])
    rows = catalog(
        *(
            {
                "utterance": f"{speaker}/{video}/00001",
                "speaker": speaker,
                "session_id": f"toy/{speaker}/{video}",
                "reader": "voxceleb",
                "sex": said.sex,
                "corpus_split": said.corpus_split,
            }
            for speaker, said in known.items()
            for video in ("one", "two")
        )
    )
    made = built(load_protocol("libri-vox"), rows)
    found = people(made)
    held_out = [known[one.removeprefix("toy/")] for one in found["dev"]]
    assert sorted(one.sex for one in held_out) == ["female"] * 97 + ["male"] * 97
    assert {(one.part, one.corpus_split) for one in held_out} == {(2, "dev")}
    assert len(found["train"] | found["val"]) == 5800, "the paper: from the remaining 5800 speakers"
    assert not found["dev"] & (found["train"] | found["val"])
    assert len(sides(made)["val"]) == 0.02 * 2 * 5800
    assert found["test"] == {f"toy/{one}" for one, said in known.items() if said.part == 1}
    assert removals(made, "split", "dev")[-1][0] == "97 women and 97 men drawn"
    assert len(pairs(made, "vox2-dev", True)) == 194, "each has two videos of one utterance"
    sex = {f"toy/{one}": said.sex for one, said in known.items()}
    nontargets = pairs(made, "vox2-dev", False)
    assert len(nontargets) == 2 * (97 * 96 // 2) * 4, "all there are of one sex"
    assert all(sex[one.rsplit("/", 2)[0]] == sex[other.rsplit("/", 2)[0]] for one, other in nontargets)


@pytest.mark.real
def test_the_lists_of_librispeech_are_all_that_the_rules_let_pass(corpora):
    """Ten readers with a chapter each in test-other, three with two in train-clean-100: there all of them are one test.

    Of the three, only one read from two books: of 1,200 pairs across chapters 400 are left.
    """
    root = corpora / "LibriSpeech"
    settings = librispeech.Settings(reader="librispeech", name="libri", root=root)
    told = [
        {
            "utterance": row.utterance,
            "speaker": row.speaker,
            "session_id": f"toy/{row.speaker}/{row.session}",
            "work_id": row.work and f"toy/{row.work}",
            "reader": "librispeech",
            "sex": row.sex,
            "corpus_split": row.corpus_split,
            "path": row.path,
        }
        for row in librispeech.rows(root, settings)
    ]
    asked = next(one for one in load_protocol("libri-vox").trials if one.name == "libri-test-other")
    whole = protocol(
        Split(name=asked.split, sources=("libri",)),
        sources=[Source(name="libri", readers=("librispeech",))],
        trials=(asked,),
    )
    made = built(whole, catalog(*told))
    expected = {True: set(), False: set()}
    for one, other in combinations(told, 2):
        is_target = one["speaker"] == other["speaker"]
        if one["work_id"] != other["work_id"] if is_target else one["sex"] == other["sex"]:
            expected[is_target].add(frozenset((f"toy/{one['utterance']}", f"toy/{other['utterance']}")))
    for kind in (True, False):
        found = pairs(made, "libri-test-other", kind)
        assert len(found) == len(set(found)) == len(expected[kind])
        assert {frozenset(pair) for pair in found} == expected[kind]
    assert len(expected[True]) == 400

    as_it_is = built(load_protocol("libri-vox"), catalog(*told))
    assert {name: len(found) for name, found in sides(as_it_is).items()} == {"speech-test": 100, "speech-train": 120}
    assert pairs(as_it_is, "libri-test-other", True) == []
    assert len(pairs(as_it_is, "libri-test-other", False)) > 1000
    assert any(
        "list libri-test-other: no target is left: `not the same work_id` took the last" in one
        for one in as_it_is.remarks
    )
