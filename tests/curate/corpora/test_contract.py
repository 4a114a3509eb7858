"""What every reader promises: its terms come first, its settings are frozen, its ids are the same wherever it lies."""

import ast
import dataclasses
import inspect
import re
import shutil
from pathlib import Path

import pytest

from curate.audio import SUFFIXES
from curate.catalog import read_parquet
from curate.config import Corpus
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings, Described, Enrolment, PublishedTrial
from curate.describe import describe
from curate.errors import CorpusError
from curate.scan import LOOKING, scan
from curate.schema import ENROLMENTS, PUBLISHED_TRIALS, UTTERANCES

FILLED = {
    "sex": "sex",
    "age": "age_years",
    "session": "session",
    "work": "work",
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
    assert re.search(r"Licence:|Licence(,| and) citation|Licences? ", told)
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
def test_checksums_are_md5_of_the_archives_that_its_publisher_names(name):
    for archive, md5 in getattr(READERS[name], "CHECKSUMS", {}).items():
        assert re.fullmatch(r"[^/\\\s]+", archive), archive
        assert re.fullmatch("[0-9a-f]{32}", md5), archive


@pytest.mark.parametrize("name", [name for name in READERS if name not in LOOKING])
def test_a_reader_says_the_same_where_sound_files_are_empty_or_is_one_that_looks_into_them(name, small, section):
    settings = section(name, small)
    said = list(READERS[name].rows(small, settings))
    sounds = [file for file in small.rglob("*") if file.suffix.lower() in SUFFIXES]
    assert sounds or name == "huggingface"  # its sound is in tables
    for file in sounds:
        file.write_bytes(b"")
    assert list(READERS[name].rows(small, settings)) == said


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
def test_keys_that_name_files_beside_the_pipeline_file_are_keys_of_paths(name, section):
    settings = section(name, Path("/corpus"))
    assert "exclusions" in settings.FILES_BESIDE
    for key in settings.FILES_BESIDE:
        value = getattr(settings, key)
        assert value is None or isinstance(value, Path | tuple)


@readers
def test_rows_are_described_with_files_that_are_there(name, small, section):
    rows = list(READERS[name].rows(small, section(name, small)))
    assert len(rows) >= 3
    assert {type(row) for row in rows} == {Described}
    assert all((small / row.path).is_file() for row in rows)
    assert len({row.speaker for row in rows}) >= 2


@readers
def test_rows_stream(name, small, section):
    """Or a corpus of millions would be held whole."""
    assert inspect.isgenerator(READERS[name].rows(small, section(name, small)))


@readers
def test_a_folder_that_is_named_like_audio_is_not_audio(name, small, section):
    rows = list(READERS[name].rows(small, section(name, small)))
    for row in rows:
        (small / row.path).with_name(f"taken.{row.path.rpartition('.')[2]}").mkdir(exist_ok=True)
    assert list(READERS[name].rows(small, section(name, small))) == rows


@readers
def test_rows_and_ids_are_the_same_wherever_the_corpus_lies(name, small, section, tmp_path):
    moved = shutil.copytree(small, tmp_path / "moved" / "to another place")
    here, there = (list(READERS[name].rows(root, section(name, root))) for root in (small, moved))
    assert here == there
    assert here == list(READERS[name].rows(small, section(name, small)))  # nor do they depend on chance
    one, two = (describe(section(name, root), root).read_bytes() for root in (small, moved))
    assert one == two


@readers
def test_ids_are_unique_and_without_blanks(name, small, section):
    ids = [row.utterance for row in READERS[name].rows(small, section(name, small))]
    assert len(set(ids)) == len(ids)
    assert not any(re.search(r"\s", one) for one in ids)


@readers
def test_an_empty_folder_has_no_rows_or_is_refused_in_one_line(name, section, tmp_path):
    told, found = "", []
    try:
        found = list(READERS[name].rows(tmp_path, section(name, tmp_path)))
    except CorpusError as error:
        told = str(error)
    assert found == []
    assert len(told.splitlines()) <= 1
    with pytest.raises(CorpusError, match=r"^[^\n]*expected [^\n]*$"):
        scanned(section(name, tmp_path), tmp_path / "scanned")


@readers
def test_what_is_filled_is_what_the_reader_says_it_fills(name, small, section):
    """A field that FILLS does not name stays empty, but for the language, which a pipeline file may give."""
    rows = list(READERS[name].rows(small, section(name, small, language="vi")))
    silent = FILLED.keys() - set(READERS[name].FILLS) - {"language"}
    assert {field: {getattr(row, FILLED[field]) for row in rows} for field in silent} == {f: {None} for f in silent}
    assert {row.language for row in rows} == {"vi"}


@readers
def test_a_language_that_nobody_gives_is_one_that_the_reader_says_it_fills(name, small, section):
    told = {row.language for row in READERS[name].rows(small, section(name, small))}
    assert told == {None} or "language" in READERS[name].FILLS


@readers
def test_ages_say_where_they_come_from(name, small, section):
    for row in READERS[name].rows(small, section(name, small)):
        assert (row.age_years is None) == (row.age_source is None)
        assert row.age_years is None or 0 <= row.age_years[0] <= row.age_years[1]


# ---------------------------------------------------------------------------------------------------- all the way down


def scanned(settings, folder):
    """A folder in which a scan sets aside what it finds."""
    scan(settings, folder, folder.parent / "memory.sqlite", progress=lambda _: None)
    return folder


@readers
def test_a_small_corpus_goes_all_the_way_to_rows(name, small, section, tmp_path):
    rows = read_parquet(scanned(section(name, small, licence="mine"), tmp_path / "scanned") / "utterances.parquet")
    assert rows.schema.equals(UTTERANCES.arrow())
    told = {row.licence for row in READERS[name].rows(small, section(name, small))} - {None}
    assert set(rows["licence"].to_pylist()) <= {"mine"} | told
    assert all(one.startswith("toy/") for column in ("utterance_id", "speaker_id") for one in rows[column].to_pylist())
    assert max(rows["duration_s"].to_pylist()) == pytest.approx(0.1)
    assert set(rows["damage"].to_pylist()) == {None}


@readers
def test_remarks_are_a_line_each(name, small, section):
    remarks = getattr(READERS[name], "remarks", lambda *_: [])
    for remark in remarks(small, section(name, small)):
        assert remark.strip()
        assert len(remark.splitlines()) == 1


@readers
def test_what_its_authors_publish_speaks_of_its_utterances(name, small, section, tmp_path):
    reader, settings = READERS[name], section(name, small)
    trials = list(getattr(reader, "published_trials", lambda *_: [])(small, settings))
    models = list(getattr(reader, "enrolments", lambda *_: [])(small, settings))
    assert {type(one) for one in trials} <= {PublishedTrial}
    assert {type(one) for one in models} <= {Enrolment}
    if trials or models:
        scanned(settings, tmp_path / "scanned")
    for table, told in ((PUBLISHED_TRIALS, trials), (ENROLMENTS, models)):
        assert not told or read_parquet(tmp_path / "scanned" / f"{table.name}.parquet").num_rows


@readers
def test_aliases_are_other_names_of_its_speakers(name, small, section):
    reader, settings = READERS[name], section(name, small)
    aliases = getattr(reader, "aliases", lambda *_: {})(small, settings)
    assert all(alias and speaker for alias, speaker in aliases.items())
    speakers = {row.speaker for row in reader.rows(small, settings)}
    assert not aliases or speakers & set(aliases.values())
