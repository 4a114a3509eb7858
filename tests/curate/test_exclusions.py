"""What an exclusion list promises: whatever it names is left out, and one that names nothing is never passed over."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CorpusError
from curate.exclusions import read_exclusions

ROWS = [  # utterance_id, speaker_id, session_id, path; the corpus is called vox.1
    ("vox.1/wav/id1/-a_B/1", "vox.1/id1", "vox.1/id1/-a_B", "wav/id1/-a_B/1.wav"),
    ("vox.1/wav/id1/-a_B/2", "vox.1/id1", "vox.1/id1/-a_B", "wav/id1/-a_B/2.wav"),
    ("vox.1/wav/id1/x/1", "vox.1/id1", "vox.1/id1/x", "wav/id1/x/1.M4A"),
    ("vox.1/wav/id2/y%20z/1", "vox.1/id2", "vox.1/id2/y z", "wav/id2/y z/1.wav"),
    ("vox.1/call-c0-0001000", "vox.1/A.J._Buckley", None, "wav/call.v2.sph"),
    ("vox.1/Bình", "vox.1/Nguyễn Văn A", None, "wav/Bình.flac"),
]
COLUMNS = ("utterance_id", "speaker_id", "session_id", "path")
ALIASES = {"Adam_Driver": "id2", "n000012": "id1", "AB.wav": "A.J._Buckley"}


def batch(rows=ROWS, corpus="vox.1"):
    columns = zip(*rows, strict=True) if rows else ([],) * 4
    arrays = [pa.array([corpus] * len(rows), pa.string()), *(pa.array(column, pa.string()) for column in columns)]
    return pa.RecordBatch.from_arrays(arrays, names=["corpus", *COLUMNS])


@pytest.fixture
def listed(tmp_path):
    """Read a list of these lines."""

    def read(*lines, aliases=None, content=None):
        path = tmp_path / "left out.txt"
        path.write_bytes("\n".join(lines).encode() if content is None else content)
        return read_exclusions(path, aliases or {})

    return read


def left_out(exclusions, rows=ROWS):
    return [at for at, named in enumerate(exclusions.match(batch(rows)).to_pylist()) if named]


# --------------------------------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("id1", [0, 1, 2]),
        ("vox.1/id1", [0, 1, 2]),
        ("A.J._Buckley", [4]),
        ("Nguyễn Văn A", [5]),
        ("id1/-a_B", [0, 1]),
        ("id1/x", [2]),
        ("vox.1/id1/x", [2]),
        ("id2/y z", [3]),
        ("wav/id1/-a_B/1.wav", [0]),
        ("wav/id1/-a_B/1", [0]),
        ("wav/id1/-a_B/1.flac", [0]),  # the list of the same files in another form
        ("wav/id1/x/1.m4a", [2]),
        ("wav/id2/y z/1.wav", [3]),
        ("wav\\id1\\x\\1.wav", [2]),
        ("./wav/id1/x/1.wav", [2]),
        ("vox.1/wav/id1/-a_B/2", [1]),
        ("wav/id2/y%20z/1", [3]),
        ("vox.1/wav/id2/y%20z/1", [3]),
        ("call-c0-0001000", [4]),
        ("vox.1/call-c0-0001000", [4]),
        ("wav/call.v2.sph", [4]),
        ("wav/Bình.flac", [5]),
        ("Bình", [5]),
        ("Adam_Driver", [3]),
        ("n000012", [0, 1, 2]),
        ("AB.wav", [4]),
    ],
)
@pytest.mark.parametrize("end", ["", "\r", "  ", "\t\r"])
def test_a_line_may_name_a_speaker_a_session_or_a_file_in_every_way(listed, line, rows, end):
    found = listed("# who is in another test", "", f"  {line}{end}", aliases=ALIASES)
    assert left_out(found) == rows
    found.require_matches("vox.1", "vox.1/wav/id1/-a_B/1")
    assert found.remark is None


@pytest.mark.parametrize(
    "line",
    ["id", "ID1", "id10", "1", "id1/", "x", "-a_B", "wav", "wav/id1", "wav/id1/x", "other/id1", "vox.1", "vox01/id1"],
)
def test_a_line_names_nothing_that_it_is_only_a_part_of(listed, line):
    assert left_out(listed(line)) == []


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfid2\n", b"\xef\xbb\xbf# x\r\nid2\r\n", b"id2", b"\n\n id2 \n\n"])
def test_a_byte_order_mark_and_the_ends_of_lines_say_nothing(listed, content):
    assert left_out(listed(content=content)) == [3]


def test_comments_and_blank_lines_say_nothing(listed):
    found = listed("# id1", "", "   ", "  # id2", "id1/x  ", "#")
    assert found.entries == {"id1/x"}


def test_a_line_that_comes_twice_is_one_entry_whatever_it_is_called(listed):
    found = listed("id2", "Adam_Driver", "id2", "wav/id1/x/1.wav", "wav/id1/x/1", aliases=ALIASES)
    assert found.entries == {"id2", "wav/id1/x/1"}


# ------------------------------------------------------------------------------------------------------------- matches


@given(cuts=st.lists(st.integers(0, len(ROWS)), max_size=4), entries=st.sets(st.sampled_from(["id1", "id2", "Bình"])))
def test_the_rows_may_come_in_any_number_of_batches(tmp_path_factory, cuts, entries):
    path = tmp_path_factory.getbasetemp() / "list.txt"
    path.write_text("\n".join([*entries, "nobody"]), encoding="utf-8")
    whole, cut = read_exclusions(path, {}), read_exclusions(path, {})
    found, at = [], 0
    for stop in (*sorted(cuts), len(ROWS)):
        found += cut.match(batch(ROWS[at:stop])).to_pylist()
        at = stop
    assert found == whole.match(batch()).to_pylist()
    assert cut.matched == whole.matched
    assert cut.remark == whole.remark


def test_the_name_of_the_corpus_is_no_pattern(listed):
    rows = [("voxx1/id1/a", "voxx1/id1", None, "id1/a.wav")]
    assert listed("id1").match(batch(rows, corpus="vox.1")).to_pylist() == [False]


def test_a_session_that_is_not_known_is_not_named(listed):
    assert left_out(listed("None", "vox.1/None", "nobody")) == []


def test_a_list_that_matches_in_part_is_remarked_with_the_first_idle_entry(listed):
    found = listed("nobody", "id2", "no-one/x", "wav/id1/x/1.wav")
    left_out(found)
    found.require_matches("vox.1", "vox.1/wav/id1/-a_B/1")
    assert found.remark == "left out.txt: 2 of 4 entries match nothing, such as 'no-one/x'"


def test_a_list_that_matches_nothing_is_an_error_that_says_so(listed, tmp_path):
    """As of the published list of noisy labels, in which the first character of every video is cut."""
    published = [f"{row[3].replace('-a_B', 'a_B').replace('/x/', '//')}" for row in ROWS[:3]]
    found = listed(*published)
    assert left_out(found) == []
    assert found.remark is None
    words = (
        f"corpus 'vox.1': {tmp_path}/left out.txt matches nothing: none of its 3 entries, such as 'wav/id1/a_B/1', "
        "is a speaker, session or file of the corpus, such as 'vox.1/wav/id1/-a_B/1'; expected a list for this corpus "
        "(`exclusions`)"
    )
    with pytest.raises(CorpusError, match=f"^{re.escape(words)}$"):
        found.require_matches("vox.1", "vox.1/wav/id1/-a_B/1")


# ---------------------------------------------------------------------------------------------------------------- read


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbf", b" \r\n\t\r\n"])
def test_a_list_without_entries_is_an_error(listed, tmp_path, content):
    words = f"{tmp_path}/left out.txt: no entry; expected a speaker, session or file a line"
    with pytest.raises(CorpusError, match=f"^{words}$"):
        listed(content=content)


def test_a_list_that_cannot_be_read_is_an_error_that_names_it(listed, tmp_path):
    for path, why in ((tmp_path / "no.txt", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(CorpusError, match=f"^{path}: {why}; expected a list of what to leave out$"):
            read_exclusions(path, {})
    with pytest.raises(CorpusError, match=r"left out.txt: byte 3 is no UTF-8; expected text in UTF-8$"):
        listed(content=b"id\n\xff\n")


@given(content=st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_a_list_or_an_error_of_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "junk.txt"
    path.write_bytes(content)
    told = ""
    try:
        found = read_exclusions(path, ALIASES)
        found.match(batch())
        found.require_matches("vox.1", "vox.1/x")
    except CorpusError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1
