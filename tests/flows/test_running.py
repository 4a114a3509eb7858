"""What `curate run` tells before and after all that takes long."""

import fcntl
import signal

import pytest

from curate.catalog import Catalog, rows_of
from curate.config import load_pipeline
from curate.decisions import Author, verdicts
from curate.errors import CorpusError, PipelineError
from curate.reasons import Reason, Subject, Verdict
from curate.schema import DECISIONS, IDENTITIES, UTTERANCES
from curate.turns import READING
from flows.running import curate_file, end_at_once
from flows.steps import split


def test_patterns_and_lists_that_match_nothing_are_told_before_any_corpus_is_decoded(tmp_path, monkeypatch):
    """Of all corpora at once. One that the catalog has is not asked: its scan remembers what it decoded."""
    file, looks = tmp_path / "three.toml", []
    monkeypatch.setattr("curate.audio.probe", lambda path: looks.append(path))
    section = '[[corpora]]\nname = "{0}"\nreader = "folder"\nroot = "{0}"\n'
    (tmp_path / "banned.txt").write_text("anna\nnobody\n")
    (tmp_path / "others.txt").write_text("someone/else\n")
    keys = {"one": "", "two": 'exclude = ["*.mp3"]\n', "three": 'exclusions = ["others.txt"]\n'}
    keys["four"] = 'exclusions = ["banned.txt"]\n'
    text = 'name = "four"\ncatalog = "catalog"\n'
    for name, told in keys.items():
        (tmp_path / name / "anna").mkdir(parents=True)
        (tmp_path / name / "anna" / "1.wav").touch()
        text += section.format(name) + told
    file.write_text(text)
    with pytest.raises(CorpusError) as fault:
        curate_file(file)
    one, two = str(fault.value).split("; corpus ")
    assert one == "corpus 'two': '*.mp3' matches none of 1 paths such as 'anna/1.wav'"
    assert two.startswith(
        f"'three': {tmp_path}/others.txt matches nothing: none of its 1 entries, such as 'someone/else'"
    )
    assert looks == []
    Catalog(tmp_path / "catalog").publish(UTTERANCES, UTTERANCES.arrow().empty_table(), part="two", fingerprint="f")
    with pytest.raises(CorpusError) as fault:
        curate_file(file)
    assert str(fault.value) == f"corpus {two}"


def test_a_catalog_of_which_nothing_is_left_is_told_to_be_so_and_by_which_reasons(tmp_path, monkeypatch):
    """By what stands: a reviewer brings one back. One that two rules drop counts once. With `[splits]`, too."""
    (tmp_path / "corpus").mkdir()
    file, catalog = tmp_path / "one.toml", Catalog(tmp_path / "catalog")
    file.write_text(
        'name = "one"\ncatalog = "catalog"\n[[corpora]]\nname = "one"\nreader = "folder"\nroot = "corpus"\n'
    )
    ids = [f"one/ann/{number}" for number in range(4)]
    common = {"corpus": "one", "speaker_id": "one/ann", "path": "1.wav", "start_s": 0.0}
    rows = [common | {"utterance_id": one} for one in ids]
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="one", fingerprint="f")

    identities = [{"speaker_id": "one/ann", "identity_id": "ann"}]
    catalog.publish(IDENTITIES, rows_of(IDENTITIES, identities), fingerprint="f")

    def decide(step, ids, verdict, reason):
        author = Author(rule="r", step=step, run_id="1")
        rows = verdicts(author, Subject.UTTERANCE, ids, verdict=verdict, reason=reason)
        catalog.publish(DECISIONS, rows, part=step, fingerprint="f")

    def reading(_):
        with (catalog.root / READING).open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # all that is told is read as one
        return []

    def told():
        return curate_file(file).removeprefix(f"Nothing to do: {catalog.root} is complete.")

    monkeypatch.setattr("flows.steps.is_complete", lambda *_: True)
    monkeypatch.setattr("flows.steps.finish", lambda *_: [])
    monkeypatch.setattr("flows.building.told_stale", reading)
    decide("ingest-one", ids[:1], Verdict.DROP, Reason.TOO_SHORT)
    decide("clean", ids[1:3], Verdict.DROP, Reason.INVALID_SPEAKER)
    assert told() == ""
    decide("duplicates", ids[1:3], Verdict.DROP, Reason.DUPLICATE)
    decide("embed", ids[2:], Verdict.DROP, Reason.TOO_SHORT)
    left = "left of 4 utterances: 2 duplicate, 2 too_short"
    assert told() == f"\nNothing is {left}. `curate why ID` says more of each."
    decide("review", [], Verdict.KEEP, Reason.REVIEWED)
    file.write_text(f"{file.read_text()}[splits]\nnum_test_speakers = 2\n")
    with pytest.raises(PipelineError, match=f"^splits: nothing is {left}; expected rules that leave some "):
        split(load_pipeline(file), catalog).carry_out()
    decide("review", ids[1:2], Verdict.KEEP, Reason.REVIEWED)
    assert told() == ""


def test_ctrl_c_once_prefect_may_run_is_the_same_line_and_the_end(monkeypatch, capfd):
    codes = []
    monkeypatch.setattr("os._exit", codes.append)
    end_at_once(signal.SIGINT, None)
    told = "\ncurate: interrupted; run it again, and it goes on from there\n"
    assert (codes, *capfd.readouterr()) == ([130], "", told)
