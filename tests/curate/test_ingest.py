"""What reading a corpus promises: nothing is left out silently, a file that holds still is looked into once."""

import logging
import math
import os
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import ingest
from curate.audio import Probe, probe
from curate.catalog import Catalog, conform, rows_of, write_text
from curate.corpora import READERS, folder, manifest
from curate.corpora.described import Described
from curate.decisions import Author
from curate.errors import CorpusError
from curate.ingest import (
    Seen,
    describe,
    judge_files,
    probe_chunks,
    refuse_beyond,
    refuse_damaged,
    require_root,
    seen_as_text,
    seen_from_text,
    utterance_rows,
)
from curate.schema import DECISIONS, UTTERANCES
from flows import reading
from flows.reading import look_into_files

AUTHOR = Author(rule="limits of the corpus", step="ingest", run_id="0123456789ab")
RATE = 8000


def probe_files(root, paths, known):
    """All chunks at once."""
    return {path: seen for chunk in probe_chunks(root, paths, known) for path, seen in chunk.items()}


@pytest.fixture
def root(tmp_path):
    """Three speakers with two files each, of 0.1 and 0.2 s."""
    for speaker in "abc":
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        for i in (1, 2):
            tone = np.sin(np.arange(i * 800)).astype(np.float32) / 2
            soundfile.write(tmp_path / "corpus" / speaker / f"{i}.wav", tone, RATE)
    return tmp_path / "corpus"


def corpus(root, **settings):
    return folder.Settings(reader="folder", name="toy", root=root, **settings)


def look(root):
    paths = [utterance.path for utterance in describe(corpus(root))]
    return probe_files(root, paths, {})


def ids(described):
    return [utterance.utterance for utterance in described]


# ---------------------------------------------------------------------------------------------------------- describe


def test_utterances_come_in_the_order_of_their_ids(root):
    assert ids(describe(corpus(root))) == ["a/1", "a/2", "b/1", "b/2", "c/1", "c/2"]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (["a/*"], [], ["a/1", "a/2"]),
        (["a/*", "*/1.wav"], [], ["a/1", "a/2", "b/1", "c/1"]),
        ([], ["b/*", "?/2.wav"], ["a/1", "c/1"]),
        (["[ab]/*"], ["b/2.wav"], ["a/1", "a/2", "b/1"]),
    ],
)
def test_patterns_take_in_and_leave_out(root, include, exclude, left):
    assert ids(describe(corpus(root, include=tuple(include), exclude=tuple(exclude)))) == left


@pytest.mark.parametrize("pattern", ["d/*", "A/*", "a", "1.wav", "a/1.flac"])
@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(root, kind, pattern):
    told = f"corpus 'toy': '{pattern}' matches none of 6 paths such as 'a/1.wav'"
    with pytest.raises(CorpusError, match=re.escape(told)):
        describe(corpus(root, **{kind: ("*/1.wav", pattern)}))


def test_patterns_that_leave_nothing_are_an_error(root):
    with pytest.raises(CorpusError, match=r"corpus 'toy': `exclude` leaves none of 6 files; expected some to remain"):
        describe(corpus(root, exclude=("*",)))


def test_a_corpus_that_is_not_there_or_empty_is_an_error_that_names_its_layout(tmp_path):
    with pytest.raises(CorpusError, match=rf"corpus 'toy': no folder {tmp_path}/no; expected the folder layout in it"):
        require_root(corpus(tmp_path / "no"))
    with pytest.raises(CorpusError, match=rf"corpus 'toy': no audio in {tmp_path}; expected the folder layout"):
        describe(corpus(tmp_path))


def test_two_files_with_one_id_are_an_error_that_names_both(root):
    soundfile.write(root / "a" / "1.flac", np.zeros(800), RATE)
    with pytest.raises(
        CorpusError, match=r"a/1.flac and a/1.wav both have the id toy/a/1; expected one file an id \(`exclude`"
    ):
        describe(corpus(root))
    assert len(describe(corpus(root, exclude=("a/1.flac",)))) == 6  # and leaving one out mends it


# ------------------------------------------------------------------------------------------------------------- probe


@pytest.fixture
def looks(monkeypatch):
    """The names of the files that were looked into, as they are."""
    seen = []

    def counting(path):
        seen.append(path.name)
        return probe(path)

    monkeypatch.setattr(ingest.audio, "probe", counting)
    return seen


def test_a_file_that_holds_still_is_not_looked_into_again(root, looks):
    paths = ["a/1.wav", "a/2.wav", "a/1.wav"]
    first = probe_files(root, paths, {})
    assert sorted(looks) == ["1.wav", "2.wav"]
    assert list(first) == ["a/1.wav", "a/2.wav"]
    looks.clear()
    assert probe_files(root, paths, first) == first
    assert looks == []


def test_a_file_that_changed_in_size_or_time_is_looked_into_again(root, looks):
    first = probe_files(root, ["a/1.wav", "a/2.wav", "b/1.wav"], {})
    (root / "a" / "1.wav").write_bytes((root / "a" / "1.wav").read_bytes()[:500])
    at = first["a/1.wav"].changed_ns
    os.utime(root / "a" / "1.wav", ns=(at, at))  # the size alone tells
    os.utime(root / "a" / "2.wav", ns=(1, 1))  # the time alone tells
    looks.clear()
    again = probe_files(root, first, first)
    assert sorted(looks) == ["1.wav", "2.wav"]
    assert again["a/1.wav"].probe.damage == "truncated"
    assert again["b/1.wav"] is first["b/1.wav"]


def test_a_file_that_was_replaced_with_its_size_and_time_kept_is_looked_into_again(root, looks):
    """As `cp -p` and `rsync -t` do."""
    first = probe_files(root, ["a/1.wav"], {})
    other = root / "other.wav"
    soundfile.write(other, np.zeros(800), RATE)
    at = first["a/1.wav"].changed_ns
    os.utime(other, ns=(at, at))
    shutil.copy2(other, root / "a" / "1.wav")
    again = probe_files(root, ["a/1.wav"], first)
    assert (again["a/1.wav"].num_bytes, again["a/1.wav"].changed_ns) == (first["a/1.wav"].num_bytes, at)
    assert again["a/1.wav"].probe.peak_dbfs == -math.inf


@pytest.mark.parametrize("path", ["a/9.wav", "a/1.wav/x.wav", "no/1.wav"])
def test_a_file_that_is_not_there_is_missing_even_if_it_was_seen_before(root, path):
    known = {path: Seen(num_bytes=1, changed_ns=1, touched_ns=1, probe=Probe(duration_s=1.0))}
    found = probe_files(root, [path], known)[path].probe
    assert (found.damage, found.detail, found.content_sha256) == ("missing", "no such file", None)


numbers = st.none() | st.floats(allow_nan=False)
texts = st.text(max_size=5)
probes = st.builds(Probe, content_sha256=st.none() | texts, duration_s=numbers, peak_dbfs=numbers, damage=texts)
seen_files = st.builds(Seen, num_bytes=st.integers(0), changed_ns=st.integers(), touched_ns=st.integers(), probe=probes)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), seen_files, max_size=4))
def test_what_was_seen_is_remembered_as_it_was(seen):
    assert seen_from_text(seen_as_text(seen)) == seen


@pytest.mark.parametrize("junk", ["", "\n", "[]", "{}", '{"probed_by": "older code"}\n["a", {}]', "no json"])
def test_what_other_code_saw_or_was_garbled_is_not_remembered(junk):
    assert seen_from_text(junk) == {}


@pytest.mark.parametrize("version", ["__version__", "__libsndfile_version__"])
def test_what_another_decoder_saw_is_not_remembered(root, monkeypatch, version):
    text = seen_as_text(look(root))
    assert len(seen_from_text(text)) == 6
    monkeypatch.setattr(soundfile, version, "0.0.1")
    assert seen_from_text(text) == {}


def test_of_what_was_cut_off_the_whole_lines_are_remembered(root):
    seen = look(root)
    text = seen_as_text(seen)
    head, *lines = text.splitlines(keepends=True)
    for cut in range(len(text)):
        left, whole = len(head), 0
        while whole < len(lines) and left + len(lines[whole]) <= cut:
            left, whole = left + len(lines[whole]), whole + 1
        assert list(seen_from_text(text[:cut])) == list(seen)[:whole]


def test_a_line_that_a_disk_garbled_costs_only_its_own_file(root):
    lines = seen_as_text(look(root)).splitlines(keepends=True)
    lines[2:4] = ["\0" * 50 + "\n", '["b/1.wav"]\n']
    assert list(seen_from_text("".join(lines))) == ["a/1.wav", "b/2.wav", "c/1.wav", "c/2.wav"]


@pytest.fixture
def memory(root, monkeypatch):
    """Where a scan in chunks of two remembers."""
    monkeypatch.setattr(ingest, "FILES_A_CHUNK", 2)
    monkeypatch.setattr(reading, "FILES_A_CHUNK", 2)
    return root.parent / "cache" / "files" / "toy.jsonl"


def scan(root, memory):
    return look_into_files(corpus(root), describe(corpus(root)), memory)


def killed_at(monkeypatch, path):
    """From now on the look into this file ends the scan."""

    def dying(file):
        if file == path:
            raise KeyboardInterrupt
        return probe(file)

    monkeypatch.setattr(ingest.audio, "probe", dying)


def test_a_killed_scan_goes_on_after_its_last_chunk(root, memory, monkeypatch):
    with monkeypatch.context() as until_then:
        killed_at(until_then, root / "b" / "2.wav")
        with pytest.raises(KeyboardInterrupt):
            scan(root, memory)
    assert list(seen_from_text(memory.read_text())) == ["a/1.wav", "a/2.wav"]
    looked = []
    monkeypatch.setattr(ingest.audio, "probe", lambda file: looked.append(file) or probe(file))
    assert scan(root, memory) == look(root)
    assert {file.parent.name for file in looked[:4]} == {"b", "c"}
    assert memory.read_text() == seen_as_text(look(root))


def test_half_a_line_is_not_glued_to_the_next(root, memory, monkeypatch):
    scan(root, memory)
    memory.write_text(memory.read_text()[:-20])  # the power went
    os.utime(root / "a" / "1.wav", ns=(1, 1))
    killed_at(monkeypatch, root / "c" / "2.wav")
    with pytest.raises(KeyboardInterrupt):
        scan(root, memory)
    remembered = seen_from_text(memory.read_text())
    assert list(remembered) == ["a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav", "c/1.wav"]
    assert remembered["a/1.wav"].changed_ns == 1  # of two lines on one file the later holds


def test_a_chunk_is_added_without_writing_the_others_again(root, memory, monkeypatch):
    """Or a million files would be written five hundred times."""
    whole = []
    monkeypatch.setattr(reading, "write_text", lambda path, text: whole.append(text) or write_text(path, text))
    scan(root, memory)
    assert whole == [seen_as_text({}), seen_as_text(look(root))]
    whole.clear()
    scan(root, memory)
    assert whole == []


def test_files_that_are_gone_are_forgotten(root, memory):
    scan(root, memory)
    shutil.rmtree(root / "b")
    scan(root, memory)
    assert list(seen_from_text(memory.read_text())) == ["a/1.wav", "a/2.wav", "c/1.wav", "c/2.wav"]


def test_a_memory_that_is_no_text_is_made_anew(root, memory):
    scan(root, memory)
    good = memory.read_text()
    memory.write_bytes(b"\xff\xfe" * 9)
    scan(root, memory)
    assert memory.read_text() == good


def test_a_long_scan_says_how_far_it_is_and_a_short_one_nothing(root, memory, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "voxcurate")
    scan(root, memory)
    assert [record.getMessage() for record in caplog.records] == [f"scan toy: {n} of 6 files" for n in (2, 4, 6)]
    caplog.clear()
    monkeypatch.setattr(reading, "FILES_A_CHUNK", 6)
    scan(root, memory)
    assert caplog.records == []


# -------------------------------------------------------------------------------------------------------------- rows


def test_a_row_holds_what_was_said_and_what_was_found(root):
    said = Described(path="a/2.wav", speaker="a", name="a/2", session="s", start_s=0.05, sex="male", age_years=(30, 39))
    rows = utterance_rows(corpus(root, licence="CC0-1.0"), [said], probe_files(root, ["a/2.wav"], {})).to_pylist()
    expected = {
        "utterance_id": "toy/a/2",
        "corpus": "toy",
        "speaker_id": "toy/a",
        "session_id": "toy/a/s",
        "start_s": 0.05,
        "duration_s": pytest.approx(0.15),
        "sample_rate_hz": RATE,
        "num_channels": 1,
        "damage": None,
        "sex": "male",
        "age_min_years": 30,
        "age_max_years": 39,
        "licence": "CC0-1.0",
    }
    assert {key: rows[0][key] for key in expected} == expected


@pytest.mark.parametrize(
    ("start_s", "asked_s", "held_s"),
    [(0, None, 0.2), (0.05, None, 0.15), (0, 0.1, 0.1), (0.15, 0.1, 0.05), (0.2, None, 0), (5, 1, 0), (0, 9, 0.2)],
)
def test_a_stretch_is_as_long_as_its_file_allows(root, start_s, asked_s, held_s):
    said = Described(path="a/2.wav", speaker="a", start_s=start_s, duration_s=asked_s)
    rows = utterance_rows(corpus(root), [said], probe_files(root, ["a/2.wav"], {}))
    assert rows["duration_s"].to_pylist() == [pytest.approx(held_s)]


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
    with pytest.raises(CorpusError, match=re.escape(f"corpus 'toy': {told.format(root=root)}")) as caught:
        refuse_beyond(corpus(root), [Described(path="a/1.wav", speaker="a"), said], look(root))
    assert str(caught.value).endswith("(are these milliseconds?). 1 of 2 utterances are beyond their file")


@pytest.mark.parametrize(("start_s", "asked_s"), [(0, 0.2), (0.1, 0.19), (0.199, None), (None, 0.29), (None, None)])
def test_a_stretch_may_go_past_the_end_by_what_rounding_does(root, start_s, asked_s):
    said = Described(path="a/2.wav", speaker="a", start_s=start_s, duration_s=asked_s)
    refuse_beyond(corpus(root), [said], look(root))


def test_a_damaged_file_is_not_asked_for_what_it_lost(root):
    (root / "a" / "2.wav").write_bytes((root / "a" / "2.wav").read_bytes()[:-1000])
    (root / "b" / "1.wav").write_text("no sound")
    paths = ("a/2.wav", "b/1.wav", "b/9.wav")
    told = [Described(path=path, speaker="a", start_s=0.19, duration_s=9) for path in paths]
    refuse_beyond(corpus(root, damaged="keep"), told, probe_files(root, paths, {}))


def test_a_scan_refuses_milliseconds_taken_for_seconds_before_it_sets_rows_aside(root):
    (root / "m.csv").write_text("path,speaker,start_s,duration_s\na/2.wav,a,100,50\n")
    settings = manifest.Settings(reader="manifest", name="toy", root=root, manifest=root / "m.csv")
    catalog = Catalog(root.parent / "catalog")
    with pytest.raises(CorpusError, match=r"toy/a/2-0100000 is from 100\.0 s to 150\.0 s"):
        reading.scan(SimpleNamespace(corpus=lambda name: settings), catalog, "toy")
    assert not (catalog.root / "cache" / "scanned").exists()
    assert (catalog.root / "cache" / "files" / "toy.jsonl").exists()  # the next look is quick


def test_rows_fit_the_schema_and_take_the_licence_of_the_reader_where_none_is_given(root):
    described = describe(corpus(root))
    rows = utterance_rows(corpus(root), described, look(root))
    assert conform(UTTERANCES, rows).equals(rows)
    assert set(rows["licence"].to_pylist()) == {READERS["folder"].LICENCE}
    assert rows["session_id"].null_count == 6


# ----------------------------------------------------------------------------------------------------------- damaged


def test_damaged_files_are_refused_by_the_first_of_them_and_their_count(root):
    (root / "a" / "2.wav").write_bytes((root / "a" / "2.wav").read_bytes()[:-100])
    (root / "b" / "1.wav").write_text("no sound")
    (root / "c" / "1.wav").write_bytes(b"")
    (root / "c" / "2.wav").write_bytes(b"")
    with pytest.raises(CorpusError) as caught:
        refuse_damaged(corpus(root), look(root))
    assert str(caught.value) == (
        f"corpus 'toy': {root}/a/2.wav is truncated: 100 bytes that its header announces are not there; expected a "
        "sound file. 4 of 6 files are damaged (2 empty, 1 truncated, 1 unreadable): mend or `exclude` them, or set "
        'them aside as rows by `damaged = "keep"`'
    )


def test_damaged_files_can_be_kept_as_rows_with_a_verdict_each(root):
    (root / "a" / "2.wav").write_bytes((root / "a" / "2.wav").read_bytes()[:-100])
    (root / "b" / "1.wav").write_text("no sound")
    (root / "c" / "1.wav").write_bytes(b"")
    settings, described = corpus(root, damaged="keep", min_duration_s=0.15), describe(corpus(root))
    described.append(Described(path="d/1.wav", speaker="d"))
    seen = probe_files(root, (utterance.path for utterance in described), {})
    refuse_damaged(settings, seen)
    rows = utterance_rows(settings, described, seen)
    verdicts = judge_files(settings, rows, AUTHOR)
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
    refuse_damaged(corpus(root), look(root))


# ------------------------------------------------------------------------------------------------------------- judge

files = st.lists(
    st.tuples(
        st.none() | st.sampled_from(["missing", "unreadable", "truncated", "empty"]),
        st.none() | st.sampled_from([0.0, 0.5, 0.499, 1.0, 2.0, 2.001]) | st.floats(0, 4),
        st.none() | st.sampled_from([-math.inf, -60.0, -60.5, 0.0]) | st.floats(-90, 3, width=32),
    ),
    max_size=8,
)


def one_by_one(damage, duration_s, peak_dbfs):
    """The rule, one file at a time: (reason, score, lower, upper), or None for a fit file."""
    if damage:
        return damage, None, None, None
    if duration_s is not None and not 0.5 <= duration_s <= 2:
        return "too_short" if duration_s < 0.5 else "too_long", duration_s, 0.5, 2
    if peak_dbfs is not None and peak_dbfs < -60:
        return "silent", peak_dbfs, -60, None
    return None


@settings(deadline=None)
@given(files=files)
def test_a_verdict_is_given_on_each_unfit_file_and_on_no_other(tmp_path_factory, files):
    common = {"corpus": "toy", "speaker_id": "toy/a", "path": "x.wav", "start_s": 0.0}
    rows = [
        common | {"utterance_id": f"toy/{i}", "damage": damage, "duration_s": duration, "peak_dbfs": peak}
        for i, (damage, duration, peak) in enumerate(files)
    ]
    limits = corpus(tmp_path_factory.getbasetemp(), min_duration_s=0.5, max_duration_s=2.0, min_peak_dbfs=-60.0)
    verdicts = judge_files(limits, rows_of(UTTERANCES, rows), AUTHOR)
    columns = ("reason", "score", "lower_bound", "upper_bound")
    found = {row["subject_id"]: tuple(row[column] for column in columns) for row in verdicts.to_pylist()}
    judged = {f"toy/{i}": one_by_one(*file) for i, file in enumerate(files)}
    assert found == {utterance: verdict for utterance, verdict in judged.items() if verdict}


def test_limits_can_be_lifted(root):
    silent = [{"utterance_id": "toy/a", "corpus": "toy", "speaker_id": "toy/a", "path": "a", "start_s": 0.0}]
    rows = rows_of(UTTERANCES, [silent[0] | {"duration_s": 1e6, "peak_dbfs": -math.inf}])
    limits = corpus(root, max_duration_s=math.inf, min_peak_dbfs=-math.inf)
    assert len(judge_files(limits, rows, AUTHOR)) == 0


# -------------------------------------------------------------------------------------------------------------- real


@pytest.mark.real
def test_real_corpora_are_described_whole_with_sound_files(corpora):
    found = {}
    for name, root in (("librispeech", "LibriSpeech"), ("emodb", "emodb"), ("fsdd", "fsdd")):
        settings = READERS[name].Settings(reader=name, name=name, root=corpora / root)
        described = describe(settings)
        seen = probe_files(settings.root, (utterance.path for utterance in described), {})
        refuse_damaged(settings, seen)
        rows = utterance_rows(settings, described, seen)
        assert conform(UTTERANCES, rows).equals(rows)
        found[name] = (len(rows), len(rows["speaker_id"].unique()))
    assert found == {"librispeech": (220, 13), "emodb": (535, 10), "fsdd": (600, 6)}


def test_one_file_with_many_stretches_is_looked_into_once(root, looks):
    lines = "path,speaker,name,start_s,duration_s\n" + "".join(f"a/2.wav,a,{i},{i / 100},0.01\n" for i in range(20))
    (root / "m.csv").write_text(lines)
    settings = manifest.Settings(reader="manifest", name="toy", root=root, manifest=root / "m.csv")
    described = describe(settings)
    rows = utterance_rows(settings, described, probe_files(root, (said.path for said in described), {}))
    assert looks == ["2.wav"]
    assert len(rows) == 20
    assert pa.compute.sum(rows["duration_s"]).as_py() == pytest.approx(0.2)
    assert replace(described[0], name="other").utterance == "other"
