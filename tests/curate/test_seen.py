"""What looking into files promises: one that holds still is opened once, and nothing outside of the corpus is."""

import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import seen
from curate.audio import Probe, probe, probe_header
from curate.corpora import folder
from curate.errors import CorpusError
from curate.seen import Seen, look_into, remembered

RATE = 8000
PATHS = ["a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav", "c/1.wav", "c/2.wav"]
KILLED_WHILE_LOOKING = """
import os, signal, sys
from pathlib import Path
from curate import seen
from curate.corpora import folder

def dying(file):
    if file.name == "2.wav" and file.parent.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return seen.audio.probe_header(file)

seen.audio.probe = dying
root, memory, *paths = sys.argv[1:]
corpus = folder.Settings(reader="folder", name="toy", root=Path(root))
with seen.remembered(Path(memory), corpus.look) as known:
    for chunk in (paths[:2], paths[2:4], paths[4:]):
        seen.look_into(corpus, chunk, known)
"""


@pytest.fixture
def root(tmp_path):
    """Three speakers with two files each, of 0.1 and 0.2 s."""
    for path in PATHS:
        (tmp_path / "corpus" / path).parent.mkdir(parents=True, exist_ok=True)
        tone = np.sin(np.arange(int(path[2]) * 800)).astype(np.float32) / 2
        soundfile.write(tmp_path / "corpus" / path, tone, RATE)
    return tmp_path / "corpus"


@pytest.fixture
def memory(tmp_path):
    """Where looks are remembered."""
    return tmp_path / "cache" / "files" / "toy.sqlite"


def corpus(root, **settings):
    return folder.Settings(reader="folder", name="toy", root=root, **settings)


def look(root, paths, memory, **settings):
    """One chunk, as a run would look into it."""
    section = corpus(root, **settings)
    with remembered(memory, section.look) as known:
        return look_into(section, paths, known)


def known(memory, paths=PATHS, how="whole"):
    """What is remembered."""
    with remembered(memory, how) as found:
        return found.known(paths)


@pytest.fixture
def looks(monkeypatch):
    """The files that were looked into, as they are."""
    opened = []

    def counting(one):
        def counted(path):
            opened.append(f"{path.parent.name}/{path.name}")
            return one(path)

        return counted

    monkeypatch.setattr(seen.audio, "probe", counting(probe))
    monkeypatch.setattr(seen.audio, "probe_header", counting(probe_header))
    return opened


# -------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("how", ["whole", "header"])
def test_a_file_that_holds_still_is_looked_into_once(root, memory, looks, how):
    first = look(root, PATHS, memory, look=how)
    assert sorted(looks) == PATHS
    assert list(first) == PATHS
    looks.clear()
    assert look(root, PATHS, memory, look=how) == first
    assert looks == []


def test_what_is_found_is_that_of_a_look_at_each(root, memory):
    found = look(root, PATHS, memory)
    assert {path: one.probe for path, one in found.items()} == {path: probe(root / path) for path in PATHS}
    status = (root / "a/1.wav").stat()
    assert found["a/1.wav"].num_bytes == status.st_size
    assert (found["a/1.wav"].changed_ns, found["a/1.wav"].touched_ns) == (status.st_mtime_ns, status.st_ctime_ns)


def test_a_file_that_changed_in_size_or_time_is_looked_into_again(root, memory, looks):
    first = look(root, PATHS, memory)
    (root / "a" / "1.wav").write_bytes((root / "a" / "1.wav").read_bytes()[:500])
    at = first["a/1.wav"].changed_ns
    os.utime(root / "a" / "1.wav", ns=(at, at))  # the size alone tells
    os.utime(root / "a" / "2.wav", ns=(1, 1))  # the time alone tells
    looks.clear()
    again = look(root, PATHS, memory)
    assert sorted(looks) == ["a/1.wav", "a/2.wav"]
    assert again["a/1.wav"].probe.damage == "truncated"
    assert again["b/1.wav"] == first["b/1.wav"]
    assert known(memory) == again  # of two looks into one file the later is remembered


def test_a_file_that_was_replaced_with_its_size_and_time_kept_is_looked_into_again(root, memory):
    """As `cp -p` and `rsync -t` do."""
    first = look(root, ["a/1.wav"], memory)["a/1.wav"]
    soundfile.write(root / "other.wav", np.zeros(800), RATE)
    os.utime(root / "other.wav", ns=(first.changed_ns, first.changed_ns))
    while (root / "a" / "1.wav").stat().st_ctime_ns == first.touched_ns:  # a clock has its ticks
        shutil.copy2(root / "other.wav", root / "a" / "1.wav")
    again = look(root, ["a/1.wav"], memory)["a/1.wav"]
    assert (again.num_bytes, again.changed_ns) == (first.num_bytes, first.changed_ns)
    assert again.probe.peak_dbfs == -math.inf


def test_another_kind_of_look_is_another_look_and_both_are_remembered(root, memory, looks):
    quick = look(root, PATHS, memory, look="header")
    thorough = look(root, PATHS, memory)
    assert sorted(looks) == sorted([*PATHS, *PATHS])
    assert quick["a/1.wav"].probe.peak_dbfs is None
    assert thorough["a/1.wav"].probe.peak_dbfs is not None
    looks.clear()
    assert (look(root, PATHS, memory, look="header"), look(root, PATHS, memory)) == (quick, thorough)
    assert looks == []


@pytest.mark.parametrize("decoder", ["libsndfile", "soundfile", "av"])
def test_what_another_decoder_saw_is_not_remembered(root, memory, monkeypatch, decoder):
    look(root, PATHS, memory)
    assert sorted(known(memory)) == PATHS
    monkeypatch.setitem(seen.audio.DECODERS, decoder, "0.0.1")
    assert known(memory) == {}


def test_what_other_code_saw_is_not_remembered(root, memory, monkeypatch, tmp_path):
    assert {path.name for path in seen.audio.SOURCES} == {"audio.py", "headers.py", "m4a.py"}
    look(root, PATHS, memory)
    (tmp_path / "audio.py").write_text("# mended\n")
    monkeypatch.setattr(seen.audio, "SOURCES", (tmp_path / "audio.py",))
    assert known(memory) == {}


ints, texts = st.integers(0, 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
probes = st.builds(
    Probe,
    content_sha256=st.none() | texts,
    sample_rate_hz=st.none() | ints,
    num_channels=st.none() | ints,
    num_samples=st.none() | ints,
    peak_dbfs=st.none() | st.floats(allow_nan=False),
    damage=st.none() | texts,
    detail=texts,
)
looked_at = st.builds(Seen, num_bytes=ints, changed_ns=ints, touched_ns=ints, probe=probes)


@settings(deadline=None, max_examples=60)
@given(first=st.dictionaries(texts, looked_at, max_size=4), later=st.dictionaries(texts, looked_at, max_size=4))
def test_what_was_seen_is_remembered_as_it_was(tmp_path_factory, first, later):
    memory = tmp_path_factory.mktemp("memory") / "toy.sqlite"
    for chunk in (first, later):
        with remembered(memory, "whole") as found:
            found.keep(chunk)
    everything = first | later
    assert known(memory, [*everything, "another"]) == everything


def test_more_files_than_a_chunk_holds_are_asked_for_at_once(memory):
    many = {f"a/{i}.wav": Seen(num_bytes=i, changed_ns=i, touched_ns=i, probe=Probe()) for i in range(20_000)}
    with remembered(memory, "whole") as found:
        found.keep(many)
        assert found.known(list(many)) == many


# ------------------------------------------------------------------------------------------------------------- garbled


@pytest.mark.parametrize("junk", [b"", b"\n", b"no database" * 99, b"\xff\xfe" * 9, b"SQLite format 3\0", bytes(9000)])
def test_a_memory_that_is_no_database_is_made_anew(root, memory, junk):
    first = look(root, PATHS, memory)
    memory.write_bytes(junk)
    assert known(memory) == {}
    assert look(root, PATHS, memory) == first
    assert known(memory) == first


@pytest.mark.parametrize("statement", ["DROP TABLE seen", "DROP TABLE made_by", "DELETE FROM made_by"])
def test_a_memory_that_lacks_a_table_is_made_anew(root, memory, statement):
    look(root, PATHS, memory)
    with sqlite3.connect(memory) as connection:
        connection.execute(statement)
    connection.close()
    assert known(memory) == {}
    assert sorted(look(root, PATHS, memory)) == PATHS


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0.01, 0.99), num=st.sampled_from([0, 1, 3]) | st.integers(0, 60_000))
def test_a_memory_that_a_disk_garbled_is_made_anew_or_still_good(tmp_path_factory, share, num):
    memory = tmp_path_factory.mktemp("memory") / "toy.sqlite"
    paths = [f"a/{i:04}.wav" for i in range(300)]
    with remembered(memory, "whole") as found:
        found.keep({path: Seen(num_bytes=1, changed_ns=1, touched_ns=1, probe=Probe(detail="x")) for path in paths})
    content = bytearray(memory.read_bytes())
    at = int(len(content) * share)
    content[at : at + num] = b"\x99" * len(content[at : at + num]) if num else b""
    memory.write_bytes(content if num else content[:at])  # garbled from there, or cut there
    with remembered(memory, "whole") as found:
        assert len(found.known(paths)) <= len(paths)
        found.keep({"b": Seen(num_bytes=1, changed_ns=1, touched_ns=1, probe=Probe())})
    assert len(known(memory, ["b"])) == 1


# -------------------------------------------------------------------------------------------------------------- killed


def test_a_killed_scan_goes_on_after_its_last_chunk(root, memory, looks):
    child = [sys.executable, "-c", KILLED_WHILE_LOOKING, str(root), str(memory), *PATHS]
    assert subprocess.run(child, cwd=Path(seen.__file__).parents[1], check=False).returncode == -signal.SIGKILL
    assert sorted(known(memory)) == ["a/1.wav", "a/2.wav"]
    assert sorted(look(root, PATHS, memory)) == PATHS
    assert sorted(looks) == ["b/1.wav", "b/2.wav", "c/1.wav", "c/2.wav"]


def test_of_a_chunk_that_was_not_finished_nothing_is_remembered(root, memory, monkeypatch):
    def dying(file):
        if file == root / "b" / "2.wav":
            raise KeyboardInterrupt
        return probe(file)

    monkeypatch.setattr(seen.audio, "probe", dying)
    look(root, PATHS[:2], memory)
    with pytest.raises(KeyboardInterrupt):
        look(root, PATHS[2:], memory)
    assert sorted(known(memory)) == ["a/1.wav", "a/2.wav"]


def test_what_holds_still_is_not_written_again(root, memory):
    """Or a million files would be written at every run."""
    look(root, PATHS, memory)
    before = memory.stat().st_mtime_ns, memory.read_bytes()
    look(root, PATHS, memory)
    assert (memory.stat().st_mtime_ns, memory.read_bytes()) == before


# ----------------------------------------------------------------------------------------------------- what is no file


@pytest.mark.parametrize("path", ["a/9.wav", "a/1.wav/x.wav", "no/1.wav", f"a/{'long' * 80}.wav", "a/loop.wav"])
@pytest.mark.parametrize("links", ["inside", "anywhere"])
def test_a_file_that_is_not_there_is_missing_even_if_it_was_seen_before(root, memory, path, links):
    (root / "a" / "loop.wav").symlink_to("loop.wav")
    with remembered(memory, "whole") as found:
        found.keep({path: Seen(num_bytes=1, changed_ns=1, touched_ns=1, probe=Probe(num_samples=1))})
    missing = look(root, [path], memory, links=links)[path].probe
    assert (missing.damage, missing.detail, missing.content_sha256) == ("missing", "no such file", None)


def test_a_missing_file_that_comes_back_is_looked_into(root, memory):
    away = (root / "a" / "1.wav").rename(root / "away.wav")
    assert look(root, ["a/1.wav"], memory)["a/1.wav"].probe.damage == "missing"
    away.rename(root / "a" / "1.wav")
    assert look(root, ["a/1.wav"], memory)["a/1.wav"].probe == probe(root / "a" / "1.wav")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # its name may be no longer than 108 bytes
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, make_socket], ids=["fifo", "folder", "socket"])
@pytest.mark.parametrize("how", ["whole", "header"])
def test_what_is_no_plain_file_is_an_error_rather_than_a_hang(root, memory, make, how):
    make(root / "a" / "odd.wav")
    with pytest.raises(CorpusError, match=rf"^{root}/a/odd.wav: no plain file; expected audio$"):
        look(root, ["a/odd.wav"], memory, look=how)


def test_a_file_that_may_not_be_looked_at_is_an_error_that_names_it(root, memory, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(seen, "os", SimpleNamespace(stat=refuse, lstat=os.lstat, path=os.path))
    with pytest.raises(CorpusError, match=rf"^{root}/a/1.wav: Permission denied; expected a readable file$"):
        look(root, ["a/1.wav"], memory)


# --------------------------------------------------------------------------------------------------------------- links


@pytest.fixture
def outside(tmp_path):
    """A file and a folder beside the corpus, whose name begins as that of the corpus."""
    (tmp_path / "corpus-other").mkdir()
    soundfile.write(tmp_path / "corpus-other" / "x.wav", np.zeros(80), RATE)
    return tmp_path / "corpus-other"


def link_file(root, outside):
    (root / "a" / "l.wav").symlink_to(outside / "x.wav")
    return "a/l.wav"


def link_file_by_dots(root, outside):
    (root / "a" / "l.wav").symlink_to(f"../../{outside.name}/x.wav")
    return "a/l.wav"


def link_by_a_link(root, outside):
    (root / "hop.wav").symlink_to(outside / "x.wav")
    (root / "a" / "l.wav").symlink_to("../hop.wav")
    return "a/l.wav"


def link_folder(root, outside):
    (root / "l").symlink_to(outside)
    return "l/x.wav"


def link_folder_above(root, outside):
    (outside / "deep").mkdir()
    (outside / "x.wav").rename(outside / "deep" / "x.wav")
    (root / "l").symlink_to(outside)
    return "l/deep/x.wav"


def link_nowhere(root, outside):
    (root / "a" / "l.wav").symlink_to(outside / "gone.wav")
    return "a/l.wav"


LEADING_OUT = [link_file, link_file_by_dots, link_by_a_link, link_folder, link_folder_above, link_nowhere]


@pytest.mark.parametrize("make", LEADING_OUT)
@pytest.mark.parametrize("how", ["whole", "header"])
def test_a_link_that_leads_out_of_the_corpus_is_refused_before_it_is_followed(root, outside, memory, looks, make, how):
    path = make(root, outside)
    with pytest.raises(CorpusError) as caught:
        look(root, ["b/1.wav", path], memory, look=how)
    told = str(caught.value)
    assert told.startswith(f"{root}/{path.partition('/')[0]}")
    assert told.endswith(f'leads out of {root} by a link; expected what lies below it, or `links = "anywhere"`')
    assert "\n" not in told
    assert set(looks) <= {"b/1.wav"}


@pytest.mark.parametrize("make", LEADING_OUT)
def test_a_link_may_lead_anywhere_where_the_corpus_says_so(root, outside, memory, make):
    path = make(root, outside)
    found = look(root, [path], memory, links="anywhere")[path].probe
    assert found.damage == ("missing" if make is link_nowhere else None)


@pytest.mark.parametrize(("link", "to"), [("a/l.wav", "../b/1.wav"), ("l", "b"), ("b/l", "../b"), ("c/l", "..")])
def test_a_link_within_the_corpus_is_followed(root, memory, link, to):
    (root / link).symlink_to(to)
    path = link if link.endswith(".wav") else f"{link}/b/1.wav" if to == ".." else f"{link}/1.wav"
    assert look(root, [path], memory)[path].probe == probe(root / "b" / "1.wav")


def test_a_corpus_may_itself_lie_behind_a_link(root, memory, tmp_path):
    (tmp_path / "here").symlink_to(root)
    (root / "a" / "l.wav").symlink_to(root / "b" / "1.wav")
    assert look(tmp_path / "here", ["a/l.wav"], memory)["a/l.wav"].probe.damage is None


def test_a_link_that_leads_nowhere_within_the_corpus_is_missing(root, memory):
    (root / "a" / "l.wav").symlink_to("gone.wav")
    assert look(root, ["a/l.wav"], memory)["a/l.wav"].probe.damage == "missing"
