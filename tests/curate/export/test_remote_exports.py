"""An export from a store is that of the same files here; where it would name what its readers cannot open, it says so.

`memory://` stands for a store; a real S3 protocol server on loopback lets Lhotse open what an export names.
"""

import gzip
import importlib
import json
import uuid

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import storage
from curate.audio import probe
from curate.catalog import Catalog, rows_of
from curate.errors import CorpusError, ExportError
from curate.export import FORMS, sound
from curate.export import lhotse as lhotse_form
from curate.export.chosen import in_order, outgoing_rows
from curate.export.sound import TELEPHONE, Conversion
from curate.export.writing import export_benchmark, refuse_missing
from curate.schema import CORPORA, DECISIONS, SPLITS, TRIALS, UTTERANCES
from curate.storage import location, put

RATE = 8_000
STUDIO = ("an/1.wav", "an/2 #b?c%20 dũng.flac", "chi/1.wav")  # names that mean something in an address
PAIRS = (("studio/0", "studio/1", True), ("studio/0", "calls/1", False))


@pytest.fixture
def corpora_here(tmp_path):
    """Whole files of two people in `studio`; a call in `calls`, of which a stretch of each side goes out."""
    rng, root = np.random.default_rng(0), tmp_path / "corpora"
    for file in (*(f"studio/{name}" for name in STUDIO), "calls/7.wav"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        num_channels = 2 if file == "calls/7.wav" else 1
        soundfile.write(root / file, rng.normal(0, 0.1, (RATE, num_channels)), RATE)
    return root


def utterances(corpora):
    sides = [{"channel": side, "start_s": 0.25, "duration_s": 0.5} for side in (0, 1)]
    for corpus, files, said in (("studio", STUDIO, [{}] * 3), ("calls", ("7.wav",) * 2, sides)):
        for number, (file, told) in enumerate(zip(files, said, strict=True)):
            found = probe(corpora / corpus / file)
            measured = ("content_sha256", "sample_rate_hz", "num_channels", "num_samples", "duration_s")
            yield {
                "utterance_id": f"{corpus}/{number}",
                "corpus": corpus,
                "speaker_id": f"{corpus}/{file.split('/')[0]}-{told.get('channel', '')}",
                "path": file,
                "start_s": 0.0,
                **{column: getattr(found, column) for column in measured},
                **told,
            }


def filled(root, corpora, said):
    """A catalog of the benchmark `b` at `root`, which says that the corpora lie below `said`."""
    made, rows = Catalog(root), list(utterances(corpora))
    where = [{"corpus": name, "reader": "folder", "root": f"{said}/{name}"} for name in ("calls", "studio")]
    made.publish(CORPORA, rows_of(CORPORA, where), fingerprint="")
    for name in ("calls", "studio"):
        of_it = sorted((row for row in rows if row["corpus"] == name), key=lambda row: row["utterance_id"])
        made.publish(UTTERANCES, rows_of(UTTERANCES, of_it), part=name, fingerprint="")
    split = [
        {"benchmark": "b", "utterance_id": row["utterance_id"], "identity_id": row["speaker_id"], "split": "test"}
        for row in sorted(rows, key=lambda row: row["utterance_id"])
    ]
    made.publish(SPLITS, rows_of(SPLITS, split), part="b", fingerprint="")
    made.publish(DECISIONS, rows_of(DECISIONS, []), part="clean", fingerprint="")
    trials = [
        {"benchmark": "b", "list": "test", "enrol_id": a, "test_id": b, "is_target": same}
        for a, b, same in sorted(PAIRS)
    ]
    made.publish(TRIALS, rows_of(TRIALS, trials), part="b", fingerprint="")
    return made


def copied(folder, place):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(place / path.relative_to(folder).as_posix(), path.read_bytes())
    return place


@pytest.fixture
def local(tmp_path, corpora_here):
    return filled(tmp_path / "catalog", corpora_here, corpora_here)


@pytest.fixture
def store():
    root = location(f"memory://{uuid.uuid4().hex}")
    yield root
    root.fs.store.clear()


@pytest.fixture
def remote(store, corpora_here):
    """The same catalog, and the same corpora, in a store."""
    return filled(store / "catalog", corpora_here, copied(corpora_here, store / "corpora"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "exports" / "out"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def both(local, remote, out, to, conversion):
    """What is written of the same from here, and from the store."""
    export_benchmark(local, to, out, conversion=conversion)
    expected = contents(out)
    out.rename(out.with_name("local"))
    summary = export_benchmark(remote, to, out, conversion=conversion)
    assert summary == f"{out}: 5 utterances, 2 trials ({to})"
    return expected, contents(out)


# --------------------------------------------------------------------------------------------------------------- equal


@pytest.mark.parametrize("to", FORMS)
def test_with_its_audio_an_export_from_a_store_is_that_of_the_same_here(local, remote, out, to):
    expected, found = both(local, remote, out, to, Conversion())
    assert found == expected
    assert sorted(path.name for path in out.parent.iterdir()) == ["local", "out"]


def test_audio_of_a_store_is_copied_byte_for_byte(remote, corpora_here, out):
    export_benchmark(remote, "kaldi", out, conversion=Conversion(), workers=3)
    for number, file in enumerate(STUDIO):
        copy = out / "audio" / f"studio/{number}{file[file.rindex('.') :]}"
        assert copy.read_bytes() == (corpora_here / "studio" / file).read_bytes()


def test_audio_of_a_store_is_converted_as_that_here(local, remote, out):
    expected, found = both(local, remote, out, "nemo", Conversion(rate_hz=11_025, mono=True, bits=24, format="flac"))
    assert found == expected
    assert soundfile.info(out / "audio/calls/0.flac").samplerate == 11_025


def test_a_form_that_holds_the_audio_itself_fetches_it_as_it_is(local, remote, out):
    expected, found = both(local, remote, out, "huggingface", None)
    assert found == expected
    assert not any("audio" in name for name in found)


def test_a_root_may_be_said_as_the_address_of_a_folder_here(local, corpora_here, tmp_path, out):
    export_benchmark(local, "kaldi", out, conversion=None)
    expected = contents(out)
    out.rename(out.with_name("local"))
    other = filled(tmp_path / "other", corpora_here, f"file://{corpora_here}")
    export_benchmark(other, "kaldi", out)
    assert contents(out) == expected
    with pytest.raises(ExportError, match=f"is within {corpora_here}/calls; expected a folder outside of"):
        export_benchmark(other, "kaldi", corpora_here / "calls" / "out")


def test_corpora_in_a_store_may_be_told_by_a_catalog_here_and_beside_others_here(local, corpora_here, store, out):
    where = local.read(CORPORA).to_pylist()
    where[0]["root"] = str(copied(corpora_here / "calls", store / "calls"))
    local.publish(CORPORA, rows_of(CORPORA, where), fingerprint="")
    export_benchmark(local, "speechbrain", out, conversion=Conversion())
    assert len(contents(out / "audio")) == 5


def test_times_of_an_utterance_and_its_place_are_read_back(remote, store):
    every = {one.utterance: one for one in in_order(outgoing_rows(remote, "b"))}
    assert str(every["studio/1"].file) == f"{store}/corpora/studio/{STUDIO[1]}"
    assert every["calls/1"].stretch | {"content_sha256": None} == {
        "start_s": 0.25,
        "duration_s": 0.5,
        "channel": 1,
        "content_sha256": None,
    }


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("to", [one for one in FORMS if one != "huggingface"])
def test_a_form_whose_readers_cannot_open_the_store_asks_for_audio(remote, store, out, to):
    with pytest.raises(ExportError) as caught:
        export_benchmark(remote, to, out)
    told = f"{store}/corpora/calls: audio there is out of reach for what reads {to}; expected a copy: `--audio`"
    assert str(caught.value) == told
    assert not out.parent.exists()


def test_one_corpus_in_a_store_is_enough_to_ask_for_audio(local, corpora_here, store, out):
    where = local.read(CORPORA).to_pylist()
    where[1]["root"] = str(copied(corpora_here / "studio", store / "studio"))
    local.publish(CORPORA, rows_of(CORPORA, where), fingerprint="")
    with pytest.raises(ExportError, match=rf"^{store}/studio: [^\n]* expected a copy: `--audio`$"):
        export_benchmark(local, "kaldi", out)


@pytest.mark.parametrize("to", ["kaldi", "huggingface"])
def test_an_address_is_no_place_to_write_to(remote, store, to):
    before = set(store.fs.store)
    with pytest.raises(ExportError) as caught:
        export_benchmark(remote, to, store / "out", conversion=Conversion())
    told = "an address; expected a folder of this machine, to be uploaded when it is written"
    assert str(caught.value) == f"{store}/out: {told}"
    assert set(store.fs.store) == before


@pytest.mark.parametrize("to", ["kaldi", "huggingface"])
def test_audio_that_a_store_lacks_is_named_before_anything_is_written(remote, store, out, to):
    gone = store / "corpora" / "studio" / STUDIO[1]
    gone.unlink()
    with pytest.raises(ExportError) as caught:
        export_benchmark(remote, to, out, conversion=Conversion() if to == "kaldi" else None)
    assert str(caught.value).startswith(f"{gone} is not there; expected the audio of corpus 'studio' where")
    assert "\n" not in str(caught.value)
    assert not out.parent.exists()


@pytest.mark.parametrize("conversion", [Conversion(), TELEPHONE], ids=["copied", "converted"])
def test_audio_of_a_store_that_has_changed_stops_the_export(remote, store, out, conversion):
    changed = store / "corpora" / "studio" / STUDIO[2]
    put(changed, storage.read_bytes(changed)[:-2] + b"\1\2")
    with pytest.raises(ValueError, match=r"chi/1\.wav (is not what was scanned|changed)[^\n]*$"):
        export_benchmark(remote, "kaldi", out, conversion=conversion)
    assert not out.exists()


def test_a_store_that_stops_answering_is_told_in_one_line_and_the_next_attempt_goes_on(remote, store, out, monkeypatch):
    opened = sound.opened

    def cut_off(path):
        if path.name == STUDIO[2].split("/")[1] and "chi" in str(path):
            raise storage.UnreachableError(5, "Could not connect to the endpoint URL", str(path))
        return opened(path)

    monkeypatch.setattr(sound, "opened", cut_off)
    told = rf"^{store}/corpora/studio/chi/1\.wav: [^\n]*; expected a readable file$"
    with pytest.raises(CorpusError, match=told):
        export_benchmark(remote, "kaldi", out, conversion=Conversion(), workers=1)
    unfinished = out.with_name("out.unfinished") / "audio"
    kept = {path: path.stat().st_ino for path in unfinished.rglob("*") if path.suffix in (".wav", ".flac")}
    assert len(kept) == 4
    monkeypatch.setattr(sound, "opened", opened)
    export_benchmark(remote, "kaldi", out, conversion=Conversion(), workers=1)
    after = {path.stat().st_ino for path in (out / "audio").rglob("*") if path.is_file()}
    assert len(after) == 5
    assert set(kept.values()) < after


def test_a_fault_of_a_network_in_the_middle_of_a_file_is_told_in_one_line(remote, store, out, monkeypatch):
    class Breaking:
        """A file of which the first read succeeds."""

        def __init__(self):
            self.begun = False

        def read(self, num_bytes):
            if self.begun:
                raise EndpointConnectionError(endpoint_url="http://far")
            self.begun = True
            return b"RIFF"

        def __enter__(self):
            return self

        def __exit__(self, *fault):
            return None

    monkeypatch.setattr(sound, "opened", lambda path: Breaking())
    with pytest.raises(CorpusError, match=r"^memory://[^\n]*http://far[^\n]*; expected a readable file$"):
        export_benchmark(remote, "kaldi", out, conversion=Conversion(), workers=1)
    assert not out.exists()


def test_whether_audio_is_there_is_asked_once_a_corpus_and_not_once_a_file(remote, monkeypatch):
    asked, facts = [], storage.facts
    monkeypatch.setattr(storage, "facts", lambda path: asked.append(path) or facts(path))
    refuse_missing(outgoing_rows(remote, "b"))
    assert len(asked) <= 2


names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/"), min_size=1, max_size=12)
paths = st.lists(names.filter(lambda name: name.strip(".")), min_size=1, max_size=3).map("/".join)


@settings(deadline=None, max_examples=60)
@given(chosen=st.sets(paths, min_size=1, max_size=4), data=st.data())
def test_a_file_is_there_under_any_name_and_missed_when_it_is_gone(chosen, data):
    chosen = sorted(one for one in chosen if not any(other.startswith(f"{one}/") for other in chosen))
    root = location(f"memory://{uuid.uuid4().hex}")
    for path in chosen:
        put(root / path, b"sound")
    of_them = {"path": chosen, "file": [f"{root}/{path}" for path in chosen], "corpus": ["a"] * len(chosen)}
    rows = pa.table(of_them | {"root": [str(root)] * len(chosen)})
    refuse_missing(rows)
    gone = data.draw(st.sampled_from(chosen))
    root.fs.rm_file((root / gone).path)
    with pytest.raises(ExportError) as caught:
        refuse_missing(rows)
    assert str(caught.value).startswith(f"{root}/{gone} is not there; ")


# ------------------------------------------------------------------------------------------------ Lhotse opens a store


@pytest.fixture(scope="module")
def server(s3_server):
    location("s3://shelf").mkdir()
    return s3_server


@pytest.fixture
def s3(server, corpora_here):
    root = location(f"s3://shelf/{uuid.uuid4().hex}")
    return filled(root / "catalog", corpora_here, copied(corpora_here, root / "corpora"))


@pytest.mark.filterwarnings("ignore:You requested a subset of a recording")  # it fetches the file whole, and says so
def test_lhotse_reads_every_cut_from_the_store_as_it_is_here(s3, corpora_here, out):
    lhotse = importlib.import_module("lhotse")
    export_benchmark(s3, "lhotse", out)
    assert not (out / "audio").exists()
    rows = {row["utterance_id"]: row for row in utterances(corpora_here)}
    cuts = lhotse.CutSet.from_file(out / "b_cuts_test.jsonl.gz")
    lhotse.qa.validate(cuts)
    heard = {cut.id: cut.load_audio() for cut in cuts}
    assert set(heard) == set(rows)
    for name, samples in heard.items():
        row = rows[name]
        here = soundfile.read(corpora_here / row["corpus"] / row["path"], dtype="float32", always_2d=True)[0].T
        start, channel = round(row["start_s"] * RATE), row.get("channel")
        here = here[:, start : start + round(row["duration_s"] * RATE)]
        np.testing.assert_array_equal(samples, here if channel is None else here[[channel]])


def test_an_export_of_a_benchmark_on_s3_with_its_audio_is_that_of_the_same_here(local, s3, out):
    expected, found = both(local, s3, out, "wespeaker", Conversion())
    assert found == expected


def test_a_source_in_a_store_is_a_url_and_one_here_a_file(local, corpora_here, out, server):
    root = location(f"s3://shelf/{uuid.uuid4().hex}")
    where = local.read(CORPORA).to_pylist()
    where[1]["root"] = str(copied(corpora_here / "studio", root))
    local.publish(CORPORA, rows_of(CORPORA, where), fingerprint="")
    export_benchmark(local, "lhotse", out)
    with gzip.open(out / "b_recordings_test.jsonl.gz", "rt", encoding="utf-8") as file:
        sources = [source for line in file for source in json.loads(line)["sources"]]
    assert [(one["type"], one["source"]) for one in sources] == [
        ("file", f"{corpora_here}/calls/7.wav"),
        *(("url", f"{root}/{name}") for name in STUDIO),
    ]
    assert "memory" not in lhotse_form.OPENS
