"""What errors quote of a corpus' own files is little, and shown as it is: no file draws on the reader's terminal."""

import re

import pytest

from curate.audio import SUFFIXES
from curate.corpora import READERS
from curate.errors import CorpusError

LONG = "\u202e\x1b" * 3_000
BLANK = "\u202e\u2028\x1b"  # at which Python divides words and lines
FUNCTIONS = ("rows", "remarks", "published_trials", "enrolments", "aliases")


def refusals(root, settings):
    for function in FUNCTIONS:
        try:
            list(getattr(READERS[settings.reader], function, lambda *_: ())(root, settings))
        except CorpusError as error:
            yield str(error)


@pytest.mark.parametrize("odd", [LONG, BLANK], ids=["long", "blank"])
@pytest.mark.parametrize("name", READERS)
def test_every_error_is_a_short_line_of_printable_characters(name, odd, corpus_of, section):
    root = corpus_of(name)
    settings = section(name, root)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.lower().endswith(SUFFIXES)]
    for file in (path for path in files if path.suffix not in (".gz", ".parquet")):
        whole = file.read_text(encoding="utf-8")
        words = re.findall(r"[\w.-]+|[^\w.-]+", whole)
        for number in range(0, len(words), len(words) // 20 + 1):
            file.write_text("".join([*words[:number], words[number] + odd, *words[number + 1 :]]), encoding="utf-8")
            for told in refusals(root, settings):
                assert told.replace(str(root), "").isprintable(), (file.name, number)
                assert len(told) < 3_000 + 2 * len(str(root)), (file.name, number)
        file.write_text(whole, encoding="utf-8")
