"""What a scan promises: it sets aside all that the catalog needs, or says in one line why it cannot."""

import logging
import os
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from curate import describe as describing
from curate import scan as scanning
from curate import seen
from curate.audio import probe
from curate.catalog import Catalog, read_parquet
from curate.corpora import READERS, manifest
from curate.corpora.described import CorpusSettings, Described, Enrolment, PublishedTrial
from curate.errors import CorpusError
from curate.scan import remarks_of, require_named, scan
from curate.schema import DECISIONS, ENROLMENTS, PUBLISHED_TRIALS, UTTERANCES
from curate.seen import remembered
from flows import reading

RATE = 8000
PATHS = [f"{speaker}/{i}.wav" for speaker in "abc" for i in (1, 2)]


@pytest.fixture
def root(tmp_path):
    """Three speakers with two files each."""
    for path in PATHS:
        (tmp_path / "corpus" / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "corpus" / path, np.sin(np.arange(8000)) / 2, RATE)
    return tmp_path / "corpus"


@pytest.fixture
def reader(monkeypatch):
    """Register a reader of those files with these functions besides."""

    def register(**functions):
        rows = [Described(path=path, speaker=path[0]) for path in PATHS]
        told = {name: lambda _root, _section, told=told: told for name, told in functions.items()}
        terms = {"LICENCE": "CC0-1.0", "CITATION": "nobody", "URL": "http://localhost"}
        module = SimpleNamespace(**terms, **({"rows": lambda _root, _section: iter(rows)} | told))
        monkeypatch.setitem(READERS, "fake", module)

    register()
    return register


def corpus(root, *lists, **section):
    """Its section, with exclusion lists of these lines each."""
    paths = []
    for number, lines in enumerate(lists):
        paths.append(root.parent / f"list{number}.txt")
        paths[-1].write_text("\n".join(lines), encoding="utf-8")
    return CorpusSettings(reader="fake", name="toy", root=root, exclusions=tuple(paths), **section)


def scanned(section):
    """`(folder, what was found)`."""
    folder = section.root.parent / "scanned"
    return folder, scan(section, folder, section.root.parent / "memory.sqlite", progress=lambda _: None)


def test_a_scan_sets_aside_what_was_said_what_was_found_and_what_is_odd(root, reader):
    folder, found = scanned(corpus(root))
    assert (found.num_utterances, found.num_files, found.remarks) == (6, 6, [])
    assert {path.name for path in folder.iterdir()} == {"said.parquet", "utterances.parquet", "remarks.txt"}
    assert read_parquet(folder / "utterances.parquet")["path"].to_pylist() == PATHS
    assert remarks_of(folder) == []


def test_what_is_set_aside_is_the_same_bytes_whatever_is_remembered(root, reader):
    folder, _ = scanned(corpus(root))
    first = (folder / "utterances.parquet").read_bytes()
    for remembered_or_not in (lambda: None, (root.parent / "memory.sqlite").unlink):
        remembered_or_not()
        scanned(corpus(root))
        assert (folder / "utterances.parquet").read_bytes() == first


def test_a_second_scan_opens_no_file_that_holds_still(root, reader, monkeypatch):
    looks = []
    monkeypatch.setattr(seen.audio, "probe", lambda path: looks.append(path.name) or probe(path))
    scanned(corpus(root))
    assert len(looks) == 6
    os.utime(root / "b" / "1.wav", ns=(1, 1))
    looks.clear()
    scanned(corpus(root))
    assert looks == ["1.wav"]


def test_milliseconds_that_are_taken_for_seconds_are_refused_and_the_looks_are_kept(root):
    (root / "m.csv").write_text("path,speaker,start_s,duration_s\na/2.wav,a,100,50\n")
    section = manifest.Settings(reader="manifest", name="toy", root=root, manifest=root / "m.csv")
    with pytest.raises(CorpusError, match=r"toy/a/2-0100000 is from 100\.0 s to 150\.0 s"):
        scanned(section)
    with remembered(root.parent / "memory.sqlite", "whole") as looks:
        assert list(looks.known(["a/2.wav"])) == ["a/2.wav"]  # the next scan is quick


def test_a_scan_says_how_far_it_is(root, reader, monkeypatch):
    for module in (scanning, describing):
        monkeypatch.setattr(module, "ROWS_A_CHUNK", 2)
    told = []
    scan(corpus(root), root.parent / "scanned", root.parent / "memory.sqlite", progress=told.append)
    assert told == [2, 4, 6]


def test_a_long_scan_is_logged_on_its_way_and_a_short_one_is_not(root, reader, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "voxcurate")
    pipeline = SimpleNamespace(corpus=lambda _: corpus(root))
    assert reading.scan(pipeline, Catalog(root.parent / "catalog"), "toy") == "toy: 6 utterances in 6 files"
    assert caplog.messages == []
    for module in (scanning, describing, reading):
        monkeypatch.setattr(module, "ROWS_A_CHUNK", 2)
    reading.scan(pipeline, Catalog(root.parent / "catalog"), "toy")
    assert caplog.messages == [f"scan toy: {n} utterances" for n in (4, 6)]


# --------------------------------------------------------------------------------------------------------------- lists


def test_remarks_are_those_of_the_reader_then_of_exclusion_lists_then_of_published_lists(root, reader):
    trials = [PublishedTrial(list="O", enrol="a/1", test=test, is_target=True) for test in ("a/2", "a/9")]
    reader(remarks=["two readers are one"], published_trials=trials)
    folder, found = scanned(corpus(root, ["a", "nobody"], ["b/1"]))
    assert found.remarks == [
        "two readers are one",
        "list0.txt: 1 of 2 entries match nothing, such as 'nobody'",
        "1 of 2 rows of its trials are left out: utterances are not here (O toy/a/1 toy/a/9)",
    ]
    assert remarks_of(folder) == found.remarks


def test_an_exclusion_list_that_matches_nothing_is_refused_though_another_matches(root, reader):
    with pytest.raises(CorpusError, match=r"list1.txt matches nothing: none of its 2 entries, such as 'x'") as caught:
        scanned(corpus(root, ["a"], ["x", "y"]))
    assert "such as 'toy/a/1'; expected a list for this corpus" in str(caught.value)


def test_lists_that_match_nothing_are_refused_by_names_alone_and_no_others(root, reader):
    """Also by the session that the stretches of a file are given where none is told; without lists nothing is asked."""
    reader(rows=[Described(path="a/1.wav", speaker="a", start_s=start, duration_s=0.25) for start in (0.0, 0.5)])
    for entries in (["a/a/1"], ["a/a/1", "nobody"], ["a/1-0000500"]):
        require_named(corpus(root, entries))
        scanned(corpus(root, entries))
    with pytest.raises(CorpusError, match=r"list0\.txt matches nothing: .* such as 'toy/a/1-0000000'"):
        require_named(corpus(root, ["nobody"]))
    reader(rows=None)
    require_named(corpus(root))


def test_an_exclusion_list_may_use_the_other_names_of_a_reader(root, reader):
    with pytest.raises(CorpusError, match=r"list0\.txt matches nothing"):
        scanned(corpus(root, ["Anna"]))
    reader(aliases={"Anna": "a"})
    assert scanned(corpus(root, ["Anna"]))[1].remarks == []


def test_a_list_may_match_in_any_chunk(root, reader, monkeypatch):
    for module in (scanning, describing):
        monkeypatch.setattr(module, "ROWS_A_CHUNK", 2)
    assert scanned(corpus(root, ["c/2", "a/1"]))[1].remarks == []


# ------------------------------------------------------------------------------------------------------------- publish


def ingest(section, catalog):
    """Scan and publish, as a run does; the step."""
    pipeline = SimpleNamespace(corpus=lambda _: section)
    reading.scan(pipeline, catalog, "toy")
    return reading.ingest(pipeline, catalog, "toy")


def test_what_is_set_aside_is_published_with_a_verdict_on_each_that_a_list_names(root, reader):
    catalog = Catalog(root.parent / "catalog")
    reader(
        published_trials=[PublishedTrial(list="O", enrol="m", enrol_list="core", test="b/1", is_target=None)],
        enrolments=[Enrolment(list="core", model="m", utterance="a/1")],
    )
    done = ingest(corpus(root, ["a", "b/1"], ["b"]), catalog).carry_out()
    assert done.summary == "4 verdicts on files"
    assert catalog.read(UTTERANCES, "toy").num_rows == 6  # nothing is left out
    assert catalog.read(ENROLMENTS, "toy").num_rows == catalog.read(PUBLISHED_TRIALS, "toy").num_rows == 1
    verdicts = catalog.read(DECISIONS, "ingest-toy").to_pylist()
    assert {(row["subject_id"], row["verdict"], row["reason"], row["decided_by"]) for row in verdicts} == {
        ("toy/a/1", "drop", "listed", "list list0.txt"),
        ("toy/a/2", "drop", "listed", "list list0.txt"),
        ("toy/b/1", "drop", "listed", "list list0.txt"),
        ("toy/b/2", "drop", "listed", "list list1.txt"),
    }


def test_what_is_published_is_done_anew_only_where_something_changed(root, reader):
    catalog = Catalog(root.parent / "catalog")
    ingest(corpus(root, ["a"]), catalog).carry_out()
    assert ingest(corpus(root, ["a"]), catalog).is_current
    assert not ingest(corpus(root, ["a", "b"]), catalog).is_current
    assert not ingest(corpus(root), catalog).is_current
    assert not ingest(corpus(root, ["a"], min_peak_dbfs=-1.0), catalog).is_current
    assert not ingest(corpus(root, ["a"], licence="mine"), catalog).is_current
    assert ingest(corpus(root, ["a"]), catalog).is_current
    reader(published_trials=[PublishedTrial(list="O", enrol="a/1", test="b/1", is_target=None)])
    assert not ingest(corpus(root, ["a"]), catalog).is_current


def test_a_scan_that_fails_leaves_what_is_published(root, reader):
    catalog = Catalog(root.parent / "catalog")
    ingest(corpus(root), catalog).carry_out()
    (root / "a" / "1.wav").write_bytes(b"no sound")
    with pytest.raises(CorpusError, match="1 of 6 files are damaged"):
        ingest(corpus(root), catalog)
    assert catalog.read(UTTERANCES)["damage"].null_count == 6
