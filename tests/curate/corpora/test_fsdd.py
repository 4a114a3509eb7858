"""FSDD: digits as transcripts, and a table of speakers where there is one."""

import pytest

from curate.corpora import READERS
from curate.errors import CorpusError


def read(root):
    reader = READERS["fsdd"]
    return {row.utterance: row for row in reader.rows(root, reader.Settings(reader="fsdd", name="fsdd", root=root))}


def test_the_name_of_a_file_says_digit_and_speaker(fsdd):
    told = {name: (row.speaker, row.transcript, row.language) for name, row in read(fsdd).items()}
    assert told == {
        "recordings/0_jackson_0": ("jackson", "zero", "en"),
        "recordings/7_jackson_32": ("jackson", "seven", "en"),
        "recordings/9_theo_1": ("theo", "nine", "en"),
    }


def test_without_the_table_nothing_is_known_of_the_speakers(fsdd):
    told = {(row.sex, row.accent, row.age_years, row.session) for row in read(fsdd).values()}
    assert told == {(None, None, None, None)}


def test_the_table_says_sex_and_accent_of_those_it_names(fsdd):
    (fsdd / "speakers.csv").write_text("speaker,sex,accent,language\njackson,male,USA/neutral,english\n")
    told = {row.speaker: (row.sex, row.accent, row.language) for row in read(fsdd).values()}
    assert told == {"jackson": ("male", "USA/neutral", "en"), "theo": (None, None, "en")}


def test_a_sex_that_is_none_is_an_error_that_names_the_line(fsdd):
    (fsdd / "speakers.csv").write_text("speaker,sex,accent,language\njackson,Frau,x,english\n")
    with pytest.raises(CorpusError, match=r"speakers\.csv:2: sex 'Frau'; expected female or male"):
        read(fsdd)


def test_a_table_behind_a_link_that_leads_out_is_not_read(fsdd, tmp_path):
    (tmp_path / "out.csv").write_text("speaker,sex\n")
    (fsdd / "speakers.csv").symlink_to(tmp_path / "out.csv")
    with pytest.raises(CorpusError, match=r"speakers\.csv leads out of .* by a link"):
        read(fsdd)


@pytest.mark.parametrize("name", ["10_theo_1", "\u0661_theo_1", "x_theo_1", "1_theo", "1__1", "1_the_o_1", "1_theo_1b"])
def test_a_name_of_another_form_is_an_error_that_shows_the_form(fsdd, sound, name):
    sound(fsdd, f"recordings/{name}.wav")
    with pytest.raises(
        CorpusError, match=rf"recordings/{name}\.wav: expected a name like 7_jackson_32 \(digit, speaker"
    ):
        read(fsdd)


@pytest.mark.real
def test_the_real_corpus_has_six_speakers_who_say_each_digit(corpora):
    rows = read(corpora / "fsdd").values()
    assert len(rows) == 600
    assert len({row.speaker for row in rows}) == 6
    assert len({(row.speaker, row.transcript) for row in rows}) == 60
    assert all(row.sex and row.accent for row in rows)
