"""The review page in Chromium: sounds play, keys decide, nothing of a corpus runs, and a kill loses no word."""

import contextvars
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from curate.catalog import Catalog
from curate.named import Review
from curate.reasons import Subject, Verdict
from curate.reviews import decide, said, standing
from curate.schema import DECISIONS
from tests.forked import ROOT, SCRIPT
from tests.pages.browsers import begin, beyond, chromium, served, watched
from tests.pages.catalogs_made import review_catalog

SHOTS = ROOT / "build" / "screenshots"
WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
PLAYED = "(audio) => audio.currentTime > 0 || audio.ended"
EVIL = (
    'one/<script>window.evil = 1; alert("x")</script>',
    'one/\'"><img src=x onerror="window.evil = 1">\u202e\u2067{{7*7}}',
    "two/" + "0123456789" * 1000,
)


def look(subject, one, other=None, **filters):
    ids = {"subject": subject, "id": one} | ({} if other is None else {"other": other})
    return f"/look?{urlencode(ids | filters)}"


def stands(catalog):
    rows = standing(said(catalog)).to_pylist()
    return {(row["subject"], row["subject_id"], row["verdict"], row["reviewer"]) for row in rows}


def press(page, key):
    """A key that leads to another page."""
    with page.expect_navigation():
        page.keyboard.press(key)


# ------------------------------------------------------------------------------------------------------ the demo


class Served:
    """`curate review` in a process of its own, which can be killed."""

    def __init__(self, catalog: Path) -> None:
        words = [SCRIPT, "review", catalog, "--port", "0", "--no-open", "--reviewer", "ann"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.address = re.search(r"(http://\S+)/ ", self._process.stdout.readline())[1]

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_fault: object) -> None:
        if self._process.poll() is None:
            self.end(signal.SIGKILL)

    def end(self, by: signal.Signals) -> tuple[int, str]:
        self._process.send_signal(by)
        told, _ = self._process.communicate()
        return self._process.returncode, told


@pytest.mark.usefixtures("prefect_server")
def test_what_is_decided_on_the_demo_outlives_a_kill_and_is_applied_by_a_run(demo_made, tmp_path):
    root = shutil.copytree(demo_made / "copied", tmp_path / "demo")
    catalog = Catalog(root / "catalog")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        faults = watched(page)
        with Served(root / "catalog") as server:
            begin(page, server.address)
            first = page.locator(".items a.id").first
            dropped = first.inner_text()
            with page.expect_navigation():
                first.click()
            page.locator(".listen .play").first.click()
            page.wait_for_function(PLAYED, arg=page.locator(".listen audio").first.element_handle())
            page.get_by_label("Note").fill("as clear as the others")
            with page.expect_navigation():
                page.get_by_role("button", name="Reject: keep").click()
            page.goto(f"{server.address}/?kind=pair&reason=undecided")
            with page.expect_navigation():
                page.locator(".items a.id").first.click()
            one, other = sorted(page.locator("h1 bdi").all_inner_texts())
            press(page, "m")
            page.goto(server.address + look("speaker", one))
            press(page, "d")
            press(page, "u")
            assert page.locator("h1").inner_text() == one
            page.reload()
            expected = {("utterance", dropped, "keep", "ann"), ("pair", one, "merge", "ann")}
            assert stands(catalog) == expected
            page.wait_for_load_state("networkidle")
            page.goto("about:blank")  # which asks nothing of who is killed
            assert server.end(signal.SIGKILL)[0] == -signal.SIGKILL
        with Served(root / "catalog") as server:
            page.goto(f"{server.address}/?state=decided")  # the browser knows the name still
            listed = page.locator(".items a.id").all_inner_texts()
            assert sorted(listed) == sorted([dropped, f"{one} with {other}"])
            views = {
                "queue": "/?state=all",
                "utterance": look("utterance", dropped, state="all"),
                "speaker": look("speaker", one, state="all"),
                "pair": look("pair", one, other, state="all"),
                "agreement": "/agreement",
            }
            agree_on_some(catalog, dropped, one)
            for name, view in views.items():
                photograph(page, server.address + view, name)
            assert server.end(signal.SIGINT) == (0, "Ended; what was said is kept.\n")
    assert faults == []
    assert expected < stands(catalog)

    from flows.pipeline import run

    with ThreadPoolExecutor(1) as pool:  # Playwright leaves a loop in this thread; Prefect wants its own
        pool.submit(contextvars.copy_context().run, run, root / "demo.toml").result()
    rows = catalog.read(DECISIONS, "review").to_pylist()
    assert {(row["subject"], row["subject_id"], row["verdict"], row["decided_by"]) for row in rows} >= expected


def agree_on_some(catalog, utterance, speaker):
    """A second reviewer, who speaks before the first of one, and says other things of another."""
    keep, drop = Verdict.KEEP, Verdict.DROP
    for name, verdicts in (("bob", (drop, drop)), ("ann", (keep, drop))):
        subjects = (Subject.UTTERANCE, Subject.SPEAKER)
        things = zip(subjects, (utterance, speaker), verdicts, strict=True)
        decide(catalog, name, [Review(subject=kind, subject_id=one, verdict=verdict) for kind, one, verdict in things])


def photograph(page, address, name):
    """As it looks wide and narrow, light and dark: nowhere wider than its window."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.goto(address)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("for (const one of document.querySelectorAll('.player')) one.scrollIntoView()")
        page.wait_for_load_state("networkidle")
        page.evaluate("scrollTo(0, 0)")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert beyond(page) <= 0, f"{name} at {width}"
            page.screenshot(path=SHOTS / f"review-{name}-{width}-{scheme}.png", full_page=name != "queue")


# -------------------------------------------------------------------------------------------------- a small catalog


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def small(tmp_path, browser):
    """A catalog of tones, its address and a page that came there."""
    catalog = review_catalog(tmp_path)
    with served(catalog) as address:
        page = browser.new_page()
        page.faults = watched(page)
        begin(page, address)
        yield catalog, address, page
        page.close()


def test_keys_go_through_the_queue_and_decide(small):
    catalog, address, page = small
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.innerText") == "one/ann/0"
    press(page, "Enter")
    with page.expect_navigation():
        page.keyboard.down("a")
    page.keyboard.down("a")  # held down, it says nothing of the next one
    page.keyboard.up("a")
    assert stands(catalog) == {("utterance", "one/ann/0", "drop", "ann")}
    page.goto(address + look("utterance", "one/ann/2"))
    page.keyboard.press("?")
    assert page.locator("dialog[open]").is_visible()
    page.keyboard.press("d")  # not while the keys are shown
    page.keyboard.press("Escape")
    page.get_by_label("Note").focus()
    page.keyboard.type("kadrum")
    page.locator("#main").focus()
    page.keyboard.press("l")
    assert page.evaluate("document.activeElement.value") == page.locator("[name=near]").first.get_attribute("value")
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.activeElement.value")
    press(page, "l")
    (row,) = (row for row in said(catalog).to_pylist() if row["subject_id"] == "one/ann/2")
    assert (row["verdict"], row["other_id"], row["note"]) == ("relabel", chosen, "kadrum")
    press(page, "u")
    assert stands(catalog) == {("utterance", "one/ann/0", "drop", "ann")}
    assert page.faults == []


def test_space_plays_and_stops_and_a_label_is_typed_and_entered(small):
    catalog, address, page = small
    page.goto(address + look("utterance", "one/ann/2"))
    audio = page.locator(".listen audio").first.element_handle()
    page.locator(".listen .play").first.evaluate("(button) => { button.click(); button.click(); }")
    page.keyboard.press(" ")  # that it was stopped before it began is no fault of the sound
    page.wait_for_function(PLAYED, arg=audio)
    assert page.locator(".silent").count() == 0
    page.get_by_label("Another label").fill("two/nobody")
    press(page, "Enter")
    assert "no speaker of" in page.get_by_role("alert").inner_text()
    page.get_by_label("Another label").fill("two/cem")
    press(page, "Enter")
    assert stands(catalog) == {("utterance", "one/ann/2", "relabel", "ann")}
    (catalog.root.parent / "audio" / "s2-0.wav").unlink()
    page.goto(address + look("utterance", "two/cem/0"))
    silent = page.locator(".silent")
    silent.wait_for()
    assert silent.inner_text().startswith("cannot be played")
    assert "s2-0.wav: No such file or directory; expected a readable file" in silent.get_attribute("title")


def test_the_matrix_names_two_utterances_and_plays_one_after_the_other(small):
    _, address, page = small
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address + look("pair", "one/ann", "one/bob"))
    canvas = page.locator("canvas[data-drawn]")
    assert canvas.get_attribute("data-drawn") == "8"
    canvas.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    status = page.locator("#matrix-status")
    assert "one/ann/1 and one/bob/0" in status.inner_text()
    assert f"cosine {2 / (1.25 * 5) ** 0.5:.2f}" in status.inner_text()  # of (1, 0.5, 0) and (2, 0, 1)
    page.keyboard.press("Enter")
    with page.expect_request(lambda request: request.url.endswith("/sound?utterance=one%2Fbob%2F0")):
        pass
    sounds = [url.rpartition("=")[2] for url in asked if "/sound?" in url]
    assert sounds.index("one%2Fann%2F1") < sounds.index("one%2Fbob%2F0")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 25)
    assert "one/ann/0 and one/bob/3" in status.inner_text()
    assert page.faults == []


def test_without_javascript_forms_decide_and_sound_has_the_players_of_the_browser(small, browser):
    catalog, address, _ = small
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        begin(page, address, "bob")
        page.goto(address + look("utterance", "one/ann/0"))
        assert page.locator("audio[controls]").first.is_visible()
        with page.expect_navigation():
            page.get_by_role("button", name="Accept: drop").click()
    assert stands(catalog) == {("utterance", "one/ann/0", "drop", "bob")}


def test_no_name_of_a_hostile_corpus_runs_or_widens_the_page(tmp_path, browser):
    catalog = review_catalog(tmp_path, speakers=EVIL, transcript="</bdi><script>window.evil = 1</script>\u202e" * 300)
    with served(catalog) as address:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        faults = watched(page)
        begin(page, address)
        page.goto(address + look("pair", EVIL[0], EVIL[1]))
        press(page, "m")
        views = [look("utterance", f"{one}/0") for one in EVIL] + [
            look("speaker", EVIL[1]),
            look("pair", EVIL[0], EVIL[2]),
        ]
        for view in ("/?state=all", *views, "/agreement"):
            page.goto(address + view)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("window.evil") is None
            assert page.locator("script").count() == 2
            assert page.locator("main img").count() == 0
            assert beyond(page) <= 0, view[:60]
        page.goto(address + views[2])
        page.get_by_text("show all").first.click()
        assert EVIL[2] in page.locator("h1").inner_text()
        page.close()
    assert faults == []
    assert [row[0] for row in stands(catalog)] == [Subject.PAIR]


def test_two_thousand_utterances_are_drawn(tmp_path, browser):
    """How long it takes is measured by benchmarks/speed/review.py."""
    catalog = review_catalog(tmp_path, speakers=("a/a", "b/b", "c/c"), num_each=1200, with_sound=False)
    with served(catalog) as address:
        page = browser.new_page()
        begin(page, address)
        page.goto(address + look("pair", "a/a", "b/b"))
        page.wait_for_selector("canvas[data-drawn='2000']")
        assert "2,000 of 2,400 utterances" in page.locator("[data-of]").inner_text()
        page.close()
