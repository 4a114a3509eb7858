"""What describing a corpus promises: every utterance in the order of ids, one id each, never all of them at once."""

import re
import shutil
import weakref
from types import SimpleNamespace
from unicodedata import is_normalized

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import describe as describing
from curate.catalog import read_parquet
from curate.corpora import READERS, folder
from curate.corpora.described import CorpusSettings, Described
from curate.describe import SAID, describe, in_chunks, require_root, tag_of
from curate.errors import CorpusError

RATE = 8000


@pytest.fixture
def root(tmp_path):
    """Three speakers with two files each."""
    for speaker in "abc":
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        for i in (1, 2):
            soundfile.write(tmp_path / "corpus" / speaker / f"{i}.wav", np.zeros(80), RATE)
    return tmp_path / "corpus"


def corpus(root, **settings):
    return folder.Settings(reader="folder", name="toy", root=root, **settings)


def ids(said):
    return [one.removeprefix("toy/") for one in read_parquet(said)["utterance_id"].to_pylist()]


def told(into, *utterances, reader=None, **section):
    """What is written of a corpus whose reader says this."""
    into.mkdir(exist_ok=True)
    rows = reader or (lambda _root, _settings: iter(utterances))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "fake", SimpleNamespace(rows=rows, LICENCE="CC0-1.0"))
        return describe(CorpusSettings(reader="fake", name="toy", root=into, **section), into)


def said(path="a/1.wav", speaker="a", **more):
    return Described(path=path, speaker=speaker, **more)


# --------------------------------------------------------------------------------------------------------------- order


def test_utterances_come_in_the_order_of_their_ids(root, tmp_path):
    assert ids(describe(corpus(root), tmp_path)) == ["a/1", "a/2", "b/1", "b/2", "c/1", "c/2"]


names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5).filter(
    lambda name: is_normalized("NFC", name)  # ids are: another form would come back as this one
)


@settings(deadline=None, max_examples=20)
@given(names=st.sets(names | st.sampled_from(["a", "a-", "a/1", "a0", "A", "é", "\uffee", "\U0001f600"]), min_size=1))
def test_the_order_is_that_of_code_points_whatever_the_reader_gives(tmp_path_factory, names):
    found = told(tmp_path_factory.mktemp("order"), *(said(name=name) for name in names))
    assert ids(found) == sorted(names)


@settings(deadline=None, max_examples=10)
@given(order=st.permutations(range(12)), chunk=st.integers(1, 13))
def test_the_bytes_are_the_same_in_whatever_order_the_reader_yields(tmp_path_factory, order, chunk):
    rows = [said(f"a/{i // 3}.wav", start_s=float(i), transcript="t" * i or None, session=None) for i in range(12)]
    one, two = (tmp_path_factory.mktemp("bytes") for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        expected = told(one, *rows).read_bytes()
        patch.setattr(describing, "ROWS_A_CHUNK", chunk)
        assert told(two, *(rows[i] for i in order)).read_bytes() == expected


def test_only_a_chunk_of_what_a_reader_says_is_held_at_once(tmp_path, monkeypatch):
    class Counted(Described):
        """One that can be watched."""

    alive, most = weakref.WeakSet(), 0

    def rows(_root, _settings):
        nonlocal most
        for i in range(1000):
            one = Counted(path=f"a/{1000 - i}.wav", speaker="a")
            alive.add(one)
            most = max(most, len(alive))
            yield one

    monkeypatch.setattr(describing, "ROWS_A_CHUNK", 20)
    assert len(ids(told(tmp_path / "x", reader=rows))) == 1000
    assert 20 <= most <= 2 * 20 + 2


def test_a_corpus_is_described_in_chunks_as_in_one(tmp_path, monkeypatch):
    rows = [said(f"a/{i}.wav", start_s=0.5) for i in range(25)]
    expected = read_parquet(told(tmp_path / "one", *rows))
    monkeypatch.setattr(describing, "ROWS_A_CHUNK", 4)
    assert read_parquet(told(tmp_path / "two", *rows)).equals(expected)
    assert [len(chunk) for chunk in in_chunks(range(10), 4)] == [4, 4, 2]


# ------------------------------------------------------------------------------------------------------------ patterns


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (["a/*"], [], ["a/1", "a/2"]),
        (["a/*", "*/1.wav"], [], ["a/1", "a/2", "b/1", "c/1"]),
        (["*/1.wav", "*/1.wav"], [], ["a/1", "b/1", "c/1"]),
        ([], ["b/*", "?/2.wav"], ["a/1", "c/1"]),
        (["[ab]/*"], ["b/2.wav"], ["a/1", "a/2", "b/1"]),
        (["[!a]/*"], [], ["b/1", "b/2", "c/1", "c/2"]),
    ],
)
def test_patterns_take_in_and_leave_out(root, tmp_path, include, exclude, left):
    section = corpus(root, include=tuple(include), exclude=tuple(exclude))
    assert ids(describe(section, tmp_path)) == left


@pytest.mark.parametrize("pattern", ["d/*", "A/*", "a", "1.wav", "a/1.flac", "", "[", "*\n*"])
@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(root, tmp_path, kind, pattern):
    words = f"corpus 'toy': {pattern!r} matches none of 6 paths such as 'a/1.wav'"
    with pytest.raises(CorpusError, match=re.escape(words)) as caught:
        describe(corpus(root, **{kind: ("*/1.wav", pattern)}), tmp_path)
    assert "\n" not in str(caught.value)


def test_patterns_that_leave_nothing_are_an_error(root, tmp_path):
    words = r"corpus 'toy': `exclude` leaves none of 6 files; expected some to remain"
    with pytest.raises(CorpusError, match=words):
        describe(corpus(root, exclude=("*",)), tmp_path)
    with pytest.raises(CorpusError, match=words):
        describe(corpus(root, include=("a/*",), exclude=("a/*",)), tmp_path)


def test_a_corpus_that_is_not_there_or_empty_is_an_error_that_names_its_layout(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for no_root in (tmp_path / "no", tmp_path / "file"):
        words = rf"corpus 'toy': no folder {no_root}; expected the folder layout in it"
        with pytest.raises(CorpusError, match=words):
            require_root(corpus(no_root))
        with pytest.raises(CorpusError, match=words):
            describe(corpus(no_root), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=rf"corpus 'toy': no audio in {tmp_path}/empty; expected the folder layout"):
        describe(corpus(tmp_path / "empty", include=("a/*",)), tmp_path)


# ----------------------------------------------------------------------------------------------------------------- ids


def test_two_files_with_one_id_are_an_error_that_names_both(root, tmp_path):
    soundfile.write(root / "a" / "1.flac", np.zeros(800), RATE)
    with pytest.raises(
        CorpusError, match=r"a/1.flac and a/1.wav both have the id toy/a/1; expected one file an id \(`exclude`"
    ):
        describe(corpus(root), tmp_path)
    assert len(ids(describe(corpus(root, exclude=("a/1.flac",)), tmp_path))) == 6  # and leaving one out mends it


@settings(deadline=None, max_examples=8)
@given(order=st.permutations(range(6)))
def test_of_equal_ids_the_first_is_named_in_whatever_order_they_come(tmp_path_factory, order):
    pairs = [("x/2.wav", "n2"), ("x/1.wav", "n2"), ("x/4.wav", "n1"), ("x/3.wav", "n1"), ("x/5.wav", "n0")]
    rows = [*(said(path, name=name) for path, name in pairs), said("x/n2.wav")]
    with pytest.raises(CorpusError, match=r"x/3.wav and x/4.wav both have the id toy/n1; expected one file an id"):
        told(tmp_path_factory.mktemp("ids"), *(rows[i] for i in order))


def test_equal_ids_are_found_however_far_apart_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(describing, "ROWS_A_CHUNK", 2)
    rows = [said(f"x/{i}.wav") for i in range(9)]
    with pytest.raises(CorpusError, match=r"x/0.mp3 and x/0.wav both have the id toy/x/0;"):
        told(tmp_path / "x", *rows, said("x/0.mp3"))


# ------------------------------------------------------------------------------------------------------------ sessions


def sessions(into, *utterances):
    rows = read_parquet(told(into, *utterances)).to_pylist()
    return {row["utterance_id"].removeprefix("toy/"): row["session_id"] for row in rows}


def test_a_session_is_what_the_corpus_tells_or_unknown(tmp_path):
    found = sessions(tmp_path, said("x/1.wav", session="s 1"), said("x/2.wav"), said("x/3.wav", start_s=1, session="t"))
    assert found == {"x/1": "toy/a/s 1", "x/2": None, "x/3-0001000": "toy/a/t"}


def test_a_file_is_the_session_of_its_stretches(tmp_path):
    one = [said("x/1.wav", start_s=0.0), said("x/1.wav", duration_s=1.0, name="b"), said("x/2.wav", start_s=9)]
    assert set(sessions(tmp_path, *one).values()) == {"toy/a/x/1", "toy/a/x/2"}


def test_a_file_is_the_session_of_its_channels(tmp_path):
    found = sessions(tmp_path, said("x/1.sph", channel=0), said("x/1.sph", speaker="b", channel=1))
    assert found == {"x/1-c0": "toy/a/x/1", "x/1-c1": "toy/b/x/1"}


def test_a_file_that_comes_again_under_another_name_is_the_session_of_both(tmp_path, monkeypatch):
    monkeypatch.setattr(describing, "ROWS_A_CHUNK", 1)
    found = sessions(tmp_path, said("x/1.wav", name="n1"), said("x/2.wav"), said("x/1.wav", name="n2"))
    assert found == {"n1": "toy/a/x/1", "n2": "toy/a/x/1", "x/2": None}


# ---------------------------------------------------------------------------------------------------------------- rows


def test_a_row_holds_what_was_said(tmp_path):
    one = said(
        "x/1 2.wav",
        session="s",
        start_s=0.5,
        duration_s=2.0,
        channel=1,
        sex="female",
        age_years=(30, 39),
        age_source="list",
        age_conflict_years=4,
        work="Kiều",
        accent="Huế",
        nationality="Vietnam",
        language="vi",
        transcript="xin chào",
        corpus_split="dev",
        licence="CC-BY-4.0",
    )
    table = read_parquet(told(tmp_path, one))
    assert table.schema.equals(SAID)
    assert table.to_pylist() == [
        {
            "utterance_id": "toy/x/1%202-c1-0000500",
            "corpus": "toy",
            "speaker_id": "toy/a",
            "session_id": "toy/a/s",
            "path": "x/1 2.wav",
            "channel": 1,
            "start_s": 0.5,
            "duration_s": 2.0,
            "sex": "female",
            "age_min_years": 30,
            "age_max_years": 39,
            "age_source": "list",
            "age_conflict_years": 4,
            "work_id": "toy/Kiều",
            "accent": "Huế",
            "nationality": "Vietnam",
            "language": "vi",
            "transcript": "xin chào",
            "corpus_split": "dev",
            "licence": "CC-BY-4.0",
            "recording": "x/1 2",
            "is_part": True,
            "is_first": True,
        }
    ]


def test_what_was_not_said_is_null_but_for_the_licence_of_the_corpus(tmp_path):
    (row,) = read_parquet(told(tmp_path, said())).to_pylist()
    known = {key: value for key, value in row.items() if value is not None}
    assert known == {
        "utterance_id": "toy/a/1",
        "corpus": "toy",
        "speaker_id": "toy/a",
        "path": "a/1.wav",
        "licence": "CC0-1.0",
        "recording": "a/1",
        "is_part": False,
        "is_first": True,
    }


def test_one_row_of_each_file_is_its_first(tmp_path, monkeypatch):
    monkeypatch.setattr(describing, "ROWS_A_CHUNK", 2)
    rows = [said(f"x/{i % 3}.wav", name=f"n{8 - i}") for i in range(9)]
    found = read_parquet(told(tmp_path, *rows))
    first = found.filter(found["is_first"])
    assert first["utterance_id"].to_pylist() == ["toy/n0", "toy/n1", "toy/n2"]
    assert sorted(first["path"].to_pylist()) == ["x/0.wav", "x/1.wav", "x/2.wav"]


def test_a_licence_is_that_of_the_row_then_of_the_pipeline_file_then_of_the_reader(tmp_path):
    rows = [said("x/1.wav", licence="row"), said("x/2.wav")]
    assert read_parquet(told(tmp_path, *rows, licence="file"))["licence"].to_pylist() == ["row", "file"]
    assert read_parquet(told(tmp_path, *rows))["licence"].to_pylist() == ["row", "CC0-1.0"]


@pytest.mark.parametrize(
    "odd",
    [
        {"channel": 99_999},
        {"age_years": (40_000, 40_000)},
        {"age_conflict_years": 10**30},
        {"start_s": 1e306},
        {"transcript": "\ud800"},
        {"speaker": "\udcff"},
        {"session": "\ud800"},
    ],
)
def test_what_no_column_can_hold_is_an_error_that_names_the_file(tmp_path, odd):
    with pytest.raises(CorpusError, match=r"^[^\n]*x/7\.wav[^\n]*; expected [^\n]*$"):
        told(tmp_path, *(said(f"x/{i}.wav") for i in range(7)), said("x/7.wav", **{"speaker": "a"} | odd))


# ---------------------------------------------------------------------------------------------------------------- disk


@pytest.mark.parametrize("name", ["corpus=other", "x[1]", "x*", "x?", "it's", 'q"', "ngày mai", "a;b", "path=1,x=2"])
def test_folders_may_be_called_anything(root, tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "x1").mkdir()  # what `x[1]`, `x*` and `x?` match
    other = told(tmp_path / "x1", said("other/1.wav"), said("other/2.wav"))
    shutil.copy(other, other.with_name("said.unsorted.parquet"))  # as of a scan that was killed
    found = describe(corpus(root), tmp_path / name)
    assert ids(found) == ["a/1", "a/2", "b/1", "b/2", "c/1", "c/2"]
    assert set(read_parquet(found)["corpus"].to_pylist()) == {"toy"}


def test_nothing_is_left_beside_what_was_said(root, tmp_path):
    (tmp_path / "out").mkdir()
    describe(corpus(root), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["said.parquet"]


def test_a_reader_that_fails_leaves_what_was_said_before(tmp_path):
    def failing(_root, _settings):
        yield said("x/2.wav")
        raise CorpusError("table:3: no speaker; expected one")

    before = told(tmp_path, said("x/1.wav")).read_bytes()
    with pytest.raises(CorpusError, match=r"^table:3: no speaker; expected one$"):
        told(tmp_path, reader=failing)
    assert (tmp_path / "said.parquet").read_bytes() == before
    assert ids(told(tmp_path, said("x/3.wav"))) == ["x/3"]  # and the next attempt replaces it


@pytest.mark.parametrize(
    ("said", "tag"), [("de", "de"), ("zh-CN", "zh-CN"), ("German", "de"), ("tiếng Việt", "vi"), ("yue", "yue")]
)
def test_a_language_is_its_tag_whatever_it_is_called(said, tag):
    assert tag_of(said, "a.wav") == tag


def test_a_language_that_nobody_knows_is_an_error_that_names_it():
    with pytest.raises(CorpusError, match=r"^a\.wav: language 'Xyzzian'; expected a tag such as de, or a language"):
        tag_of("Xyzzian", "a.wav")


@pytest.mark.parametrize(
    ("said", "tag"),
    [("deu", "de"), ("EN", "en"), ("en_US", "en-US"), ("Lao", "lo"), ("nan-tw", "nan-TW"), ("nan", None)],
)
def test_one_language_has_one_tag_and_a_word_for_nothing_none(said, tag):
    assert tag_of(said, "a.wav") == tag


@pytest.mark.parametrize("said", ["jp", "English/Hindi", "123"])
def test_what_is_no_one_language_is_an_error(said):
    with pytest.raises(CorpusError, match="expected a tag such as de, or a language's name"):
        tag_of(said, "a.wav")
