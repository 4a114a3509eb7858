"""LibriSpeech: subsets, readers, chapters, transcripts, and the reader with a pipe in his name."""

import pytest

from curate.corpora import READERS
from curate.errors import CorpusError
from curate.ingest import describe


def section(root, **more):
    return READERS["librispeech"].Settings(reader="librispeech", name="libri", root=root, **more)


def read(root):
    return {row.utterance: row for row in READERS["librispeech"].rows(root, section(root))}


def test_a_row_says_reader_chapter_subset_sex_and_transcript(librispeech):
    row = read(librispeech)["train-clean-100/60/5/60-5-0000"]
    assert (row.path, row.speaker, row.session) == ("train-clean-100/60/5/60-5-0000.flac", "60", "5")
    assert (row.sex, row.corpus_split, row.language) == ("male", "train-clean-100", "en")
    assert row.transcript == "HE SAID  TWO WORDS"
    assert (row.age_years, row.accent, row.start_s, row.duration_s) == (None, None, None, None)


def test_every_chapter_of_every_subset_is_read_and_nothing_else(librispeech):
    assert list(read(librispeech)) == [
        "dev-clean/9/1/9-1-0000",
        "train-clean-100/60/5/60-5-0000",
        "train-clean-100/60/5/60-5-0001",
        "train-clean-100/60/7/60-7-0000",
    ]


def test_a_chapter_without_transcripts_has_none(librispeech):
    rows = read(librispeech)
    assert [row.transcript for row in rows.values()] == [None, "HE SAID  TWO WORDS", "AND MORE", None]


def test_a_reader_that_the_list_does_not_name_is_an_error(librispeech, sound):
    sound(librispeech, "dev-clean/77/1/77-1-0000.flac")
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT: no line for reader 77 of dev-clean$"):
        read(librispeech)


def test_without_the_list_of_readers_nothing_is_read(librispeech):
    (librispeech / "SPEAKERS.TXT").unlink()
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT: No such file or directory; expected the file that"):
        read(librispeech)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"14 | F | dev-clean\n", r"line '14 \| F \| dev-clean'; expected ID \| SEX \| SUBSET \| MINUTES \| NAME"),
        ("60 | M | dev-clean | 8 | Zoë\n".encode("latin-1"), "byte 27 is no UTF-8; expected text in UTF-8"),
    ],
)
def test_a_list_of_readers_that_cannot_be_read_is_an_error(librispeech, content, told):
    (librispeech / "SPEAKERS.TXT").write_bytes(content)
    with pytest.raises(CorpusError, match=rf"SPEAKERS\.TXT: {told}"):
        read(librispeech)


def test_include_picks_subsets(librispeech):
    settings = section(librispeech, include=("dev-clean/*",))
    assert [row.utterance for row in describe(settings)] == ["dev-clean/9/1/9-1-0000"]


@pytest.mark.real
def test_the_real_pieces_have_the_readers_and_chapters_that_they_should(corpora):
    rows = read(corpora / "LibriSpeech").values()
    by_subset = {
        split: [row for row in rows if row.corpus_split == split] for split in ("test-other", "train-clean-100")
    }
    assert {split: len(part) for split, part in by_subset.items()} == {"test-other": 100, "train-clean-100": 120}
    assert len({row.speaker for row in by_subset["test-other"]}) == 10
    assert {row.speaker: row.sex for row in by_subset["train-clean-100"]} == {
        "19": "female",
        "26": "male",
        "27": "male",
    }
    assert len({(row.speaker, row.session) for row in by_subset["train-clean-100"]}) == 6
    assert {row.sex for row in rows} == {"female", "male"}
