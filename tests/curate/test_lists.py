"""What published lists promise: they speak of utterances that are here, each pair once, or say what is left out."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import describe as describing
from curate import lists
from curate.catalog import Catalog, Sorted, read_batches, read_parquet
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings, Described, Enrolment, PublishedTrial
from curate.describe import describe
from curate.errors import CorpusError
from curate.lists import published_tables, write_lists
from curate.schema import ENROLMENTS, PUBLISHED_TRIALS

HERE = ("a/1", "a/2", "b/1", "b/2", "a b")
SECTION = {"reader": "fake", "name": "toy"}


def trial(enrol, test, is_target=True, *, of="O", enrol_list=None):
    return PublishedTrial(list=of, enrol=enrol, test=test, is_target=is_target, enrol_list=enrol_list)


def model(name, *utterances, of="core"):
    return [Enrolment(list=of, model=name, utterance=utterance) for utterance in utterances]


def fake(trials=None, models=None):
    """A reader whose corpus holds `HERE`, and that publishes what is given."""
    rows = [Described(path=f"{name}.wav", speaker=name[0]) for name in HERE]
    told = {"published_trials": trials, "enrolments": models}
    functions = {name: lambda _root, _section, told=told: iter(told) for name, told in told.items() if told is not None}
    return SimpleNamespace(LICENCE=None, rows=lambda _root, _section: iter(rows), **functions)


def written(folder, **told):
    """`(trials, models, remarks)` of such a corpus."""
    folder.mkdir(exist_ok=True)
    section = CorpusSettings(root=folder, **SECTION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "fake", fake(**told))
        remarks = write_lists(section, describe(section, folder), folder)
        named = {table.name for table in published_tables(section)}
    assert {path.name for path in folder.iterdir()} == {"said.parquet", *(f"{name}.parquet" for name in named)}
    tables = [folder / f"{table.name}.parquet" for table in (PUBLISHED_TRIALS, ENROLMENTS)]
    trials, models = ([list(row.values()) for row in read_parquet(t).to_pylist()] if t.exists() else [] for t in tables)
    return trials, models, remarks


def refused(folder, **told):
    with pytest.raises(CorpusError) as caught:
        written(folder, **told)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -------------------------------------------------------------------------------------------------------------- trials


def test_trials_are_in_our_ids_and_in_order(tmp_path):
    told = [trial("b/1", "a/2", False), trial("a/1", "a/2"), trial("a/1", "a/2", None, of="H"), trial("a/1", "b/1")]
    assert written(tmp_path / "x", trials=told) == (
        [
            ["toy", "H", "toy/a/1", "toy/a/2", None],
            ["toy", "O", "toy/a/1", "toy/a/2", True],
            ["toy", "O", "toy/a/1", "toy/b/1", True],
            ["toy", "O", "toy/b/1", "toy/a/2", False],
        ],
        [],
        [],
    )


@pytest.mark.parametrize("again", [[True, True], [True, None], [None, True, None], [True] * 9])
def test_a_pair_that_comes_again_is_one_trial_and_an_answer_goes_before_none(tmp_path, again):
    trials, _, remarks = written(tmp_path / "x", trials=[trial("a/1", "a/2", key) for key in again])
    assert (trials, remarks) == ([["toy", "O", "toy/a/1", "toy/a/2", True]], [])


def test_a_pair_with_two_answers_is_an_error_that_names_it(tmp_path):
    told = [trial("b/1", "a/1", False), trial("a/1", "b/1", True), trial("b/1", "a/1", None), trial("b/1", "a/1", True)]
    assert refused(tmp_path / "x", trials=told) == (
        "corpus 'toy': list O: toy/b/1 toy/a/1 is target and nontarget; expected one"
    )


def test_a_pair_may_be_answered_otherwise_in_another_list_or_the_other_way_round(tmp_path):
    told = [trial("a/1", "b/1", True), trial("a/1", "b/1", False, of="H"), trial("b/1", "a/1", False)]
    assert len(written(tmp_path / "x", trials=told)[0]) == 3


def test_two_answers_are_an_error_even_of_utterances_that_are_not_here(tmp_path):
    told = [trial("a/1", "b/1"), trial("x", "y", True), trial("x", "y", False)]
    assert "list O: toy/x toy/y is target and nontarget" in refused(tmp_path / "x", trials=told)


@pytest.mark.parametrize("odd", [("a/1", "a/9"), ("a/9", "a/1"), ("a/9", "a/9")])
def test_trials_of_utterances_that_are_not_here_are_left_out_and_remarked(tmp_path, odd):
    trials, _, remarks = written(tmp_path / "x", trials=[trial("a/1", "a/2"), trial(*odd, False), trial(*odd, False)])
    assert [row[2:4] for row in trials] == [["toy/a/1", "toy/a/2"]]
    (remark,) = remarks
    assert remark == (f"1 of 2 rows of its trials are left out: utterances are not here (O toy/{odd[0]} toy/{odd[1]})")


def test_lists_of_which_nothing_is_here_are_an_error(tmp_path):
    told = [trial("wav/a/1", "wav/a/2"), trial("wav/a/1", "a/1")]
    assert refused(tmp_path / "x", trials=told) == (
        "corpus 'toy': none of 2 rows of its trials is of utterances that are here, such as 'O toy/wav/a/1 toy/a/1'; "
        "expected lists for this corpus"
    )


def test_a_reader_that_finds_no_lists_publishes_none(tmp_path):
    assert written(tmp_path / "x", trials=[], models=[]) == ([], [], [])


def test_blanks_in_names_are_those_of_ids(tmp_path):
    trials, models, remarks = written(
        tmp_path / "x",
        trials=[trial("a b", "a/1"), trial("m 1", "a b", of="O 1", enrol_list="core core")],
        models=model("m 1", "a b", of="core core"),
    )
    assert models == [["toy", "toy/core%20core/m%201", "toy/a%20b"]]
    assert [row[1:4] for row in trials] == [
        ["O", "toy/a%20b", "toy/a/1"],
        ["O%201", "toy/core%20core/m%201", "toy/a%20b"],
    ]
    assert remarks == []


# -------------------------------------------------------------------------------------------------------------- models


def test_models_are_of_utterances_in_our_ids_and_trials_may_name_them(tmp_path):
    models = [*model("m2", "b/2", "b/1", "b/1"), *model("m1", "a/1"), *model("m1", "a/2", of="assist")]
    told = [trial("m1", "b/1", False, enrol_list="core"), trial("m1", "a/1", True, enrol_list="assist")]
    assert written(tmp_path / "x", trials=told, models=models) == (
        [
            ["toy", "O", "toy/assist/m1", "toy/a/1", True],
            ["toy", "O", "toy/core/m1", "toy/b/1", False],
        ],
        [
            ["toy", "toy/assist/m1", "toy/a/2"],
            ["toy", "toy/core/m1", "toy/a/1"],
            ["toy", "toy/core/m2", "toy/b/1"],
            ["toy", "toy/core/m2", "toy/b/2"],
        ],
        [],
    )


def test_a_model_that_is_not_whole_here_is_left_out_with_its_trials(tmp_path):
    models = [*model("m1", "a/1", "a/9"), *model("m2", "b/1", "b/2")]
    told = [trial("m1", "b/1", enrol_list="core"), trial("m2", "a/1", False, enrol_list="core")]
    trials, left, remarks = written(tmp_path / "x", trials=told, models=models)
    assert {row[1] for row in left} == {"toy/core/m2"}
    assert {row[2] for row in trials} == {"toy/core/m2"}
    assert remarks == [
        "2 of 4 rows of its models are left out: utterances are not here (toy/core/m1 toy/a/1)",
        "1 of 2 rows of its trials are left out: utterances are not here (O toy/core/m1 toy/b/1)",
    ]


def test_models_of_which_none_is_here_are_an_error(tmp_path):
    words = "corpus 'toy': none of 2 rows of its models is of utterances that are here, such as 'toy/core/m1 toy/a/1'"
    told = refused(tmp_path / "x", models=model("m1", "a/1", "x"), trials=[trial("a/1", "a/2")])
    assert told.startswith(words)


def test_a_trial_names_a_model_only_of_its_own_list(tmp_path):
    told = [trial("m1", "b/1", enrol_list="other"), trial("m1", "b/1"), trial("m1", "b/2", enrol_list="core")]
    trials, _, _ = written(tmp_path / "x", trials=told, models=model("m1", "a/1"))
    assert [row[2:4] for row in trials] == [["toy/core/m1", "toy/b/2"]]


def test_models_of_one_utterance_each_are_published_without_trials(tmp_path):
    _, models, _ = written(tmp_path / "x", models=[*model("m1", "a/1"), *model("m2", "b/1")])
    assert [row[1:] for row in models] == [["toy/core/m1", "toy/a/1"], ["toy/core/m2", "toy/b/1"]]


# --------------------------------------------------------------------------------------------------------------- files


def test_a_reader_publishes_the_tables_that_it_has_functions_for(tmp_path, monkeypatch):
    section = CorpusSettings(root=tmp_path, **SECTION)
    for told, tables in (
        ({}, []),
        ({"trials": []}, [PUBLISHED_TRIALS]),
        ({"models": []}, [ENROLMENTS]),
        ({"trials": [], "models": []}, [ENROLMENTS, PUBLISHED_TRIALS]),
    ):
        monkeypatch.setitem(READERS, "fake", fake(**told))
        assert published_tables(section) == tables


names = st.sampled_from([*HERE, "x", "zz"])
trials_of_any = st.builds(
    trial, names, names, st.none() | st.just(True), of=st.sampled_from(["O", "é", "O-1"]), enrol_list=st.none()
)


@settings(deadline=None, max_examples=6)
@given(told=st.lists(trials_of_any, max_size=20), chunk=st.integers(1, 6), order=st.randoms(use_true_random=False))
def test_the_bytes_are_the_same_in_whatever_order_and_chunks_the_lists_come(tmp_path_factory, told, chunk, order):
    told = [trial("a/1", "a/2"), *told]
    one, two = (tmp_path_factory.mktemp("lists") for _ in range(2))
    trials, _, remarks = written(one / "x", trials=told)
    others = sorted(told, key=lambda _: order.random())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "ROWS_A_CHUNK", chunk)
        patch.setattr(describing, "ROWS_A_CHUNK", chunk)
        assert written(two / "x", trials=others)[2] == remarks
    file = f"x/{PUBLISHED_TRIALS.name}.parquet"
    assert (one / file).read_bytes() == (two / file).read_bytes()
    known = {(one.list, one.enrol, one.test) for one in told if {one.enrol, one.test} <= set(HERE)}
    assert len(trials) == len(known)


def test_what_is_written_can_be_published_as_it_is(tmp_path):
    told = [
        trial(enrol, test, None, of=of) for enrol in HERE for test in HERE for of in ("é", "O", "O-1", "\U0001f600")
    ]
    written(tmp_path / "x", trials=told, models=model("m", *HERE))
    for table in (PUBLISHED_TRIALS, ENROLMENTS):
        file = tmp_path / "x" / f"{table.name}.parquet"
        rows = Sorted(lambda file=file: read_batches(file, rows=7))
        num = Catalog(tmp_path / "catalog").publish(table, rows, part="toy", fingerprint="f")
        assert Catalog(tmp_path / "catalog").read(table).equals(read_parquet(file))
        assert num == (100 if table is PUBLISHED_TRIALS else 5)


@pytest.mark.parametrize("name", ["corpus=other", "x[1]", "it's", "x*"])
def test_folders_may_be_called_anything(tmp_path, name):
    trials, models, _ = written(tmp_path / name, trials=[trial("a/1", "a/2")], models=model("m", "a/1"))
    assert {row[0] for row in (*trials, *models)} == {"toy"}
