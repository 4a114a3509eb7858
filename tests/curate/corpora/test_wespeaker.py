"""Raw lists of WeSpeaker: rows of JSON, commands that are never run, speech that is marked, trials."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described, Enrolment, PublishedTrial
from curate.errors import CorpusError

WESPEAKER = READERS["wespeaker"]


@pytest.fixture
def root(corpus_of):
    return corpus_of("wespeaker")


@pytest.fixture
def read(root, section):
    def rows(**keys):
        return list(WESPEAKER.rows(root, section("wespeaker", root, **keys)))

    return rows


def test_every_row_of_every_list_is_read(read):
    call = {"path": "wav/7.wav", "corpus_split": "test"}
    assert read() == [
        Described(name="a", speaker="chị Chi", **call),
        Described(name="b", speaker="dũng", channel=1, start_s=0.02, duration_s=0.07, **call),
        Described(path="wav/an/1/x.wav", name="an/1/x.wav", speaker="an", corpus_split="train"),
        Described(path="wav/an/2/x.flac", name="an/2/x.wav", speaker="an", corpus_split="train"),
        Described(path="wav/bình/y z.wav", name="bình/y", speaker="bình", corpus_split="train"),
    ]


@pytest.mark.parametrize("manifest", ["train", "train/raw.list"])
def test_one_list_has_no_splits(read, manifest):
    assert [(row.name, row.corpus_split) for row in read(manifest=Path(manifest))] == [
        ("an/1/x.wav", None),
        ("an/2/x.wav", None),
        ("bình/y", None),
    ]


def test_the_audio_may_have_moved_and_the_list_may_lie_elsewhere(root, read, tmp_path):
    (tmp_path / "my.list").write_text(
        '\ufeff{"key": "a", "spk": "b", "wav": "/old/wav/7.wav"}\r\n\r\n', encoding="utf-8"
    )
    (row,) = read(manifest=tmp_path / "my.list", moved_from="/old", language="vi")
    assert (row.path, row.language) == ("wav/7.wav", "vi")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r"raw\.list:1: no JSON \(.*\); expected one object a line$"),
        ("/data/shards_000000000.tar", r"raw\.list:1: no JSON .* one object a line; a list of shards is not read$"),
        ("[1]", r"raw\.list:1: list; expected one object a line"),
        ('{"key": "a", "wav": "a.wav"}', r"raw\.list:1: spk None; expected a text in each of key, wav, spk"),
        ('{"key": "a", "spk": "a"}', r"raw\.list:1: wav None; expected a text in each of key, wav, spk"),
        ('{"key": 1, "spk": "a", "wav": "a.wav"}', r"raw\.list:1: key 1; expected a text"),
        ('{"key": "a", "spk": "\\ud800", "wav": "a.wav"}', r"raw\.list:1: spk '\\ud800'; expected a text"),
        ('{"key": "a", "spk": "a", "wav": "/a.wav"}', r"raw\.list:1: path '/a\.wav' leaves .*; expected a `root`"),
        ('{"key": "a", "spk": "a", "wav": "rm a |"}', r"raw\.list:1: command 'rm a \|': 'rm' is not one that we know"),
        ('{"key": "a", "spk": "a", "wav": "a", "vad": []}', r"raw\.list:1: vad \[\]; expected pairs of seconds"),
        (
            '{"key": "a", "spk": "a", "wav": "a", "vad": [[1]]}',
            r"raw\.list:1: vad \[\[1\]\]; expected pairs of seconds",
        ),
        (
            '{"key": "a", "spk": "a", "wav": "a", "vad": [[1, "x"]]}',
            r"1: vad \[\[1, 'x'\]\]; expected pairs of seconds",
        ),
        ('{"key": "a", "spk": "a", "wav": "a", "vad": null}', r"raw\.list:1: vad None; expected pairs of seconds"),
        ('{"key": "a", "spk": "a", "wav": "a", "vad": [[2, 1]]}', r"raw\.list:1: a: duration_s -1\.0; expected more"),
        ('{"key": "a", "spk": "a", "wav": "a", "vad": [[0, NaN]]}', r"raw\.list:1: vad \[\[0, nan\]\]; expected pairs"),
        ('{"key": "a", "spk": "a", "wav": "a", "vad": ["12", "34"]}', r"vad \['12', '34'\]; expected pairs of seconds"),
        ('{"key": "a", "spk": "a", "wav": "a", "vad": [["0_1", 2]]}', r"vad \[\['0_1', 2\]\]; expected pairs of"),
        ('{"key": "a", "spk": "a", "wav": "a", "vad": [[true, 2]]}', r"vad \[\[True, 2\]\]; expected pairs of sec"),
        ('{"key": "a", "spk": " ", "wav": "a.wav"}', r"raw\.list:1: spk ' '; expected a text in each of key, wav, spk"),
        ('{"key": "a", "spk": "a", "spk": "b", "wav": "a"}', r"raw\.list:1: no JSON \(key 'spk' twice\); expected one"),
        ('{"key": "a", "spk": "a", "wav": %s}' % ([1] * 10_000), r"raw\.list:1: wav .{,200}; expected a text in each"),
    ],
)
def test_a_row_that_makes_no_utterance_is_an_error_that_names_the_line(root, read, line, told):
    (root / "train/raw.list").write_text(line, encoding="utf-8")
    with pytest.raises(CorpusError, match=told):
        read()


def test_blanks_around_names_tell_nobody_apart(root, read):
    row = '{"key": " a%d ", "spk": "%sb ", "wav": "a.wav"}\n'
    (root / "train/raw.list").write_text(row % (1, "") + row % (2, " "), encoding="utf-8")
    assert [(one.name, one.speaker) for one in read(manifest=Path("train"))] == [("a1", "b"), ("a2", "b")]


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(root, read):
    (root / "train/raw.list").write_bytes(b'{"key": "' + b"a" * (1 << 21))
    with pytest.raises(CorpusError, match=r"raw\.list:1: 1048576 bytes without an end; expected lines of text$"):
        read()


def test_what_is_no_raw_list_is_an_error_that_says_what_to_do(root, read):
    with pytest.raises(CorpusError, match=r"wav: no raw\.list; expected one in it or in folders of it$"):
        read(manifest=Path("wav"))
    (root / "wav/wav.scp").write_text("")
    with pytest.raises(CorpusError, match=r'of it; `wav\.scp` with `utt2spk` is what `reader = "kaldi"` reads$'):
        read(manifest=Path("wav"))
    (root / "wav/shard.list").write_text("")
    with pytest.raises(CorpusError, match=r"audio within shards is not read, `tools/make_raw_list\.py` makes the list"):
        read(manifest=Path("wav"))


def test_trials_are_read_from_beside_their_list(root, section):
    assert list(WESPEAKER.published_trials(root, section("wespeaker", root))) == [
        PublishedTrial(list="test/toy", enrol="a", test="b", is_target=False),
        PublishedTrial(list="test/toy", enrol="a", test="a", is_target=True),
    ]


def test_a_trial_may_enrol_a_model_of_the_list_beside(root, section):
    (root / "test/model2utt").write_text("m a b\na b\n")  # what is an utterance is no model
    (root / "test/trials/toy.kaldi").write_text("m b target\na b nontarget\n")
    settings = section("wespeaker", root)
    assert list(WESPEAKER.published_trials(root, settings)) == [
        PublishedTrial(list="test/toy", enrol="m", enrol_list="test/model2utt", test="b", is_target=True),
        PublishedTrial(list="test/toy", enrol="a", test="b", is_target=False),
    ]
    told = [Enrolment(list="test/model2utt", model="m", utterance=one) for one in ("a", "b")]
    assert list(WESPEAKER.enrolments(root, settings))[:2] == told
    (root / "train/trials").mkdir()
    (root / "train/trials/toy.kaldi").write_text("m an/1/x.wav target\n")  # of another split
    with pytest.raises(CorpusError, match=r"train/trials/toy\.kaldi:1: 'm' is in no raw\.list; expected an utterance"):
        list(WESPEAKER.published_trials(root, settings))
    (root / "test/model2utt").write_text("m a z\n")
    with pytest.raises(CorpusError, match=r"model2utt:1: 'z' is in no raw\.list; expected an utterance"):
        list(WESPEAKER.enrolments(root, settings))


def test_a_trial_of_nobody_is_an_error(root, section):
    (root / "test/trials/toy.kaldi").write_text("a b target\na z target\n")
    with pytest.raises(CorpusError, match=r"toy\.kaldi:2: 'z' is in no raw\.list; expected an utterance"):
        list(WESPEAKER.published_trials(root, section("wespeaker", root)))


ODD = st.sampled_from([b"\xef\xbb\xbf", b"\r\n", b"\0", b"\xff", b'"', b"{", b"1e9", b"\\u0000", b"../", "ẵ".encode()])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda some: st.lists(some, max_size=3)
)


@contextlib.contextmanager
def noting(told):
    try:
        yield
    except CorpusError as error:
        told.append(str(error))


def hold_the_promise(root, settings):
    told, rows = [], []
    with noting(told):
        rows += WESPEAKER.rows(root, settings)
        list(WESPEAKER.published_trials(root, settings))
        list(WESPEAKER.enrolments(root, settings))
    assert all(".." not in row.path.split("/") and not row.path.startswith("/") for row in rows)
    assert [len(text.splitlines()) for text in told] in ([], [1])


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["train/raw.list", "test/raw.list", "test/trials/toy.kaldi", "test/model2utt"]),
    cut=st.tuples(st.integers(0, 200), st.integers(0, 30)),
    put=st.lists(ODD | st.binary(max_size=3), max_size=3).map(b"".join),
)
def test_damaged_files_give_rows_below_the_root_or_an_error_of_one_line(root, section, name, cut, put):
    before = (root / name).read_bytes()
    (root / name).write_bytes(before[: cut[0]] + put + before[sum(cut) :])
    hold_the_promise(root, section("wespeaker", root))
    (root / name).write_bytes(before)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["key", "wav", "spk", "speaker", "vad", "x"]), VALUES))
def test_values_of_any_type_give_rows_or_an_error_of_one_line(root, section, row):
    (root / "train/raw.list").write_text(
        json.dumps({"key": "a", "wav": "a.wav", "spk": "a"} | row) + "\n", encoding="utf-8"
    )
    hold_the_promise(root, section("wespeaker", root))
