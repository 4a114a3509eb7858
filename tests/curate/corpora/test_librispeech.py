"""LibriSpeech: subsets, readers, chapters and their books, transcripts, and the reader with pipes in his name."""

import pytest

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.describe import chosen
from curate.errors import CorpusError

TRANSCRIPTS = "train-clean-100/60/5/60-5.trans.txt"


def section(root, **more):
    return READERS["librispeech"].Settings(reader="librispeech", name="libri", root=root, **more)


def read(root):
    return {row.utterance: row for row in READERS["librispeech"].rows(root, section(root))}


def remarks(root):
    return list(READERS["librispeech"].remarks(root, section(root)))


def refusal(root):
    with pytest.raises(CorpusError) as caught:
        read(root)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value).replace(f"{root}/", "")


def test_a_row_says_reader_chapter_subset_sex_and_transcript(librispeech):
    row = read(librispeech)["train-clean-100/60/5/60-5-0000"]
    assert (row.path, row.speaker, row.session) == ("train-clean-100/60/5/60-5-0000.flac", "60", "5")
    assert (row.sex, row.corpus_split, row.language) == ("male", "train-clean-100", "en")
    assert row.transcript == "HE SAID  TWO WORDS"
    assert (row.age_years, row.accent, row.start_s, row.duration_s) == (None, None, None, None)


def test_the_small_corpus_is_read_to_exactly_these_rows(librispeech):
    def row(subset, reader, chapter, number, transcript=None):
        book = {"1": "121", "5": "121", "7": "1023"}[chapter]
        path = f"{subset}/{reader}/{chapter}/{reader}-{chapter}-{number}.flac"
        told = {"speaker": reader, "session": chapter, "corpus_split": subset, "transcript": transcript}
        return Described(path=path, sex="male", work=book, language="en", **told)

    assert list(read(librispeech).values()) == [
        row("dev-clean", "9", "1", "0000"),
        row("train-clean-100", "60", "5", "0000", "HE SAID  TWO WORDS"),
        row("train-clean-100", "60", "5", "0001", "AND MORE"),
        row("train-clean-100", "60", "7", "0000"),
    ]


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


def test_transcripts_are_known_by_the_whole_id_and_one_that_is_missing_is_no_other_ones(librispeech):
    (librispeech / TRANSCRIPTS).write_text("60-5-00001 LONGER\n60-5-0001 ITS OWN\n60-5-000 SHORTER\n")
    assert [read(librispeech)[f"train-clean-100/60/5/60-5-000{n}"].transcript for n in (0, 1)] == [None, "ITS OWN"]


def test_a_byte_order_mark_windows_lines_and_tabs_do_no_harm(librispeech):
    expected = read(librispeech)
    for name in ("SPEAKERS.TXT", "CHAPTERS.TXT", TRANSCRIPTS):
        text = (librispeech / name).read_text(encoding="utf-8").replace("60-5-0001 ", "60-5-0001\t")
        (librispeech / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n\r\n").encode())
    assert read(librispeech) == expected


def test_a_reader_that_the_list_does_not_name_is_an_error(librispeech, sound):
    sound(librispeech, "dev-clean/77/1/77-1-0000.flac")
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT: no line for reader 77 of dev-clean; expected one for each$"):
        read(librispeech)


def test_without_the_list_of_readers_nothing_is_read(librispeech):
    (librispeech / "SPEAKERS.TXT").unlink()
    with pytest.raises(CorpusError, match=r"SPEAKERS\.TXT: No such file or directory; expected the file that"):
        read(librispeech)


SPEAKER = b"60 | M | dev-clean | 8 | Simon\n"
CHAPTER = b"1 | 9 | 8 | dev-clean | 219 | 121 | Chapter\n"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "SPEAKERS.TXT",
            b"14 | F | dev-clean\n",
            "1: line '14 | F | dev-clean'; expected ID | SEX | SUBSET | MINUTES | NAME",
        ),
        ("SPEAKERS.TXT", b";\n\n14 | F | | 2 | X\n", "3: line '14 | F | | 2 | X'; expected ID | SEX | SUBSET"),
        ("SPEAKERS.TXT", b"14,F,dev-clean,8,Zoe\n", "1: line '14,F,dev-clean,8,Zoe'; expected ID | SEX | SUBSET"),
        ("SPEAKERS.TXT", b"14 | 8 | dev-clean | F | Zoe\n", "1: sex '8'; expected m or f"),
        ("SPEAKERS.TXT", SPEAKER * 2, "2: reader '60' again; expected one line a reader"),
        ("SPEAKERS.TXT", "60 | M | dev-clean | 8 | Zoë\n".encode("latin-1"), " byte 27 is no UTF-8; expected text in"),
        (
            "CHAPTERS.TXT",
            b";\n1 | 9 | 8.00 | dev-clean | 219 | 121\n",
            "2: line '1 | 9 | 8.00 | dev-clean | 219 | 121'; ex",
        ),
        (
            "CHAPTERS.TXT",
            CHAPTER.replace(b"121", b""),
            "1: line '1 | 9 | 8 | dev-clean | 219 |  | Chapter'; expected ID |",
        ),
        (
            "CHAPTERS.TXT",
            CHAPTER.replace(b"1 |", b"a |", 1),
            "1: line 'a | 9 | 8 | dev-clean | 219 | 121 | Chapter'; exp",
        ),
        ("CHAPTERS.TXT", CHAPTER * 2, "2: chapter 1 again; expected one line a chapter"),
        ("CHAPTERS.TXT", CHAPTER + b"\xff", " byte 44 is no UTF-8; expected text in UTF-8"),
        (TRANSCRIPTS, b"60-5-0000 A B\n60-5-0001\n", "2: line '60-5-0001'; expected an utterance and its text"),
        (TRANSCRIPTS, b"60-5-0000 A\n60-5-0000 B\n", "2: '60-5-0000' again; expected one line for each"),
        (TRANSCRIPTS, b"60-5-0000 \xff\n", " byte 10 is no UTF-8; expected text in UTF-8"),
    ],
)
def test_a_broken_line_is_refused_by_file_and_line(librispeech, name, content, told):
    (librispeech / name).write_bytes(content)
    assert refusal(librispeech).startswith(f"{name}:{told}")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("60-5-0000.flac", "expected audio as <subset>/<reader>/<chapter>/<file>.flac"),
        ("LibriSpeech/dev-clean/9/1/9-1-0001.flac", "expected audio as <subset>/<reader>/<chapter>/<file>.flac"),
        ("dev-clean/9/1/60-5-0000.flac", "named after 60-5; expected 9-1"),
        ("dev\n-clean/9/1/9-1-0000.flac", "expected audio as <subset>/<reader>/<chapter>/<file>.flac"),
    ],
)
def test_audio_that_lies_elsewhere_is_an_error(librispeech, sound, path, told):
    sound(librispeech, path)
    assert told in refusal(librispeech)
    assert repr(path) in refusal(librispeech)


def test_include_picks_subsets(librispeech):
    settings = section(librispeech, include=("dev-clean/*",))
    rows = chosen(settings, READERS["librispeech"].rows(librispeech, settings))
    assert [row.utterance for row in rows] == ["dev-clean/9/1/9-1-0000"]


def test_remarks_tell_what_differs_from_the_published_corpus_and_where_transcripts_do_not_fit(librispeech, sound):
    sound(librispeech, "dev-clean/60/8/60-8-0000.flac")
    (librispeech / TRANSCRIPTS).write_text("60-5-0001 AND MORE\n60-5-0002 NOT HERE\n")
    assert remarks(librispeech) == [
        "SPEAKERS.TXT names 1 readers of dev-clean; published are 40",
        "SPEAKERS.TXT names 1 readers of train-clean-100; published are 251",
        "1 readers lie in dev-clean, but are readers of train-clean-100 in SPEAKERS.TXT",
        "1 chapters have no line in CHAPTERS.TXT, such as 8",
        "3 chapters come without transcripts, such as dev-clean/60/8",
        "1 utterances have no line in the transcripts of their chapter, such as 60-5-0000",
        "1 lines of transcripts have no audio, such as 60-5-0002",
    ]


def test_a_piece_of_the_corpus_is_nothing_to_remark_on(librispeech):
    lines = [f"{number} | M | dev-clean | 8 | X" for number in (9, *range(100, 139))]
    lines += [f"{number} | M | train-clean-100 | 8 | X" for number in (60, *range(200, 450))]
    (librispeech / "SPEAKERS.TXT").write_text("\n".join(lines))
    (librispeech / "train-clean-100/60/7/60-7.trans.txt").write_text("60-7-0000 A\n")
    (librispeech / "dev-clean/9/1/9-1.trans.txt").write_text("9-1-0000 A\n")
    assert remarks(librispeech) == []


def test_a_chapter_that_the_list_lacks_is_of_no_book_and_so_are_all_without_the_list(librispeech):
    (librispeech / "CHAPTERS.TXT").write_text(
        "7 | 60 | 9.77 | train-clean-100 | 53 | 1023 | In Chancery | Bleak House\n"
    )
    assert [row.work for row in read(librispeech).values()] == [None, None, None, "1023"]
    assert "2 chapters have no line in CHAPTERS.TXT, such as 1" in remarks(librispeech)
    (librispeech / "CHAPTERS.TXT").unlink()
    assert {row.work for row in read(librispeech).values()} == {None}
    assert "CHAPTERS.TXT is not there: of no chapter is it known which book it is of" in remarks(librispeech)
    (librispeech / "CHAPTERS.TXT").symlink_to("nowhere")
    assert {row.work for row in read(librispeech).values()} == {None}


def test_checksums_are_of_the_seven_archives():
    sums = READERS["librispeech"].CHECKSUMS
    assert len(sums) == len(set(sums.values())) == 7
    assert all(len(value) == 32 and set(value) <= set("0123456789abcdef") for value in sums.values())


def test_damaged_metadata_is_rows_or_one_line_that_says_what_is_wrong(librispeech, damage):
    paths = [row.path for row in read(librispeech).values()]

    def reading():
        assert [row.path for row in read(librispeech).values()] == paths
        remarks(librispeech)

    damage(librispeech, ["SPEAKERS.TXT", "CHAPTERS.TXT", TRANSCRIPTS], reading, divider=b"|")


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
    books = {(row.speaker, row.session): row.work for row in rows}  # as CHAPTERS.TXT has them, looked up by eye
    assert (books["19", "198"], books["19", "227"], books["26", "495"]) == ("121", "121", "376")
    assert None not in books.values()


@pytest.mark.real
def test_of_the_real_pieces_only_their_missing_transcripts_are_remarked_on(corpora):
    told = ["16 chapters come without transcripts, such as test-other/1688/142285"]
    assert remarks(corpora / "LibriSpeech") == told
