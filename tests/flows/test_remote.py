"""What the flow promises where corpora and catalog lie in a store: the tables of a local run."""

import hashlib

import pytest

from curate.catalog import Catalog
from curate.config import load_pipeline
from curate.query import ask
from curate.schema import CORPORA, RUNS, TABLES
from curate.storage import location
from flows.pipeline import run
from flows.running import curate_file

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("prefect_server")]
SPEAKERS = ("1688", "2033", "1998", "3005", "3331")


def upload(corpora, bucket):
    """What the small pipeline reads of LibriSpeech."""
    root = corpora / "LibriSpeech"
    chosen = [file for speaker in SPEAKERS for file in (root / "test-other" / speaker).rglob("*") if file.is_file()]
    for file in [*chosen, *root.glob("*.TXT")]:
        place = bucket / "LibriSpeech" / file.relative_to(root).as_posix()
        place.write_bytes(file.read_bytes())


def elsewhere(pipeline_file, corpora):
    """The same pipeline, all of it in the bucket."""
    text = pipeline_file.read_text(encoding="utf-8")
    text = text.replace(f'"{corpora / "LibriSpeech"}"', '"s3://curated/LibriSpeech"')
    text = text.replace('catalog = "catalog"', 'catalog = "s3://curated/catalog"')
    remote = pipeline_file.with_name("remote.toml")
    remote.write_text(text, encoding="utf-8")
    return remote


def hashes(catalog):
    """Of every part, but for those that hold places and times."""
    tables = [table for table in TABLES.values() if table not in (CORPORA, RUNS)]
    parts = [(table, part) for table in tables for part in catalog.parts(table)]
    return {
        (table.name, part): hashlib.sha256(catalog.path(table, part).read_bytes()).hexdigest() for table, part in parts
    }


def test_a_run_in_a_store_ends_in_the_tables_of_a_local_run(
    s3_server, small_run, tmp_path, write_pipeline, corpora, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = location("s3://curated")
    bucket.mkdir()
    upload(corpora, bucket)
    remote = elsewhere(write_pipeline(tmp_path), corpora)
    done = run(remote)
    here, there = Catalog(small_run.with_name("catalog")), Catalog(load_pipeline(remote).catalog)
    assert hashes(there) == hashes(here)
    assert all(step.changed for step in done)
    assert curate_file(remote) == f"Nothing to do: {there.root} is complete."
    assert ask(there, "select count(*) from trials") == ask(here, "select count(*) from trials")
    lists = "lists/small.txt"
    assert (there.root / lists).read_text() == (here.root / lists).read_text()
