"""Lists of trials and models are read back as they were written, and as the tools that take them read them."""

import subprocess
import sys
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import list_files
from benchmarks.list_files import (
    TRIALS,
    list_names,
    read_models,
    read_trials,
    trials_in,
    write_models,
    write_voxceleb,
)
from curate.errors import ListError

every_form = pytest.mark.parametrize("suffix", [".txt", ".kaldi", ".parquet"])
WORDS = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=12).filter(
    lambda word: word.split() == [word] and word not in ("target", "nontarget")
)


def rows(*trials):
    columns = zip(*trials, strict=True) if trials else ([], [], [])
    return pa.table(dict(zip(("enrol_id", "test_id", "is_target"), columns, strict=True)), rows_schema())


def rows_schema():
    return pa.schema([("enrol_id", pa.string()), ("test_id", pa.string()), ("is_target", pa.bool_())])


def told(path):
    return [tuple(row.values()) for row in read_trials(path).to_pylist()]


def write_by_hand(path, trials):
    """What a plain loop writes, in the form that the suffix says."""
    if path.suffix == ".parquet":
        columns = zip(*trials, strict=True) if trials else ([], [], [])
        pq.write_table(pa.table(dict(zip(TRIALS.names, columns, strict=True)), TRIALS), path)
        return
    lines = (
        f"{int(is_target)} {enrol} {test}\n"
        if path.suffix == ".txt"
        else f"{enrol} {test} {'target' if is_target else 'nontarget'}\n"
        for enrol, test, is_target in trials
    )
    path.write_text("".join(lines), encoding="utf-8")


def test_by_hand_a_list_has_the_form_of_voxceleb(tmp_path):
    trials = rows(("toy/a/1", "toy/a/2", True), ("toy/a/1", "toy/b/3", False))
    names = {"toy/a/1": "a/1.wav", "toy/a/2": "a/2.flac", "toy/b/3": "b/3.wav", "toy/c/4": "c/4.wav"}
    write_voxceleb(tmp_path / "veri.txt", trials, names)
    assert (tmp_path / "veri.txt").read_bytes() == b"1 a/1.wav a/2.flac\n0 a/1.wav b/3.wav\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trials=st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1))
def test_a_list_is_read_back_as_it_was_written(tmp_path, trials):
    composed = [(nfc(enrol), nfc(test), is_target) for enrol, test, is_target in trials]
    write_by_hand(tmp_path / "hand.txt", composed)
    write_voxceleb(tmp_path / "list.txt", rows(*composed))
    assert (tmp_path / "list.txt").read_bytes() == (tmp_path / "hand.txt").read_bytes()
    assert told(tmp_path / "list.txt") == composed


@every_form
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trials=st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1))
def test_every_form_is_read(tmp_path, suffix, trials):
    composed = [(nfc(enrol), nfc(test), is_target) for enrol, test, is_target in trials]
    write_by_hand(tmp_path / f"list{suffix}", composed)
    assert told(tmp_path / f"list{suffix}") == composed


def nfc(text):
    return unicodedata.normalize("NFC", text)


def test_a_list_of_nothing_can_be_written_but_text_of_nothing_is_no_list(tmp_path):
    write_voxceleb(tmp_path / "list.txt", rows())
    assert (tmp_path / "list.txt").read_bytes() == b""
    with pytest.raises(ListError, match=r"empty.*expected"):
        read_trials(tmp_path / "list.txt")
    write_by_hand(tmp_path / "list.parquet", [])
    assert told(tmp_path / "list.parquet") == []


@every_form
def test_names_that_begin_with_a_hyphen_or_hold_many_dots_are_names(tmp_path, suffix):
    trials = [
        ("id1/-Ab_c/00001.wav", "_x/--/1.2.3", True),
        ("1", "0", False),
        ("0", "1", True),
        ("xin·chào", "é", False),
    ]
    write_by_hand(tmp_path / f"list{suffix}", trials)
    assert told(tmp_path / f"list{suffix}") == trials


def test_ids_as_dictionaries_are_written_as_plain_ones(tmp_path):
    trials = rows(("a", "b", True), ("a", "c", False))
    coded = pa.concat_tables([trials, trials.take([1, 0])])
    for column in ("enrol_id", "test_id"):
        at = coded.column_names.index(column)
        chunks = [chunk.dictionary_encode() for chunk in coded[column].chunks]  # each with its own
        coded = coded.set_column(at, column, pa.chunked_array(chunks))
    write_voxceleb(tmp_path / "t", coded)
    assert told(tmp_path / "t") == [("a", "b", True), ("a", "c", False), ("a", "c", False), ("a", "b", True)]


def test_a_list_of_more_lines_than_are_read_at_once_keeps_their_order_and_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(list_files, "BYTES_AT_ONCE", 64)
    trials = [(f"a{i}", f"b{i * i}", i % 3 == 0) for i in range(200)]
    write_voxceleb(tmp_path / "t", rows(*trials))
    assert len(list(trials_in(tmp_path / "t"))) > 10
    assert told(tmp_path / "t") == trials
    lines = (tmp_path / "t").read_text().splitlines()
    lines[150] = "2 a b"
    (tmp_path / "t").write_text("\n".join(lines))
    with pytest.raises(ListError, match=r"t:151: '2 a b'; expected `1 enrol test` or `0 enrol test`$"):
        read_trials(tmp_path / "t")


def test_lists_of_others_have_tabs_several_blanks_windows_ends_and_empty_lines(tmp_path):
    path = tmp_path / "t"
    path.write_bytes("\ufeff\r\n1\ta  b\r\n\r\n 0 e\u0301 b \r\n".encode())
    assert told(path) == [("a", "b", True), ("é", "b", False)]
    path.write_bytes(b"a b\tnontarget")
    assert told(path) == [("a", "b", False)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a b\n", r":1: 'a b'; expected `1 enrol test` or `0 enrol test`, or `enrol test target` or"),
        (b"\na b 1\n", r":2: 'a b 1'; expected `1 enrol test`"),
        (b"1 a b\n\n1 a b c\n", r":3: '1 a b c'; expected `1 enrol test` or `0 enrol test`$"),
        (b"\n1 a b\n\nx a b\n", r":4: 'x a b'; expected `1 enrol test` or `0 enrol test`$"),
        (b"1 a b\na b target\n", r":2: 'a b target'; expected `1 enrol test`"),
        (b"a b target\n1 a b\n", r":2: '1 a b'; expected `enrol test target` or `enrol test nontarget`$"),
        (b"a b target\na b tgt\n", r":2: 'a b tgt'; expected `enrol test target`"),
        (b"1 a b\n1 a \xff\n", r":2: byte 4 is no UTF-8"),
        (b"1 a\x1fb c\n", r"from line 1 on no list"),
        (b"", r"empty"),
    ],
)
def test_an_error_names_the_file_the_line_and_what_was_expected(tmp_path, content, said):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(ListError, match=said) as told_of:
        read_trials(path)
    assert str(told_of.value).startswith(str(path))
    assert "\n" not in str(told_of.value)


def test_what_is_no_list_at_all_is_an_error_too(tmp_path):
    with pytest.raises(ListError, match=r"none: No such file.*expected a list"):
        read_trials(tmp_path / "none")
    with pytest.raises(ListError, match=r"none.parquet: No such file"):
        read_trials(tmp_path / "none.parquet")
    (tmp_path / "odd.parquet").write_bytes(b"1 a b\n")
    with pytest.raises(ListError, match=r"odd.parquet: .*expected Parquet with columns enrol, test, is_target"):
        read_trials(tmp_path / "odd.parquet")
    pq.write_table(pa.table({"enrol": ["a"], "test": ["b"]}), tmp_path / "odd.parquet")
    with pytest.raises(ListError, match=r"no column 'is_target'; expected enrol, test, is_target"):
        read_trials(tmp_path / "odd.parquet")


@pytest.mark.parametrize("name", ["a b", "a\u00a0b", " a", "a\n", "a\x1f", "", "target", "nontarget"])
def test_a_name_that_would_not_be_one_word_of_a_line_is_refused(tmp_path, name):
    with pytest.raises(ListError, match=r"^u1: called '.*' in the list; expected one word"):
        write_voxceleb(tmp_path / "t", rows(("u2", "u1", True)), {"u1": name, "u2": "x"})
    with pytest.raises(ListError, match=r"^u3: called ''"):
        write_voxceleb(tmp_path / "t", rows(("u3", "u1", True)), {"u1": "y"})
    assert not (tmp_path / "t").exists()


def test_a_list_that_is_there_already_is_not_written_again(tmp_path):
    path, trials = tmp_path / "t", rows(("a", "b", True), ("c", "d", False))
    for other in (trials, trials.slice(0, 1), rows(("a", "b", True), ("c", "e", False))):
        write_voxceleb(path, other)
        before = path.stat().st_ino
        write_voxceleb(path, other)
        assert path.stat().st_ino == before  # what is written anew is another file of the same name
        assert read_trials(path).num_rows == len(other)


# ---------------------------------------------------------------------------------------- as the tools that take them


def as_the_recipe_of_speechbrain_reads(path):
    """Label and both ids of a line, which `get_verification_scores` takes from its blanks and cuts at the first dot."""
    with path.open() as file:
        for line in file:
            label, enrol, test = line.rstrip().split(" ")
            yield enrol.partition(".")[0], test.partition(".")[0], int(label) == 1


IDS = "import sys; from speechbrain.dataio.dataset import DynamicItemDataset as D; print(*D.from_csv(sys.argv[1]).data)"


def test_speechbrain_finds_every_side_among_the_ids_of_its_csv(tmp_path):
    ids = ["id10270/5r0dWxy17C8/00001", "id10270/-x_9/00002", "id10271/_Ab-/00001"]
    table = "ID,duration,wav,start,stop,spk_id\n" + "".join(f"{one},1.0,{one}.wav,0,16000,s\n" for one in ids)
    (tmp_path / "enrol.csv").write_text(table)
    done = subprocess.run(  # apart: hypothesis looks at each loaded module, and SpeechBrain's old names warn of that
        [sys.executable, "-c", IDS, str(tmp_path / "enrol.csv")], capture_output=True, text=True, check=True
    )
    known = done.stdout.split()
    trials = [(ids[0], ids[1], True), (ids[0], ids[2], False)]
    write_voxceleb(tmp_path / "veri.txt", rows(*trials), {one: f"{one}.wav" for one in ids})
    read = list(as_the_recipe_of_speechbrain_reads(tmp_path / "veri.txt"))
    assert read == trials
    assert all(side in known for trial in read for side in trial[:2])


# ------------------------------------------------------------------------------------------------- models and names


def test_models_are_lines_of_their_utterances(tmp_path):
    models = pa.table({"model_id": ["m2", "m1", "m2"], "utterance_id": ["u1", "u3", "u2"]})
    write_models(tmp_path / "enrol", models, {"m1": "m1", "m2": "m2", "u1": "a.wav", "u2": "-b", "u3": "é"})
    assert (tmp_path / "enrol").read_text(encoding="utf-8") == "m2 a.wav -b\nm1 é\n"
    assert [tuple(row.values()) for row in read_models(tmp_path / "enrol").to_pylist()] == [
        ("m2", "a.wav"),
        ("m2", "-b"),
        ("m1", "é"),
    ]
    with pytest.raises(ListError, match=r"^u1: called '' in the list"):
        write_models(tmp_path / "enrol", models, {"m1": "m1", "m2": "m2"})


def test_a_model_of_nothing_or_that_comes_twice_is_an_error(tmp_path):
    (tmp_path / "enrol").write_text("m1 a\n\nm2\n")
    with pytest.raises(ListError, match=r"enrol:3: 'm2'; expected a model and its utterances$"):
        read_models(tmp_path / "enrol")
    (tmp_path / "enrol").write_text("m1 a\nm2 b\nm1 c\n")
    with pytest.raises(ListError, match=r"enrol:3: model 'm1' again, after line 1; expected one line$"):
        read_models(tmp_path / "enrol")


@pytest.mark.parametrize(
    ("utterance", "path", "name"),
    [
        ("toy/a/1", "a/1.wav", "toy/a/1.wav"),
        ("toy/a%20b/1", "a b/1.flac", "toy/a%20b/1.flac"),
        ("toy/a%20b", "a\u00a0b.wav", "toy/a%20b.wav"),
        ("toy/a", "a.b c", "toy/a.b%20c"),
        ("toy/a/1", "./a//1.wav", "toy/a/1.wav"),
        ("toy/a/1-0", "a/1.wav", "toy/a/1-0"),  # a stretch of its file
        ("toy/v1.2/one", "v1.2/one", "toy/v1.2/one"),
        ("toy/v1.2/-x_", "v1.2/-x_.wav", "toy/v1.2/-x_.wav"),
        ("toy/a.b", "a.b.wav", "toy/a.b.wav"),
        ("toy/b/1", "a/.././b/1.wav", "toy/b/1.wav"),  # as the id is made
    ],
)
def test_a_list_calls_a_file_by_its_path_and_a_stretch_by_its_id(utterance, path, name):
    utterances = pa.table({"utterance_id": [utterance], "corpus": ["toy"], "path": [path]})
    assert list_names(utterances) == {utterance: name}


def test_no_two_utterances_have_one_name_and_models_have_their_ids():
    ids, paths = ["toy/a", "toy/a.wav"], ["a.wav", "whole.flac"]
    utterances = pa.table({"utterance_id": ids, "corpus": ["toy", "toy"], "path": paths})
    models = pa.table({"model_id": ["toy/core/m", "toy/core/m"], "utterance_id": ids})
    assert list_names(utterances, models) == {"toy/a": "toy/a", "toy/a.wav": "toy/a.wav", "toy/core/m": "toy/core/m"}


def test_parquet_is_read_in_the_composed_form_too(tmp_path):
    columns = {"enrol": ["ve\u0301a", "b"], "test": ["b", "ve\u0301a"], "is_target": [True, False]}
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    assert read_trials(tmp_path / "list.parquet").to_pydict() == columns | {
        "enrol": ["v\u00e9a", "b"],
        "test": ["b", "v\u00e9a"],
    }
