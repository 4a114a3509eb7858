"""What the overview says: what each reader can tell, what each corpus told, and whether archives are whole."""

import hashlib
import inspect
import re
from dataclasses import fields
from types import SimpleNamespace

import pytest

from curate import overview
from curate.catalog import Catalog, rows_of
from curate.corpora import READERS
from curate.corpora.described import CorpusSettings
from curate.errors import CatalogError, CorpusError
from curate.overview import TOLD, about, check_archives, what_readers_fill, what_was_filled
from curate.schema import CORPORA, UTTERANCES

# ------------------------------------------------------------------------------------------------------------- readers


def test_every_reader_has_a_row_with_what_it_can_tell():
    head, rows = what_readers_fill()
    assert head == ["reader", *TOLD]
    assert [row[0] for row in rows] == list(READERS)
    for name, *told in rows:
        fills = READERS[name].FILLS
        assert dict(zip(TOLD[:-1], told[:-1], strict=True)) == {
            said: "yes" if said in fills else "" for said in TOLD[:-1]
        }
        assert all(told[-1:])


def test_all_that_a_reader_can_fill_has_a_column():
    assert {said for reader in READERS.values() for said in reader.FILLS} <= set(TOLD)


@pytest.mark.parametrize(
    ("licence", "fills", "said"),
    [("CC0-1.0", (), "CC0-1.0"), (None, (), "yours to say"), ("CC0-1.0", ("licence",), "of each row")],
)
def test_a_licence_is_that_of_the_corpus_or_of_each_row_or_for_the_user_to_say(monkeypatch, licence, fills, said):
    monkeypatch.setattr(overview, "READERS", {"one": SimpleNamespace(LICENCE=licence, FILLS=fills)})
    _, [(name, *_, last)] = what_readers_fill()
    assert (name, last) == ("one", said)


@pytest.mark.parametrize("name", READERS)
def test_all_about_a_reader_is_its_layout_what_it_tells_and_its_keys(name):
    told, reader = about(name), READERS[name]
    assert told.startswith(inspect.getdoc(reader))
    assert f"Can tell: {', '.join(reader.FILLS)}." in told
    own = {field.name for field in fields(reader.Settings)} - {field.name for field in fields(CorpusSettings)}
    keys = told.partition("Keys of its section: ")[2].splitlines()[1:]
    assert {key.split()[0] for key in keys} == own
    assert all(re.fullmatch(r"  \w+ +(needed|default \S.*)", key) for key in keys)
    assert "PydanticUndefined" not in told


def test_a_key_is_needed_or_has_its_default():
    told = about("manifest")
    assert re.search("^  manifest +needed$", told, re.MULTILINE)
    assert re.search(r"^  fields +default \{\}$", told, re.MULTILINE)


def test_a_reader_that_there_is_not_is_told_with_one_that_is_near():
    with pytest.raises(CorpusError, match=r"^reader 'librispech'; expected librispeech, or one of \w+, [^\n]*$"):
        about("librispech")


# -------------------------------------------------------------------------------------------------------------- filled


def row(corpus, number, **told):
    return {
        "utterance_id": f"{corpus}/{number}",
        "corpus": corpus,
        "speaker_id": f"{corpus}/a",
        "path": f"{number}.wav",
        "start_s": 0.0,
    } | told


@pytest.fixture
def catalog(tmp_path):
    """`bare` tells nothing, `rich` tells three things of some of its eight, `none` has no utterances."""
    made = Catalog(tmp_path)
    corpora = [
        {"corpus": "bare", "reader": "folder", "root": "/bare", "remarks": None},
        {"corpus": "none", "reader": "manifest", "root": "/none", "remarks": ""},
        {"corpus": "rich", "reader": "librispeech", "root": "/rich", "remarks": "2 of 3 chapters\nan odd one"},
    ]
    made.publish(CORPORA, rows_of(CORPORA, corpora), fingerprint="")
    rich = [row("rich", n, sex="female", licence="CC0-1.0") for n in range(8)]
    for number, one in enumerate(rich):
        one |= {"age_min_years": 30, "age_max_years": 39} if number < 2 else {}
        one |= {"session_id": "rich/a/1"} if number < 5 else {}
    rows = {"bare": [row("bare", n) for n in range(3)], "none": [], "rich": rich}
    for corpus, its in rows.items():
        made.publish(UTTERANCES, rows_of(UTTERANCES, its), part=corpus, fingerprint="")
    return made


def test_shares_are_of_the_utterances_of_each_corpus(catalog):
    (head, rows), remarks = what_was_filled(catalog)
    assert head == ["corpus", "reader", "utterances", *TOLD]
    nothing = dict.fromkeys(TOLD, "")
    told = nothing | {"sex": "100 %", "licence": "100 %", "age": "25 %", "session": "62 %"}  # 62.5 goes to the even
    assert rows == [
        ("bare", "folder", "3", *nothing.values()),
        ("none", "manifest", "0", *nothing.values()),
        ("rich", "librispeech", "8", *told.values()),
    ]
    assert remarks == ["rich: 2 of 3 chapters", "rich: an odd one"]


@pytest.mark.parametrize(
    ("num", "said"), [(0, ""), (1, "<1 %"), (2, "1 %"), (297, "99 %"), (299, ">99 %"), (300, "100 %")]
)
def test_a_share_that_is_not_none_or_all_is_not_said_to_be(catalog, num, said):
    rows = [row("bare", n, **({"sex": "male"} if n < num else {})) for n in range(300)]
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="bare", fingerprint="")
    (head, filled), _ = what_was_filled(catalog)
    assert filled[0][head.index("sex")] == said


def test_where_there_is_no_catalog_is_an_error(tmp_path):
    with pytest.raises(CatalogError, match=r"nowhere: no catalog is there; expected a catalog"):
        what_was_filled(Catalog(tmp_path / "nowhere"))


# ------------------------------------------------------------------------------------------------------------ archives


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """A folder with two archives that are known, one file that is not, and a folder."""
    contents = {"a.tar.gz": b"first", "b.zip": b"second"}
    for name, content in (contents | {"notes.txt": b"mine"}).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "unpacked").mkdir()
    known = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    one = SimpleNamespace(CHECKSUMS={"a.tar.gz": known["a.tar.gz"], "never-fetched.zip": "0" * 32})
    readers = {"one": one, "two": SimpleNamespace(CHECKSUMS={"b.zip": known["b.zip"]}), "three": SimpleNamespace()}
    monkeypatch.setattr(overview, "READERS", readers)
    return tmp_path


def test_archives_that_are_as_published_are_whole(archives):
    head, rows = check_archives(archives)
    assert head == ["archive", "reader", "md5"]
    assert rows == [("a.tar.gz", "one", "whole"), ("b.zip", "two", "whole")]


@pytest.mark.parametrize("content", [b"", b"secon", b"sECOND", b"second\n"])
def test_an_archive_that_is_not_as_published_is_named_with_both_sums(archives, content):
    (archives / "b.zip").write_bytes(content)
    held, expected = (hashlib.md5(one).hexdigest() for one in (content, b"second"))
    with pytest.raises(CorpusError) as caught:
        check_archives(archives)
    path = archives / "b.zip"
    assert str(caught.value) == f"{path}: md5 {held}; expected {expected}, as its publisher says: fetch it again"


def test_a_folder_without_a_known_archive_says_what_such_are_called(tmp_path):
    (tmp_path / "a.zip").touch()
    with pytest.raises(CorpusError, match=r": no archive that we know a checksum of; expected names such as \S+\.\w+$"):
        check_archives(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_an_error(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match=rf"{name}: no such folder; expected downloaded archives in it$"):
        check_archives(tmp_path / name)


def test_checksums_are_md5_and_no_archive_is_of_two_readers():
    known = [pair for reader in READERS.values() for pair in getattr(reader, "CHECKSUMS", {}).items()]
    assert known
    assert all(re.fullmatch("[0-9a-f]{32}", md5) and "/" not in name for name, md5 in known)
    assert len({name for name, _ in known}) == len(known)
    assert len({md5 for _, md5 in known}) == len(known)
