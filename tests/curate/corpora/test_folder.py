"""A folder of speakers: with sessions or without, and a table that tells of them."""

import unicodedata

import pytest

from curate.corpora import READERS
from curate.errors import CorpusError


def read(root, **more):
    reader = READERS["folder"]
    settings = reader.Settings(reader="folder", name="mine", root=root, **more)
    return {row.utterance: row for row in reader.rows(root, settings)}


def test_folders_are_speakers_and_the_ones_within_are_sessions(folder):
    told = {name: (row.speaker, row.session) for name, row in read(folder).items()}
    assert told == {"an/1/x": ("an", "1"), "an/2/x": ("an", "2"), "bình/y%20z": ("bình", None)}


def test_every_kind_of_audio_counts_and_nothing_else_does(folder, sound):
    sound(folder, "an/a.ogg", "an/b.mp3")
    (folder / "an" / "notes.txt").write_text("not audio")
    (folder / "readme.txt").write_text("not audio")
    assert set(read(folder)) == {"an/1/x", "an/2/x", "an/a", "an/b", "bình/y%20z"}


@pytest.mark.parametrize(("path", "depth"), [("loose.wav", 0), ("an/1/too/deep.wav", 3), ("an/1/far/too/deep.wav", 4)])
def test_audio_that_lies_elsewhere_is_an_error(folder, sound, path, depth):
    sound(folder, path)
    with pytest.raises(
        CorpusError, match=rf"{path}: {depth} folders deep; expected speaker/file or speaker/session/file"
    ):
        read(folder)


def test_a_table_tells_of_the_speakers_that_it_names(folder):
    (folder / "speakers.csv").write_text("speaker,sex,age,accent,language\nan,F,30-39,Huế,vi\n", encoding="utf-8-sig")
    told = {
        row.speaker: (row.sex, row.age_years, row.age_source, row.accent, row.language)
        for row in read(folder, language="en").values()
    }
    assert told == {"an": ("female", (30, 39), "speakers.csv", "Huế", "vi"), "bình": (None, None, None, None, "en")}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("speaker,age\nan,30\nbình,ancient\n", r"speakers\.csv:3: age 'ancient'; expected years \(34\)"),
        ("name,age\nan,30\n", r"speakers\.csv:2: no `speaker`; expected speaker and any of sex, age, accent, language"),
        ("speaker,gender\nan,f\n", r"csv:2: column 'gender'; expected speaker, sex, age, accent, language$"),
        ("speaker,age\nan,30,x\n", r"speakers\.csv:2: 3 fields; expected 2 as in the header"),
        ("", r"speakers\.csv: empty; expected a header and rows"),
        ("speaker,age\nan,30\nan,40\n", r"csv:3: speaker 'an' again, after .*csv:2; expected one row a speaker"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_that_names_the_line(folder, table, told):
    (folder / "speakers.csv").write_text(table, encoding="utf-8")
    with pytest.raises(CorpusError, match=told):
        read(folder)


def test_a_name_in_another_encoding_is_an_error_that_can_be_printed(folder):
    wrong = folder / "an" / b"m\xfcller.wav".decode("utf-8", "surrogateescape")
    wrong.write_bytes((folder / "an/1/x.wav").read_bytes())
    with pytest.raises(
        CorpusError, match=r"'an/m\\udcfcller\.wav': says what is no text; expected names and words in UTF-8"
    ):
        read(folder)


def test_links_to_speakers_and_sessions_are_followed_and_keep_their_own_names(folder, sound, tmp_path):
    elsewhere = sound(tmp_path / "elsewhere", "cuc/3/a.wav", "4/b.wav")
    (folder / "cúc").symlink_to(elsewhere / "cuc")
    (folder / "an" / "4").symlink_to(elsewhere / "4")
    with pytest.raises(CorpusError, match=r"cúc leads out of .* by a link; expected what lies below it, or `links = "):
        read(folder)
    rows = read(folder, links="anywhere")
    assert set(rows) == {"an/1/x", "an/2/x", "an/4/b", "bình/y%20z", "cúc/3/a"}
    assert (rows["cúc/3/a"].speaker, rows["cúc/3/a"].session) == ("cúc", "3")


def test_audio_too_deep_behind_a_link_is_an_error_too(folder, sound, tmp_path):
    (folder / "cúc").symlink_to(sound(tmp_path / "elsewhere", "cuc/3/too/deep.wav") / "cuc")
    with pytest.raises(CorpusError, match=r"cúc/3/too/deep\.wav: 3 folders deep; expected speaker/file"):
        read(folder, links="anywhere")


def test_a_link_that_leads_nowhere_is_not_left_out_silently(folder):
    (folder / "an" / "gone.wav").symlink_to(folder / "nowhere.wav")
    assert "an/gone" in read(folder)


def test_a_name_in_the_table_and_one_on_the_disk_are_one_however_they_are_spelt(folder):
    """`bình` is the folder in its composed form, and decomposed in the table, as macOS writes names."""
    (folder / "speakers.csv").write_text(unicodedata.normalize("NFD", "speaker,sex\nbình,m\n"), encoding="utf-8")
    assert read(folder)["bình/y%20z"].sex == "male"


def test_a_word_for_sex_that_nobody_knows_is_an_error_with_its_line(folder):
    (folder / "speakers.csv").write_text("speaker,sex\nan,femail\n")
    with pytest.raises(CorpusError, match=r"speakers\.csv:2: .*femail"):
        read(folder)


def test_what_macos_writes_beside_a_file_is_passed_by(folder):
    (folder / "an/1/._x.wav").write_bytes(b"\0\5\x16\7")
    assert set(read(folder)) == {"an/1/x", "an/2/x", "bình/y%20z"}
