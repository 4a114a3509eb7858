"""What an utterance may say of itself, and how ages and sexes are read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.corpora.described import Described, age_of, files_in, one_word, sex_of
from curate.errors import CorpusError


@pytest.mark.parametrize(
    ("word", "years"),
    [
        ("34", (34, 34)),
        (" 34.0 ", (34, 34)),
        ("30-39", (30, 39)),
        ("30 – 39", (30, 39)),
        ("teens", (10, 19)),
        ("Twenties", (20, 29)),
        ("forties", (40, 49)),
        ("fourties", (40, 49)),  # as Common Voice writes it
        ("nineties", (90, 99)),
        ("60+", (60, 120)),
        (" 18 + ", (18, 120)),
        ("120+", (120, 120)),
        ("", None),
        (None, None),
        ("  ", None),
    ],
)
def test_an_age_is_the_youngest_and_oldest_that_its_word_allows(word, years):
    assert age_of(word) == years


@pytest.mark.parametrize(
    "word",
    [
        *("old", "-3", "1234", "30-", "30-39-50", "30 years", "tens", "+", "60++", "130+", "30-39+"),
        *("39-30", "999", "150", "200-300", "100-121", "\u0663\u0664", "3" * 500),
    ],
)
def test_a_word_that_is_no_age_is_refused(word):
    with pytest.raises(
        CorpusError, match=r"^age '.{0,80}'; expected years \(34\), a range \(30-39, 60\+\) or a decade"
    ):
        age_of(word)


@given(st.text(max_size=12))
def test_any_word_is_an_age_or_a_corpus_error(word):
    try:
        years = age_of(word)
    except CorpusError:
        return
    assert years is None or 0 <= years[0] <= years[1] <= 120


@pytest.mark.parametrize(
    ("words", "sex"),
    [
        (["f", " F ", "female", "Woman", "female_feminine"], "female"),
        (["m", "M", "male", "MAN"], "male"),
        (["", None, "other", "x", "U", "-", "N/A", "unknown", "intersex", "Non-binary", "do_not_wish_to_say"], None),
    ],
)
def test_a_sex_is_female_or_male_or_not_said(words, sex):
    assert {sex_of(word) for word in words} == {sex}


@pytest.mark.parametrize("word", ["femail", "0", "Frau", "m f", "1.0", "x" * 500])
def test_a_word_that_is_no_answer_to_the_question_of_sex_is_refused(word):
    with pytest.raises(CorpusError, match=r"^sex '.{1,80}'; expected female or male, another answer such as `other`"):
        sex_of(word)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.wav", "a/../../x.wav", "a/..", "", "."])
def test_a_path_that_leaves_the_corpus_is_refused(path):
    with pytest.raises(CorpusError, match="leaves the corpus; expected one below its root"):
        Described(path=path, speaker="s")


@pytest.mark.parametrize("path", ["a\0b.wav", b"m\xfcller/a.wav".decode("utf-8", "surrogateescape")])
def test_a_path_that_is_no_text_is_refused_in_words_that_can_be_printed(path):
    with pytest.raises(CorpusError, match=": says what is no text; expected names and words in UTF-8") as caught:
        Described(path=path, speaker="s")
    assert str(caught.value).encode().isascii()


def test_a_speaker_without_a_label_is_refused():
    with pytest.raises(CorpusError, match=r"^a\.wav: no speaker; expected a label$"):
        Described(path="a.wav", speaker="")


@pytest.mark.parametrize(
    "stretch",
    [{"start_s": -0.1}, {"start_s": math.nan}, {"start_s": math.inf}, {"start_s": 1e9}]
    + [{"duration_s": duration_s} for duration_s in (0.0, -1.0, math.nan, math.inf, 1e300)]
    + [{"channel": -1}, {"channel": 1 << 15}],
    ids=str,
)
def test_a_stretch_that_cannot_be_is_refused(stretch):
    with pytest.raises(CorpusError, match=rf"^a\.wav: {next(iter(stretch))} .*; expected "):
        Described(path="a.wav", speaker="s", **stretch)


@pytest.mark.parametrize(
    ("said", "utterance"),
    [
        ({"path": "a/b.wav"}, "a/b"),
        ({"path": "./a//b.c.wav"}, "a/b.c"),
        ({"path": "a b/c\td.wav"}, "a%20b/c%20d"),
        ({"path": "a.wav", "name": "call 7"}, "call%207"),
        ({"path": "tiếng/Việt.flac"}, "tiếng/Việt"),
        ({"path": "tie\u0302\u0301ng.wav"}, "tiếng"),
        ({"path": "a.wav", "name": "tie\u0302\u0301ng"}, "tiếng"),
        ({"path": "a/b.wav", "start_s": 12.5}, "a/b-0012500"),
        ({"path": "a/b.wav", "start_s": 0.0}, "a/b-0000000"),
        ({"path": "a/b.wav", "duration_s": 2.0}, "a/b-0000000"),
        ({"path": "a/b.wav", "start_s": 0.0006}, "a/b-0000001"),
        ({"path": "a/b.wav", "start_s": 99999.0}, "a/b-99999000"),
        ({"path": "a/b.wav", "start_s": 12.5, "name": "call"}, "call"),
    ],
)
def test_an_utterance_is_called_by_its_name_or_its_path_without_suffix_and_blanks_and_a_stretch_by_its_start(
    said, utterance
):
    assert Described(speaker="s", **said).utterance == utterance


def test_files_come_in_order_without_folders_but_with_links_that_lead_nowhere(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "a.wav").touch()
    (tmp_path / "z.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    assert [file.name for file in files_in(tmp_path, "z*", "*.wav")][:3] == ["a.wav", "gone.wav", "z.wav"]
    assert tmp_path / "folder.wav" not in files_in(tmp_path, "*")


def test_labels_are_in_one_normal_form_and_a_path_stays_as_it_is_on_the_disk():
    path, label = "du\u0303ng.wav", "Du\u0303ng"
    said = Described(path=path, speaker=label, session=label, name=label)
    assert (said.path, said.recording) == (path, "d\u0169ng")
    assert {said.speaker, said.session, said.name} == {"D\u0169ng"}
    assert one_word("Du\u0303ng 1") == "D\u0169ng%201"


@pytest.mark.parametrize("field", ["speaker", "session", "name"])
@pytest.mark.parametrize("character", ["\n", "\t", "\r", "\x01", "\x7f", "\x85", "\u2028"])
def test_a_label_that_holds_a_control_character_is_refused(field, character):
    label = {"speaker": "s"} | {field: f"a{character}{'b' * 200}"}
    with pytest.raises(
        CorpusError, match=rf"^a\.wav: {field} '.{{1,90}}' holds a control character; expected"
    ) as caught:
        Described(path="a.wav", **label)
    assert str(caught.value).isprintable()


def test_a_label_may_hold_blanks():
    assert Described(path="a.wav", speaker="Nguyen Van A").speaker == "Nguyen Van A"


@pytest.mark.parametrize("path", ["a\nb.wav", "a\u202eb.wav", "a" * 500])
def test_a_path_is_shown_on_one_line_that_can_be_printed(path):
    with pytest.raises(CorpusError) as caught:
        Described(path=path, speaker="")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 260


@pytest.mark.parametrize(("word", "years"), [("34.5", (34, 34)), ("34.0", (34, 34)), ("nan", None), ("Unknown", None)])
def test_years_count_when_they_are_completed_and_words_for_nothing_are_nothing(word, years):
    assert age_of(word) == years
