"""What an export promises as a whole: it is there when all of it is, goes on where it was stopped, and is alone."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from curate.audio import probe
from curate.catalog import Catalog, rows_of
from curate.errors import ExportError
from curate.export import sound, writing
from curate.export.sound import TELEPHONE, Conversion
from curate.export.writing import export_benchmark
from curate.schema import CORPORA, DECISIONS, SPLITS, TRIALS, UTTERANCES

RATE = 16_000
KILLED = """
import os, signal, sys
from pathlib import Path

from curate.catalog import Catalog
from curate.export.sound import TELEPHONE
from curate.export.writing import export_benchmark

number, moment = int(sys.argv[3]), sys.argv[4]
replace, renames = Path.replace, 0


def replace_or_die(self, target):
    global renames
    renames += 1
    if renames == number and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = replace(self, target)
    if renames == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


Path.replace = replace_or_die
export_benchmark(Catalog(Path(sys.argv[1])), "kaldi", Path(sys.argv[2]), conversion=TELEPHONE, workers=1)
sys.exit(f"only {renames} renames")
"""


@pytest.fixture
def catalog(tmp_path):
    """Six utterances of two people: two whole files, and four stretches of the sides of a call."""
    rng, root = np.random.default_rng(0), tmp_path / "corpus"
    root.mkdir()
    for name, seconds, rate, channels in (("an", 0.5, RATE, 1), ("chi", 0.6, RATE, 1), ("call", 1.0, 22_050, 2)):
        noise = rng.normal(0, 0.1, (round(seconds * rate), channels))
        soundfile.write(root / f"{name}.wav", noise, rate)
    rows = [row(root, "an"), row(root, "chi")]
    for channel, label in enumerate(("an", "chi")):
        for start_s in (0.0, 0.5):
            stretch = {"channel": channel, "start_s": start_s, "duration_s": 0.4}
            rows.append(row(root, "call", f"call-c{channel}-{start_s}", label, **stretch))
    made = Catalog(tmp_path / "catalog")
    where = [{"corpus": "toy", "reader": "folder", "root": str(root)}]
    made.publish(CORPORA, rows_of(CORPORA, where), fingerprint="")
    made.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="toy", fingerprint="")
    split = [
        {"benchmark": "b", "utterance_id": one["utterance_id"], "identity_id": one["speaker_id"], "split": "test"}
        for one in rows
    ]
    made.publish(SPLITS, rows_of(SPLITS, split), part="b", fingerprint="")
    made.publish(DECISIONS, rows_of(DECISIONS, []), part="clean", fingerprint="")
    pairs = [("toy/an", "toy/call-c0-0.0", True), ("toy/an", "toy/call-c1-0.0", False), ("toy/an", "toy/chi", False)]
    trials = [
        {"benchmark": "b", "list": "test", "enrol_id": a, "test_id": b, "is_target": same} for a, b, same in pairs
    ]
    made.publish(TRIALS, rows_of(TRIALS, trials), part="b", fingerprint="")
    return made


def row(root, file, name=None, label=None, **said):
    found = probe(root / f"{file}.wav")
    measured = ("content_sha256", "sample_rate_hz", "num_channels", "num_samples")
    return {
        "utterance_id": f"toy/{name or file}",
        "corpus": "toy",
        "speaker_id": f"toy/{label or file}",
        "path": f"{file}.wav",
        "start_s": 0.0,
        "duration_s": found.duration_s,
        **{column: getattr(found, column) for column in measured},
        **said,
    }


@pytest.fixture
def plain(monkeypatch):
    """A form of one file: an utterance and its audio a line. `during` is called while it is being written."""

    def write(folder, export):
        lines = [f"{one.utterance} {one.file}\n" for split in export.splits for one in export.utterances(split)]
        (folder / "list.txt").write_text("".join(lines))
        made.during(folder, export)

    made = SimpleNamespace(write=write, during=lambda folder, export: None)
    monkeypatch.setattr(writing, "form", lambda name: made)
    return made


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inodes(folder):
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def beside(out):
    return sorted(path.name for path in out.parent.iterdir())


@pytest.fixture
def out(tmp_path):
    (tmp_path / "exports").mkdir()
    return tmp_path / "exports" / "out"


class StoppedError(Exception):
    """What a test throws into a form."""


def stop(folder, export):
    raise StoppedError


# --------------------------------------------------------------------------------------------------------------- whole


def test_nothing_is_there_until_all_is_there(catalog, plain, out):
    def look(folder, export):
        assert (folder, export.out) == (out.with_name("out.unfinished"), out)
        assert beside(out) == ["out.unfinished", "out.unfinished.json"]

    plain.during = look
    summary = export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert summary == f"{out}: 6 utterances, 3 trials (plain)"
    assert beside(out) == ["out"]
    ids = ["an", "call-c0-0.0", "call-c0-0.5", "call-c1-0.0", "call-c1-0.5", "chi"]
    assert set(contents(out)) == {"list.txt", *(f"audio/toy/{one}.wav" for one in ids)}
    lines = [f"toy/{one} {out}/audio/toy/{one}.wav\n" for one in ids]
    assert (out / "list.txt").read_text() == "".join(lines)


def test_without_audio_it_refers_to_that_of_the_corpora(catalog, plain, out):
    export_benchmark(catalog, "plain", out)
    assert set(contents(out)) == {"list.txt"}
    files = {line.split()[1] for line in (out / "list.txt").read_text().splitlines()}
    assert files == {f"{out.parents[1]}/corpus/{name}.wav" for name in ("an", "chi", "call")}


def test_a_form_that_holds_the_audio_itself_has_none_beside(catalog, plain, out):
    def hold(folder, export):
        held = b"".join(one.source.read_bytes() for one in export.utterances("test"))
        (folder / "held").write_bytes(held)

    plain.during, plain.HOLDS_AUDIO = hold, True
    export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert set(contents(out)) == {"list.txt", "held"}
    assert (out / "held").stat().st_size > 6 * 0.4 * 8_000 * 2


def test_what_its_length_leaves_out_is_said(catalog, plain, out):
    summary = export_benchmark(catalog, "plain", out, min_duration_s=0.45)
    left = "4 utterances and 2 trials left out by length"
    assert summary == f"{out}: 2 utterances, 1 trials (plain); {left}"


def test_a_folder_is_made_with_those_above_it_and_an_empty_one_is_taken(catalog, plain, out):
    export_benchmark(catalog, "plain", out / "below" / "it")
    assert (out / "below" / "it" / "list.txt").exists()
    empty = out.with_name("empty")
    empty.mkdir()
    export_benchmark(catalog, "plain", empty)
    assert set(contents(empty)) == {"list.txt"}


def test_a_relative_folder_is_that_of_where_we_are(catalog, plain, out, monkeypatch):
    monkeypatch.chdir(out.parent)
    export_benchmark(catalog, "plain", Path("out"), conversion=TELEPHONE)
    assert f"{out}/audio/toy/an.wav" in (out / "list.txt").read_text()


def test_any_number_of_workers_writes_the_same(catalog, out):
    export_benchmark(catalog, "kaldi", out, conversion=TELEPHONE, workers=1)
    first = contents(out)
    out.rename(out.with_name("first"))
    export_benchmark(catalog, "kaldi", out, conversion=TELEPHONE, workers=5)
    assert contents(out) == first


# ------------------------------------------------------------------------------------------------------------- stopped


def test_a_form_that_fails_leaves_nothing_but_what_is_unfinished(catalog, plain, out):
    plain.during = stop
    with pytest.raises(StoppedError):
        export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert beside(out) == ["out.unfinished", "out.unfinished.json"]


def test_the_next_attempt_goes_on_with_the_audio_that_is_there(catalog, plain, out):
    plain.during = stop
    with pytest.raises(StoppedError):
        export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    unfinished = out.with_name("out.unfinished")
    (unfinished / "folder of the form").mkdir()
    (unfinished / "folder of the form" / "file").touch()
    (unfinished / "audio/toy/chi.wav").unlink()
    before = inodes(unfinished / "audio")
    plain.during = lambda folder, export: None
    export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert inodes(out / "audio").items() > before.items()
    assert set(contents(out)) == {"list.txt", "audio/toy/chi.wav", *(f"audio/{name}" for name in before)}
    assert beside(out) == ["out"]


@pytest.mark.parametrize("change", ["conversion", "no conversion", "audio", "length"])
def test_the_next_attempt_begins_anew_where_it_makes_something_else(catalog, plain, out, change, tmp_path):
    plain.during = stop
    with pytest.raises(StoppedError):
        export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    before, asked = inodes(out.with_name("out.unfinished") / "audio"), {"conversion": TELEPHONE}
    assert len(before) == 6
    if change == "conversion":
        asked = {"conversion": Conversion(rate_hz=RATE, mono=True)}
    elif change == "no conversion":
        asked = {}
    elif change == "length":
        asked["min_duration_s"] = 0.45
    else:
        call = tmp_path / "corpus" / "an.wav"
        soundfile.write(call, np.zeros(8_000), RATE)
        rows = catalog.read(UTTERANCES).to_pylist()
        rows = [
            one | {"content_sha256": probe(call).content_sha256} if one["path"] == call.name else one for one in rows
        ]
        catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="toy", fingerprint="")
    plain.during = lambda folder, export: None
    export_benchmark(catalog, "plain", out, **asked)
    after = inodes(out / "audio") if (out / "audio").exists() else {}
    assert len(after) == {"no conversion": 0, "length": 2}.get(change, 6)
    for name in after:
        header = soundfile.info(out / "audio" / name)
        assert (header.samplerate, header.channels) == (asked["conversion"].rate_hz, 1)
    if change == "audio":
        assert not soundfile.read(out / "audio/toy/an.wav")[0].any()


def test_other_people_and_splits_need_no_audio_anew(catalog, plain, out):
    plain.during = stop
    with pytest.raises(StoppedError):
        export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    before = inodes(out.with_name("out.unfinished") / "audio")
    split = [one | {"identity_id": "toy/an", "split": "train"} for one in catalog.read(SPLITS, "b").to_pylist()]
    catalog.publish(SPLITS, rows_of(SPLITS, split), part="b", fingerprint="")
    plain.during = lambda folder, export: None
    export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert inodes(out / "audio") == before


@pytest.mark.parametrize(
    ("number", "moment"),
    [(1, "before"), (2, "after"), (6, "after"), (7, "before"), (7, "after")],
    ids=["first file", "second file", "last file", "folder before", "folder after"],
)
def test_one_that_was_killed_and_begun_again_is_one_that_was_not(catalog, out, tmp_path, number, moment):
    """At each kind of rename: of a file, of the folder."""
    export_benchmark(catalog, "kaldi", out, conversion=TELEPHONE)
    undisturbed = contents(out)
    out.rename(tmp_path / "undisturbed")
    words = [sys.executable, "-c", KILLED, catalog.root, out, str(number), moment]
    killed = subprocess.run(words, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if moment == "after" and number == 7:  # it had its name already
        assert contents(out) == undisturbed
        return
    assert not out.exists()
    there = inodes(out.with_name("out.unfinished"))
    export_benchmark(catalog, "kaldi", out, conversion=TELEPHONE)
    assert contents(out) == undisturbed
    assert beside(out) == ["out"]
    kept = {name: inode for name, inode in there.items() if name.endswith(".wav")}
    assert len(kept) == number - (moment == "before")
    assert inodes(out).items() >= kept.items()


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("taken", ["folder", "file", "link", "broken link"])
def test_where_something_is_nothing_is_written(catalog, plain, out, taken, tmp_path):
    if taken == "folder":
        out.mkdir()
        (out / "thesis.tex").write_text("years")
    elif taken == "file":
        out.write_text("years")
    else:
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / ("elsewhere" if taken == "link" else "nowhere"))
    with pytest.raises(ExportError) as caught:
        export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert str(caught.value) == f"{out} is there already; expected a folder that is not, or is empty"
    assert beside(out) == ["out"]
    assert out.is_symlink() == ("link" in taken)
    if "link" not in taken:
        assert (out / "thesis.tex" if taken == "folder" else out).read_text() == "years"


def test_what_appears_there_meanwhile_is_left_alone(catalog, plain, out):
    def meanwhile(folder, export):
        out.mkdir()
        (out / "thesis.tex").write_text("years")

    plain.during = meanwhile
    with pytest.raises(OSError, match="not empty"):
        export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert contents(out) == {"thesis.tex": b"years"}
    assert len(contents(out.with_name("out.unfinished") / "audio")) == 6


def test_the_second_of_two_at_once_is_refused(catalog, plain, out):
    def again(folder, export):
        with pytest.raises(ExportError, match=r"out\.unfinished: another process is writing it; expected to be the"):
            export_benchmark(catalog, "plain", out, conversion=Conversion(rate_hz=22_050))

    plain.during = again
    export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert soundfile.info(out / "audio/toy/an.wav").samplerate == 8_000


def test_one_that_another_process_writes_is_left_alone(catalog, plain, out):
    unfinished = out.with_name("out.unfinished")
    unfinished.mkdir(parents=True)
    (unfinished / "theirs").write_text("half of it")
    note = out.with_name("out.unfinished.json")
    note.write_text("of another make")
    lock = "fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)"
    script = f"import fcntl, os, sys; {lock}; print('locked', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script, note], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ExportError, match="another process"):
            export_benchmark(catalog, "plain", out)
        assert contents(unfinished) == {"theirs": b"half of it"}
        other.kill()
    export_benchmark(catalog, "plain", out)  # a dead writer holds nothing
    assert set(contents(out)) == {"list.txt"}


def test_one_without_audio_that_fails_leaves_nothing(catalog, plain, out):
    plain.during = stop
    with pytest.raises(StoppedError):
        export_benchmark(catalog, "plain", out)
    assert beside(out) == []


def test_one_that_would_lie_in_the_catalog_or_a_corpus_is_refused(catalog, plain, out):
    for folder in (catalog.root, out.parents[1] / "corpus"):
        with pytest.raises(ExportError, match=rf"within {folder}; expected a folder outside of the catalog and of all"):
            export_benchmark(catalog, "plain", folder / "export")


def test_a_folder_of_somebody_else_is_left_alone(catalog, plain, out):
    theirs = out.with_name("out.unfinished")
    theirs.mkdir(parents=True)
    (theirs / "thesis.tex").write_text("years")
    with pytest.raises(ExportError, match=r"out\.unfinished: holds what no export has left there; expected it to be"):
        export_benchmark(catalog, "plain", out)
    assert contents(theirs) == {"thesis.tex": b"years"}
    assert beside(out) == ["out.unfinished"]


def test_when_it_is_done_or_has_failed_nothing_is_held(catalog, plain, out):
    export_benchmark(catalog, "plain", out.with_name("first"))  # libraries open what they keep
    num = len(os.listdir("/proc/self/fd"))
    plain.during = stop
    with pytest.raises(StoppedError):
        export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    handle = os.open(out.with_name("out.unfinished.json"), os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)
    plain.during = lambda folder, export: None
    export_benchmark(catalog, "plain", out)
    assert len(os.listdir("/proc/self/fd")) == num


@pytest.mark.parametrize("conversion", [None, TELEPHONE], ids=["referring", "converting"])
def test_audio_that_is_gone_is_named_with_its_corpus_before_anything_is_written(catalog, plain, out, conversion):
    file = out.parents[1] / "corpus" / "call.wav"
    file.unlink()
    with pytest.raises(ExportError, match=rf"^{file} is not there; expected the audio of corpus 'toy' where [^\n]*$"):
        export_benchmark(catalog, "plain", out, conversion=conversion)
    assert beside(out) == []


def test_audio_that_is_gone_but_does_not_go_out_is_not_missed(catalog, plain, out):
    (out.parents[1] / "corpus" / "call.wav").unlink()
    export_benchmark(catalog, "plain", out, min_duration_s=0.45)
    assert set(contents(out)) == {"list.txt"}


def test_audio_that_has_changed_stops_it_and_nothing_is_there(catalog, plain, out):
    soundfile.write(out.parents[1] / "corpus" / "chi.wav", np.zeros(9_600), RATE)
    for conversion in (Conversion(), TELEPHONE):
        with pytest.raises(ValueError, match=r"chi\.wav (is not what was scanned|changed)"):
            export_benchmark(catalog, "plain", out, conversion=conversion)
    assert beside(out) == ["out.unfinished", "out.unfinished.json"]


def test_a_form_that_there_is_not_is_told_with_those_that_there_are(catalog, out):
    with pytest.raises(ExportError, match=r"^form 'kaldy'; expected one of kaldi, lhotse, [^\n]*$"):
        export_benchmark(catalog, "kaldy", out)
    assert beside(out) == []


def test_what_a_form_cannot_hold_says_how_it_can(catalog, out):
    with pytest.raises(ExportError, match=r"; expected audio that is converted: `--audio`$"):
        export_benchmark(catalog, "nemo", out)
    assert not out.exists()
    export_benchmark(catalog, "nemo", out, conversion=Conversion())
    assert (out / "test_manifest.json").exists()


def test_all_is_on_the_disk_before_it_has_its_name(catalog, plain, out, monkeypatch):
    synced, fsync, replace = set(), os.fsync, Path.replace

    def note(handle):
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    def checked(self, target):
        if target == out:
            assert {str(path) for path in (self, *self.rglob("*"))} <= synced
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", checked)
    monkeypatch.setattr(sound, "sync", lambda path: None)
    export_benchmark(catalog, "plain", out, conversion=TELEPHONE)
    assert len(contents(out)) == 7
    assert str(out.parent) in synced
