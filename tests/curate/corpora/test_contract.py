"""What every reader promises: its terms come first, its settings are frozen, its ids are the same wherever it lies."""

import ast
import dataclasses
import inspect
import re
import shutil
from pathlib import Path

import pytest

from curate.config import Corpus
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings, Described
from curate.ingest import describe, probe_chunks, refuse_damaged, utterance_rows

FILLED = {
    "sex": "sex",
    "age": "age_years",
    "session": "session",
    "accent": "accent",
    "nationality": "nationality",
    "licence": "licence",
    "language": "language",
    "transcript": "transcript",
    "corpus_split": "corpus_split",
}
readers = pytest.mark.parametrize("name", READERS)


@pytest.fixture
def small(name, corpus_of):
    """The tiny corpus of that reader."""
    return corpus_of(name)


@readers
def test_a_reader_opens_with_licence_citation_and_layout(name):
    told = inspect.getdoc(READERS[name])
    assert re.search(r"Licence:|Licence and citation are|Licences? ", told)
    assert "itation" in told
    assert re.search("Layout:|laid out as|one row an utterance", told)
    source = Path(READERS[name].__file__).read_text(encoding="utf-8")
    assert isinstance(ast.parse(source).body[0], ast.Expr)  # before any code


@readers
def test_a_reader_says_its_terms_and_what_it_fills(name):
    reader = READERS[name]
    assert all(value is None or value.strip() for value in (reader.LICENCE, reader.CITATION, reader.URL))
    assert reader.URL is None or reader.URL.startswith("http")
    assert (reader.LICENCE is None) == (reader.CITATION is None)
    assert set(reader.FILLS) <= FILLED.keys()
    if reader.LICENCE:  # what the docstring says and what is published are one
        plain = re.sub(r"[\s-]+", " ", reader.__doc__)
        assert reader.LICENCE.replace("-", " ") in plain
        assert reader.URL in reader.__doc__


@readers
def test_settings_are_frozen_and_known_to_the_pipeline_file(name, section):
    settings = section(name, Path("/corpus"))
    assert isinstance(settings, CorpusSettings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.name = "other"
    assert type(settings) in Corpus.__origin__.__args__
    with pytest.raises(ValueError, match="reader"):
        type(settings)(**(vars(settings) | {"reader": "other"}))


@readers
def test_rows_are_described_with_files_that_are_there(name, small, section):
    rows = list(READERS[name].rows(small, section(name, small)))
    assert len(rows) >= 3
    assert {type(row) for row in rows} == {Described}
    assert all((small / row.path).is_file() for row in rows)
    assert len({row.speaker for row in rows}) >= 2


@readers
def test_a_folder_that_is_named_like_audio_is_not_audio(name, small, section):
    rows = list(READERS[name].rows(small, section(name, small)))
    for row in rows:
        (small / row.path).with_name(f"taken.{row.path.rpartition('.')[2]}").mkdir(exist_ok=True)
    assert list(READERS[name].rows(small, section(name, small))) == rows


@readers
def test_ids_are_unique_without_blanks_and_the_same_in_another_folder(name, small, section, tmp_path):
    moved = shutil.copytree(small, tmp_path / "moved" / "to another place")
    here, there = (describe(section(name, root)) for root in (small, moved))
    assert here == there
    ids = [row.utterance for row in here]
    assert len(set(ids)) == len(ids)
    assert not any(re.search(r"\s", one) for one in ids)


@readers
def test_what_is_filled_is_what_the_reader_says_it_fills(name, small, section):
    """A field that FILLS does not name stays empty, but for the language, which a pipeline file may give."""
    rows = list(READERS[name].rows(small, section(name, small, language="vi")))
    silent = FILLED.keys() - set(READERS[name].FILLS) - {"language"}
    assert {field: {getattr(row, FILLED[field]) for row in rows} for field in silent} == {f: {None} for f in silent}
    assert {row.language for row in rows} == {"vi"}


@readers
def test_a_small_corpus_goes_all_the_way_to_rows(name, small, section):
    settings = section(name, small, licence="mine")
    described = describe(settings)
    (seen,) = probe_chunks(small, (row.path for row in described), {})
    refuse_damaged(settings, seen)
    rows = utterance_rows(settings, described, seen)
    assert set(rows["licence"].to_pylist()) == {"mine"}
    assert all(one.startswith("toy/") for column in ("utterance_id", "speaker_id") for one in rows[column].to_pylist())
    assert max(rows["duration_s"].to_pylist()) == pytest.approx(0.1)
