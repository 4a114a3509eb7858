"""HUB5 2000: segments of both sides of calls, further voices on a side, what is not scored."""

import pytest

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import CorpusError

HUB5 = READERS["hub5"]
STM = "LDC2002T43/2000_hub5_eng_eval_tr/reference/hub5e00.english.000405.stm"
ENGLISH = "LDC2002S09/hub5e_00/english"


@pytest.fixture
def hub5(corpus_of):
    return corpus_of("hub5")


@pytest.fixture
def read(section):
    """All that one function of the reader says."""

    def said(root, what="rows", **keys):
        return list(getattr(HUB5, what)(root, section("hub5", root, **keys)))

    return said


def segment(speaker, bounds, channel, sex, transcript):
    start, end = bounds
    return Described(
        path=f"{ENGLISH}/{speaker[:7]}.sph",
        name=f"{speaker}-{start:07d}-{end:07d}",
        speaker=speaker,
        session=speaker[:7],
        start_s=start / 1000,
        duration_s=(end - start) / 1000,
        channel=channel,
        sex=sex,
        language="en",
        transcript=transcript,
        corpus_split="callhome" if speaker.startswith("en") else "switchboard",
    )


def test_every_scored_segment_is_an_utterance_of_one_side(hub5, read):
    assert read(hub5) == [
        segment("en_4156_A", (10, 40), 0, "female", "HE IS A POLICE OFFICER"),
        segment("en_4156_A1", (10, 30), 0, "female", "(%HESITATION) <B_ASIDE> YES <E_ASIDE>"),
        segment("en_4156_B", (20, 90), 1, "male", None),
        segment("sw_4390_B", (0, 100), 1, "male", "UH-HUH"),
    ]


def test_what_is_left_out_is_remarked(hub5, read):
    (hub5 / ENGLISH / "sw_4999.sph").write_bytes(b"")
    with (hub5 / STM).open("a", encoding="utf-8") as file:
        file.write(
            "sw_4390 A inter_segment_gap 0 0.1 <O,sw,M,sw-M>\nsw_4999 A x 0 1 <O> ignore_time_segment_in_scoring\n"
        )
    assert read(hub5, "remarks") == [
        "3 segments are not scored, and left out",
        "1 lines of the transcripts are said twice",
        f"'{ENGLISH}/sw_4999.sph' has no segment in the transcripts",
    ]
    assert len(read(hub5)) == 4


@pytest.mark.parametrize(
    ("rest", "sex", "transcript"),
    [
        ("<O,en,F,en-F> YES", "female", "YES"),
        ("<o,f0,male> YES", "male", "YES"),
        ("<O,en> YES", None, "YES"),
        ("YES <B_ASIDE> NO", None, "YES <B_ASIDE> NO"),
        ("<B_ASIDE> NO", None, "<B_ASIDE> NO"),
        ("", None, None),
    ],
)
def test_categories_are_told_from_words(hub5, read, rest, sex, transcript):
    (hub5 / STM).write_text(f"en_4156 A en_4156_A 0 0.1 {rest}\n", encoding="utf-8")
    (row,) = read(hub5)
    assert (row.sex, row.transcript) == (sex, transcript)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("en_4156 A en_4156_A 0.01", ":9: 4 fields; expected FILE SIDE SPEAKER START END"),
        ("en_4156 C en_4156_C 0.01 0.02 <O> A", ":9: side 'C'; expected a or b"),
        ("en_4156 A en_4156_A 0.02 0.01 <O> A", r":9: from 0\.02 to 0\.01 s; expected an end after its start"),
        ("en_4156 A en_4156_A -1 0.01 <O> A", ":9: '-1'; expected seconds"),
        ("en_9999 A en_9999_A 0.01 0.02 <O> A", r":9: no audio of call 'en_9999'; expected its \.sph of LDC2002S09"),
        ("en_4156 B en_4156_B 0.02 0.09 <O,en,M> NO", ":9: 'en_4156_B-0000020-0000090' again with other words"),
    ],
)
def test_a_line_that_does_not_fit_is_an_error_with_file_and_line(hub5, read, line, told):
    (hub5 / STM).write_text((hub5 / STM).read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"hub5e00\.english\.000405\.stm{told}"):
        read(hub5)


def test_there_is_one_file_of_transcripts_and_one_of_each_call(hub5, read, sound):
    sound(hub5, "converted/en_4156.wav", rate=8000)
    with pytest.raises(CorpusError, match=r"call 'en_4156' is in '.*en_4156\.sph', too; expected one file a call$"):
        read(hub5)
    (hub5 / "converted/en_4156.wav").unlink()
    (hub5 / STM).rename(hub5 / "other.stm")
    with pytest.raises(CorpusError, match=r"0 files hub5e00\.english\.\*\.stm; expected one, of LDC2002T43$"):
        read(hub5)
