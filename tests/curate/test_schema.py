"""What the tables promise of themselves: keys that exist, units in names, one description that fits all."""

import re

import pyarrow as pa
import pytest

from curate.reasons import MEANING, Reason, Subject, Verdict
from curate.schema import TABLES, Column, Table, as_markdown

UNITLESS = {
    "place",
    "threshold",
    "threshold_lower",
    "threshold_upper",
    "wanted_rate",
    "rate",
    "rate_lower",
    "rate_upper",
    "own_cosine",
    "nearest_cosine",
    "probability_wrong",
    "channel",
    "self_similarity",
    "average_similarity",
    "similarity",
    "score",
    "lower_bound",
    "upper_bound",
    "value",
    "lower",
    "upper",
}
tables = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


@tables
def test_a_key_is_made_of_columns_of_its_table(table):
    names = [column.name for column in table.columns]
    assert set(table.key) <= set(names)
    assert len(set(names)) == len(names)
    assert len(set(table.key)) == len(table.key) > 0


@tables
def test_only_the_second_of_a_pair_may_be_null_in_a_key(table):
    nullable = {column.name for column in table.columns if column.nullable}
    assert nullable & set(table.key) <= {"other_id"}


@tables
def test_a_table_is_divided_by_one_of_its_columns_or_not_at_all(table):
    assert table.part_is.split(",")[0] in {"all", *(column.name for column in table.columns)}


@tables
def test_every_number_carries_its_unit_or_has_none(table):
    numeric = [c.name for c in table.columns if pa.types.is_integer(c.type) or pa.types.is_floating(c.type)]
    assert [n for n in numeric if not re.search(r"^num_|_(s|hz|dbfs|years)$|^num_rows$", n) and n not in UNITLESS] == []


@tables
def test_every_truth_value_says_so_in_its_name(table):
    assert all(c.name.startswith(("is_", "has_")) for c in table.columns if pa.types.is_boolean(c.type))


@tables
def test_every_table_and_column_says_what_it_is(table):
    assert table.row_is.endswith(".")
    assert all(column.meaning.strip() for column in table.columns)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in (table.name, *(c.name for c in table.columns)))


@tables
def test_the_arrow_schema_has_the_columns_in_their_order_with_type_and_nullability(table):
    told = [(field.name, field.type, field.nullable) for field in table.arrow()]
    assert told == [(column.name, column.type, column.nullable) for column in table.columns]


def test_tables_are_found_under_their_own_names():
    assert all(TABLES[table.name] is table for table in TABLES.values())


def test_what_a_column_means_is_the_same_in_every_table_whose_key_it_is():
    types: dict[str, set[pa.DataType]] = {}
    for table in TABLES.values():
        for column in table.columns:
            types.setdefault(column.name, set()).add(column.type)
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


@pytest.mark.parametrize("closed", [Reason, Verdict, Subject], ids=lambda one: one.__name__)
def test_closed_lists_are_snake_case_words(closed):
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", word) for word in closed)


def test_a_decision_says_its_closed_lists_in_the_schema():
    meaning = {column.name: column.meaning for column in TABLES["decisions"].columns}
    assert meaning["verdict"] == "keep | drop | merge | relabel"
    assert meaning["subject"] == "utterance | speaker | pair"


def test_the_description_has_one_line_of_four_cells_for_each_column():
    sections = as_markdown().split("\n## ")[1:-1]  # the last one holds the reasons
    assert [section.split("\n")[0] for section in sections] == list(TABLES)
    for section, table in zip(sections, TABLES.values(), strict=True):
        lines = [line for line in section.split("\n") if line.startswith("|")][2:]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        assert all(len(row) == 4 for row in cells)
        assert [row[0] for row in cells] == [column.name for column in table.columns]
        assert [row[2] == "yes" for row in cells] == [column.nullable for column in table.columns]


def test_the_description_ends_with_every_reason():
    assert as_markdown().endswith("".join(f"| {reason} | {MEANING[reason]} |\n" for reason in Reason))


def test_a_table_cannot_be_changed_after_it_was_made():
    table = Table(name="toy", row_is="One toy.", key=("a",), columns=(Column("a", pa.string(), "a name"),))
    with pytest.raises(AttributeError):
        table.name = "other"
