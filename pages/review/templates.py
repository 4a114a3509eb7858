"""The templates and what all of them are given; whatever stands in them is escaped."""

import unicodedata
from pathlib import Path

import jinja2
from fastapi.responses import HTMLResponse, Response

from curate.catalog import Catalog
from pages.review.asked import Asked
from pages.review.listed import COUNTED
from pages.review.strip import number

FOLDER = Path(__file__).parent
KEYS = [
    ("a", "accept what the rule says"),
    ("r", "reject it: say the opposite"),
    ("k", "keep; of a pair, keep apart"),
    ("d", "drop"),
    ("m", "merge"),
    ("l", "relabel: go to the nearest speakers, and again to say it"),
    ("u", "undo what you said last"),
    ("n", "next"),
    ("p", "previous"),
    ("space", "play, or stop"),
    ("?", "these keys"),
]


def asset(name: str) -> str:
    """The text of a file beside the templates."""
    return (FOLDER / name).read_text(encoding="utf-8")


def spaced(word: object) -> str:
    """A word of a closed list as it is read."""
    return str(word).replace("_", " ")


def plain(text: str) -> str:
    """Without what steers direction or the like: a title has no <bdi> to hold it."""
    return "".join(one for one in text if unicodedata.category(one) not in ("Cc", "Cf"))


class Pages:
    """Fills templates about one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"number": number, "spaced": spaced, "plain": plain}
        self._catalog = catalog

    def page(self, name: str, reviewer: str, asked: Asked, *, status: int = 200, **values: object) -> Response:
        """One page, for this reviewer, who came with these filters."""

        def link(subject: str, one: str, other: str | None = None) -> str:
            return f"/look?{asked.query(subject=subject, id=one, other=other)}"

        usual = {
            "catalog": str(self._catalog.root),
            "catalog_name": self._catalog.root.name or str(self._catalog.root),
            "reviewer": reviewer,
            "asked": asked,
            "state_name": COUNTED[asked.state],
            "keys": KEYS,
            "link": link,
            "here": "",
            "fault": "",
        }
        template = self._environment.get_template(f"{name}.html.jinja")
        return HTMLResponse(template.render(usual | values), status)

    def fault(self, status: int, why: str) -> Response:
        """What cannot be done, in one line."""
        heading = "Not found" if status == 404 else "This cannot be done"
        return self.page("fault", "", Asked(), status=status, heading=heading, why=" ".join(why.split()))
