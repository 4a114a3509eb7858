"""Plain lists of evaluations: places, blanks, encodings, times; and whatever happens to a list, rows or one line."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.lists import fields_of, lines_of, seconds, side_of, stretch
from curate.errors import CorpusError

EVALUATIONS = ("sitw", "nist_sre08", "nist_sre16", "hub5")
LISTS = (".lst", ".trn", ".ndx", ".key", ".csv", ".tsv", ".stm")


def test_lines_say_their_place_without_blank_ones_mark_and_carriage_returns(tmp_path):
    path = tmp_path / "one.lst"
    path.write_bytes("\ufeff a  b\r\n\r\n  \r\nNguye\u0302\u0303n\r\n".encode())
    assert list(lines_of(path, expected="words")) == [(f"{path}:1", "a  b"), (f"{path}:4", "Nguy\u1ec5n")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a b\n\xff\n", r"one\.lst: byte 4 is no UTF-8; expected A B$"),
        (b"a b\na\0 b\n", r"one\.lst:2: holds a zero byte; expected A B$"),
        (b"a b\n\na b c\n", r"one\.lst:3: 3 fields; expected A B$"),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error_with_its_place(tmp_path, content, told):
    (tmp_path / "one.lst").write_bytes(content)
    with pytest.raises(CorpusError, match=told):
        list(fields_of(tmp_path / "one.lst", expected="A B", counts=(2,)))


def test_a_list_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.lst: No such file or directory; expected A B$"):
        list(fields_of(tmp_path / "none.lst", expected="A B", counts=(2,)))
    with pytest.raises(CorpusError, match=r"Is a directory; expected A B$"):
        list(fields_of(tmp_path, expected="A B", counts=(2,)))


@pytest.mark.parametrize("text", ["-1", "1e3", "nan", "inf", "", "1,5", "\u0661", "9" * 400, "0x1"])
def test_what_is_no_plain_number_is_no_time(text):
    with pytest.raises(CorpusError, match=r"^here:1: .*; expected seconds such as 88\.000$"):
        seconds(text, "here:1")


def test_a_stretch_is_a_start_and_a_duration_of_at_least_a_millisecond():
    assert stretch("301.85", "302.48", "here:1") == (301.85, 0.63)
    for end in ("301.85", "301.8501", "2"):
        with pytest.raises(CorpusError, match=rf"^here:1: from 301\.85 to {end} s; expected an end after its start$"):
            stretch("301.85", end, "here:1")


def test_a_side_is_a_or_b():
    assert [side_of(one, "") for one in "aAbB"] == ["a", "a", "b", "b"]
    with pytest.raises(CorpusError, match=r"^here:1: side 'C'; expected a or b$"):
        side_of("C", "here:1")


FUNCTIONS = ("rows", "enrolments", "published_trials", "remarks")


def read(reader, settings):
    """Everything that a reader says of a corpus."""
    return [list(getattr(reader, name)(settings.root, settings)) for name in FUNCTIONS if hasattr(reader, name)]


@pytest.fixture(scope="module", params=EVALUATIONS)
def evaluation(request, tmp_path_factory, section, sound):
    """The small corpus of each evaluation and the text of its lists, which every example begins with again."""
    from importlib.util import module_from_spec, spec_from_file_location

    place = Path(__file__).parent / "small" / f"{request.param}.py"
    spec = spec_from_file_location(f"small_{request.param}", place)
    maker = module_from_spec(spec)
    spec.loader.exec_module(maker)
    root = tmp_path_factory.mktemp(request.param)
    maker.make(root, sound)
    lists = {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.suffix in LISTS}
    return READERS[request.param], section(request.param, root), lists


@pytest.mark.parametrize("change", ["mark", "carriage returns", "no last line end"])
def test_marks_and_line_ends_of_other_systems_change_nothing(evaluation, change):
    reader, section_, lists = evaluation
    sound_ones = read(reader, section_)
    try:
        for path, content in lists.items():
            changed = {
                "mark": b"\xef\xbb\xbf" + content,
                "carriage returns": content.replace(b"\n", b"\r\n"),
                "no last line end": content.rstrip(b"\n"),
            }
            path.write_bytes(changed[change])
        assert read(reader, section_) == sound_ones
    finally:
        for path, content in lists.items():
            path.write_bytes(content)


def damaged(content: bytes, how: tuple) -> bytes:
    kind, where, what = how
    at = where % (len(content) + 1)
    lines = content.split(b"\n")
    number = where % len(lines)
    if kind == "insert":
        return content[:at] + what + content[at:]
    if kind == "overwrite":
        return content[:at] + what + content[at + len(what) :]
    if kind == "cut":
        return content[:at]
    if kind == "delete":
        return content[:at] + content[at + 1 + where % 7 :]
    if kind == "again":
        return b"\n".join(lines[: number + 1] + lines[number:])
    if kind == "field":  # one field of one line becomes something else
        fields = lines[number].replace(b",", b" ").replace(b"\t", b" ").split(b" ")
        old = fields[where % len(fields)]
        lines[number] = lines[number].replace(old, what, 1) if old else what
        return b"\n".join(lines)
    if kind == "delimiter":
        return content.replace(b"\t", what).replace(b" ", what).replace(b",", what)
    return unicodedata.normalize("NFD", content.decode(errors="replace")).replace("a", "a\u0301").encode()


WHAT = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.sampled_from(
        [
            *(b"\xef\xbb\xbf", b"\r", b"\r\n", b'"', b"\0", b"\t", b",", b";;", b" ", b":", b"/", b"../../x.flac"),
            *(b"/etc/passwd", b"audio/../../../x.flac", b"9" * 400, b"-1", b"nan", "\u2028\x85\x1c".encode()),
            *(b"1e999", b"<a,b>", b"http://x/y.flac", b"A", b"target", b"tgt", b"NA"),
        ]
    ),
)
DAMAGE = st.tuples(
    st.sampled_from(["insert", "overwrite", "cut", "delete", "again", "field", "field", "delimiter", "NFD"]),
    st.integers(0, 5000),
    WHAT,
)


def rows_or_error(reader, name, section_):
    """What a function of a reader says, and the text of the one error that it may raise."""
    try:
        return list(getattr(reader, name)(section_.root, section_)) if hasattr(reader, name) else [], ""
    except CorpusError as error:
        return [], str(error)


@settings(
    deadline=None, max_examples=150, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(which=st.integers(0, 40), how=st.lists(DAMAGE, min_size=1, max_size=3))
@example(which=0, how=[("cut", 0, b"")])
def test_whatever_happens_to_a_list_there_are_rows_below_the_root_or_one_line(evaluation, which, how):
    reader, section_, lists = evaluation
    path, content = list(lists.items())[which % len(lists)]
    changed = content
    for one in how:
        changed = damaged(changed, one)
    path.write_bytes(changed)
    try:
        for name in FUNCTIONS:
            said, error = rows_or_error(reader, name, section_)
            assert len(error.splitlines()) <= 1
            assert not error or "expected" in error or "new-line" in error  # the latter in the words of `csv`
            if name == "rows":
                assert all((section_.root / row.path).resolve().is_relative_to(section_.root) for row in said)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_trials_and_models_name_utterances_that_rows_give(name, corpus_of, section):
    root = corpus_of(name)
    reader, section_ = READERS[name], section(name, root)
    ids = {row.utterance for row in reader.rows(root, section_)}
    if not hasattr(reader, "enrolments"):
        return
    models = {(one.list, one.model) for one in reader.enrolments(root, section_)}
    assert {one.utterance for one in reader.enrolments(root, section_)} <= ids
    for trial in reader.published_trials(root, section_):
        assert trial.test in ids
        assert (trial.enrol_list, trial.enrol) in models


@pytest.mark.parametrize("name", EVALUATIONS)
def test_an_empty_folder_is_no_evaluation(name, tmp_path, section):
    with pytest.raises(CorpusError, match="expected"):
        list(READERS[name].rows(tmp_path, section(name, tmp_path)))
