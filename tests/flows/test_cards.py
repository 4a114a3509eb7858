"""The cards of `data_cards` are those that `curate publish` writes of what this project builds."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from curate.catalog import Catalog
from curate.config import load_pipeline
from curate.corpora import READERS
from curate.describe import chosen
from flows.publishing import Asked, publish_benchmark

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "data_cards"
NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-])")
SIZES = re.compile(r"^ +(?:num_bytes|download_size|dataset_size): \d+$", flags=re.MULTILINE)  # of Parquet, by version
FIGURES = 0.02  # by which another processor may round a figure otherwise, in what it is printed in; counts are equal
OF_TRIALS = 0.25  # the same where a trial may go before another one: of 419 targets one is 0.24 %


def as_told(options: str, pipeline: Path) -> Asked:
    """What `data_cards/README.md` says to publish them with."""
    told = dict(re.findall(r'--(maker|version|date) ("[^"]+"|\S+)', options))
    return Asked(
        pipeline=pipeline,
        makers=(told["maker"].strip('"'),),
        version=told["version"],
        published=date.fromisoformat(told["date"]),
    )


def differences(one: str, other: str) -> list[tuple[str, str]]:
    """The lines of two cards that say something else."""
    lines = [SIZES.sub("", text).splitlines() for text in (one, other)]
    if len(lines[0]) != len(lines[1]):
        return [(f"{len(lines[0])} lines", f"{len(lines[1])} lines")]
    return [pair for pair in zip(*lines, strict=True) if not says_the_same(*pair)]


def says_the_same(one: str, other: str) -> bool:
    numbers = [NUMBER.findall(line) for line in (one, other)]
    may_differ = OF_TRIALS if "| eer |" in one or "| min_dcf |" in one else FIGURES
    return NUMBER.sub("#", one) == NUMBER.sub("#", other) and all(
        abs(float(a) - float(b)) <= may_differ + 1e-9 if "." in a and "." in b else a == b
        for a, b in zip(*numbers, strict=True)
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("| eer | 3.20 % | 419 |", "| eer | 3.41 % | 419 |", True),
        ("| eer | 3.20 % | 419 |", "| eer | 3.50 % | 419 |", False),
        ("| hue | 0.08 | 12 |", "| hue | 0.09 | 12 |", True),
        ("| hue | 0.08 | 12 |", "| hue | 0.12 | 12 |", False),
        ("| eer | 3.20 % | 419 |", "| eer | 3.20 % | 420 |", False),
        ("| eer | 3.20 % | 419 |", "| eer | 3 % | 419 |", False),
        ("version 1.0.0", "version 1.0.1", False),
        ("wavlm-2", "wavlm-3", False),
        ("it is kept", "it is dropped", False),
    ],
)
def test_what_another_processor_may_round_is_no_difference_and_all_else_is(one, other, same):
    assert says_the_same(one, other) == same


def test_the_card_of_the_demo_is_that_of_a_demo_made_anew(demo_made, tmp_path):
    told = (CARDS / "README.md").read_text(encoding="utf-8").split("curate publish ")[1]
    catalog = Catalog(demo_made / "whole" / "catalog")
    publish_benchmark(catalog, "demo", tmp_path / "out", as_told(told, demo_made / "whole" / "demo.toml"))
    made = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert differences(made, (CARDS / "demo.md").read_text(encoding="utf-8")) == []


@pytest.mark.real
def test_the_card_of_real_speech_names_what_is_read_with_its_terms(corpora, tmp_path):
    """Curating all of it again takes a minute: that its counts add up is seen in it alone."""
    text = (ROOT / "examples" / "real.toml").read_text(encoding="utf-8")
    (tmp_path / "real.toml").write_text(text.replace("../../shared/corpora", str(corpora)), encoding="utf-8")
    pipeline, card = load_pipeline(tmp_path / "real.toml"), (CARDS / "real.md").read_text(encoding="utf-8")
    front, body = card.split("---\n", 2)[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line[:1] == "|"]
    sources = {row[0]: row for row in rows if len(row) == 9}
    kept = 0
    for corpus in pipeline.corpora:
        reader = READERS[corpus.reader]
        _, read, left, here, *_, licence, citation, url = sources[corpus.name]
        assert int(read) == sum(1 for _ in chosen(corpus, reader.rows(corpus.root, corpus)))
        assert int(read) >= int(left) >= int(here)
        assert (licence, citation, url) == (reader.LICENCE, reader.CITATION, reader.URL)
        kept += int(here)
    said = yaml.safe_load(front)
    sizes = {one["name"]: one["num_examples"] for one in said["dataset_info"][0]["splits"]}
    assert sum(sizes.values()) == kept
    assert f"{kept} utterances of" in body
    made = tomllib.loads(text)["card"]
    assert f"# {made['title']}\n\n{made['description']}\n" in body
    assert {licence for of_split in said["licences_by_split"].values() for licence in of_split} == {
        sources[corpus.name][6] for corpus in pipeline.corpora
    }
