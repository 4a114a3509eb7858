"""A manifest: one table in any of four forms, read to one and the same utterances, or refused by file and line."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.errors import CorpusError

ROWS = [
    {"wav": "a.wav", "who": "an", "id": "one", "from": "0", "for": "0.05", "years": "30-39", "gender": "F"},
    {"wav": "a.wav", "who": "ba", "id": "two", "from": "0.05", "for": None, "years": None, "gender": "x"},
    {"wav": "d/b.flac", "who": "an", "id": None, "from": None, "for": None, "years": "34", "gender": None},
]
FIELDS = {"path": "wav", "speaker": "who", "name": "id", "start_s": "from", "duration_s": "for", "age": "years"} | {
    "sex": "gender"
}


def section(root, manifest, **more):
    return READERS["manifest"].Settings(reader="manifest", name="mine", root=root, manifest=Path(manifest), **more)


def read(root, manifest, **more):
    return list(READERS["manifest"].rows(root, section(root, manifest, **more)))


def write(root, suffix, rows):
    """The rows as that kind of file."""
    file, names = root / f"m{suffix}", list(rows[0])
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif suffix == ".jsonl":
        file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", encoding="utf-8")
    else:
        mark = "\t" if suffix == ".tsv" else ","
        lines = [names, *([row[name] or "" for name in names] for row in rows)]
        file.write_text("".join(mark.join(line) + "\n" for line in lines), encoding="utf-8")
    return file.name


def refusal(root, text, name="m.csv", **more):
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CorpusError) as caught:
        read(root, name, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{root}/")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_all_forms_are_read_to_the_same_utterances_through_a_map_of_fields(tmp_path, suffix):
    rows = read(tmp_path, write(tmp_path, suffix, ROWS), fields=FIELDS, language="vi")
    told = [(r.utterance, r.path, r.speaker, r.start_s, r.duration_s, r.age_years, r.sex, r.language) for r in rows]
    assert told == [
        ("one", "a.wav", "an", 0.0, 0.05, (30, 39), "female", "vi"),
        ("two", "a.wav", "ba", 0.05, None, None, None, "vi"),
        ("d/b", "d/b.flac", "an", None, None, (34, 34), None, "vi"),
    ]
    assert [row.age_source for row in rows] == [f"m{suffix}", None, f"m{suffix}"]


def test_fields_that_are_not_mapped_are_found_under_their_own_names(tmp_path):
    (tmp_path / "m.csv").write_text(
        "speaker,path,session,accent,language,transcript,split,mood\ns,a.wav,1,x,de,hi,dev,sad\n"
    )
    (row,) = read(tmp_path, "m.csv")
    assert (row.session, row.accent, row.language, row.transcript, row.corpus_split) == ("1", "x", "de", "hi", "dev")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_numbers_are_taken_as_numbers(tmp_path, suffix):
    name = write(tmp_path, suffix, [{"path": "a.wav", "speaker": 7, "start_s": 1, "duration_s": 0.25, "age": 34.0}])
    (row,) = read(tmp_path, name)
    assert (row.speaker, row.start_s, row.duration_s, row.age_years) == ("7", 1.0, 0.25, (34, 34))


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_pandas_makes_of_ids_with_nulls_is_read_as_the_ids(tmp_path, suffix):
    empty = {"start_s": math.nan, "duration_s": math.inf, "session": math.nan, "age": math.nan}
    name = write(tmp_path, suffix, [{"path": "a.wav", "speaker": 1688.0, "transcript": 0.5} | empty])
    (row,) = read(tmp_path, name)
    assert (row.speaker, row.transcript, row.is_stretch, row.session, row.age_years) == (
        "1688",
        "0.5",
        False,
        None,
        None,
    )


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_mapped_column_may_be_blank_in_every_row(tmp_path, suffix):
    name = write(tmp_path, suffix, [{"path": "a.wav", "speaker": "s", "gender": None}])
    (row,) = read(tmp_path, name, fields={"sex": "gender"})
    assert row.sex is None


def test_stretches_of_one_file_are_one_session_and_are_called_by_their_starts(tmp_path, said):
    (tmp_path / "m.csv").write_text(
        "path,speaker,start_s,duration_s,session\nd/a.wav,s,12.5,2,\nd/a.wav,s,0,2,\nd/b.wav,s,0,2,told\nd/c.wav,s,,,\n"
    )
    told = {row["utterance_id"]: row["session_id"] for row in said(section(tmp_path, "m.csv"))}
    assert told == {
        "mine/d/a-0000000": "mine/s/d/a",
        "mine/d/a-0012500": "mine/s/d/a",
        "mine/d/b-0000000": "mine/s/told",
        "mine/d/c": None,
    }


def test_a_row_on_all_of_a_file_shares_the_session_of_its_stretches(tmp_path, said):
    (tmp_path / "m.csv").write_text("path,speaker,start_s\na.wav,s,\na.wav,s,1\n")
    told = {row["utterance_id"]: row["session_id"] for row in said(section(tmp_path, "m.csv"))}
    assert told == {"mine/a": "mine/s/a", "mine/a-0001000": "mine/s/a"}


def test_a_byte_order_mark_windows_lines_and_windows_paths_do_no_harm(tmp_path):
    (tmp_path / "m.csv").write_bytes("\ufeffpath,speaker\r\nd\\a.wav,Ánh\r\n\r\n".encode())
    (row,) = read(tmp_path, "m.csv")
    assert (row.path, row.speaker) == ("d/a.wav", "Ánh")


def test_a_csv_unquotes_and_a_tsv_keeps_its_quotes(tmp_path):
    (tmp_path / "m.csv").write_text('path,speaker,transcript\na.wav,s,"one, ""two"""\n')
    (tmp_path / "m.tsv").write_text('path\tspeaker\ttranscript\na.wav\ts\t"one, two\n')
    assert [read(tmp_path, name)[0].transcript for name in ("m.csv", "m.tsv")] == ['one, "two"', '"one, two']


@pytest.mark.parametrize("path", ["../x.wav", "/etc/passwd", "a/../../x.wav", "..\\x.wav", "a/.."])
def test_a_path_that_leaves_the_corpus_is_refused_by_its_line(tmp_path, path):
    told = refusal(tmp_path, f"path,speaker\na.wav,s\n{path},s\n")
    assert told == f"m.csv:3: path {path!r} leaves {tmp_path}; expected a `root` that holds all audio"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "path,who\na.wav,s\n",
            "m.csv:2: no column 'speaker' that says the speaker; expected it among path, who (`fields` maps names",
        ),
        ("path;speaker\na.wav;s\n", "m.csv:2: no column 'path' that says the path; expected it among path;speaker ("),
        ("path,speaker\nhttp://x/a.wav,s\n", "m.csv:2: path 'http://x/a.wav' is an address; expected a file below"),
        ("path,speaker\n", "m.csv: no rows; expected at least one utterance"),
        ("path,speaker,sex\na.wav,s,f\nb.wav,s,femail\n", "m.csv:3: sex 'femail'; expected female or male"),
        ("path,speaker,age\na.wav,s,39-30\n", "m.csv:2: age '39-30'; expected years"),
        (
            'path,speaker,transcript\na.wav,s,x\nb.wav,s,"he said\nc.wav,s,x\nd.wav,s,x\n',
            "m.csv:3: unexpected end of data; expected rows of cells, with every quote closed",
        ),
        ('path,speaker\n"a.wav"x,s\n', "m.csv:2: ',' expected after '\"'; expected rows of cells"),
        ('path,speaker,split\na.wav,s,"two\nlines"\nb.wav,,\n', "m.csv:4: row has no speaker"),
        ("path,speaker,start_s\na.wav,s,0_1\n", "m.csv:2: `start_s` '0_1'; expected a finite number"),
        ("path,speaker,start_s\na.wav,s,\u0661\n", "m.csv:2: `start_s` '\u0661'; expected a finite number"),
        ("path,speaker,start_s\na.wav,s,1e12\n", "m.csv:2: a.wav: start_s 1000000000000.0; expected seconds"),
        (
            "path,speaker\na.wav,s\nb.wav,\n",
            "m.csv:3: row has no speaker in column 'speaker'; expected a speaker in every row",
        ),
        ("path,speaker\n,s\n", "m.csv:2: row has no path in column 'path'; expected a path in every row"),
        ("path,speaker\na.wav,s,more\n", "m.csv:2: 3 fields; expected 2 as in the header"),
        ("path,speaker\na.wav\n", "m.csv:2: 1 fields; expected 2 as in the header"),
        ("", "m.csv: empty; expected a header and rows"),
        ("path,speaker,age\na.wav,s,old\n", "m.csv:2: age 'old'; expected years (34)"),
        ("path,speaker,start_s\na.wav,s,soon\n", "m.csv:2: `start_s` 'soon'; expected a finite number"),
        ("path,speaker,start_s\na.wav,s,-1\n", "m.csv:2: a.wav: start_s -1.0; expected seconds from the start"),
        ("path,speaker,start_s\na.wav,s,nan\n", "m.csv:2: `start_s` 'nan'; expected a finite number"),
        ("path,speaker,duration_s\na.wav,s,0\n", "m.csv:2: a.wav: duration_s 0.0; expected more than 0 seconds"),
        ("path,speaker,duration_s\na.wav,s,1;2\n", "m.csv:2: `duration_s` '1;2'; expected a finite number"),
        ("path,speaker\na\0.wav,s\n", "m.csv:2: "),
        (b"path,speaker\n\xff.wav,s\n", "m.csv: byte 13 is no UTF-8; expected text in UTF-8"),
    ],
)
def test_a_row_that_makes_no_utterance_is_refused_by_file_and_line(tmp_path, text, told):
    assert told in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.jsonl", b'{"path": "a.wav", "speaker": "s"}\n{"path"\n', "m.jsonl:2: no JSON ("),
        ("m.jsonl", b'{"path": "a.wav", "path": "b.wav", "speaker": "s"}', "m.jsonl:1: no JSON (key 'path' twice)"),
        (
            "m.jsonl",
            b'{"path": "a.wav", "speaker": ["s"]}',
            "m.jsonl:1: column 'speaker' is a list; expected a text or",
        ),
        ("m.jsonl", b'{"path": "a.wav", "speaker": {}}', "m.jsonl:1: column 'speaker' is an object; expected a text"),
        ("m.jsonl", b'{"path": "a.wav", "speaker": true}', "m.jsonl:1: column 'speaker' is true or false; expected"),
        ("m.jsonl", b'{"path": "a.wav", "speaker": 1e300}', "m.jsonl:1: column 'speaker' is 1e+300, which no float"),
        ("m.jsonl", b"\n", "m.jsonl: no rows; expected at least one utterance"),
        ("m.jsonl", b"[1, 2]\n", "m.jsonl:1: list; expected one object a line"),
        ("m.jsonl", b"[" * 100_000, "m.jsonl:1: no JSON ("),
        ("m.jsonl", b'{"path": "a.wav", "speaker": NaN}\n', "m.jsonl:1: row has no speaker in column 'speaker'"),
        ("m.parquet", b"no parquet at all", "m.parquet: no Parquet ("),
        ("m.parquet", b"PAR1" + b"\x99" * 60 + (50).to_bytes(4, "little") + b"PAR1", "m.parquet: no Parquet ("),
        ("m.xlsx", b"", "m.xlsx: cannot read '.xlsx'; expected one of .csv, .tsv, .jsonl, .parquet"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, name, content, told):
    assert told in refusal(tmp_path, content, name)


@pytest.mark.parametrize("name", ["no.csv", "no.jsonl", "no.parquet"])
def test_a_manifest_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(
        CorpusError, match=rf"^{tmp_path}/{name}: .*No such file or directory.*; expected a (table|manifest)"
    ):
        read(tmp_path, name)


def test_a_mapped_column_that_no_row_has_is_refused(tmp_path):
    told = refusal(tmp_path, "path,speaker,sex\na.wav,s,f\n", fields={"age": "years"})
    assert told == "m.csv: no row has a column 'years' for `age`; expected one of path, sex, speaker"


def test_two_rows_with_one_id_are_refused_unless_they_have_names(tmp_path, said):
    (tmp_path / "m.csv").write_text("path,speaker,start_s\na.wav,s,0\na.wav,s,0.0001\n")
    told = r"a\.wav and a\.wav both have the id mine/a-0000000; expected one .* manifest that maps `name` to what tells"
    with pytest.raises(CorpusError, match=told):
        said(section(tmp_path, "m.csv"))
    (tmp_path / "m.csv").write_text("path,speaker,start_s,name\na.wav,s,0,x\na.wav,s,1,y\n")
    assert [row["utterance_id"] for row in said(section(tmp_path, "m.csv"))] == ["mine/x", "mine/y"]


@settings(deadline=None, max_examples=150)
@given(
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
    content=st.binary(max_size=40)
    | st.text('path,speaker\t\n"{}:[]0.', max_size=60).map(str.encode)
    | st.binary(max_size=40).map(lambda rest: b"path,speaker\n" + rest),
)
def test_any_bytes_are_utterances_or_a_corpus_error(folder_of_junk, suffix, content):
    (folder_of_junk / f"m{suffix}").write_bytes(content)
    try:
        told = all(row.path and row.speaker for row in read(folder_of_junk, f"m{suffix}"))
    except CorpusError as error:
        told = str(error).startswith(f"{folder_of_junk}/m{suffix}")
    assert told


@pytest.fixture(scope="module")
def folder_of_junk(tmp_path_factory):
    return tmp_path_factory.mktemp("junk")


def test_a_path_below_the_root_may_be_written_in_any_way(tmp_path):
    (tmp_path / "m.csv").write_text(f"path,speaker\n{tmp_path}/d/a.wav,s\n./d//a.wav,s\nd/../d/a.wav,s\n")
    assert {row.path for row in read(tmp_path, "m.csv")} == {"d/a.wav"}


def test_columns_that_are_not_asked_for_may_hold_anything(tmp_path):
    odd = {"odd": [1], "more": {"x": None}, "flag": True, "big": 1e300}
    (tmp_path / "m.jsonl").write_text(json.dumps({"path": "a.wav", "speaker": "s"} | odd) + "\n")
    dates = {"date": pa.array([1 << 30], pa.date32()), "raw": [b"\xff"], "part": [[1]]}
    pq.write_table(pa.table({"path": ["a.wav"], "speaker": ["s"]} | dates), tmp_path / "m.parquet")
    for name in ("m.jsonl", "m.parquet"):
        (row,) = read(tmp_path, name)
        assert (row.path, row.speaker) == ("a.wav", "s")


def test_a_date_is_a_session_and_one_that_cannot_be_is_named(tmp_path):
    columns = {"path": ["a.wav", "b.wav"], "speaker": ["s", "s"], "split": [b"x", b"x"]}
    for days, kind in (([1, 2], pa.date32()), ([1, 1 << 30], pa.date32()), ([1, 1 << 62], pa.timestamp("us"))):
        pq.write_table(pa.table(columns | {"session": pa.array(days, kind)}), tmp_path / "m.parquet")
        if days[1] == 2:
            fields = {"split": "session"}
            assert [row.session for row in read(tmp_path, "m.parquet", fields=fields)] == ["1970-01-02", "1970-01-03"]
        else:
            with pytest.raises(CorpusError, match=r"m\.parquet: row 2: column 'session' holds no usable (date|timest)"):
                read(tmp_path, "m.parquet")


def test_bytes_are_no_label_and_two_columns_of_one_name_are_none(tmp_path):
    pq.write_table(pa.table({"path": ["a.wav"], "speaker": [b"s"]}), tmp_path / "m.parquet")
    with pytest.raises(
        CorpusError, match=r"m\.parquet: row 1: column 'speaker' is bytes; expected a text or a number$"
    ):
        read(tmp_path, "m.parquet")
    pq.write_table(pa.table([["a.wav"], ["s"], ["t"]], ["path", "speaker", "speaker"]), tmp_path / "m.parquet")
    with pytest.raises(CorpusError, match=r"m\.parquet: column 'speaker' is there twice; expected each once$"):
        read(tmp_path, "m.parquet")


def test_a_manifest_without_rows_is_named_in_every_form(tmp_path):
    pq.write_table(pa.table({"path": pa.array([], pa.string())}), tmp_path / "m.parquet")
    with pytest.raises(CorpusError, match=r"m\.parquet: no rows; expected at least one utterance$"):
        read(tmp_path, "m.parquet")


def test_a_manifest_behind_a_link_that_leads_out_is_read_only_where_links_may(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "m.csv").write_text("path,speaker\na.wav,s\n")
    (root / "m.csv").symlink_to(tmp_path / "m.csv")
    with pytest.raises(CorpusError, match=r"root/m\.csv leads out of .* by a link; expected"):
        read(root, "m.csv")
    for name, more in (("m.csv", {"links": "anywhere"}), ("../m.csv", {}), (str(tmp_path / "m.csv"), {})):
        assert len(read(root, name, **more)) == 1


def test_what_a_message_quotes_is_short_and_can_be_printed(tmp_path):
    long = "\u202e" + "x" * 5000
    for line in (f"../{long},s,f", f"a.wav,s,{long}"):
        told = refusal(tmp_path, f"path,speaker,sex\n{line}\n")
        assert told.isprintable()
        assert len(told) < 500
    told = refusal(tmp_path, f"path,{long}\na.wav,s\n")
    assert told.isprintable()
    assert len(told) < 600


def test_a_side_of_a_call_is_picked_where_the_map_asks_for_it(tmp_path):
    (tmp_path / "m.csv").write_text("path,speaker,channel,nationality,licence\ncall.wav,an,1,Việt Nam,CC0-1.0\n")
    (row,) = read(tmp_path, "m.csv", fields={"channel": "channel"})
    assert (row.channel, row.utterance, row.nationality, row.licence) == (1, "call-c1", "Việt Nam", "CC0-1.0")
    (row,) = read(tmp_path, "m.csv")
    assert (row.channel, row.utterance) == (None, "call")


@pytest.mark.parametrize("said", ["left", "-1", "1.5", "١"])
def test_a_channel_that_is_no_number_is_an_error_with_its_line(tmp_path, said):
    told = refusal(tmp_path, f"path,speaker,channel\na.wav,an,{said}\n", fields={"channel": "channel"})
    assert told == f"m.csv:2: channel {said!r}; expected a channel of the file, counted from 0"
