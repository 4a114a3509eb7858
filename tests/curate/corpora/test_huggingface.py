"""Hugging Face data sets: Parquet with the audio in it and folders with a metadata table; nothing is written astray."""

import json
import os
import shutil
import stat
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.corpora.huggingface import split_of
from curate.errors import CorpusError

READER = READERS["huggingface"]
ROWS = "file_name,speaker,gender,age,transcription,accent\na.wav,an,female,34,xin chào,northern\ntest/b.wav,ba,,,,\n"


def section(root, **more):
    return READER.Settings(reader="huggingface", name="hf", root=root, **more)


def read(root, **more):
    return list(READER.rows(root, section(root, **more)))


def refusal(root, **more):
    with pytest.raises(CorpusError) as caught:
        read(root, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{root}/")


def rows_or_refusal(root, **more):
    """Rows, or none where they are refused: on one line, by no other exception."""
    try:
        return read(root, **more)
    except CorpusError as error:
        told = str(error)
    assert "\n" not in told
    return []


def files(root):
    """Every file below, with what it holds."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def unpacked(content, suffix, folder="unpacked"):
    name = sha256(content).hexdigest()[:32]
    return f"{folder}/{name[:2]}/{name}{suffix}"


def write_table(path, rows, **columns):
    """Rows of (bytes, path) with further columns, no features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = [{"bytes": content, "path": said} for content, said in rows]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pq.write_table(pa.table({"audio": pa.array(audio, kind)} | columns), path)


@pytest.fixture
def folder(tmp_path, sound):
    """Audio with a metadata table at the root."""
    root = tmp_path / "folder"
    sound(root, "a.wav", "test/b.wav")
    (root / "metadata.csv").write_text(ROWS, encoding="utf-8")
    return root


def test_parquet_is_read_to_exactly_these_rows_and_its_audio_unpacked(corpus_of):
    root = corpus_of("huggingface")
    table = pq.read_table(root / "data/train-00000-of-00002.parquet")["audio"].to_pylist()
    flac, wav = (one["bytes"] for one in table)
    assert read(root, unpack=Path("unpacked")) == [
        Described(
            path=unpacked(flac, ".flac"),
            speaker="an",
            sex="female",
            age_years=(20, 29),
            age_source="train-00000-of-00002.parquet",
            transcript="xin chào",
            corpus_split="train",
        ),
        Described(path=unpacked(wav, ".wav"), speaker="dũng", sex="male", corpus_split="train"),
        Described(
            path="more/3.ogg",
            speaker="an",
            age_years=(34, 34),
            age_source="train-00001-of-00002.parquet",
            transcript="ba",
            corpus_split="train",
        ),
    ]
    assert (root / unpacked(flac, ".flac")).read_bytes() == flac
    assert (root / unpacked(wav, ".wav")).read_bytes() == wav


def test_unpacking_again_writes_nothing_but_what_is_not_whole(corpus_of):
    root = corpus_of("huggingface")
    first = read(root, unpack=Path("unpacked"))
    before = files(root)
    whole, half = (root / row.path for row in first[:2])
    os.utime(whole, (1, 1))
    half.write_bytes(b"RIFF")
    assert read(root, unpack=Path("unpacked")) == first
    assert files(root) == before
    assert whole.stat()[stat.ST_MTIME] == 1


def test_audio_in_a_table_asks_for_a_folder_to_unpack_into(corpus_of):
    root = corpus_of("huggingface")
    before = files(root)
    assert refusal(root) == (
        "data/train-00000-of-00002.parquet: row 1: the audio is within the table; expected `unpack`, a folder below "
        "the root to write it to"
    )
    assert files(root) == before


def test_a_folder_to_unpack_into_must_lie_below_the_root(corpus_of, tmp_path):
    root = corpus_of("huggingface")
    for unpack in ("../elsewhere", str(tmp_path / "elsewhere")):
        assert "leaves" in refusal(root, unpack=Path(unpack))
    assert not (tmp_path / "elsewhere").exists()


def test_a_download_elsewhere_is_left_alone(corpus_of, tmp_path):
    data, root = corpus_of("huggingface"), tmp_path / "root"
    (data / "data/train-00001-of-00002.parquet").unlink()
    root.mkdir()
    before = files(data)
    rows = read(root, data=data, unpack=Path())
    assert [row.speaker for row in rows] == ["an", "dũng"]
    assert all((root / row.path).is_file() for row in rows)
    assert files(data) == before


@pytest.mark.parametrize("said", [None, "", "/etc/passwd", "../../x.wav", "x.wav", "\\\\host\\x.wav", "a\0b"])
def test_a_path_within_the_data_is_never_written_to(tmp_path, said):
    root = tmp_path / "in" / "root"
    contents = [b"fLaC one", b"fLaC two"]
    write_table(root / "t.parquet", [(content, said) for content in contents], speaker=["a", "b"])
    rows = read(root, unpack=Path("u"))
    assert [row.path for row in rows] == [unpacked(content, ".flac", "u") for content in contents]
    assert {path for path in files(tmp_path) if not path.endswith(".parquet")} == {f"in/root/{r.path}" for r in rows}


def test_what_bytes_are_goes_before_what_they_are_called(tmp_path):
    heads = {b"RIFF....WAVE": ".wav", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3", b"....ftyp": ".m4a"}
    heads |= {b"NIST_1A": ".sph", b"strange": ".opus", b"": ".opus"}
    write_table(tmp_path / "t.parquet", [(head, "x.OPUS") for head in heads], speaker=["a"] * len(heads))
    assert [Path(row.path).suffix for row in read(tmp_path, unpack=Path("u"))] == list(heads.values())


def test_bytes_of_an_unknown_kind_are_kept_to_be_judged(tmp_path):
    write_table(tmp_path / "t.parquet", [(b"strange", "x.exe")], speaker=["a"])
    (row,) = read(tmp_path, unpack=Path("u"))
    assert row.path.endswith(".bin")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, "neither bytes nor path; expected audio in every row"),
        ("gone.wav", "no bytes, and no file 'gone.wav' below"),
        ("/etc/passwd", "path '/etc/passwd' leaves"),
        ("../out.wav", "path '../out.wav' leaves"),
    ],
)
def test_a_row_without_bytes_must_name_a_file_of_the_data_set(tmp_path, said, told):
    write_table(tmp_path / "t.parquet", [(None, said)], speaker=["a"])
    assert refusal(tmp_path).startswith(f"t.parquet: row 1: {told}")


def test_a_file_that_a_row_names_is_read_where_it_lies(tmp_path, sound):
    sound(tmp_path, "data/clips/x.wav", "y.wav", f"{'ü'}.wav")
    rows = [(None, "clips/x.wav"), (None, "y.wav"), (None, str(tmp_path / "y.wav")), (None, "u\u0308.wav")]
    write_table(tmp_path / "data" / "t.parquet", rows, speaker=["a"] * 4)
    assert [row.path for row in read(tmp_path)] == ["data/clips/x.wav", "y.wav", "y.wav", "ü.wav"]


def test_a_folder_of_audio_is_read_to_exactly_these_rows(folder):
    assert read(folder) == [
        Described(
            path="a.wav",
            speaker="an",
            sex="female",
            age_years=(34, 34),
            age_source="metadata.csv",
            accent="northern",
            transcript="xin chào",
        ),
        Described(path="test/b.wav", speaker="ba", corpus_split="test"),
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_metadata_may_lie_in_each_folder_in_any_form(tmp_path, sound, suffix):
    sound(tmp_path, "train/a.wav", "data/valid-1/deep/b.wav")
    for name, file in (("train", "a.wav"), ("data/valid-1", "deep/b.wav")):
        row = {"file_name": file, "speaker_id": 7}
        if suffix == "jsonl":
            (tmp_path / name / "metadata.jsonl").write_text(json.dumps(row) + "\n")
        else:
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / name / "metadata.parquet")
    told = [(row.path, row.speaker, row.corpus_split) for row in read(tmp_path)]
    assert told == [("data/valid-1/deep/b.wav", "7", "validation"), ("train/a.wav", "7", "train")]


def test_a_byte_order_mark_windows_lines_and_another_normal_form_do_no_harm(tmp_path, sound):
    sound(tmp_path, "ánh.wav")
    (tmp_path / "metadata.csv").write_bytes("\ufefffile_name,speaker\r\na\u0301nh.wav,x\r\n".encode())
    assert [row.path for row in read(tmp_path)] == ["ánh.wav"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file_name,who\na.wav,x\n", "metadata.csv:2: no speaker in speaker_id or speaker or client_id; expected one"),
        ("file,speaker\na.wav,x\n", "metadata.csv:2: no column 'file_name' among file, speaker; expected the names of"),
        (
            "file_name;speaker\na.wav;x\n",
            "metadata.csv:2: no column 'file_name' among file_name;speaker; expected the names of files in it "
            "(`fields` maps `path`), and commas between the columns of a CSV",
        ),
        ("file_name,speaker\n,x\n", "metadata.csv:2: no 'file_name'; expected the name of a file in every row"),
        ('file_name,speaker\na.wav,"x\nb.wav,y\n', "metadata.csv:2: unexpected end of data; expected rows of cells"),
        ("file_name,speaker\na.wav,\n", "metadata.csv:2: no speaker in "),
        ("file_name,speaker\n../a.wav,x\n", "metadata.csv:2: path '../a.wav' leaves"),
        ("file_name,speaker\n/etc/a.wav,x\n", "metadata.csv:2: path '/etc/a.wav' leaves"),
        ("file_name,speaker\nhttps://x.org/a.wav,x\n", "metadata.csv:2: path 'https://x.org/a.wav' is an address"),
        ("file_name,speaker,age\na.wav,x,old\n", "metadata.csv:2: age 'old'; expected years"),
        ("file_name,speaker,gender\na.wav,x,1\n", "metadata.csv:2: sex '1'; expected female or male"),
        ("file_name,speaker,age\na.wav,x,200-300\n", "metadata.csv:2: age '200-300'; expected years"),
    ],
)
def test_metadata_that_makes_no_utterance_is_refused_by_its_line(tmp_path, text, told):
    (tmp_path / "metadata.csv").write_text(text)
    assert refusal(tmp_path).startswith(told)


def test_fields_name_columns_and_what_lies_within_them(tmp_path):
    columns = {"who": ["a"], "info": pa.array([{"age": 34.0, "tags": ["x"]}]), "part": ["dev"], "id": [5]}
    write_table(tmp_path / "t.parquet", [(b"fLaC", "first.flac")], **columns)
    fields = {"speaker": "who", "age": "info.age", "split": "part", "name": "audio.path"}
    (row,) = read(tmp_path, unpack=Path("u"), fields=fields)
    assert (row.speaker, row.age_years, row.corpus_split, row.utterance) == ("a", (34, 34), "dev", "first.flac")
    told = refusal(tmp_path, unpack=Path("u"), fields={"speaker": "who", "accent": "info.tags"})
    assert told == "t.parquet: row 1: column 'info.tags' is a list; expected a text or a number"


def test_a_mapped_column_that_is_not_there_is_an_error(folder):
    told = refusal(folder, fields={"session": "chapter"})
    assert told == (
        f"{folder}: no column 'chapter' for `session`; expected one of accent, age, file_name, gender, speaker, "
        "transcription"
    )


def test_our_own_columns_are_read_as_they_were_meant(tmp_path):
    columns = {"speaker_id": ["p"], "label": ["l"], "age_min_years": [30], "age_max_years": [39], "age_source": ["x"]}
    columns |= {"session_id": ["s"], "nationality": ["n"], "language": ["vi"], "licence": ["MIT"]}
    write_table(tmp_path / "t.parquet", [(b"fLaC", None)], **columns)
    (row,) = read(tmp_path, unpack=Path("u"))
    assert (row.speaker, row.age_years, row.age_source, row.session) == ("p", (30, 39), "x", "s")
    assert (row.nationality, row.language, row.licence) == ("n", "vi", "MIT")


@pytest.mark.parametrize(("low", "high"), [(39, 30), (None, 7), (7, None)])
def test_two_ages_must_be_in_order_and_one_is_enough(tmp_path, low, high):
    columns = {"speaker": ["p"], "age_min_years": [low], "age_max_years": [high]}
    write_table(tmp_path / "t.parquet", [(b"fLaC", None)], **columns)
    if low == 39:
        assert "age from 39 to 30; expected the younger first" in refusal(tmp_path, unpack=Path("u"))
    else:
        assert [row.age_years for row in read(tmp_path, unpack=Path("u"))] == [(7, 7)]


def test_a_table_without_audio_is_another_configuration(tmp_path):
    pq.write_table(pa.table({"enrol": ["a"], "test": ["b"]}), tmp_path / "trials.parquet")
    assert refusal(tmp_path) == (
        f"{tmp_path}: no metadata table and no Parquet file with audio (its Parquet files have enrol, test); "
        "expected either"
    )
    write_table(tmp_path / "x.parquet", [(b"fLaC", None)], speaker=["a"])
    assert len(read(tmp_path, unpack=Path("u"))) == 1


def test_of_two_columns_with_audio_one_must_be_named(tmp_path):
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    features = {name: {"_type": "Audio"} for name in ("near", "far")}
    table = pa.table(
        {name: pa.array([{"bytes": name.encode(), "path": None}], kind) for name in features} | {"speaker": ["a"]}
    )
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "t.parquet")
    assert refusal(tmp_path) == "t.parquet: audio in near, far; expected one column (`fields` maps `path` to it)"
    (row,) = read(tmp_path, unpack=Path("u"), fields={"path": "far"})
    assert (tmp_path / row.path).read_bytes() == b"far"


def test_a_column_that_holds_numbers_in_place_of_audio_is_refused(tmp_path):
    pq.write_table(pa.table({"audio": [[0.5]], "speaker": ["a"]}), tmp_path / "t.parquet")
    assert refusal(tmp_path).startswith("t.parquet: column 'audio' is list<")


def test_audio_that_is_text_is_refused(tmp_path):
    pq.write_table(pa.table({"audio": [{"bytes": "x", "path": "x.wav"}], "speaker": ["a"]}), tmp_path / "t.parquet")
    assert refusal(tmp_path, unpack=Path("u")) == "t.parquet: row 1: audio of type str; expected bytes"


def test_files_of_a_download_elsewhere_are_found_below_the_root(tmp_path, sound):
    sound(tmp_path / "root", "x.wav")
    write_table(tmp_path / "data" / "t.parquet", [(None, "x.wav")], speaker=["a"])
    (row,) = read(tmp_path / "root", data=tmp_path / "data")
    assert row.path == "x.wav"


def test_tables_pick_among_configurations(tmp_path):
    for name in ("en", "vi"):
        write_table(tmp_path / name / "train-00000-of-00001.parquet", [(b"fLaC", None)], speaker=[name])
    assert [row.speaker for row in read(tmp_path, unpack=Path("u"), tables=("vi/*",))] == ["vi"]
    told = refusal(tmp_path, unpack=Path("u"), tables=("de/*",))
    assert told == f"{tmp_path}: `tables` 'de/*' matches none of 2 metadata and Parquet files"


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("x/validation.clean-00000-of-00002-a1b2.parquet", "validation.clean"),
        ("en/test/0000.parquet", "test"),
        ("dev_2/a.wav", "validation"),
        ("my-Eval-set/a.wav", "test"),
        ("contest/a.wav", None),
        ("a.wav", None),
    ],
)
def test_splits_are_told_as_datasets_tells_them(path, split):
    assert split_of(path) == split


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    told = refusal(tmp_path, data=tmp_path / "no")
    assert told == "no: no such folder; expected the files of the data set in it (`data`)"


def test_a_place_that_cannot_be_written_to_is_an_error(corpus_of):
    root = corpus_of("huggingface")
    (root / "unpacked").write_text("a file")
    assert "expected to write the audio there (`unpack`)" in refusal(root, unpack=Path("unpacked"))


def test_what_no_table_names_is_remarked(folder, sound, corpus_of):
    assert list(READER.remarks(folder, section(folder))) == []
    sound(folder, "test/c.wav")
    (remark,) = READER.remarks(folder, section(folder))
    assert remark == "3 audio files lie below the root, of which the metadata tables name 2; the rest is not read"
    root = corpus_of("huggingface")
    assert list(READER.remarks(root, section(root))) == []


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_tables_give_rows_below_the_root_or_one_line(corpus_of, folder, tmp_path, data):
    whole = corpus_of("huggingface")
    shutil.copy(folder / "metadata.csv", whole / "metadata.csv")
    root = tmp_path / "damaged"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    table = root / data.draw(st.sampled_from(["metadata.csv", "data/train-00000-of-00002.parquet"]))
    content = bytearray(table.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    table.write_bytes(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + bytes(content))
    before = {path for path in files(tmp_path) if not path.startswith("damaged/")}
    rows = rows_or_refusal(root, unpack=Path("unpacked"))
    assert all((root / row.path).resolve().is_relative_to(root.resolve()) for row in rows)
    assert {path for path in files(tmp_path) if not path.startswith("damaged/")} == before


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_any_field_gives_rows_or_one_line(folder, value):
    (folder / "metadata.csv").unlink(missing_ok=True)
    for field in ("file_name", "speaker_id", "gender", "age", "age_min_years", "text"):
        row = {"file_name": "a.wav", "speaker_id": "an"} | {field: value}
        (folder / "metadata.jsonl").write_text(json.dumps(row) + "\n")
        assert len(rows_or_refusal(folder)) <= 1


def test_only_a_reader_with_the_key_advises_where_the_root_was(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,speaker\n../a.wav,x\n")
    assert refusal(tmp_path).endswith("; expected a `root` that holds all audio")


def test_a_table_without_rows_is_told(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,speaker\n")
    assert refusal(tmp_path) == f"{tmp_path}: no rows in its tables; expected at least one utterance"


def test_metadata_in_parquet_may_hold_anything_where_it_is_not_asked_for(tmp_path):
    odd = {"day": pa.array([1 << 30], pa.date32()), "raw": [b"\xff"], "part": [[1]]}
    pq.write_table(pa.table({"file_name": ["a.wav"], "speaker": ["x"]} | odd), tmp_path / "metadata.parquet")
    assert [row.speaker for row in read(tmp_path)] == ["x"]
    told = refusal(tmp_path, fields={"session": "day"})
    assert told.startswith("metadata.parquet: row 1: column 'day' holds no usable date32[day] (days=")
    assert refusal(tmp_path, fields={"session": "part"}).startswith(
        "metadata.parquet: row 1: column 'part' is a list; "
    )


def test_a_date_beside_audio_that_cannot_be_is_named(tmp_path):
    columns = {"speaker": ["a", "b"], "day": pa.array([1, 1 << 30], pa.date32())}
    write_table(tmp_path / "t.parquet", [(b"fLaC", None), (b"fLaC x", None)], **columns)
    assert len(read(tmp_path, unpack=Path("u"))) == 2
    told = refusal(tmp_path, unpack=Path("u"), fields={"session": "day"})
    assert told.startswith("t.parquet: row 2: column 'day' holds no usable date32[day] (days=")


def test_two_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(
        pa.table([[{"bytes": b"fLaC"}], ["x"], ["y"]], ["audio", "speaker", "speaker"]), tmp_path / "t.parquet"
    )
    assert refusal(tmp_path, unpack=Path("u")) == "t.parquet: column 'speaker' is there twice; expected each once"


def test_a_field_may_lie_within_a_column_of_jsonl(tmp_path):
    row = {"file_name": "a.wav", "info": {"who": "x", "tags": [1]}, "other": [True]}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    assert [one.speaker for one in read(tmp_path, fields={"speaker": "info.who"})] == ["x"]
    assert "column 'info.tags' is a list" in refusal(tmp_path, fields={"speaker": "info.tags"})


def test_metadata_behind_a_link_that_leads_out_is_read_only_where_links_may(folder, tmp_path):
    shutil.move(folder / "metadata.csv", tmp_path / "metadata.csv")
    (folder / "metadata.csv").symlink_to(tmp_path / "metadata.csv")
    assert "metadata.csv leads out of " in refusal(folder)
    assert len(read(folder, links="anywhere")) == 2


@pytest.mark.parametrize("linked", ["u", "u/{}", "u/{}/{}"])
def test_nothing_is_unpacked_through_a_link_that_leads_out(tmp_path, linked):
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    content = b"fLaC one"
    write_table(root / "t.parquet", [(content, None)], speaker=["a"])
    _, folder, name = unpacked(content, ".flac", "u").split("/")
    link = root / linked.format(folder, name)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / "x.flac" if linked.count("/") == 2 else outside)
    assert " leads out of " in refusal(root, unpack=Path("u"))
    assert files(outside) == {}
    if linked == "u":
        read(root, unpack=Path("u"), links="anywhere")
        assert len(files(outside)) == 1


def test_a_table_whose_name_cannot_be_printed_is_refused(tmp_path):
    write_table(tmp_path / "a\nb.parquet", [(b"fLaC", None)], speaker=["a"])
    assert refusal(tmp_path) == f"{tmp_path}: table 'a\\nb.parquet'; expected a name that can be printed"


def test_what_a_message_quotes_is_short_and_can_be_printed(tmp_path):
    long = "\u202e" + "x" * 5000
    for row in ({"file_name": f"../{long}"}, {"gender": long}, {"age": long}, {"age_min_years": long}, {long: [1]}):
        (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.wav", "speaker": "x"} | row) + "\n")
        told = refusal(tmp_path, fields={"session": long} if long in row else {})
        assert told.isprintable()
        assert len(told) < 600
