"""SRE 2008: sides of calls, whose they are by which list, models of several calls, keys that must fit the lists."""

import pytest

from curate.corpora import READERS
from curate.corpora.described import Described, Enrolment, PublishedTrial
from curate.errors import CorpusError

SRE08 = READERS["nist_sre08"]
KEYS = "LDC2011S08/data/keys/NIST_SRE08_KEYS.v0.1"


@pytest.fixture
def sre08(corpus_of):
    return corpus_of("nist_sre08")


@pytest.fixture
def read(section):
    """All that one function of the reader says."""

    def said(root, what="rows", **keys):
        return list(getattr(SRE08, what)(root, section("nist_sre08", root, **keys)))

    return said


def side(name, speaker, sex, language, part):
    folder = "LDC2011S05/data/train/data" if part == "train" else "LDC2011S08/data/test/data/short3"
    return Described(
        path=f"{folder}/{name[:5]}.sph",
        name=name,
        speaker=speaker,
        session=name[:5],
        channel="ab".index(name[-1]),
        sex=sex,
        language=language,
        corpus_split=part,
    )


def test_every_side_that_a_list_names_is_an_utterance(sre08, read):
    assert read(sre08) == [
        side("taavg_a", "110074", "male", "en", "train"),
        side("tadis_b", "105477", "female", "arb", "train"),
        side("tadtr_b", "110074", "male", None, "train"),  # of one model with taavg
        side("tahzx_a", "110074", "male", None, "train"),
        side("fhpti_a", "110074", "male", "en", "test"),  # unknown to its segment key, but a target
        side("fhpti_b", "103646", None, "en", "test"),  # the other end of the call, which no trial names
        side("fivsw_a", "105477", "female", "en", "test"),
        side("fivsw_b", "104747", "male", "en", "test"),
        side("fmicx_a", "103137", "female", "en", "test"),  # an interview has one side
    ]


def test_without_keys_models_that_share_a_side_are_one_speaker_and_tests_are_nobody(sre08, read):
    for key in sre08.rglob("*.key"):
        key.unlink()
    assert {row.name: row.speaker for row in read(sre08)} == {
        **dict.fromkeys(("taavg_a", "tadtr_b", "tahzx_a"), "model_3conv_30003"),
        "tadis_b": "model_short2_20002",
        "fhpti_a": "segment_fhpti_a",
        "fivsw_a": "segment_fivsw_a",
        "fivsw_b": "segment_fivsw_b",
        "fmicx_a": "segment_fmicx_a",
    }
    assert {trial.is_target for trial in read(sre08, "published_trials")} == {None}


def test_with_target_trials_alone_a_test_segment_is_its_model_s(sre08, read):
    for key in [*sre08.rglob("*.segment.key"), *sre08.rglob("*.model.key")]:
        key.unlink()
    speakers = {row.name: row.speaker for row in read(sre08)}
    assert (speakers["fhpti_a"], speakers["fivsw_a"]) == ("model_3conv_30003", "model_short2_20002")
    assert speakers["fivsw_b"] == "segment_fivsw_b"


def test_models_have_all_their_calls(sre08, read):
    assert sorted(read(sre08, "enrolments"), key=lambda one: one.model) == [
        Enrolment(list="short2", model="10017", utterance="taavg_a"),
        Enrolment(list="short2", model="20002", utterance="tadis_b"),
        Enrolment(list="3conv", model="30003", utterance="taavg_a"),
        Enrolment(list="3conv", model="30003", utterance="tadtr_b"),
        Enrolment(list="3conv", model="30003", utterance="tahzx_a"),
    ]


def test_keys_stand_for_the_training_lists_where_those_are_missing(sre08, read):
    for trn in sre08.rglob("short2.trn"):
        trn.unlink()
    key = sre08 / KEYS / "model-keys/NIST_SRE08_short2.model.key"
    key.write_text("model,sex,sides,speaker\n10017,m,taavg:a tahzx:a,110074\n20002,f,tadis:b,NA\n", encoding="utf-8")
    models = [(one.model, one.utterance) for one in read(sre08, "enrolments") if one.list == "short2"]
    assert models == [("10017", "taavg_a"), ("10017", "tahzx_a"), ("20002", "tadis_b")]
    assert {row.name: row.speaker for row in read(sre08)}["tadis_b"] == "105477"  # by its target trial's segment key


def trial(name, model, test, is_target):
    return PublishedTrial(list=name, enrol=model, enrol_list=name.partition("-")[0], test=test, is_target=is_target)


def test_trials_come_from_the_key_and_without_one_from_the_index(sre08, read):
    assert read(sre08, "published_trials") == [
        trial("3conv-short3", "30003", "fhpti_a", None),
        trial("short2-short3", "10017", "fhpti_a", True),
        trial("short2-short3", "10017", "fivsw_b", False),
        trial("short2-short3", "20002", "fivsw_a", True),
        trial("short2-short3", "20002", "fmicx_a", False),
    ]


def test_a_summed_call_is_both_of_its_voices(sre08, read, sound):
    trials = sre08 / "LDC2011S08/data/trials/short2-summed.ndx"
    trials.write_text("10017 m gaaaa.sph\n10017 m gbbbb.sph\n", encoding="utf-8")
    key = sre08 / KEYS / "segment-keys/test/NIST_SRE08_summed.test.segment.key"
    key.write_text("a,header\ngaaaa,1,2,phonecall,ENG,110074:phn:USE 105477:phn:USE\n", encoding="utf-8")
    sound(sre08, "LDC2011S08/data/test/data/summed/gaaaa.wav", "LDC2011S08/data/test/data/summed/gbbbb.wav", rate=8000)
    summed = {row.name: (row.speaker, row.channel) for row in read(sre08) if row.session in ("gaaaa", "gbbbb")}
    assert summed == {"gaaaa": ("105477+110074", None), "gbbbb": ("segment_gbbbb", None)}


def test_a_list_may_be_there_twice_if_it_says_the_same(sre08, read):
    expected = read(sre08)
    (sre08 / "copy/male").mkdir(parents=True)
    copy = sre08 / "copy/male/short2.trn"
    copy.write_bytes((sre08 / "LDC2011S05/data/train/male/short2.trn").read_bytes())
    assert read(sre08) == expected
    copy.write_text("10017 tadis.sph:A\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"short2\.trn: differs from .*short2\.trn; expected one list of that name$"):
        read(sre08)
    copy.unlink()
    copy.symlink_to("nowhere")
    with pytest.raises(CorpusError, match=r"No such file or directory; expected a list that can be read$"):
        read(sre08)


MALE, NDX = "LDC2011S05/data/train/male/short2.trn", "LDC2011S08/data/trials/short2-short3.ndx"
MODEL_KEY = f"{KEYS}/model-keys/NIST_SRE08_short2.model.key"
TRIAL_KEY = f"{KEYS}/trial-keys/NIST_SRE08_short2-short3.trial.key"
SEGMENT_KEY = f"{KEYS}/segment-keys/test/NIST_SRE08_short3.test.segment.key"
HEADER_INFO = "LDC2011S05/docs/NIST_SRE08_header_info.all.train.csv"


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        (MALE, "10018", "2: 1 fields; expected MODEL SEGMENT"),
        (MALE, "10018 tahzx.sph:C", "2: side 'C'; expected a or b"),
        (MALE, "10018 ../x.sph:A", r"2: segment '\.\./x\.sph'; expected the name of a"),
        (MALE, "10018 ,", "2: model '10018' again, or of no segment"),
        (MALE, "10017 tahzx.sph:A", "2: model '10017' again"),
        (
            NDX,
            "10099 m fhpti.sph:A",
            r"5: no model '10099' in any list of short2; expected it in a file short2\.trn or NIST_SRE08_short2\.mod",
        ),
        (NDX, "10017 x fhpti.sph:A", "5: sex 'x'; expected m or f"),
        (NDX, "10017 fhpti.sph:A", "5: 2 fields; expected MODEL m"),
        (MODEL_KEY, "10099,m,tahzx:a,110074", r"4: no model '10099' in short2\.trn; expected one that it has"),
        (MODEL_KEY, "10017,m,tahzx:a,110074", "4: model '10017' again"),
        (MODEL_KEY, "10017,m,tahzx:a", "4: 3 fields; expected MODEL,m"),
        (TRIAL_KEY, "10099,fhpti,a,target", "6: no model '10099' in any list of short2"),
        (TRIAL_KEY, "10017,zzzzz,a,target", r"6: no segment 'zzzzz' in short2-short3\.ndx; expected one that it has"),
        (TRIAL_KEY, "10017,fhpti,a,yes", "6: 'yes'; expected target or nontarget"),
        (TRIAL_KEY, "10017 fhpti a target", "6: 1 fields; expected MODEL,SEGMENT,SIDE"),
        (SEGMENT_KEY, "zzzzz,1,2,phonecall,ENG,1:phn:USE 2:phn:USE 3:phn:USE", "5: speakers .*; expected one or two"),
        (SEGMENT_KEY, "zzzzz,1,2,phonecall,ENG,110074", "5: speakers '110074'; expected one or two"),
        (SEGMENT_KEY, "zzzzz,1,2,phonecall", "5: 4 fields; expected SEGMENT"),
        (HEADER_INFO, "zzzzz.sph", "4: 1 fields; expected SEGMENT,LANGUAGE"),
    ],
)
def test_a_line_that_does_not_fit_is_an_error_with_file_and_line(sre08, read, file, line, told):
    (sre08 / file).write_text((sre08 / file).read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"{file.rpartition('/')[2]}:{told}"):
        read(sre08)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("10017,m,,110074", "2: model '10017' of no segment; expected MODEL,m"),
        ("10017,m,taavg:a,", "2: model '10017' of no speaker; expected MODEL,m"),
    ],
)
def test_a_model_key_that_stands_for_a_training_list_says_segments_and_speakers(sre08, read, line, told):
    for trn in sre08.rglob("short2.trn"):
        trn.unlink()
    (sre08 / MODEL_KEY).write_text(f"header\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"short2\.model\.key:{told}"):
        read(sre08)


def test_what_only_a_segment_key_of_training_names_is_training(sre08, read):
    key = sre08 / KEYS / "segment-keys/train/NIST_SRE08_short2.train.segment.key"
    key.parent.mkdir()
    key.write_text("header\ntadis,1,2,phonecall,ARB,111111:phn:ARB 105477:phn:ARB\n", encoding="utf-8")
    assert [(row.name, row.speaker, row.corpus_split) for row in read(sre08) if row.session == "tadis"] == [
        ("tadis_a", "111111", "train"),
        ("tadis_b", "105477", "train"),
    ]


def test_a_training_list_must_lie_with_its_sex(sre08, read):
    (sre08 / "LDC2011S05/data/train/male").rename(sre08 / "LDC2011S05/data/train/men")
    with pytest.raises(CorpusError, match=r"3conv\.trn: in a folder 'men'; expected it in male or female$"):
        read(sre08)


def test_a_training_list_that_is_a_folder_is_missed(sre08, read):
    (sre08 / MALE).with_name("3conv.trn").unlink()
    (sre08 / MALE).with_name("3conv.trn").mkdir()
    with pytest.raises(
        CorpusError, match=r"no model '30003' in any list of 3conv; expected it in a file 3conv\.trn or"
    ):
        read(sre08)


def test_what_does_not_agree_is_remarked(sre08, read, sound):
    assert read(sre08, "remarks") == []
    sound(sre08, "LDC2011S08/extra.wav")
    (sre08 / "LDC2011S05/data/train/data/tahzx.sph").unlink()
    key = sre08 / SEGMENT_KEY
    key.write_text(key.read_text(encoding="utf-8").replace("NA:phn", "103872:phn"), encoding="utf-8")
    assert read(sre08, "remarks") == [
        "1 files that no list names, such as 'LDC2011S08/extra.wav'",
        "1 segments that lists name and no file holds, such as 'tahzx'",
        "fhpti_a: '103872' by its segment key, '110074' by model '10017' of short2",
    ]
