"""SRE 2016: tables of a release, whose call each segment is, models of several segments, releases without keys."""

import shutil

import pytest

from curate.corpora import READERS
from curate.corpora.described import Described, Enrolment, PublishedTrial
from curate.errors import CorpusError

SRE16 = READERS["nist_sre16"]


@pytest.fixture
def sre16(corpus_of):
    return corpus_of("nist_sre16")


@pytest.fixture
def read(section):
    """All that one function of the reader says."""

    def said(root, what="rows", **keys):
        return list(getattr(SRE16, what)(root, section("nist_sre16", root, **keys)))

    return said


def rewrite(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def segment(part, name, speaker, session, **more):
    folder = "unlabeled/major" if part == "unlabeled" else part
    return Described(
        path=f"data/{folder}/{name}_sre16.sph",
        name=f"eval/{part}/{name}_sre16",
        speaker=speaker,
        session=session,
        corpus_split=f"eval/{part}",
        **more,
    )


SUBJECT = {"sex": "female", "language": "tgl", "age_source": "subjects.tsv"}


def test_a_segment_is_of_the_subject_of_its_call(sre16, read):
    assert read(sre16) == [
        segment("enrollment", "aaa", "7001", "501", age_years=(24, 25), **SUBJECT),
        segment("enrollment", "bbb", "7001", "502", age_years=(24, 25), **SUBJECT),
        segment("test", "ccc", "7001", "503", age_years=(25, 26), **SUBJECT),
        segment("test", "ddd", "7002", "504", sex="male", language="yue"),
        segment("unlabeled", "eee", "segment_eee_sre16", "eee_sre16"),
    ]


def test_a_model_has_several_segments(sre16, read):
    model = {"list": "eval/enrollment", "model": "1001_sre16"}
    assert read(sre16, "enrolments") == [
        Enrolment(utterance="eval/enrollment/aaa_sre16", **model),
        Enrolment(utterance="eval/enrollment/bbb_sre16", **model),
    ]


@pytest.mark.parametrize("is_keyed", [True, False])
def test_trials_come_from_the_key_and_without_one_from_the_list(sre16, read, is_keyed):
    if not is_keyed:
        (sre16 / "docs/sre16_eval_trial_key.tsv").unlink()
    trial = {"list": "eval/trials", "enrol": "1001_sre16", "enrol_list": "eval/enrollment"}
    assert read(sre16, "published_trials") == [
        PublishedTrial(test="eval/test/ccc_sre16", is_target=True if is_keyed else None, **trial),
        PublishedTrial(test="eval/test/ddd_sre16", is_target=False if is_keyed else None, **trial),
    ]


def test_without_lists_of_trials_there_are_none(sre16, read):
    for path in sre16.glob("docs/*_trial*"):
        path.unlink()
    assert read(sre16, "published_trials") == []


def test_without_segment_keys_a_model_is_a_speaker_and_a_test_segment_nobody(sre16, read):
    (sre16 / "docs/sre16_eval_segment_key.tsv").unlink()
    shutil.rmtree(sre16 / "metadata")
    assert [row.speaker for row in read(sre16)] == [
        "model_1001_sre16",
        "model_1001_sre16",
        "segment_ccc_sre16",
        "segment_ddd_sre16",
        "segment_eee_sre16",
    ]
    assert len(read(sre16, "published_trials")) == 2
    assert read(sre16, "remarks") == [f"{sre16}: no segment key; who speaks is known for the models only"]


def test_segment_keys_may_be_divided_into_enrolment_and_test(sre16, read):
    expected = read(sre16)
    docs = sre16 / "docs"
    header, *lines = (docs / "sre16_eval_segment_key.tsv").read_text(encoding="utf-8").splitlines()
    (docs / "sre16_eval_segment_key.tsv").unlink()
    for part, its in (("enrollment", lines[:2]), ("test", lines[2:])):
        (docs / f"sre16_eval_{part}_segment_key.tsv").write_text("\n".join([header, *its]), encoding="utf-8")
    assert read(sre16) == expected


def test_dev_and_eval_lie_together_as_ldc_has_them(sre16, read, tmp_path):
    both = tmp_path / "LDC2019S20"
    shutil.copytree(sre16, both / "data/eval/R149_0_1")
    dev = shutil.copytree(sre16, both / "data/dev/R148_0_0")
    for path in (dev / "docs").iterdir():
        path.rename(path.with_name(path.name.replace("eval", "dev").replace("dev_enrollment.", "dev_enrollments.")))
    rows = read(both)
    assert [row.corpus_split for row in rows][::5] == ["dev/enrollment", "eval/enrollment"]
    assert rows[0].path == "data/dev/R148_0_0/data/enrollment/aaa_sre16.sph"
    assert {row.name for row in rows[:5]} == {row.name.replace("eval", "dev") for row in rows[5:]}
    shutil.copytree(sre16, both / "again")
    with pytest.raises(CorpusError, match=r"two releases of eval; expected one of each set$"):
        read(both)


@pytest.mark.parametrize(
    ("born", "called", "age"),
    [("1990", "2015-06-01", (24, 25)), ("", "2015", None), ("1990", "", None), ("2016", "2015", None)],
)
def test_the_age_is_that_at_the_call(sre16, read, born, called, age):
    rewrite(sre16 / "metadata/subjects.tsv", "1990", born)
    rewrite(sre16 / "metadata/calls.tsv", "2015-06-01", called)
    assert read(sre16)[0].age_years == age


@pytest.mark.parametrize("column", ["year_of_birth", "call_date"])
def test_without_years_and_dates_nobody_has_an_age(sre16, read, column):
    for table in ("subjects", "calls"):
        path = sre16 / "metadata" / f"{table}.tsv"
        path.write_text(path.read_text(encoding="utf-8").replace(column, "other"), encoding="utf-8")
    assert {row.age_years for row in read(sre16)} == {None}


DOCS, META = "docs/sre16_eval_", "metadata/"


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (f"{DOCS}enrollment.tsv", "modelid", "model", ":2: no column 'modelid'; expected modelid, segment"),
        (f"{DOCS}enrollment.tsv", "\tbbb_sre16", "\tzzz", ":3: no segment 'zzz' in the segment keys"),
        (f"{DOCS}trial_key.tsv", "1001_sre16\tccc", "9\tccc", ":2: no model '9' in .*enrollment.tsv; expected one th"),
        (f"{DOCS}trial_key.tsv", "ccc_sre16", "zzz", ":2: no segment 'zzz' in the segment keys"),
        (f"{DOCS}trial_key.tsv", "nontarget", "no", ":3: targettype 'no'; expected target or nontarget"),
        (f"{DOCS}trial_key.tsv", "\t", ",", ":2: no column 'modelid'"),
        (f"{DOCS}segment_key.tsv", "501", "509", ":2: no call '509' in metadata; expected one of call_sides"),
        (f"{DOCS}segment_key.tsv", "501", "", ":2: no call_id; expected one in every row"),
        (f"{DOCS}segment_key.tsv", "bbb_sre16\t502", "aaa_sre16\t502", ":3: segment 'aaa_sre16' is of another call"),
        (f"{META}call_sides.tsv", "502\ta\t7001", "501\ta\t7002", ":3: call '501' has two subjects; expected the one"),
        (f"{META}call_sides.tsv", "7002", "7009", r":5: no subject '7009' in subjects\.tsv"),
        (f"{META}calls.tsv", "504", "505", r"call_sides\.tsv:5: no call '504' in calls\.tsv"),
        (f"{META}calls.tsv", "502", "501", ":3: call_id '501' again; expected one row each"),
        (f"{META}calls.tsv", "\tyue", "", ":5: 2 fields; expected 3 as in the header"),
        (f"{META}subjects.tsv", "sex", "gender", ":2: no column 'sex'; expected subject_id, sex"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error_with_file_and_line(sre16, read, file, old, new, told):
    rewrite(sre16 / file, old, new)
    with pytest.raises(CorpusError, match=told) as error:
        [read(sre16, what) for what in ("enrolments", "published_trials")]
    assert file.rpartition("/")[2] in str(error.value)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("data/test/zzz_sre16.sph", r"zzz_sre16\.sph: no segment 'zzz_sre16' in the segment keys"),
        (
            "data/other/zzz_sre16.sph",
            r"zzz_sre16\.sph: in data/other; expected it in data/ and one of enrollment, test",
        ),
        ("data/zzz_sre16.sph", r"zzz_sre16\.sph: in data/zzz_sre16\.sph; expected"),
    ],
)
def test_audio_that_has_no_place_is_an_error(sre16, read, path, told):
    (sre16 / path).parent.mkdir(exist_ok=True)
    (sre16 / path).write_bytes(b"")
    with pytest.raises(CorpusError, match=told):
        read(sre16)


def test_a_release_without_audio_is_an_error(sre16, read):
    shutil.rmtree(sre16 / "data")
    with pytest.raises(CorpusError, match=r"data: no such folder; expected the audio of the release$"):
        read(sre16)


def test_a_model_of_two_speakers_is_remarked(sre16, read):
    assert read(sre16, "remarks") == []
    rewrite(sre16 / "metadata/call_sides.tsv", "502\ta\t7001", "502\ta\t7002")
    assert read(sre16, "remarks") == ["model '1001_sre16' of eval: segments of speakers 7001, 7002"]
