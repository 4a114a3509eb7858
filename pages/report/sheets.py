"""The report as a folder: one page that holds all its pictures, and each picture beside it as SVG and PNG."""

import base64
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pyarrow.compute as pc

from benchmarks.pictures import save
from curate.whole import write_text
from pages.report import likeness, losses, merges, speaker_map, spread, trial_scores, way
from pages.report.material import Material, corpora_in_turn
from pages.report.names import shown
from pages.report.picture import LeftOut, Picture, number_of

PAGE = "report.html"
ROWS_SHOWN = 60  # of the numbers below a picture
TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def pictures(material: Material) -> list[Picture | LeftOut]:
    """All of them, in the order of the page."""
    return [
        way.picture(material),
        *losses.pictures(material),
        *spread.pictures(material),
        *likeness.pictures(material),
        merges.picture(material),
        *speaker_map.pictures(material),
        *trial_scores.pictures(material),
    ]


def write(material: Material, folder: Path) -> list[Picture | LeftOut]:
    """Draw every picture into the folder, and write the page; says what is on it."""
    found = pictures(material)
    inlined = {one.name: drawn_into(folder, one) for one in found if isinstance(one, Picture)}
    write_text(folder / PAGE, page(material, found, inlined))
    return found


def drawn_into(folder: Path, picture: Picture) -> str:
    """Write both files of a picture; the one that goes onto the page as a `data:` address.

    As an image it can neither run anything nor fetch anything, and its ids are its own.
    """
    figure = picture.draw()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it is laid out now: once for both files
    files = {suffix: save(figure, folder / f"{picture.name}{suffix}") for suffix in TYPES}
    suffix = ".png" if picture.is_raster else ".svg"
    return f"data:{TYPES[suffix]};base64,{base64.b64encode(files[suffix].read_bytes()).decode()}"


def page(material: Material, found: Sequence[Picture | LeftOut], inlined: dict[str, str]) -> str:
    """The page; what came from a catalog stands in it as text, whatever it is."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["shown"] = shown
    environment.filters["cell"] = _cell
    text = resources.files("pages.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    values = {
        "title": f"Report on {shown(material.benchmark)}" if material.benchmark else "Report on a catalog",
        "facts": facts(material),
        "corpora": corpora(material),
        "pictures": [
            {name: getattr(one, name) for name in ("name", "heading", "title", "caption", "head")}
            | {
                "rows": one.rows[:ROWS_SHOWN],
                "num_more": max(len(one.rows) - ROWS_SHOWN, 0),
                "source": inlined[one.name],
            }
            for one in found
            if isinstance(one, Picture)
        ],
        "left_out": [asdict(one) for one in found if isinstance(one, LeftOut)],
    }
    return environment.from_string(text).render(values)


def facts(material: Material) -> list[tuple[str, str]]:
    """What a reader asks first, in counts."""
    left = material.left
    hours = float(pc.sum(left["duration_s"]).as_py() or 0.0) / 3600
    labels = left["speaker_id"].combine_chunks().unique()
    mine = material.identities.filter(pc.is_in(material.identities["speaker_id"], value_set=labels))
    rows = [
        ("utterances left", f"{len(left):,} of {len(material.came):,}"),
        ("together", f"{hours:,.2f} h"),
        ("labels left", f"{len(labels):,}"),
        ("people found", f"{len(mine['identity_id'].unique()):,}" if len(material.identities) else "nobody looked"),
        ("corpora", f"{len(material.came['corpus'].unique()):,}"),
    ]
    if material.benchmark is not None:
        trials = sum(map(len, material.lists.values()))
        rows.append(("benchmark", f"{shown(material.benchmark)}: {number_of(trials, 'trial')}"))
    rows.append(("heard by", ", ".join(map(shown, material.extractors)) or "no extractor"))
    return rows


def corpora(material: Material) -> list[tuple[Any, ...]]:
    """(corpus, utterances, left, labels, licence), the largest first."""
    terms = dict(zip(*(material.corpora[name].to_pylist() for name in ("corpus", "licence")), strict=True))
    rows = []
    for name in corpora_in_turn(material):
        mine, left = (rows.filter(pc.equal(rows["corpus"], name)) for rows in (material.came, material.left))
        labels = len(mine["speaker_id"].unique())
        rows.append((name, len(mine), len(left), labels, terms.get(name) or "not stated"))
    return rows


def _cell(value: object) -> str:
    """A number with its thousands, or a short line."""
    return f"{value:,}" if isinstance(value, int) else "" if value in (None, "") else shown(value, 120)
