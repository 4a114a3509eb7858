"""Catalogs that are everybody's, copies to speak of, and browsers without a window that have named themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from curate.catalog import Catalog
from pages.report.material import Material, gathered
from pages.review.app import create_app
from pages.review.guard import Door
from tests.pages.catalogs_made import review_catalog
from tests.pages.report_made import write_odd

HERE = "http://127.0.0.1:8765"


class Visitor(TestClient):
    """Sends forms as the page's own do, and follows no redirect."""

    def __init__(self, app: object, name: str | None = "ann") -> None:
        super().__init__(app, base_url=HERE, follow_redirects=False)
        self.headers["origin"] = HERE
        if name is not None:
            assert self.post("/who", data={"reviewer": name, "back": "/"}).status_code == 303

    def say(self, subject: str, one: str, verdict: str, other: str = "", view: str = "", **rest: str):
        form = {"subject": subject, "id": one, "verdict": verdict, "view": view, **rest}
        return self.post("/decide", data=form | ({"other": other} if other else {}))


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A catalog that nothing is said of, and its sound beside it."""
    return review_catalog(tmp_path_factory.mktemp("made")).root


@pytest.fixture(scope="session")
def reader(made) -> Visitor:
    """Who says nothing."""
    return Visitor(create_app(Catalog(made), Door(host="127.0.0.1", port=8765)))


@pytest.fixture
def catalog(made, tmp_path) -> Catalog:
    shutil.copytree(made, tmp_path / "catalog")
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def app(catalog):
    return create_app(catalog, Door(host="127.0.0.1", port=8765), reviewer="ann")


@pytest.fixture
def visit(app) -> Callable[..., Visitor]:
    return lambda name="ann": Visitor(app, name)


@pytest.fixture(scope="session")
def odd(once) -> Catalog:
    """A catalog with all that a report can show."""
    return Catalog(once("report-odd-catalog", lambda folder: write_odd(folder / "catalog")) / "catalog")


@pytest.fixture(scope="session")
def of_odd(odd: Catalog) -> Material:
    """What a report on it is made of."""
    return gathered(odd)
