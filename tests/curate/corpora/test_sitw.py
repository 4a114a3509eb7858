"""SITW: whole files and annotated stretches, models of four conditions, keys that must fit the lists."""

import pytest

from curate.corpora import READERS
from curate.corpora.described import Described, Enrolment, PublishedTrial
from curate.errors import CorpusError

SITW = READERS["sitw"]


@pytest.fixture
def sitw(corpus_of):
    return corpus_of("sitw")


@pytest.fixture
def read(section):
    """All that one function of the reader says."""

    def said(root, what="rows", **keys):
        return list(getattr(SITW, what)(root, section("sitw", root, **keys)))

    return said


PNTR = {"speaker": "PNTR", "sex": "female", "corpus_split": "dev"}


def test_every_file_and_every_annotated_stretch_is_an_utterance(sitw, read):
    agiwn = {"path": "dev/audio/agiwn.flac", "session": "762983", **PNTR}
    assert read(sitw) == [
        Described(**agiwn),
        Described(path="dev/audio/uknkl.flac", speaker="UZCG", session="762983", sex="male", corpus_split="dev"),
        Described(path="dev/audio/skdts.flac", session="605273", **PNTR),
        Described(name="dev/audio/agiwn-0000000-0000050", start_s=0.0, duration_s=0.05, **agiwn),
        Described(name="dev/audio/agiwn-0000060-0000090", start_s=0.06, duration_s=0.03, **agiwn),
        Described(path="eval/audio/lywwa.flac", speaker="ZPYJ", session="111222", sex="male", corpus_split="eval"),
    ]


def test_the_language_is_the_pipeline_file_s_to_say(sitw, read):
    assert {row.language for row in read(sitw, language="en")} == {"en"}


def test_models_are_of_files_or_of_several_stretches(sitw, read):
    clean = "dev/audio/agiwn-0000060-0000090"
    assert read(sitw, "enrolments") == [
        Enrolment(list="dev/enroll-core", model="12013", utterance="dev/audio/agiwn"),
        Enrolment(list="dev/enroll-core", model="20001", utterance="dev/audio/uknkl"),
        Enrolment(list="dev/enroll-assist", model="45205", utterance="dev/audio/agiwn-0000000-0000050"),
        Enrolment(list="dev/enroll-assist", model="45205", utterance=clean),
        Enrolment(list="dev/enroll-assistclean", model="45205", utterance=clean),
        Enrolment(list="eval/enroll-core", model="69006", utterance="eval/audio/lywwa"),
    ]


def trial(name, enrol, enrol_list, test, is_target):
    return PublishedTrial(list=name, enrol=enrol, enrol_list=enrol_list, test=test, is_target=is_target)


def test_the_four_conditions_of_both_splits_are_lists_of_trials(sitw, read):
    skdts, uknkl = "dev/audio/skdts", "dev/audio/uknkl"
    assert read(sitw, "published_trials") == [
        trial("dev/core-core", "12013", "dev/enroll-core", skdts, True),
        trial("dev/core-core", "20001", "dev/enroll-core", skdts, False),
        trial("dev/core-multi", "12013", "dev/enroll-core", uknkl, False),
        trial("dev/assist-core", "45205", "dev/enroll-assist", skdts, True),
        trial("dev/assist-core", "20001", "dev/enroll-core", skdts, False),  # a model of core, in an assist key
        trial("dev/assist-multi", "45205", "dev/enroll-assist", uknkl, False),
        trial("eval/core-core", "69006", "eval/enroll-core", "eval/audio/lywwa", None),  # no key is there
    ]


def test_one_split_alone_is_a_corpus(sitw, read):
    (sitw / "dev").rename(sitw / "other")
    assert [row.corpus_split for row in read(sitw)] == ["eval"]


@pytest.mark.parametrize(
    ("file", "line", "what", "told"),
    [
        ("dev/keys/core-core.lst", "99 audio/skdts.flac tgt", "published_trials", "3: no model '99' in lists/enroll-c"),
        (
            "dev/keys/assist-core.lst",
            "99 audio/skdts.flac tgt",
            "published_trials",
            "3: no model '99' in lists/enroll-",
        ),
        ("dev/keys/core-core.lst", "12013 audio/zz.flac tgt", "published_trials", "3: no file 'audio/zz.flac' in "),
        ("dev/keys/core-core.lst", "12013 audio/uknkl.flac tgt", "published_trials", "3: no file .* in lists/test-cor"),
        ("dev/keys/core-core.lst", "12013 audio/skdts.flac yes", "published_trials", "3: 'yes'; expected tgt or imp"),
        (
            "dev/keys/core-core.lst",
            "12013 audio/skdts.flac",
            "published_trials",
            "3: 2 fields; expected MODEL FILE tgt",
        ),
        ("dev/lists/test-core.lst", "audio/zz.flac", "published_trials", r"2: no file 'audio/zz\.flac' in .*meta\.lst"),
        ("dev/lists/enroll-core.lst", "7 audio/zz.flac", "enrolments", r"3: no file 'audio/zz\.flac' in .*meta\.lst"),
        ("dev/lists/enroll-core.lst", "7 audio/agiwn.flac 0 1", "enrolments", "3: 4 fields; expected MODEL FILE"),
        ("dev/lists/enroll-assist.lst", "7 audio/agiwn.flac", "rows", "3: 2 fields; expected MODEL FILE START END"),
        ("dev/lists/enroll-assist.lst", "7 audio/agiwn.flac 9 8", "rows", "3: from 9 to 8 s; expected an end after"),
        ("dev/keys/meta.lst", "audio/agiwn.flac Q m v 1 0 1 1 x 0", "rows", r"4: file 'audio/agiwn\.flac' again"),
        ("dev/keys/meta.lst", "audio/n.flac Q m v 1 0 1 1 x", "rows", "4: 9 fields, of which the first is 'audio/n"),
        (
            "dev/keys/meta.lst",
            "path spkname gender 4 5 6 7 8 9 0",
            "rows",
            "4: 10 fields, of which the first is 'path'",
        ),
        ("dev/keys/meta.lst", "audio/n.flac Q x v 1 0 1 1 x 0", "rows", "4: sex 'x'; expected m or f"),
        ("dev/keys/meta.lst", "../../n.flac Q m v 1 0 1 1 x 0", "rows", r"4: path '../../n\.flac' leaves"),
        ("dev/keys/meta.lst", "/n.flac Q m v 1 0 1 1 x 0", "rows", r"4: path '/n\.flac' leaves"),
    ],
)
def test_a_line_that_does_not_fit_is_an_error_with_file_and_line(sitw, read, file, line, what, told):
    (sitw / file).write_text((sitw / file).read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"{file.rpartition('/')[2]}:{told}"):
        read(sitw, what)


def test_audio_without_metadata_and_speakers_of_both_splits_are_remarked(sitw, read, sound):
    assert read(sitw, "remarks") == []
    sound(sitw, "dev/audio/extra.flac")
    meta = sitw / "eval/keys/meta.lst"
    meta.write_text(meta.read_text(encoding="utf-8").replace("ZPYJ", "UZCG"), encoding="utf-8")
    assert read(sitw, "remarks") == [
        "dev: 1 audio files that meta.lst does not name, such as 'dev/audio/extra.flac'",
        "speaker 'UZCG' is in dev and in eval, which are meant to share none",
    ]
