"""What `curate report` promises: a page that stands alone, whole or not at all, and the same bytes each time."""

import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from curate.catalog import Catalog
from curate.errors import CatalogError, ExportError
from flows.cli import app
from flows.reporting import write_report
from pages.report import sheets
from pages.report.material import gathered
from pages.report.picture import LeftOut, Picture
from tests.pages.browsers import chromium
from tests.pages.report_made import (
    BENCHMARK,
    LABELS,
    LONG,
    SCRIPT,
    decision,
    material_of,
    utterance,
    write_odd,
    write_tables,
)

MAY_STAND = {"html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav", "section"}
MAY_STAND |= {"h1", "h2", "p", "a", "ul", "li", "dl", "dt", "dd", "div", "bdi", "figure", "img", "figcaption"}
MAY_STAND |= {"details", "summary", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.fixture(scope="module")
def reported(once):
    """A folder with the catalog, and a report on it."""

    def fill(folder):
        write_report(write_odd(folder / "catalog"), folder / "out")

    return once("report-odd", fill)


class Seen(HTMLParser):
    """The elements of a page, with their attributes, and all its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def seen(reported):
    return Seen((reported / "out/report.html").read_text(encoding="utf-8"))


def test_the_page_runs_and_fetches_nothing_and_holds_every_picture(reported, seen):
    names = {path.stem for path in (reported / "out").glob("*.svg")}
    assert {"way", "groups", "reasons", "ages", "durations", "labels", "pairs", "merges"} < names
    assert {"map_corpus", "map_sex", "scores_1", "scores_2", "det"} < names
    assert {path.name for path in (reported / "out").iterdir()} == {
        "report.html",
        *(f"{name}{suffix}" for name in names for suffix in (".svg", ".png")),
    }
    assert {tag for tag, _ in seen.elements} <= MAY_STAND
    addresses = [value for _, attrs in seen.elements for key, value in attrs.items() if key in ("src", "href")]
    assert all(re.match(r"(data:image/(svg\+xml|png);base64,|#[a-z0-9_]+$)", one) for one in addresses)
    assert sum(tag == "img" for tag, _ in seen.elements) == len(names)
    assert not any(key.startswith("on") for _, attrs in seen.elements for key in attrs)
    text = (reported / "out/report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert all(attrs["alt"] for tag, attrs in seen.elements if tag == "img")


def test_names_are_text_whatever_they_hold_and_long_ones_are_cut(seen):
    assert SCRIPT in seen.text
    assert "</svg><img src=x onerror=alert(1)>" in seen.text
    assert f"benchmark{BENCHMARK}" in seen.text.replace("\n", "")
    assert max(map(len, re.findall("\u1ed1+", seen.text))) < 80
    assert "\u25a1" not in seen.text  # a cell without anything in it is empty
    assert "\u202e" not in seen.text


def test_pictures_are_xml_without_scripts_links_or_long_names(reported):
    for path in sorted((reported / "out").glob("*.svg")):
        assert len(re.findall("\u1ed1" * 40, path.read_text(encoding="utf-8"))) == 0, path
        for element in ElementTree.parse(path).iter():
            assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "a"), path
            links = [value for key, value in element.attrib.items() if key.endswith("href")]
            assert all(link.startswith(("#", "data:image/png;base64,")) for link in links), path


def test_the_same_catalog_gives_the_same_bytes_wherever_it_lies(reported, tmp_path):
    shutil.copytree(reported / "catalog", tmp_path / "elsewhere")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "elsewhere"), str(tmp_path / "again")])
    assert result.exit_code == 0, result.output
    assert result.output == f"{tmp_path / 'again'}/report.html: 13 pictures\n"
    first, again = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (reported / "out", tmp_path / "again")
    )
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "elsewhere"]


def test_what_is_drawn_lies_within_its_picture(reported):
    """No text is cut at an edge, and none is smaller than 7 points."""
    for one in sheets.pictures(gathered(Catalog(reported / "catalog"))):
        figure = one.draw()
        figure.draw_without_rendering()
        paper = figure.bbox
        beyond = {label for axes in figure.axes for label in ticks_beyond(axes)}
        for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize") and artist.get_visible()):
            if text.get_text().strip() and text not in beyond:
                box = text.get_window_extent()
                told = (one.name, text.get_text())
                assert paper.x0 - 1 <= box.x0 <= box.x1 <= paper.x1 + 1, told
                assert paper.y0 - 1 <= box.y0 <= box.y1 <= paper.y1 + 1, told
                assert text.get_fontsize() >= 7, told


def ticks_beyond(axes):
    """The labels of ticks that lie outside of the axes: they are made, and not drawn."""
    for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in axis.get_major_ticks():
            if not min(ends) <= tick.get_loc() <= max(ends):
                yield tick.label1


# -------------------------------------------------------------------------------------------------------- refusals


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One label of one corpus."""
    rows = [utterance("toy", "toy/an", number) for number in range(2)]
    return write_tables(tmp_path_factory.mktemp("tiny") / "catalog", {"utterances": rows})


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tiny, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="is there already; expected a folder that is not, or is empty"):
        write_report(tiny, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ExportError, match="is within"):
        write_report(tiny, tiny.root / "report")


def test_a_benchmark_that_is_not_there_and_several_without_a_name_are_refused(tmp_path):
    splits = [
        {"benchmark": name, "utterance_id": "toy/an/0", "identity_id": "toy/an", "split": "test"} for name in "ab"
    ]
    catalog = write_tables(tmp_path / "catalog", {"utterances": [utterance("toy", "toy/an", 0)], "splits": splits})
    with pytest.raises(CatalogError, match="no benchmark 'c'; expected one of a, b"):
        gathered(catalog, "c")
    with pytest.raises(CatalogError, match="holds a, b; expected `--benchmark` to name one"):
        gathered(catalog)
    assert gathered(catalog, "b").benchmark == "b"
    with pytest.raises(CatalogError, match="no catalog there"):
        write_report(Catalog(tmp_path / "none"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_report_that_fails_leaves_nothing_behind(tiny, tmp_path, monkeypatch):
    def fail(folder, picture):
        (folder / "half.svg").write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(sheets, "drawn_into", fail)
    with pytest.raises(OSError, match="no space left"):
        write_report(tiny, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- what is missing


def left_out(material):
    return {one.name: one.why for one in sheets.pictures(material) if isinstance(one, LeftOut)}


def test_one_label_without_anything_else_is_reported_on_with_sentences_for_the_rest(tiny, tmp_path):
    material = gathered(tiny)
    assert left_out(material) == {
        "reasons": "No utterance is dropped.",
        "ages": "No age is known of any utterance that is left.",
        "labels": "The catalog holds no vectors.",
        "pairs": "The catalog holds no vectors.",
        "merges": "Nobody looked which labels are one person.",
        "map_corpus": "0 labels with vectors are left; a map needs 5.",
        "map_sex": "0 labels with vectors are left; a map needs 5.",
        "scores": "There are no trials.",
        "det": "There are no trials.",
    }
    told = write_report(tiny, tmp_path / "out")
    assert told.endswith("report.html: 3 pictures; 9 left out, the page says why")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "How old they are: No age is known of any utterance that is left." in page
    assert page.count("<img") == 3


def test_a_catalog_without_utterances_and_one_that_lost_all_are_no_traceback(tmp_path):
    empty = material_of(tmp_path / "empty", utterances=[])
    assert all(isinstance(one, LeftOut) for one in sheets.pictures(empty))
    sheets.write(empty, tmp_path)
    gone = material_of(
        tmp_path / "gone",
        utterances=[utterance("toy", "toy/an", 0, duration_s=None)],
        decisions=[decision("toy/an/0", "drop", "unreadable", step="ingest")],
    )
    why = left_out(gone)
    assert why["durations"] == "No utterance is left whose duration is known."
    found = [one for one in sheets.pictures(gone) if isinstance(one, Picture)]
    assert [one.name for one in found] == ["way", "groups", "reasons"]
    assert found[0].title == "0 of 1 utterances (0.0 %) are left; no step drops more than ingest, 1"
    assert [type(one.draw()).__name__ for one in found] == ["Figure"] * 3


def test_trials_of_one_kind_and_trials_without_vectors_say_what_they_lack(tmp_path):
    about = {"benchmark": "toy", "list": "test", "is_target": True}
    trials = [about | {"enrol_id": "toy/an/0", "test_id": "toy/an/1"}]
    rows = [utterance("toy", "toy/an", number) for number in range(2)]
    vectors = {"toy/an/0": [1.0, 0], "toy/an/1": [0.0, 1]}
    one_kind = left_out(material_of(tmp_path / "one", utterances=rows, trials=trials, vectors=vectors))
    assert one_kind["det"] == "List test has 1 target and 0 nontargets; both are needed."
    assert one_kind["pairs"] == "Nobody looked which labels are alike."
    both = [*trials, about | {"enrol_id": "toy/an/1", "test_id": "toy/an/9", "is_target": False}]
    lacking = left_out(material_of(tmp_path / "two", utterances=rows, trials=both, vectors=vectors))
    assert lacking["scores"].startswith("List test is left out: toy/an/9: 1 utterances or models of the trials have no")
    models = [{"benchmark": "toy", "model_id": "toy/m", "utterance_id": "toy/an/9"}]
    lost = left_out(material_of(tmp_path / "m", utterances=rows, trials=both, models=models, vectors=vectors))
    assert lost["det"] == "An enrolment model toy/m: its utterance toy/an/9 has no vector; expected one for each."


# ----------------------------------------------------------------------------------------------------- in a browser


def test_a_browser_shows_it_whole_on_a_telephone_and_a_screen_and_asks_for_nothing(reported):
    with chromium() as browser:
        page = browser.new_page(color_scheme="dark")
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(f"file://{reported}/out/report.html")
            page.wait_for_function("[...document.images].every(image => image.complete)")
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 300)")
        paper, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert {one for one in asked if not one.startswith("data:")} == {f"file://{reported}/out/report.html"}
    assert said == []
    dark, light = (sum(map(int, re.findall(r"\d+", one)[:3])) for one in (paper, ink))
    assert light - dark > 400


def test_labels_of_the_made_catalog_are_what_they_are_called():
    assert len(LONG.encode()) > 10_000
    assert len(set(LABELS)) == len(LABELS)
