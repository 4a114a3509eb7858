"""VIVOS: train and test, ids in both forms, sexes and prompts, and files that are damaged."""

import pytest

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import CorpusError

METADATA = [f"{split}/{name}.txt" for split in ("test", "train") for name in ("genders", "prompts")]


@pytest.fixture
def vivos(corpus_of):
    return corpus_of("vivos")


def section(root, **more):
    return READERS["vivos"].Settings(reader="vivos", name="vivos", root=root, **more)


def read(root, **more):
    return list(READERS["vivos"].rows(root, section(root, **more)))


def remarks(root):
    return list(READERS["vivos"].remarks(root, section(root)))


def refusal(root):
    with pytest.raises(CorpusError) as caught:
        read(root)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value).replace(f"{root}/", "")


def test_the_small_corpus_is_read_to_exactly_these_rows(vivos):
    def row(split, speaker, number, sex, transcript):
        path = f"{split}/waves/{speaker}/{speaker}_{number}.wav"
        return Described(path=path, speaker=speaker, sex=sex, language="vi", transcript=transcript, corpus_split=split)

    assert read(vivos) == [
        row("test", "VIVOSDEV01", "020", "female", "VÂNG"),
        row("test", "VIVOSDEV01", "R012", "female", "TIẾNG CẠP CẠP"),
        row("train", "VIVOSSPK01", "R001", "male", "KHÁCH SẠN"),
        row("train", "VIVOSSPK01", "R002", "male", "CHỈ BẰNG"),
        row("train", "VIVOSSPK02", "001", "female", "ĐI  RA"),
    ]


def test_a_byte_order_mark_windows_lines_and_tabs_do_no_harm(vivos):
    expected = read(vivos)
    for name in METADATA:
        text = (vivos / name).read_text(encoding="utf-8").replace("01 ", "01\t")
        (vivos / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n\r\n").encode())
    assert read(vivos) == expected


def test_an_utterance_that_the_prompts_lack_has_no_transcript_and_a_remark_says_so(vivos):
    (vivos / "test/prompts.txt").write_text("VIVOSDEV01_R012 A\nVIVOSDEV01_R013 B\n")
    (vivos / "train/prompts.txt").unlink()
    assert [row.transcript for row in read(vivos)] == [None, "A", None, None, None]
    assert remarks(vivos) == [
        "test/genders.txt names 1 speakers; published are 19",
        "1 utterances have no line in test/prompts.txt, such as VIVOSDEV01_020",
        "1 lines of test/prompts.txt have no audio, such as VIVOSDEV01_R013",
        "train/genders.txt names 2 speakers; published are 46",
        "train comes without prompts.txt: no transcript is known",
    ]


def test_a_copy_with_the_published_speakers_is_nothing_to_remark_on(vivos):
    for split, kind, count in (("train", "SPK", 46), ("test", "DEV", 19)):
        lines = [f"VIVOS{kind}{number:02d} f\n" for number in range(1, count + 1)]
        (vivos / split / "genders.txt").write_text("".join(lines))
    assert remarks(vivos) == []


def test_test_alone_can_be_read(vivos):
    (vivos / "train/waves").rename(vivos / "train/gone")
    with pytest.raises(CorpusError, match="expected audio as <train or test>/waves"):
        read(vivos)
    (vivos / "train").rename(vivos.parent / "train")
    assert {row.corpus_split for row in read(vivos)} == {"test"}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("genders", b"VIVOSSPK01 m\n", " no line for speaker VIVOSSPK02; expected `VIVOSSPK02 m|f`"),
        ("genders", b"VIVOSSPK01 m\nVIVOSSPK02\n", "2: line 'VIVOSSPK02'; expected a speaker and m or f"),
        ("genders", b"VIVOSSPK01,m\n", "1: line 'VIVOSSPK01,m'; expected a speaker and m or f"),
        ("genders", b"VIVOSSPK01 m\nVIVOSSPK02 x\n", "2: sex 'x'; expected m or f"),
        ("genders", b"VIVOSSPK01 m\n\nVIVOSSPK01 f\n", "3: 'VIVOSSPK01' again; expected one line for each"),
        ("genders", b"VIVOSSPK01 \xff\n", " byte 11 is no UTF-8; expected text in UTF-8"),
        ("prompts", b"VIVOSSPK01_R001\n", "1: line 'VIVOSSPK01_R001'; expected an utterance and its text"),
        ("prompts", b"A A\nB B\nA C\n", "3: 'A' again; expected one line for each"),
    ],
)
def test_a_broken_line_is_refused_by_file_and_line(vivos, name, content, told):
    (vivos / f"train/{name}.txt").write_bytes(content)
    assert refusal(vivos) == f"train/{name}.txt:{told}"


def test_without_the_list_of_speakers_nothing_is_read(vivos):
    (vivos / "test/genders.txt").unlink()
    told = "test/genders.txt: No such file or directory; expected the file that VIVOS has there"
    assert refusal(vivos) == told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("train/waves/VIVOSSPK01_R001.wav", "expected audio as <train or test>/waves/<speaker>/<file>.wav"),
        ("vivos/train/waves/VIVOSSPK01/VIVOSSPK01_R001.wav", "expected audio as <train or test>/waves/<speaker>/"),
        ("dev/waves/VIVOSSPK01/VIVOSSPK01_R001.wav", "expected audio as <train or test>/waves/<speaker>/"),
        ("train/waves/VIVOSSPK01/VIVOSSPK02_R001.wav", "the folder of VIVOSSPK01; expected names that begin with"),
        ("train/waves/a\nb/a\nb_1.wav", "expected audio as <train or test>/waves/<speaker>/<file>.wav"),
    ],
)
def test_audio_that_lies_elsewhere_is_an_error(vivos, sound, path, told):
    sound(vivos, path)
    assert refusal(vivos).startswith(f"{path!r} in {vivos}: " if "begin" in told else f"{path!r} in {vivos}; ")
    assert told in refusal(vivos)


def test_damaged_metadata_is_rows_or_one_line_that_says_what_is_wrong(vivos, damage):
    paths = [row.path for row in read(vivos)]

    def reading():
        assert [row.path for row in read(vivos)] == paths
        remarks(vivos)

    damage(vivos, METADATA, reading, divider=b" ")
