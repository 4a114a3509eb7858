"""What a query promises: it reads the tables of the catalog by their names, and nothing that it says can write."""

import csv
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate import query
from curate.catalog import Catalog, rows_of
from curate.decisions import settled
from curate.errors import CatalogError, QueryError
from curate.query import as_csv, as_json, as_table, ask, view_statements, write_database
from curate.schema import DECISIONS, EMBEDDINGS, RUNS, UTTERANCES

MUCH = "select max(n) from (select row_number() over (order by md5(i::varchar)) n from range(600_000) t(i))"  # 60 MB
WRITES = [
    "CREATE TABLE x (a int)",
    "CREATE VIEW x AS SELECT 1",
    "CREATE OR REPLACE TEMP TABLE utterances AS SELECT 1",
    "COPY (SELECT 1) TO '{0}/out.csv'",
    "COPY utterances TO '{0}/out.parquet'",
    "COPY (SELECT 1) TO '{0}/utterances/b.parquet' (USE_TMP_FILE false)",
    "INSERT INTO utterances VALUES (1)",
    "INSERT INTO utterances SELECT * FROM utterances",
    "UPDATE utterances SET corpus = 'x'",
    "DELETE FROM utterances",
    "TRUNCATE utterances",
    "DROP VIEW utterances",
    "ALTER TABLE utterances RENAME TO x",
    "MERGE INTO utterances USING utterances ON true WHEN MATCHED THEN DELETE",
    "ATTACH '{0}/out.duckdb'",
    "ATTACH '{0}/out.duckdb' AS x; CREATE TABLE x.t (a int)",
    "DETACH memory",
    "USE memory",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET threads",
    "PRAGMA version",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "EXPORT DATABASE '{0}/out'",
    "IMPORT DATABASE '{0}/out'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "SELECT 1; COPY (SELECT 1) TO '{0}/out.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{0}/out.csv'",
    "EXPLAIN (ANALYZE) COPY utterances TO '{0}/out.csv'",
    "WITH t AS MATERIALIZED (COPY (SELECT 1) TO '{0}/out.csv') SELECT * FROM t",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '{0}/utterances/a.parquet'",
    "SELECT * FROM glob('{0}/*')",
]


def utterances(corpus, num):
    common = {"corpus": corpus, "path": "x.wav", "start_s": 0.0, "speaker_id": f"{corpus}/s"}
    return rows_of(UTTERANCES, [common | {"utterance_id": f"{corpus}/{i}"} for i in range(num)])


def vectors(*rows):
    flat = pa.array([value for row in rows for value in row], pa.float32())
    columns = {"utterance_id": [f"a/{i}" for i in range(len(rows))], "extractor": ["toy"] * len(rows)}
    return pa.table(columns | {"vector": pa.FixedSizeListArray.from_arrays(flat, len(rows[0]))})


def fill(root):
    catalog = Catalog(root)
    catalog.publish(UTTERANCES, utterances("a", 2), part="a", fingerprint="f")
    catalog.publish(UTTERANCES, utterances("b", 3), part="b", fingerprint="f")
    catalog.publish(EMBEDDINGS, vectors([3, 4], [0, 1]), part="toy", fingerprint="f")
    return catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("catalog"))


def everything(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


# --------------------------------------------------------------------------------------------------------------- ask


def test_a_query_sees_all_parts_of_a_table(catalog):
    assert ask(catalog, "SELECT corpus, count(*) AS n FROM utterances GROUP BY 1 ORDER BY 1") == (
        ["corpus", "n"],
        [("a", 2), ("b", 3)],
    )


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 1;", [(1,)]),
        ("FROM utterances SELECT max(utterance_id)", [("b/2",)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("SHOW TABLES", [("embeddings",), ("utterances",)]),
        ("SELECT typeof(vector), array_inner_product(vector, vector) FROM embeddings LIMIT 1", [("FLOAT[2]", 25.0)]),
        ("WITH t AS (SELECT 1 AS a) SELECT a FROM t -- a comment", [(1,)]),
        ("SELECT count(*) FROM utterances u JOIN embeddings e USING (utterance_id)", [(2,)]),
    ],
)
def test_whatever_reads_is_answered(catalog, sql, rows):
    assert ask(catalog, sql)[1] == rows


def test_a_plan_and_a_description_are_answered(catalog):
    assert ask(catalog, "EXPLAIN SELECT corpus FROM utterances")[1]
    assert [row[0] for row in ask(catalog, "DESCRIBE utterances")[1]] == UTTERANCES.arrow().names


def test_a_time_comes_back_as_a_time(tmp_path):
    row = {"run_id": "r", "step": "s", "part": "all", "finished_at": datetime(2026, 1, 2, tzinfo=UTC), "num_rows": 1}
    row |= {"summary": "", "settings": "{}", "versions": "{}", "fingerprint": "f"}
    Catalog(tmp_path).publish(RUNS, rows_of(RUNS, [row]), fingerprint="f")
    assert ask(Catalog(tmp_path), "SELECT finished_at FROM runs")[1] == [(row["finished_at"],)]


@pytest.mark.parametrize("sql", WRITES)
def test_whatever_writes_sets_or_leaves_the_catalog_is_refused_in_one_line(tmp_path, sql):
    catalog = fill(tmp_path / "catalog")
    before = everything(tmp_path)
    with pytest.raises(QueryError) as caught:
        ask(catalog, sql.format(catalog.root))
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("CREATE TABLE x (a int)", r"^CREATE writes or sets something; expected a SELECT: the catalog is read-only$"),
        ("", "^0 statements; expected one SELECT$"),
        ("-- nothing", "^0 statements; expected one SELECT$"),
        ("SELECT 1; SELECT 2", "^2 statements; expected one SELECT$"),
        ("SELEC 1", '^Parser Error: syntax error at or near "SELEC"$'),
        ("SELECT nope FROM utterances", '^Binder Error: Referenced column "nope" not found in FROM clause!'),
        ("SELECT * FROM speakers", "^Catalog Error: Table with name speakers does not exist!"),
        ("SELECT * FROM decisions", "^Catalog Error: Table with name decisions does not exist!"),
        ("SELECT corpus::int FROM utterances", "^Conversion Error: Could not convert string"),
        ("SELECT ?", "^Invalid Input Error: Values were not provided"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why_in_one_line(catalog, sql, told):
    with pytest.raises(QueryError, match=told) as caught:
        ask(catalog, sql)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(
    st.text(max_size=12)
    | st.lists(st.sampled_from(["SELECT", "FROM", "*", "utterances", "(", ")", "'", "1", ",", "x", ";"])).map(" ".join)
)
def test_any_words_are_answered_or_refused(catalog, sql):
    try:
        names, rows = ask(catalog, sql)
        told = all(len(row) == len(names) for row in rows)
    except QueryError as error:
        told = len(str(error).splitlines()) == 1
    assert told


def test_vectors_of_different_sizes_are_lists(tmp_path):
    catalog = fill(tmp_path)
    catalog.publish(EMBEDDINGS, vectors([1, 2, 3]), part="other", fingerprint="f")
    found = ask(catalog, "SELECT DISTINCT typeof(vector), len(vector) FROM embeddings ORDER BY 2")[1]
    assert found == [("FLOAT[]", 2), ("FLOAT[]", 3)]


def test_what_is_being_written_is_not_read_and_what_is_no_parquet_is_named(tmp_path):
    catalog = fill(tmp_path)
    (tmp_path / "utterances" / "c.parquet.new").write_bytes(b"half")
    assert ask(catalog, "SELECT count(*) FROM utterances")[1] == [(5,)]
    (tmp_path / "utterances" / "c.parquet").write_bytes(b"half")
    with pytest.raises(CatalogError, match=r"utterances/c\.parquet: [^\n]+expected Parquet"):
        ask(catalog, "SELECT count(*) FROM utterances")


def test_without_a_catalog_there_is_nothing_to_ask(tmp_path):
    for act in (lambda: ask(Catalog(tmp_path), "SELECT 1"), lambda: write_database(Catalog(tmp_path / "no"))):
        with pytest.raises(CatalogError, match="no catalog there; expected a folder that `curate run` has filled"):
            act()


# ---------------------------------------------------------------------------------------------------------- database


@pytest.mark.parametrize("name", ["plain", "a b", "it's", "c[1]", "c*", "{a,b}", "corpus=x", "tiếng"])
def test_catalogs_are_read_under_any_name_and_never_their_neighbours(tmp_path, name):
    for other in ("c1", "cc", "a"):  # what `c[1]`, `c*` and `{a,b}` would match as patterns
        fill(tmp_path / other)
    catalog = Catalog(tmp_path / name)
    catalog.publish(UTTERANCES, utterances("only", 1), fingerprint="f")
    assert ask(catalog, "SELECT utterance_id, corpus FROM utterances")[1] == [("only/0", "only")]
    with duckdb.connect(str(write_database(catalog)), read_only=True) as database:
        assert database.execute("SELECT utterance_id, corpus FROM utterances").fetchall() == [("only/0", "only")]


def test_the_database_has_a_view_for_each_table_and_no_rows_of_its_own(tmp_path):
    catalog = fill(tmp_path)
    with duckdb.connect(str(write_database(catalog)), read_only=True) as database:
        assert database.execute("SHOW TABLES").fetchall() == [("embeddings",), ("utterances",)]
        assert database.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]
        similarity = "SELECT array_cosine_similarity(vector, [3, 4]::FLOAT[2]) FROM embeddings"
        assert database.execute(similarity).fetchall() == [(pytest.approx(1),), (pytest.approx(0.8),)]
    assert not list(tmp_path.glob("*.new*"))


def test_a_database_that_is_right_is_left_alone(tmp_path):
    catalog = fill(tmp_path)
    before = write_database(catalog).stat()
    after = write_database(catalog).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_database_is_written_anew_where_a_table_came_or_went(tmp_path):
    catalog = fill(tmp_path)
    before = write_database(catalog).stat().st_ino
    catalog.keep_only(EMBEDDINGS, set())
    assert write_database(catalog).stat().st_ino != before
    with duckdb.connect(str(tmp_path / "catalog.duckdb"), read_only=True) as database:
        assert database.execute("SHOW TABLES").fetchall() == [("utterances",)]


def test_a_foreign_or_broken_file_is_replaced(tmp_path):
    catalog, path = fill(tmp_path), tmp_path / "catalog.duckdb"
    path.write_text("no database")
    (tmp_path / "catalog.duckdb.new").write_text("left by a run that died")
    write_database(catalog)
    path.unlink()
    with duckdb.connect(str(path)) as foreign:
        foreign.execute("CREATE TABLE mine (a int); CREATE VIEW utterances AS SELECT 1")
    write_database(catalog)
    with duckdb.connect(str(path), read_only=True) as database:
        assert database.execute("SELECT count(*) FROM utterances").fetchall() == [(5,)]
        assert database.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


def test_views_name_the_folder_absolutely(catalog, monkeypatch):
    monkeypatch.chdir(catalog.root.parent)
    assert view_statements(Catalog(catalog.root.relative_to(os.getcwd()))) == view_statements(catalog)


# ------------------------------------------------------------------------------------------------------------ settled

SUBJECTS = [("utterance", "x", None), ("utterance", "x", "s"), ("utterance", "s", None), ("speaker", "s", None)]
SUBJECTS += [("pair", "s", "t"), ("pair", "s", "u"), ("pair", "s", None)]
verdicts = st.lists(
    st.tuples(st.sampled_from(SUBJECTS), st.sampled_from(["clean", "review", "identities"])), max_size=8
)


def decided(catalog, rows):
    """Publish verdicts, each on one of SUBJECTS by one step, in the part of the step."""
    same = {"verdict": "keep", "reason": "ok", "decided_by": "r", "run_id": "0"}
    names = ("subject", "subject_id", "other_id")
    for step in ("clean", "review", "identities"):
        found = [same | dict(zip(names, about, strict=True)) | {"step": step} for about, by in rows if by == step]
        catalog.publish(DECISIONS, rows_of(DECISIONS, found), part=step, fingerprint="f")


@settings(max_examples=50)
@example([(("pair", "s", "t"), "clean"), (("pair", "s", "t"), "review"), (("pair", "s", "u"), "identities")])
@example([(("utterance", "x", "s"), "clean"), (("utterance", "x", None), "review"), (("speaker", "s", None), "clean")])
@given(verdicts)
def test_settled_has_the_rows_that_the_steps_go_by(rows):
    with TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder))
        decided(catalog, list(dict.fromkeys(rows)))
        expected = settled(catalog.read(DECISIONS)).to_pylist()
        names, found = ask(catalog, "SELECT * FROM settled")
        assert names == DECISIONS.arrow().names
        with duckdb.connect(str(write_database(catalog)), read_only=True) as database:
            in_database = database.execute("SELECT * FROM settled").fetchall()
    as_told = sorted(map(repr, (tuple(row.values()) for row in expected)))
    assert sorted(map(repr, found)) == sorted(map(repr, in_database)) == as_told


def test_settled_is_a_view_of_a_catalog_that_has_decisions(tmp_path):
    catalog = fill(tmp_path)
    assert not any(" VIEW settled " in statement for statement in view_statements(catalog))
    decided(catalog, [])
    assert ask(catalog, "SHOW TABLES")[1] == [("decisions",), ("embeddings",), ("settled",), ("utterances",)]
    before = write_database(catalog).stat()
    with duckdb.connect(str(tmp_path / "catalog.duckdb"), read_only=True) as database:
        assert ("settled",) in database.execute("SHOW TABLES").fetchall()
    assert write_database(catalog).stat().st_mtime_ns == before.st_mtime_ns


# -------------------------------------------------------------------------------------------------------------- forms

names_and_rows = st.integers(1, 3).flatmap(
    lambda width: st.tuples(
        st.lists(st.text("abc", min_size=1, max_size=3), min_size=width, max_size=width, unique=True),
        st.lists(
            st.tuples(
                *[st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.integers()] * width
            ),
            max_size=4,
        ),
    )
)


@example((["a", "b"], [(None, "\r"), ("\n", '"'), ("", "\r\n")]))
@given(names_and_rows)
def test_csv_reads_back_with_null_as_an_empty_field(told):
    names, rows = told
    back = list(csv.reader(io.StringIO(as_csv(names, rows), newline="")))
    assert back == [names, *(["" if value is None else str(value) for value in row] for row in rows)]


@given(names_and_rows)
def test_json_reads_back(told):
    names, rows = told
    assert json.loads(as_json(names, rows)) == [dict(zip(names, row, strict=True)) for row in rows]


def test_json_is_strict_where_a_number_is_none_that_json_has():
    text = as_json(["a", "b"], [(float("-inf"), (1.0, float("nan"))), (float("inf"), None)])
    assert json.loads(text, parse_constant=pytest.fail) == [
        {"a": "-inf", "b": [1.0, "nan"]},
        {"a": "inf", "b": None},
    ]


def test_a_table_is_aligned_under_its_names_with_numbers_to_the_right():
    rows = [("a", 1, 0.5), ("long\nname", 20, None), (None, 3, 1 / 3)]
    assert as_table(["name", "n", "rate"], rows).split("\n") == [
        "name        n      rate",
        "---------  --  --------",
        "a           1       0.5",
        "long name  20",
        "            3  0.333333",
        "(3 rows)",
    ]


def test_a_table_without_rows_or_with_long_lists_is_short():
    assert as_table(["a"], []) == "a\n-\n(0 rows)"
    assert as_table(["v"], [([1.0] * 256,)]).split("\n")[2:] == ["[1, 1, 1, ... 256 in all]", "(1 row)"]


def test_what_does_not_fit_into_memory_goes_to_the_cache_of_the_catalog_and_is_taken_away(tmp_path, monkeypatch):
    catalog, here = fill(tmp_path / "catalog"), tmp_path / "here"
    here.mkdir()
    catalog.scratch.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(query, "MAX_GIB", 0.04)
    before = everything(tmp_path)
    assert ask(catalog, MUCH)[1] == [(600_000,)]
    told, memory = ask(catalog, "select current_setting('temp_directory'), current_setting('memory_limit')")[1][0]
    assert Path(told).parent == catalog.scratch
    assert not Path(told).exists()
    assert memory == "40.9 MiB"
    assert everything(tmp_path) == before
    assert not list(here.iterdir())


def test_a_query_takes_no_more_than_duckdb_would_of_a_small_machine(tmp_path, monkeypatch):
    catalog, asked = fill(tmp_path / "catalog"), "select current_setting('memory_limit')"
    monkeypatch.setattr(query, "_gib_of", lambda connection: 0.5)
    assert ask(catalog, asked)[1] == duckdb.sql(asked).fetchall()


def test_where_there_is_no_cache_nothing_is_written_and_memory_is_what_there_is(tmp_path, monkeypatch):
    catalog = fill(tmp_path / "catalog")
    monkeypatch.setattr(query, "MAX_GIB", 0.04)
    before = everything(tmp_path)
    with pytest.raises(QueryError, match="Out of Memory"):
        ask(catalog, MUCH)
    assert everything(tmp_path) == before


def test_a_query_writes_nothing_where_duckdb_would_spill(catalog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tmp").mkdir()
    with pytest.raises(QueryError, match="Permission Error"):
        ask(catalog, "WITH t AS MATERIALIZED (COPY (SELECT 1) TO '.tmp/out.csv') SELECT * FROM t")
    assert not list((tmp_path / ".tmp").iterdir())
