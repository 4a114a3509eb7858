"""VLSP 2020: flat audio with texts; a speaker comes by a pattern or a table, never by a guess."""

import shutil
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import CorpusError

READER = READERS["vlsp2020"]
BY_NAME = r"(?:(?P<split>[^/]+)/)?(?P<speaker>[^_/]+)_[^/]+"
TABLE = "file,speaker,sex,age\nan_0001,a,nữ,34\ntrain/an_0002.wav,a,,\ntrain/dũng_0001,d,nam,20-29\n"


def section(root, **more):
    return READER.Settings(reader="vlsp2020", name="vlsp", root=root, **more)


def read(root, **more):
    return list(READER.rows(root, section(root, **more)))


def refusal(root, **more):
    with pytest.raises(CorpusError) as caught:
        read(root, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{root}/")


@pytest.fixture
def table(tmp_path):
    """A table of speakers beside the pipeline file."""

    def make(text):
        (tmp_path / "who.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "who.csv"

    return make


def test_the_whole_small_corpus_is_read_to_exactly_these_rows(corpus_of):
    assert read(corpus_of("vlsp2020"), pattern=BY_NAME) == [
        Described(
            path="train/an_0001.wav", speaker="an", language="vi", transcript="xin chào các bạn", corpus_split="train"
        ),
        Described(path="train/an_0002.wav", speaker="an", language="vi", corpus_split="train"),
        Described(
            path="train/dũng_0001.wav", speaker="dũng", language="vi", transcript="một hai", corpus_split="train"
        ),
    ]


def test_a_table_tells_speakers_by_path_or_by_name(corpus_of, table):
    rows = read(corpus_of("vlsp2020"), speakers=table(TABLE))
    assert [(row.speaker, row.sex, row.age_years, row.age_source) for row in rows] == [
        ("a", "female", (34, 34), "who.csv"),
        ("a", None, None, None),
        ("d", "male", (20, 29), "who.csv"),
    ]


def test_a_table_goes_before_the_pattern_and_need_not_hold_all(corpus_of, table):
    rows = read(corpus_of("vlsp2020"), pattern=BY_NAME, speakers=table("file,speaker\nan_0001,other\n"))
    assert [row.speaker for row in rows] == ["other", "an", "dũng"]


def test_a_table_may_spell_names_in_another_normal_form(corpus_of, table):
    rows = read(corpus_of("vlsp2020"), speakers=table(unicodedata.normalize("NFD", TABLE)))
    assert [row.speaker for row in rows] == ["a", "a", "d"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file,who\nan_0001,a\n", ":2: column 'who'; expected file, speaker, session, sex, age, accent"),
        ("file,speaker\nan_0001,\n", ":2: no file or no speaker; expected both in every row"),
        ("file,speaker\nan_0001,a\nan_0001,b\n", ":3: file 'an_0001' again, after "),
        ("file,speaker\nan_0009,a\n", ":2: no audio is called 'an_0009'; expected a file below "),
        (b"file,speaker\n\xff,a\n", ": byte 13 is no UTF-8; expected text in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_by_its_line(corpus_of, table, text, told):
    path = table(text)
    assert refusal(corpus_of("vlsp2020"), pattern=BY_NAME, speakers=path).startswith(f"{path}{told}")


def test_a_file_whose_speaker_nothing_tells_is_an_error(corpus_of, table):
    root = corpus_of("vlsp2020")
    told = refusal(root, speakers=table("file,speaker\nan_0001,a\n"))
    assert told == "train/an_0002.wav: no speaker; expected one by `pattern` or in the table `speakers`"
    told = refusal(root, pattern="(?P<speaker>an)_[^/]+")
    assert told.startswith(
        "train/an_0001.wav: `pattern` '(?P<speaker>an)_[^/]+' does not fit 'train/an_0001.wav'; expected"
    )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "no speakers: expected `pattern` with a group"),
        ({"pattern": "(?P<session>.*)"}, "no speakers: expected `pattern` with a group"),
        ({"pattern": "(?P<speaker>"}, "is no regular expression"),
        ({"pattern": "(?P<speaker>.)(?P<mood>.)"}, "pattern has a group 'mood'; expected any of age, session, sex"),
    ],
)
def test_a_section_that_tells_no_speakers_is_refused_at_once(tmp_path, keys, told):
    with pytest.raises(ValueError, match=told):
        section(tmp_path, **keys)


def test_coded_words_in_names_are_explained_by_the_section(tmp_path, sound):
    sound(tmp_path, "a-1-y.wav")
    keys = {"pattern": r"(?P<speaker>\w)-(?P<sex>\w)-(?P<age>\w)\.wav"}
    assert refusal(tmp_path, **keys).startswith("a-1-y.wav: age 'y'; expected years")
    (row,) = read(tmp_path, **keys, words={"sex": {"1": "female"}, "age": {"y": "20-29"}})
    assert (row.sex, row.age_years, row.age_source) == ("female", (20, 29), "path")


def test_texts_in_another_encoding_need_the_key_that_says_so(tmp_path, sound):
    sound(tmp_path, "a_1.wav")
    (tmp_path / "a_1.txt").write_bytes("chào".encode("utf-16"))
    assert refusal(tmp_path, pattern=BY_NAME).startswith("a_1.wav: ")
    assert read(tmp_path, pattern=BY_NAME, encoding="utf-16")[0].transcript == "chào"


def test_what_has_no_partner_is_remarked(corpus_of):
    root = corpus_of("vlsp2020")
    assert list(READER.remarks(root, section(root, pattern=BY_NAME))) == [
        "1 recordings have no text beside them; they have no transcript",
        "1 texts have no recording beside them; they are not read",
    ]
    (root / "train/alone.txt").rename(root / "train/an_0002.txt")
    assert list(READER.remarks(root, section(root, pattern=BY_NAME))) == []


@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_texts_and_tables_give_rows_below_the_root_or_one_line(corpus_of, tmp_path, data):
    whole, root = corpus_of("vlsp2020"), tmp_path / "damaged"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    speakers = tmp_path / "who.csv"
    speakers.write_text(TABLE, encoding="utf-8")
    damaged = data.draw(st.sampled_from([speakers, root / "train/an_0001.txt"]))
    content = bytearray(damaged.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    damaged.write_bytes(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + bytes(content))
    try:
        rows = read(root, speakers=speakers)
    except CorpusError as error:
        rows, told = [], str(error)
    else:
        told = ""
    assert "\n" not in told
    assert all((root / row.path).resolve().is_relative_to(root.resolve()) for row in rows)
