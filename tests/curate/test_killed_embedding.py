"""What a SIGKILL leaves: no finished block runs again, and the tables are those of an undisturbed run."""

import hashlib
import signal

import numpy as np
import pytest
import soundfile

from curate.catalog import Catalog, rows_of
from curate.schema import DECISIONS, EMBEDDINGS, SOUND_PRINTS, UTTERANCES
from tests.curate.killed_embedding import embed_until_killed
from tests.forked import forks

RATE_HZ, NUM_FILES, NUM_KILLS = 8_000, 96, 20


def prepare(folder):
    """Short files of different lengths, and the catalog that a scan makes of them."""
    rng, rows = np.random.default_rng(5), []
    (folder / "audio").mkdir(parents=True)
    for number in range(NUM_FILES):
        file = folder / "audio" / f"{number:02}.wav"
        soundfile.write(file, rng.normal(0, 0.1, 400 + 8 * (number % 7)), RATE_HZ)
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        told = {"utterance_id": f"toy/{number:02}", "corpus": "toy", "speaker_id": "toy/x", "path": file.name}
        rows.append(told | {"content_sha256": sha, "start_s": 0.0, "duration_s": soundfile.info(file).duration})
    catalog = Catalog(folder / "catalog")
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="toy", fingerprint="1")
    catalog.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="ingest-toy", fingerprint="1")
    return folder


@pytest.fixture(scope="module")
def forked():
    with forks("curate.embed", "curate.vectors", "duckdb") as forked:
        yield forked


@pytest.fixture
def embed(forked):
    """Embeds until the moment of that number; returns the exit code, and the blocks that were told to be done."""

    def embedded(folder, number):
        told = folder / "told"
        told.write_text("")
        done = forked.run(embed_until_killed, folder, number)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode, told.read_text().split()

    return embedded


@pytest.mark.parametrize("seed", [1])
def test_twenty_kills_over_one_run_lose_nothing_and_repeat_nothing(embed, tmp_path, seed):
    rng = np.random.default_rng(seed)
    whole, killed = prepare(tmp_path / "whole"), prepare(tmp_path / "killed")
    assert embed(whole, 0)[0] == 0
    told, stood, kills = [], {}, 0
    while kills < NUM_KILLS:
        code, blocks = embed(killed, int(rng.integers(1, 25)))
        assert code == -signal.SIGKILL, f"the run ended after {kills} kills: it has too few blocks"
        kills += 1
        told += blocks
        now = {file: file.stat().st_mtime_ns for file in (killed / "blocks").glob("*.parquet")}
        assert now.items() >= stood.items()  # what is finished is not touched
        stood = now
    assert 0 < len(stood) < NUM_FILES // 2
    code, blocks = embed(killed, 0)
    told += blocks
    assert code == 0
    assert len(told) == len(set(told))
    assert not set(blocks) & {file.stem for file in stood}
    assert len(blocks) + len(stood) == NUM_FILES // 2
    for table in (EMBEDDINGS, SOUND_PRINTS):
        ours, theirs = (Catalog(folder / "catalog").path(table, "spectrum") for folder in (killed, whole))
        assert ours.read_bytes() == theirs.read_bytes()
