"""The tables that any corpus may have at its root, damaged: rows, or one line that names the file."""

import pytest

from curate.corpora import READERS

TABLES = {
    "folder": {"speakers.csv": "speaker,sex,age,accent,language\nan,f,34,northern,vi\nbình,m,60+,,\n"},
    "emodb": {
        "speakers.csv": "speaker,sex,age\n03,male,31\n16,female,31\n",
        "sentences.csv": "code,transcript\na01,Der Lappen liegt dort.\nb10,Die wird auf dem Platz sein.\n",
    },
    "fsdd": {"speakers.csv": "speaker,sex,accent,language\njackson,male,USA,en\ntheo,male,USA,en\n"},
}


@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables_are_rows_or_one_line_that_says_what_is_wrong(name, corpus_of, section, damage):
    root = corpus_of(name)
    for table, text in TABLES[name].items():
        (root / table).write_text(text, encoding="utf-8")

    def reading():
        for row in READERS[name].rows(root, section(name, root)):
            assert (root / row.path).resolve().is_relative_to(root.resolve())

    reading()
    damage(root, sorted(TABLES[name]), reading, divider=b",", other=lambda content, at, junk: content[:at])
