"""What rows and verdicts promise: nothing is left out silently, and an utterance has one verdict at most."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import seen
from curate.audio import probe
from curate.catalog import read_batches, rows_of
from curate.conforming import conform
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings, Described
from curate.decisions import Author
from curate.describe import describe
from curate.errors import CorpusError
from curate.exclusions import read_exclusions
from curate.ingest import Faults, judge, looked_into
from curate.schema import DECISIONS, UTTERANCES
from curate.seen import remembered

AUTHOR = Author(rule="limits of the corpus", step="ingest", run_id="0123456789ab")
RATE = 8000


@pytest.fixture
def root(tmp_path):
    """Three speakers with two files each, of 0.1 and 0.2 s; the files of `c` have two channels."""
    for speaker in "abc":
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        for i in (1, 2):
            tone = np.sin(np.arange(i * 800)).astype(np.float32) / 2
            soundfile.write(
                tmp_path / "corpus" / speaker / f"{i}.wav", np.stack([tone] * (1 + (speaker == "c")), 1), RATE
            )
    return tmp_path / "corpus"


def everything():
    """What a reader would say of those files."""
    return [Described(path=f"{speaker}/{i}.wav", speaker=speaker) for speaker in "abc" for i in (1, 2)]


def corpus(root, **section):
    return CorpusSettings(reader="fake", name="toy", root=root, **section)


def ingested(section, *utterances, chunk=1000):
    """`(rows, faults)` of a corpus whose reader says this."""
    folder = section.root.parent
    faults = Faults(section)
    with pytest.MonkeyPatch.context() as patch:
        reader = SimpleNamespace(LICENCE="CC0-1.0", rows=lambda _root, _settings: iter(utterances or everything()))
        patch.setitem(READERS, "fake", reader)
        said = describe(section, folder)
    with remembered(folder / "memory.sqlite", section.look) as memory:
        rows = list(looked_into(section, read_batches(said, rows=chunk), memory, faults))
    return pa.Table.from_batches(rows), faults


# ---------------------------------------------------------------------------------------------------------------- rows


def test_a_row_holds_what_was_said_and_what_was_found(root):
    said = Described(
        path="c/2.wav", speaker="a", name="a/2", session="s", start_s=0.05, channel=1, sex="male", age_years=(30, 39)
    )
    rows, faults = ingested(corpus(root), said)
    found = probe(root / "c" / "2.wav")
    assert {key: value for key, value in rows.to_pylist()[0].items() if value is not None} == {
        "utterance_id": "toy/a/2",
        "corpus": "toy",
        "speaker_id": "toy/a",
        "session_id": "toy/a/s",
        "path": "c/2.wav",
        "channel": 1,
        "start_s": 0.05,
        "duration_s": pytest.approx(0.15),
        "sample_rate_hz": RATE,
        "num_channels": 2,
        "num_samples": 1600,
        "peak_dbfs": pytest.approx(found.peak_dbfs),
        "content_sha256": found.content_sha256,
        "sex": "male",
        "age_min_years": 30,
        "age_max_years": 39,
        "licence": "CC0-1.0",
    }
    faults.refuse()


def test_rows_fit_the_schema_and_come_in_the_order_of_their_ids(root):
    rows, faults = ingested(corpus(root), *reversed(everything()))
    assert conform(UTTERANCES, rows).equals(rows)
    assert rows["utterance_id"].to_pylist() == [f"toy/{speaker}/{i}" for speaker in "abc" for i in (1, 2)]
    assert (faults.num_utterances, faults.num_files) == (6, 6)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_rows_are_the_same_in_whatever_chunks_they_are_made(root, chunk):
    whole, _ = ingested(corpus(root))
    cut, faults = ingested(corpus(root), chunk=chunk)
    assert cut.equals(whole)
    assert (faults.num_utterances, faults.num_files) == (6, 6)


def test_rows_of_a_chunk_come_before_the_next_is_asked_for(root, tmp_path):
    asked = []

    def chunks():
        for i in range(3):
            asked.append(i)
            yield from read_batches(said)

    ingested(corpus(root))
    said, section = tmp_path / "said.parquet", corpus(root)
    with remembered(tmp_path / "memory.sqlite", "whole") as memory:
        rows = looked_into(section, chunks(), memory, Faults(section))
        assert next(rows).num_rows == 6
        assert asked == [0]


def test_a_look_at_headers_gives_the_same_rows_but_for_the_peak(root):
    thorough, _ = ingested(corpus(root))
    quick, _ = ingested(corpus(root, look="header"))
    assert quick["peak_dbfs"].null_count == 6
    assert quick.drop_columns("peak_dbfs").equals(thorough.drop_columns("peak_dbfs"))


@pytest.mark.parametrize(
    ("start_s", "asked_s", "held_s"),
    [
        (None, None, 0.2),
        (None, 0.1, 0.1),
        (0, None, 0.2),
        (0.05, None, 0.15),
        (0, 0.1, 0.1),
        (0.15, 0.1, 0.05),
        (0.2, None, 0),
        (5, 1, 0),
        (0, 9, 0.2),
    ],
)
def test_a_stretch_is_as_long_as_its_file_allows(root, start_s, asked_s, held_s):
    rows, _ = ingested(corpus(root), Described(path="a/2.wav", speaker="a", start_s=start_s, duration_s=asked_s))
    assert rows["duration_s"].to_pylist() == [pytest.approx(held_s)]
    assert rows["start_s"].to_pylist() == [start_s or 0]


def test_one_file_with_many_stretches_is_looked_into_once(root, monkeypatch):
    looks = []
    monkeypatch.setattr(seen.audio, "probe", lambda path: looks.append(path.name) or probe(path))
    stretches = [
        Described(path="a/2.wav", speaker="a", name=f"{i:02}", start_s=i / 100, duration_s=0.01) for i in range(20)
    ]
    rows, faults = ingested(corpus(root), *stretches, chunk=7)
    assert looks == ["2.wav"]
    assert (len(rows), faults.num_utterances, faults.num_files) == (20, 20, 1)
    assert pa.compute.sum(rows["duration_s"]).as_py() == pytest.approx(0.2)
    faults.refuse()


# -------------------------------------------------------------------------------------------------------------- beyond


def refused(section, *utterances):
    _, faults = ingested(section, *utterances)
    with pytest.raises(CorpusError) as caught:
        faults.refuse()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("start_s", "asked_s", "told"),
    [
        (200.0, None, "toy/a/2-0200000 is from 200.0 s on, but {root}/a/2.wav is 0.2 s long"),
        (0.2, 0.01, "toy/a/2-0000200 is from 0.2 s to 0.21 s, but"),
        (0.1, 0.25, "toy/a/2-0000100 is from 0.1 s to 0.35 s, but {root}/a/2.wav is 0.2 s long"),
        (None, 200.0, "toy/a/2-0000000 is from 0.0 s to 200.0 s, but {root}/a/2.wav is 0.2 s long"),
    ],
)
def test_a_stretch_that_its_file_does_not_hold_is_an_error_that_names_both_lengths(root, start_s, asked_s, told):
    said = Described(path="a/2.wav", speaker="a", start_s=start_s, duration_s=asked_s)
    words = refused(corpus(root), Described(path="a/1.wav", speaker="a"), said)
    assert words.startswith(f"corpus 'toy': {told.format(root=root)}")
    assert words.endswith("(are these milliseconds?). 1 of 2 utterances are beyond their file")


@pytest.mark.parametrize(("path", "channel", "has"), [("a/2.wav", 1, 1), ("c/2.wav", 2, 2), ("c/2.wav", 9, 2)])
def test_a_channel_that_its_file_does_not_have_is_an_error_that_names_both(root, path, channel, has):
    words = refused(corpus(root), *everything(), Described(path=path, speaker="a", channel=channel))
    utterance = f"toy/{path.removesuffix('.wav')}-c{channel}"
    assert words.startswith(
        f"corpus 'toy': {utterance} is channel {channel} of {has}, from 0.0 s on, but {root}/{path}"
    )
    assert words.endswith("1 of 7 utterances are beyond their file")


@pytest.mark.parametrize("channel", [0, 1])
def test_every_channel_that_a_file_has_can_be_picked(root, channel):
    rows, faults = ingested(corpus(root), Described(path="c/2.wav", speaker="a", channel=channel))
    assert rows["channel"].to_pylist() == [channel]
    faults.refuse()


@pytest.mark.parametrize(("start_s", "asked_s"), [(0, 0.2), (0.1, 0.19), (0.199, None), (None, 0.29), (None, None)])
def test_a_stretch_may_go_past_the_end_by_what_rounding_does(root, start_s, asked_s):
    _, faults = ingested(corpus(root), Described(path="a/2.wav", speaker="a", start_s=start_s, duration_s=asked_s))
    faults.refuse()


def test_those_that_are_beyond_are_counted_over_all_chunks_and_the_first_is_named(root):
    said = [Described(path=f"{one}/2.wav", speaker=one, start_s=0.0 if one == "a" else 9.0) for one in "abc"]
    _, faults = ingested(corpus(root), *said, chunk=1)
    with pytest.raises(CorpusError, match=r"toy/b/2-0009000 is .* 2 of 3 utterances are beyond their file"):
        faults.refuse()


def test_a_damaged_file_is_not_asked_for_what_it_lost(root):
    (root / "a" / "2.wav").write_bytes((root / "a" / "2.wav").read_bytes()[:-1000])
    (root / "b" / "1.wav").write_text("no sound")
    paths = ("a/2.wav", "b/1.wav", "b/9.wav")
    said = [Described(path=path, speaker="a", start_s=0.19, duration_s=9, channel=7) for path in paths]
    rows, faults = ingested(corpus(root, damaged="keep"), *said)
    assert rows["damage"].to_pylist() == ["truncated", "unreadable", "missing"]
    faults.refuse()


# ------------------------------------------------------------------------------------------------------------- damaged


def test_damaged_files_are_refused_by_the_first_of_them_and_their_count(root):
    (root / "a" / "2.wav").write_bytes((root / "a" / "2.wav").read_bytes()[:-100])
    (root / "b" / "1.wav").write_text("no sound")
    (root / "c" / "1.wav").write_bytes(b"")
    (root / "c" / "2.wav").write_bytes(b"")
    _, faults = ingested(corpus(root), chunk=2)
    with pytest.raises(CorpusError) as caught:
        faults.refuse()
    assert str(caught.value) == (
        f"corpus 'toy': {root}/a/2.wav is truncated: 100 bytes that its header announces are not there; expected a "
        "sound file. 4 of 6 files are damaged (2 empty, 1 truncated, 1 unreadable): mend or `exclude` them, or set "
        'them aside as rows by `damaged = "keep"`'
    )


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_damaged_file_is_counted_once_though_its_stretches_lie_among_others(root, chunk):
    (root / "a" / "2.wav").write_text("no sound")
    said = [Described(path=f"{'ab'[i % 2]}/2.wav", speaker="a", name=f"{i}", start_s=i / 100) for i in range(8)]
    _, faults = ingested(corpus(root), *said, chunk=chunk)
    with pytest.raises(CorpusError, match=r"expected a sound file\. 1 of 2 files are damaged \(1 unreadable\)"):
        faults.refuse()


def test_damaged_files_can_be_kept_as_rows_with_a_verdict_each(root):
    (root / "a" / "2.wav").write_bytes((root / "a" / "2.wav").read_bytes()[:-100])
    (root / "b" / "1.wav").write_text("no sound")
    (root / "c" / "1.wav").write_bytes(b"")
    section = corpus(root, damaged="keep", min_duration_s=0.15)
    rows, faults = ingested(section, *everything(), Described(path="d/1.wav", speaker="d"))
    faults.refuse()
    verdicts = judge(section, iter(rows.to_batches()), [], AUTHOR)
    assert conform(DECISIONS, verdicts).equals(verdicts)
    assert {row["subject_id"]: row["reason"] for row in verdicts.to_pylist()} == {
        "toy/a/1": "too_short",
        "toy/a/2": "truncated",
        "toy/b/1": "unreadable",
        "toy/c/1": "empty",
        "toy/d/1": "missing",
    }
    assert set(verdicts["verdict"].to_pylist()) == {"drop"}
    assert rows["duration_s"].to_pylist()[2] is None  # no length is made up for what cannot be read


def test_sound_files_are_not_refused(root):
    rows, faults = ingested(corpus(root))
    faults.refuse()
    assert set(rows["damage"].to_pylist()) == {None}
    assert len(judge(corpus(root, min_duration_s=0.05), iter(rows.to_batches()), [], AUTHOR)) == 0


# --------------------------------------------------------------------------------------------------------------- judge

PLAIN = {"corpus": "toy", "speaker_id": "toy/a", "path": "x.wav", "start_s": 0.0}
audios = st.tuples(
    st.none() | st.sampled_from(["missing", "unreadable", "truncated", "empty"]),
    st.none() | st.sampled_from([0.0, 0.5, 0.499, 1.0, 2.0, 2.001]) | st.floats(0, 4),
    st.none() | st.sampled_from([-math.inf, -60.0, -60.5, 0.0]) | st.floats(-90, 3, width=32),
)
judged = st.lists(
    st.tuples(audios, st.sampled_from([None, "first", "second", "both"]), st.none() | st.integers(1, 99)), max_size=8
)


def one_by_one(audio, listed, conflict):
    """The rule, one utterance at a time: (verdict, reason, score, lower, upper, author), or None."""
    damage, duration_s, peak_dbfs = audio
    if listed:
        name = "second.txt" if listed == "second" else "first.txt"
        return "drop", "listed", None, None, None, f"list {name}"
    if damage:
        return "drop", damage, None, None, None, AUTHOR.rule
    if duration_s is not None and not 0.5 <= duration_s <= 2:
        return "drop", "too_short" if duration_s < 0.5 else "too_long", duration_s, 0.5, 2, AUTHOR.rule
    if peak_dbfs is not None and peak_dbfs < -60:
        return "drop", "silent", peak_dbfs, -60, None, AUTHOR.rule
    if conflict is not None:
        return "keep", "age_conflict", conflict, None, None, AUTHOR.rule
    return None


def verdicts_on(folder, found, cuts=()):
    """The same by `judge`, with the utterances in batches."""
    rows = [
        PLAIN
        | {"utterance_id": f"toy/{i}", "damage": damage, "duration_s": duration_s, "peak_dbfs": peak_dbfs}
        | {"age_conflict_years": conflict}
        for i, ((damage, duration_s, peak_dbfs), _, conflict) in enumerate(found)
    ]
    lists = []
    for name in ("first", "second"):
        entries = ["nobody", *(f"{i}" for i, (_, listed, _) in enumerate(found) if listed in (name, "both"))]
        (folder / f"{name}.txt").write_text("\n".join(entries))
        lists.append(read_exclusions(folder / f"{name}.txt", {}))
    table, limits = rows_of(UTTERANCES, rows), {"min_duration_s": 0.5, "max_duration_s": 2.0, "min_peak_dbfs": -60.0}
    stops = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    batches = [table.slice(a, b - a).combine_chunks() for a, b in pairwise(stops)]
    whole = (batch for one in batches for batch in one.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)])
    return judge(corpus(folder, **limits), whole, lists, AUTHOR)


@settings(deadline=None)
@given(found=judged, cuts=st.lists(st.integers(0, 8), max_size=3))
def test_each_utterance_has_the_first_verdict_that_applies_and_no_other(tmp_path_factory, found, cuts):
    """A list goes before damage and limits, and those before ages that disagree."""
    verdicts = verdicts_on(tmp_path_factory.getbasetemp(), found, cuts)
    assert conform(DECISIONS, verdicts).equals(verdicts)
    columns = ("verdict", "reason", "score", "lower_bound", "upper_bound", "decided_by")
    rows = {row["subject_id"]: tuple(row[column] for column in columns) for row in verdicts.to_pylist()}
    expected = {f"toy/{i}": one_by_one(*one) for i, one in enumerate(found)}
    assert rows == {utterance: verdict for utterance, verdict in expected.items() if verdict}
    assert len(rows) == len(verdicts)


def test_a_verdict_says_of_what_and_by_whom(tmp_path):
    (row,) = verdicts_on(tmp_path, [((None, 1.0, 0.0), "second", 3)]).to_pylist()
    assert row == {
        "subject": "utterance",
        "subject_id": "toy/0",
        "other_id": None,
        "verdict": "drop",
        "reason": "listed",
        "score": None,
        "lower_bound": None,
        "upper_bound": None,
        "decided_by": "list second.txt",
        "step": "ingest",
        "run_id": "0123456789ab",
    }


def test_no_utterances_have_no_verdicts(tmp_path):
    assert judge(corpus(tmp_path), iter(()), [], AUTHOR).schema.equals(DECISIONS.arrow())
    assert len(verdicts_on(tmp_path, [])) == 0


def test_limits_can_be_lifted(root):
    rows = rows_of(UTTERANCES, [PLAIN | {"utterance_id": "toy/a", "duration_s": 1e6, "peak_dbfs": -math.inf}])
    limits = corpus(root, max_duration_s=math.inf, min_peak_dbfs=-math.inf)
    assert len(judge(limits, iter(rows.to_batches()), [], AUTHOR)) == 0


def test_a_file_whose_peak_is_not_known_is_not_called_silent(root):
    rows = rows_of(UTTERANCES, [PLAIN | {"utterance_id": "toy/a", "duration_s": 1.0}])
    assert len(judge(corpus(root), iter(rows.to_batches()), [], AUTHOR)) == 0


# ---------------------------------------------------------------------------------------------------------------- real


@pytest.mark.real
def test_real_corpora_are_ingested_whole_with_sound_files(corpora, tmp_path):
    found = {}
    for name, root in (("librispeech", "LibriSpeech"), ("emodb", "emodb"), ("fsdd", "fsdd")):
        section = READERS[name].Settings(reader=name, name=name, root=corpora / root)
        faults = Faults(section)
        with remembered(tmp_path / f"{name}.sqlite", section.look) as memory:
            batches = looked_into(section, read_batches(describe(section, tmp_path)), memory, faults)
            rows = pa.Table.from_batches(list(batches))
        faults.refuse()
        assert conform(UTTERANCES, rows).equals(rows)
        found[name] = (len(rows), len(rows["speaker_id"].unique()))
    assert found == {"librispeech": (220, 13), "emodb": (535, 10), "fsdd": (600, 6)}
