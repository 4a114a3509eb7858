"""EmoDB: actors with sex and age, sentences as transcripts."""

import pytest

from curate.corpora import READERS
from curate.errors import CorpusError


def read(root):
    reader = READERS["emodb"]
    return {row.utterance: row for row in reader.rows(root, reader.Settings(reader="emodb", name="emo", root=root))}


def test_sex_and_age_are_as_published_where_no_table_says_otherwise(emodb):
    told = {name: (row.speaker, row.sex, row.age_years, row.age_source) for name, row in read(emodb).items()}
    assert told == {
        "wav/03a01Fa": ("03", "male", (31, 31), "corpus"),
        "wav/03b10Wb": ("03", "male", (31, 31), "corpus"),
        "wav/16a02Na": ("16", "female", (31, 31), "corpus"),
    }


def test_the_tables_beside_the_audio_go_before_what_was_published(emodb):
    (emodb / "speakers.csv").write_text("speaker,sex,age\n03,female,\n16,,40-49\n")
    (emodb / "sentences.csv").write_text('code,transcript\na01,"Der Lappen, der liegt."\n')
    rows = read(emodb)
    assert (rows["wav/03a01Fa"].sex, rows["wav/03a01Fa"].age_years, rows["wav/03a01Fa"].age_source) == (
        "female",
        None,
        None,
    )
    assert (rows["wav/16a02Na"].sex, rows["wav/16a02Na"].age_years) == (None, (40, 49))
    assert [row.transcript for row in rows.values()] == ["Der Lappen, der liegt.", None, None]


def test_a_sex_that_is_none_is_an_error_that_names_the_line(emodb):
    (emodb / "speakers.csv").write_text("speaker,sex,age\n03,male,31\n16,Frau,31\n")
    with pytest.raises(CorpusError, match=r"speakers\.csv:3: sex 'Frau'; expected female or male"):
        read(emodb)


@pytest.mark.parametrize("name", ["speakers.csv", "sentences.csv"])
def test_a_table_behind_a_link_that_leads_out_is_not_read(emodb, tmp_path, name):
    (tmp_path / "out.csv").write_text("speaker,sex,age\n")
    (emodb / name).symlink_to(tmp_path / "out.csv")
    with pytest.raises(CorpusError, match=rf"{name} leads out of .* by a link"):
        read(emodb)


def test_it_is_german_in_one_session_that_nobody_knows(emodb):
    assert {(row.language, row.session, row.corpus_split) for row in read(emodb).values()} == {("de", None, None)}


@pytest.mark.parametrize("name", ["3a01Fa", "03c01Fa", "03a01Xa", "03a01F", "03a01Fa copy"])
def test_a_name_of_another_form_is_an_error_that_shows_the_form(emodb, sound, name):
    sound(emodb, f"wav/{name}.wav")
    with pytest.raises(
        CorpusError, match=rf"wav/{name}\.wav: expected a name like 03a01Fa \(speaker, sentence, emotion"
    ):
        read(emodb)


def test_an_actor_nobody_knows_is_an_error_that_names_the_known_ones(emodb, sound):
    sound(emodb, "wav/99a01Fa.wav")
    with pytest.raises(
        CorpusError, match=r"99a01Fa\.wav: speaker 99 is not among 03, 08, 09, 10, 11, 12, 13, 14, 15, 16$"
    ):
        read(emodb)


def test_an_age_that_is_none_is_an_error_that_names_the_line(emodb):
    (emodb / "speakers.csv").write_text("speaker,sex,age\n03,male,31\n16,female,old\n")
    with pytest.raises(CorpusError, match=r"speakers\.csv:3: age 'old'; expected years"):
        read(emodb)


@pytest.mark.real
def test_the_real_corpus_has_its_ten_actors_from_21_to_35_and_every_transcript(corpora):
    rows = read(corpora / "emodb").values()
    assert len(rows) == 535
    ages = {row.speaker: row.age_years for row in rows}
    assert len(ages) == 10
    assert (min(ages.values()), max(ages.values())) == ((21, 21), (35, 35))
    assert sorted({row.speaker: row.sex for row in rows}.values()) == ["female"] * 5 + ["male"] * 5
    assert all(row.transcript for row in rows)


@pytest.mark.real
def test_what_was_published_of_the_actors_is_what_the_real_table_says(corpora, sound, tmp_path):
    told = {row.speaker: (row.sex, row.age_years) for row in read(corpora / "emodb").values()}
    bare = sound(tmp_path, *(f"wav/{speaker}a01Fa.wav" for speaker in told))
    assert {row.speaker: (row.sex, row.age_years) for row in read(bare).values()} == told
