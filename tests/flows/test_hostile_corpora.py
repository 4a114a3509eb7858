"""A corpus may say what it likes: its words do nothing in cards, in Croissant, or in exports."""

import logging
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from curate import publish
from curate.catalog import Catalog
from curate.config import load_pipeline
from curate.errors import ExportError
from curate.export import FORMS
from curate.export.sound import Conversion
from curate.export.writing import export_benchmark
from curate.schema import AGE_LABELS, CALIBRATIONS, CORPORA, DECISIONS, IDENTITIES, RESULTS, SPLITS, TRIALS, UTTERANCES
from curate.verify import faults_of
from flows.publishing import Asked, publish_benchmark
from tests.flows.published_made import write_catalog
from tests.flows.test_publish import NOT_OURS

HOSTILE = (
    "<script>alert(1)</script>",
    "\"a\" 'b' ``code`` | d \\| e \\\\| ```\n```",
    "{{ 7*7 }} {% for x in y %} ${7*7} #{7*7}",
    "---\na: &b [*b, {c: !!python/object d}] # e\n---\n\n## A heading\n\n| a | b |",
    '"}], "recordSet": [{"x": 1',
    "\u202egnp.exe\u200f \u2067x\u061c\ufeff \u200b",
    "![x](javascript:alert(1)) [y](data:text/html,x) <img src=x onerror=alert(1)> <https://x.y>",
    "&lt;b&gt; _a_ **b** ~~c~~ <!-- d",
    "ố| <i> " * 1_500,
)
MARKUP = {"html_block", "html_inline", "link_open", "image", "em_open", "s_open"}  # cards have none of their own
TURNING = set("\u202e\u200f\u2067\u061c\u200e\u2066\u2068\u202a\u202b\u202d\u0085\u2028\u2029\r")
URL = 'javascript:alert("1") | <a href="//x.y">'


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Such a corpus beside two that are tidy, published with audio in `out`."""
    root = tmp_path_factory.mktemp("hostile")
    licences = {"studio": "CC-BY-4.0", "calls": HOSTILE[2], "odd": HOSTILE[0]}
    catalog = write_catalog(root, licences=licences, odd=HOSTILE, url=URL)
    text = "\n".join(HOSTILE[:3])
    (root / "p.toml").write_text(
        'name = "toy"\ncatalog = "catalog"\n[[corpora]]\nname = "odd"\nreader = "folder"\nroot = "odd"\n'
        f"[splits]\nnum_test_speakers = 2\n[card]\ntitle = {quoted(text)}\ndescription = {quoted(text)}\n"
        f"makers = [{quoted(HOSTILE[3])}]\nlicence = {quoted(HOSTILE[4])}\n",
        encoding="utf-8",
    )
    publish_benchmark(catalog, "toy", root / "out", Asked(has_audio=True, insists=True, pipeline=root / "p.toml"))
    return root


def quoted(text: str) -> str:
    """A string of TOML."""
    return '"' + "".join(f"\\U{ord(one):08x}" for one in text) + '"'


def card_of_catalog(home: Path) -> str:
    """The catalog's own, in which all hostile labels are one person."""
    catalog = Catalog(home / "catalog")
    people = catalog.read(IDENTITIES).to_pylist()
    one = next(row["speaker_id"] for row in people if row["speaker_id"].startswith("odd/"))
    merged = [row | {"identity_id": one} if row["speaker_id"].startswith("odd/") else row for row in people]
    return publish.card(
        load_pipeline(home / "p.toml"),
        **{
            table.name: catalog.read(table)
            for table in (CORPORA, UTTERANCES, DECISIONS, AGE_LABELS, SPLITS, TRIALS, RESULTS)
        },
        identities=pa.Table.from_pylist(merged, schema=IDENTITIES.arrow()),
        calibrations=CALIBRATIONS.arrow().empty_table(),
    )


def card_of(home: Path, which: str) -> str:
    if which == "catalog":
        return card_of_catalog(home)
    return (home / "out" / which).read_text(encoding="utf-8")


@pytest.mark.parametrize("which", ["catalog", "README.md", "LICENSE.md"])
def test_no_word_is_markup_in_a_card(home, which):
    """As a reader of Markdown that lets HTML through finds."""
    text = card_of(home, which)
    body = text.split("---\n", 2)[2] if text.startswith("---\n") else text
    found = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)
    within = [token for block in found for token in (block, *(block.children or ()))]
    assert {token.type for token in within} & MARKUP == set()
    assert [token for token in within if token.type == "code_inline" and token.content == "code"] == []
    assert [token for token in within if token.type == "inline" and token.content.startswith("A heading")] == []
    if which != "LICENSE.md":  # which has no names
        assert "&lt;b&gt; _a_ **b**" in "".join(
            token.content for token in within if token.type in ("text", "text_special")
        )
    assert [line for line in text.splitlines() if line == "---"] == ["---"] * text.startswith("---\n") * 2
    assert not set(text) & TURNING
    assert max(map(len, text.splitlines())) < 2_000


@pytest.mark.parametrize("which", ["catalog", "README.md", "LICENSE.md"])
def test_tables_of_a_card_keep_their_columns(home, which):
    tables: list[list[int]] = [[]]
    for line in card_of(home, which).splitlines():
        if line.startswith("|"):
            tables[-1].append(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)))
        else:
            tables.append([])
    widths = [table for table in tables if table]
    assert widths
    assert [table for table in widths if len({*table}) != 1 or len(table) < 3] == []


def test_words_of_the_template_language_stay_words(home):
    for which in ("catalog", "README.md"):
        assert "{{ 7\\*7 }} {% for x in y %} ${7\\*7} #{7\\*7}" in card_of(home, which)


@pytest.mark.parametrize("which", ["catalog", "README.md"])
def test_front_matter_is_that_of_a_card_and_the_hub_reads_it(home, which):
    from huggingface_hub import DatasetCard, DatasetCardData

    text = card_of(home, which)
    told = yaml.safe_load(text.split("---\n", 2)[1])
    card = DatasetCard(text)
    assert isinstance(card.data, DatasetCardData)
    assert card.data.to_dict() == told
    assert told["pretty_name"].startswith("<script>alert(1)</script>")
    assert "recordSet" not in told
    assert "a" not in told
    if which == "README.md":
        assert set(told["licences_by_split"]) == {"test", "train"}
        assert [one["config_name"] for one in told["configs"]] == ["toy", "trials-toy"]


@pytest.mark.filterwarnings(*NOT_OURS)
def test_croissant_is_valid_and_gives_every_word_back(home, caplog):
    import mlcroissant

    assert faults_of(home / "out") == []
    found = mlcroissant.Dataset(jsonld=str(home / "out" / "croissant.json"))
    assert (found.metadata.ctx.issues.errors, found.metadata.ctx.issues.warnings) == (set(), set())
    rows = list(found.records("utterances"))
    assert {row["utterances/transcript"] for row in rows} == {None, *(text.encode() for text in HOSTILE)}
    assert {row["utterances/label"].decode() for row in rows} >= {f"odd/{text}" for text in HOSTILE}
    assert len(list(found.records("trials-test"))) == len(pq.read_table(home / "out" / "trials"))
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("name", FORMS)
def test_an_export_stays_in_its_folder_or_is_refused_in_one_line(home, tmp_path, name):
    of_whole_files = name in ("wespeaker", "voxceleb")
    sound = Conversion(format="wav") if of_whole_files else None
    try:
        export_benchmark(Catalog(home / "catalog"), name, tmp_path / "out", conversion=sound, workers=1)
    except ExportError as error:
        told = str(error)
        assert len(told.splitlines()) == 1
        assert not set(told) & TURNING
        assert len(told) < 500
        assert not (tmp_path / "out").exists()
    else:
        written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert all(path.resolve().is_relative_to(tmp_path / "out") for path in written)
        assert {path.name for path in tmp_path.iterdir()} == {"out"}
