"""Zalo AI Challenge 2020: speakers by their folders, ages that contradict each other, and a test without speakers."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import CorpusError


@pytest.fixture
def zaloai(corpus_of):
    return corpus_of("zaloai")


def section(root, **more):
    return READERS["zaloai"].Settings(reader="zaloai", name="zalo", root=root, **more)


def read(root, **more):
    return list(READERS["zaloai"].rows(root, section(root, **more)))


def remarks(root):
    return list(READERS["zaloai"].remarks(root, section(root)))


def aliases(root):
    return READERS["zaloai"].aliases(root, section(root))


def refusal(root):
    with pytest.raises(CorpusError) as caught:
        read(root)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_small_corpus_is_read_to_exactly_these_rows(zaloai):
    def row(speaker, file, years, conflict=None):
        return Described(
            path=f"train/{speaker}/{file}.wav",
            speaker=speaker,
            sex="male",
            age_years=(years, years + (conflict or 0)),
            age_source="folder name",
            age_conflict_years=conflict,
            language="vi",
        )

    assert read(zaloai) == [
        row("272-M-26", "speaker_272-10", 26),
        row("272-M-26", "speaker_272", 26),
        row("577-M-27", "577-4", 27),
        row("577-M-27", "577-M-27", 27),
        row("577-M-27", "577", 27),
        row("600-M-29", "600-2", 29, 1),
        row("600-M-29", "600-M-30", 29, 1),
    ]


def test_the_test_without_speakers_is_left_out_and_files_named_otherwise_are_named(zaloai):
    assert remarks(zaloai) == [
        "2 files of a test whose speakers nobody names are left out",
        "train/600-M-29/600-M-30.wav is named after another id, sex or age than its folder",
    ]


def test_speakers_may_lie_at_the_root_or_deeper_and_women_are_women(tmp_path, sound):
    sound(tmp_path, "5-F-27/5-4.wav", "a/b/9-f-26/9.WAV")
    told = [(row.utterance, row.speaker, row.sex, row.age_years) for row in read(tmp_path)]
    assert told == [
        ("5-F-27/5-4", "5-F-27", "female", (27, 27)),
        ("a/b/9-f-26/9", "9-f-26", "female", (26, 26)),
    ]
    assert remarks(tmp_path) == []


def test_two_folders_with_one_id_stay_two_speakers_and_are_reported(zaloai, sound):
    sound(zaloai, "train/577-F-30/577-4.wav")
    assert {row.speaker for row in read(zaloai)} == {"272-M-26", "577-F-30", "577-M-27", "600-M-29"}
    assert remarks(zaloai)[-1] == "id 577 has the folders 577-F-30 and 577-M-27: expected one speaker an id"
    assert aliases(zaloai) == {"272": "272-M-26", "600": "600-M-29"}


def test_the_id_alone_is_another_name_of_a_speaker(zaloai):
    assert aliases(zaloai) == {"272": "272-M-26", "577": "577-M-27", "600": "600-M-29"}


@pytest.mark.parametrize(
    ("file", "is_told"),
    [("577-demo", False), ("577-F-", True), ("577-M-", False), ("578-1", True), ("hello", False), ("577-F-27", True)],
)
def test_a_name_that_contradicts_its_folder_is_remarked_on(zaloai, sound, file, is_told):
    sound(zaloai, f"train/577-M-27/{file}.wav")
    told = f"train/577-M-27/{file}.wav is named after another id, sex or age than its folder"
    assert (told in remarks(zaloai)) == is_told
    assert {row.sex for row in read(zaloai)} == {"male"}


def test_an_age_that_a_name_tells_beside_its_folders_makes_a_range_unless_nobody_has_it(zaloai, sound):
    sound(zaloai, "train/577-M-27/577-M-25.wav", "train/577-M-27/577-M-999.wav", "train/577-M-27/577-M-0.wav")
    told = {(row.age_years, row.age_conflict_years) for row in read(zaloai) if row.speaker == "577-M-27"}
    assert told == {((25, 27), 2)}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("577-4.wav", "; expected audio in folders like 577-M-27 (id, sex, age)"),
        ("train/577/577-4.wav", "; expected audio in folders like 577-M-27 (id, sex, age)"),
        ("train/577-M27/577-4.wav", "; expected audio in folders like 577-M-27 (id, sex, age)"),
        ("train/577-X-27/577-4.wav", "; expected audio in folders like 577-M-27 (id, sex, age)"),
        ("train/577-M-27/old/577-4.wav", "; expected audio in folders like 577-M-27 (id, sex, age)"),
        ("train/577-M-1990/577-4.wav", "; expected audio in folders like 577-M-27 (id, sex, age)"),
        ("x\ny/578-M-27/578-4.wav", "; expected audio in folders like 577-M-27 (id, sex, age)"),
        ("train/578-M-121/577-4.wav", ": 121 years; expected an age of 1 to 120"),
        ("train/578-M-0/577-4.wav", ": 0 years; expected an age of 1 to 120"),
    ],
)
def test_audio_that_lies_elsewhere_is_an_error(zaloai, sound, path, told):
    sound(zaloai, path)
    named = path if told.startswith(";") else path.rpartition("/")[0]
    assert refusal(zaloai) == f"{named!r} in {zaloai}{told}"


NAMES = st.text('0123456789-MFx_ "\n\té\u0301\u2028', min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)
FOLDERS = NAMES | st.builds(
    "{}-{}-{}".format, st.integers(0, 999), st.sampled_from("MFmfX٣"), st.integers(-1, 150) | st.just("٣٠")
)


def test_damaged_names_are_rows_or_one_line_that_says_what_is_wrong(tmp_path):
    @settings(deadline=None, max_examples=200)
    @given(folders=st.lists(FOLDERS, max_size=3), file=NAMES, deep=st.booleans())
    def damage(folders, file, deep):
        root = Path(tempfile.mkdtemp(dir=tmp_path))
        for folder in folders:
            within = root / "train" / folder if deep else root / folder
            within.mkdir(parents=True, exist_ok=True)
            (within / f"{file}.wav").write_bytes(b"")
        try:
            rows = read(root)
            assert {row.sex for row in rows} <= {"female", "male"}
            assert all((root / row.path).is_file() for row in rows)
            assert len({row.utterance for row in rows}) == len(rows)
            assert all("\n" not in told for told in remarks(root))
            assert set(aliases(root).values()) <= {row.speaker for row in rows}
            told = None
        except CorpusError as error:
            told = str(error)
        assert told is None or ("; expected " in told and len(told.splitlines()) == 1)

    damage()
