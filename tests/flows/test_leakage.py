"""`curate audit leakage` on real speech: a copy that went into another split is told, and the catalog is only read."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import soundfile
from typer.testing import CliRunner

from curate import audio, marks
from curate.catalog import Catalog, read_parquet, write_parquet
from curate.errors import VoxcurateError
from curate.schema import EMBEDDINGS, IDENTITIES, LEAKS, SOUND_PRINTS, SPLITS
from flows.cli import app
from flows.pipeline import run
from tests.flows.pipelines_made import ONE

pytestmark = pytest.mark.real

PIPELINE = f"""
name = "copied"
catalog = "catalog"
{ONE}
[[corpora]]
name = "two"
reader = "folder"
root = "copies"

[duplicates]
near = false

[cleaning]
preset = "vietsv"
iqr_factor = 9.0
min_speaker_similarity = 0.1

[identities]
min_similarity = 0.97

[splits]
num_test_speakers = 2
test_from = ["one"]
sex_balanced = false

[trials]
cross_session_targets = false
same_sex_nontargets = false
max_nontargets = 40
"""
COPIED = 3  # files of 1688, without their first second, at 8 kHz


@pytest.fixture(scope="module")
def filled(prefect_server, corpora, tmp_path_factory) -> Path:
    """A catalog whose test has two readers of three, and beside them a label of copies that training may hold."""
    folder = tmp_path_factory.mktemp("copied")
    (folder / "copies/copied").mkdir(parents=True)
    for file in sorted((corpora / "LibriSpeech/test-other/1688").glob("*/*[0-3].flac"))[:COPIED]:
        samples = audio.decode(file, sample_rate_hz=8000)
        soundfile.write(folder / f"copies/copied/{file.stem}.wav", samples[8000:], 8000)
    (folder / "copied.toml").write_text(PIPELINE.format(libri=corpora / "LibriSpeech"), encoding="utf-8")
    run(folder / "copied.toml")
    return folder / "catalog"


@pytest.fixture
def catalog(filled, tmp_path) -> Path:
    """The catalog with the reader of the copies in the test, to be changed by a test."""
    shutil.copytree(filled, tmp_path / "catalog")
    in_test = ["one/1688", "one/2033"]
    change(
        tmp_path / "catalog",
        SPLITS,
        "copied",
        lambda rows: split_by(rows, pc.is_in(rows["identity_id"], pa.array(in_test))),
    )
    return tmp_path / "catalog"


def split_by(rows: pa.Table, is_test: pa.ChunkedArray) -> pa.Table:
    at = rows.column_names.index("split")
    return rows.set_column(at, rows.schema.field(at), pc.if_else(is_test, "test", "train"))


def change(root: Path, table, part: str, rows) -> None:
    """Put what `rows` makes of a part in its place."""
    path = Catalog(root).path(table, part)
    write_parquet(path, rows(read_parquet(path)))


def asked(root: Path, *words: str):
    return CliRunner().invoke(app, ["audit", "leakage", "-c", str(root), *words])


def checks(done) -> dict[tuple[str, str, str], dict]:
    return {(one["check"], one["side"], one["other_side"]): one for one in json.loads(done.stdout)["checks"]}


def hashes(root: Path) -> dict[str, str]:
    files = (file for file in sorted(root.rglob("*")) if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def listed(folder: Path, *entries: str) -> str:
    (folder / "names.txt").write_text("\n".join(entries), encoding="utf-8")
    return str(folder / "names.txt")


def test_copies_in_training_of_what_the_test_has_are_told_and_end_in_an_error(catalog):
    done = asked(catalog, "--json")
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    told = json.loads(done.stdout)
    assert (told["benchmark"], told["leaks"], told["remarks"]) == ("copied", True, [])
    shared = {check for (check, *_), one in checks(done).items() if one["num_shared"]}
    assert shared == {"near_duplicate"}
    one = checks(done)["near_duplicate", "test", "train"]
    assert (one["num_shared"], one["num_utterances"], one["num_other_utterances"]) == (COPIED, COPIED, COPIED)
    for line in one["examples"].splitlines():
        assert re.fullmatch(r"one/test-other/1688/[0-9]+/(.+) \| two/copied/\1 \([0-9]+ landmarks agree\)", line), line


def test_an_audit_writes_nothing_unless_there_is_too_much_to_be_held_and_leaves_nothing(catalog, monkeypatch):
    shutil.rmtree(catalog / "cache", ignore_errors=True)
    before, told = hashes(catalog), asked(catalog, "--json").stdout
    assert not (catalog / "cache").exists()
    monkeypatch.setattr(marks, "MOST_HELD", 0)
    assert asked(catalog, "--json").stdout == told
    assert not list((catalog / "cache").iterdir())
    assert hashes(catalog) == before


def test_the_table_begins_with_the_worst_and_ends_with_the_conclusion(catalog):
    before = hashes(catalog)
    done = asked(catalog)
    lines = done.stdout.splitlines()
    assert lines[0] == "copied"
    assert re.fullmatch(
        r"LEAK +recordings, changed or cut +test and train +8 with 7 +3 +3 of test, 3 of train", lines[4]
    )
    assert "recordings, changed or cut (test and train), such as:" in lines
    assert lines[-1].startswith("Something leaks that should not: recordings, changed or cut (test and train).")
    assert hashes(catalog) == before


def test_the_run_itself_looked_and_its_card_says_what_it_found(filled):
    published = Catalog(filled).read(LEAKS, "copied")
    again = asked(filled, "--json")
    assert published.drop_columns(["benchmark"]).to_pylist() == json.loads(again.stdout)["checks"]
    card = (filled / "README.md").read_text(encoding="utf-8")
    assert json.loads(again.stdout)["conclusion"] in card
    assert "| clean | people | test and train | 2 with 2 | 0 |  |  |" in card


def test_voices_are_compared_from_the_threshold_that_told_who_is_who(filled, catalog):
    person = Catalog(catalog).read(IDENTITIES)
    assert len(person["identity_id"].unique()) == len(person)  # or the copies are no second person
    one = checks(asked(catalog, "--json"))["voice", "test", "train"]
    assert (one["num_side"], one["num_other"], one["num_shared"]) == (2, 2, 0)


def test_without_the_copies_it_is_clean(catalog):
    change(catalog, SPLITS, "copied", lambda rows: rows.filter(pc.field("identity_id") != "two/copied"))
    done = asked(catalog)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith("Nothing leaks that should not.")


def test_what_the_benchmark_s_protocol_allows_is_told_and_no_error(catalog):
    rows = [{**one, "benchmark": "copied"} for one in json.loads(asked(catalog, "--json").stdout)["checks"]]
    allowed = [row | {"is_allowed": row["check"] == "near_duplicate"} for row in rows]
    path = Catalog(catalog).path(LEAKS, "copied")
    path.parent.mkdir(exist_ok=True)
    write_parquet(path, pa.Table.from_pylist(allowed, schema=LEAKS.arrow()))
    done = asked(catalog)
    assert done.exit_code == 0
    assert "allowed" in done.stdout


def test_what_was_not_looked_at_is_said(catalog):
    for table in (EMBEDDINGS, SOUND_PRINTS):
        shutil.rmtree(catalog / table.name)
    done = asked(catalog)
    assert done.exit_code == 0
    last = done.stdout.splitlines()[-1]
    for what in ("the same samples", "recordings, changed or cut", "two people who sound alike"):
        assert f"{what} (test and train)" in last


@pytest.mark.parametrize(("of", "code"), [("", 1), ("train=", 0), ("test=", 1)])
def test_a_list_may_be_about_one_split(catalog, tmp_path, of, code):
    change(catalog, SPLITS, "copied", lambda rows: rows.filter(pc.field("identity_id") != "two/copied"))
    file = listed(tmp_path, "2033", "nobody")
    done = asked(catalog, "--against", of + file)
    assert done.exit_code == code
    assert "names.txt: 1 of 2 entries match nothing, such as 'nobody'" in done.stdout
    found = checks(asked(catalog, "--json", "--against", of + file))
    assert [found["named", split, file]["num_shared"] for split in ("test", "train")] == [1, 0]
    assert found["named", "test", file]["examples"] == "2033"


def test_a_list_that_names_nothing_and_one_that_is_not_there_are_errors(catalog, tmp_path):
    for file, words in (
        (listed(tmp_path, "A.J._Buckley"), "names.txt: matches nothing: none of its 1 entries, such as 'A.J._Buckley'"),
        (str(tmp_path / "none.txt"), "none.txt: No such file or directory"),
    ):
        done = asked(catalog, "--against", file)
        assert isinstance(done.exception, VoxcurateError)
        assert words in str(done.exception)


def test_a_list_about_no_split_is_told_unless_the_file_is_called_so(catalog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = listed(tmp_path, "2033", "nobody")
    done = asked(catalog, "--against", f"foo={file}")
    assert isinstance(done.exception, VoxcurateError)
    told = f"--against foo={file}: no split 'foo'; expected test, train, or a file of that whole name"
    assert str(done.exception) == told
    (tmp_path / "foo=names.txt").write_text("2033\n")
    assert "no split" not in str(asked(catalog, "--against", "foo=names.txt").exception)


def test_a_benchmark_that_is_not_there_is_an_error(catalog):
    done = asked(catalog, "--benchmark", "other")
    assert isinstance(done.exception, VoxcurateError)
    assert "no benchmark 'other'; expected one of copied" in str(done.exception)


def test_the_command_ends_with_these_codes(catalog, curate, script, tmp_path):
    """As grep and diff: 1 is that something was found, 2 that it cannot be told."""
    assert script("audit", "leakage", "-c", catalog).returncode == 1
    for words in (("-c", tmp_path), ("-c", catalog, "--benchmark", "other")):
        done = curate("audit", "leakage", *words)
        assert (done.returncode, done.stderr.startswith("curate: ")) == (2, True)
    assert curate("audit", "circularity", tmp_path / "a.toml", "--judge", tmp_path / "b.toml").returncode == 1
    told = " ".join(curate("audit", "leakage", "--help").stdout.split())
    assert "exit code 0 where nothing leaks, 1 where" in told
