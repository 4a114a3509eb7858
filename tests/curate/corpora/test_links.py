"""Metadata that is a link out of its corpus: nothing that it leads to gets into rows, unless its section says so."""

import pytest

from curate.audio import SUFFIXES
from curate.corpora import READERS
from curate.errors import CorpusError
from tests.faults.watched import opened_below

UNREAD = {"common_voice": {"reported.tsv"}, "sitw": {"dev/keys/aux/assist-multi.10s.lst"}}  # and not walked past


@pytest.fixture
def linked(name, corpus_of, tmp_path):
    """The small corpus of a reader, and its files but for audio, each in turn outside of it and linked to."""
    root, outside = corpus_of(name), tmp_path / "elsewhere" / "outside"
    outside.parent.mkdir()
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.lower().endswith(SUFFIXES)]

    def each(secret=None):
        for file in files:
            content = file.read_bytes()
            file.unlink()
            file.symlink_to(outside)
            outside.write_bytes(secret or content)
            yield file.relative_to(root).as_posix()
            file.unlink()
            file.write_bytes(content)

    return root, each


def rows(root, settings, function="rows"):
    return list(getattr(READERS[settings.reader], function, lambda *_: ())(root, settings))


@pytest.mark.parametrize("name", READERS)
def test_no_reader_reads_metadata_through_a_link_that_leads_out(name, linked, section, tmp_path):
    root, each = linked
    before = rows(root, section(name, root))
    for file in each(secret=b"root:x:0:0\n\xff"):
        if file in UNREAD.get(name, ()):
            assert rows(root, section(name, root)) == before
            continue
        refused = pytest.raises(CorpusError, match=r"^[^\n]* leads out of [^\n]*; expected [^\n]*$")
        with opened_below(tmp_path / "elsewhere") as opened, refused:
            rows(root, section(name, root))
        assert opened == []


@pytest.mark.parametrize("function", ["remarks", "published_trials", "enrolments", "aliases"])
@pytest.mark.parametrize("name", READERS)
def test_nor_does_it_for_anything_else_that_it_says(name, function, linked, section):
    root, each = linked
    before = rows(root, section(name, root), function)
    for _ in each(secret=b"root:x:0:0\n\xff"):
        told = " leads out of "
        try:
            assert rows(root, section(name, root), function) == before
        except CorpusError as error:
            told = str(error)
        assert " leads out of " in told


@pytest.mark.parametrize("name", READERS)
def test_links_that_may_lead_anywhere_are_followed(name, linked, section):
    root, each = linked
    before = rows(root, section(name, root))
    for _ in each():
        assert rows(root, section(name, root, links="anywhere")) == before


@pytest.mark.parametrize("name", READERS)
def test_nor_does_a_reader_go_through_a_folder_that_is_a_link_out(name, corpus_of, section, tmp_path):
    root = corpus_of(name)
    before = rows(root, section(name, root))
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        folder.rename(tmp_path / "outside")
        folder.symlink_to(tmp_path / "outside")
        told = ""
        try:
            assert rows(root, section(name, root)) == before  # of paths alone: the scan refuses the audio
        except CorpusError as error:
            told = str(error)
        assert told == "" or " leads out of " in told
        assert rows(root, section(name, root, links="anywhere")) == before
        folder.unlink()
        (tmp_path / "outside").rename(folder)
