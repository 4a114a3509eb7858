"""The page without a browser: what is listed, what is said, and what is refused."""

import html
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from curate.catalog import Catalog, rows_of
from curate.errors import CatalogError
from curate.named import Review
from curate.reasons import Subject, Verdict
from curate.reviews import decide
from curate.schema import DECISIONS, EMBEDDINGS, REVIEWS
from pages.review.app import create_app
from pages.review.guard import Door
from tests.pages.catalogs_made import review_catalog
from tests.pages.conftest import Visitor
from tests.pages.visits import DROPPED, KEPT, RELABELLED, UNHEARD, listed, look, stands

# ---------------------------------------------------------------------------------------------------------- the queue


def test_the_queue_begins_with_what_is_most_doubtful_and_holds_everything(reader):
    page = reader.get("/")
    entries = listed(page)
    assert len(entries) == 17
    assert entries[0] == ("utterance", DROPPED)
    doubts = [float(one) for one in re.findall(r'<span class="label">doubt</span> ([\d.]+)', page.text)]
    assert doubts == sorted(doubts, reverse=True)
    assert entries[-1] == ("utterance", UNHEARD)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"kind": "pair"}, {("pair", "one/ann", "one/bob"), ("pair", "one/ann", "two/cem")}),
        ({"kind": "pair", "corpus": "two"}, {("pair", "one/ann", "two/cem")}),
        ({"reason": "undecided"}, {("pair", "one/ann", "two/cem")}),
        ({"verdict": "relabel"}, {("utterance", RELABELLED)}),
        ({"text": "ANN/2"}, {("utterance", KEPT)}),
        (
            {"kind": "utterance", "min_score": "0", "max_score": "0.295"},
            {("utterance", DROPPED), ("utterance", RELABELLED)},
        ),
        ({"reason": "too_short", "max_doubt": "0"}, {("utterance", UNHEARD)}),
        ({"state": "decided"}, set()),
        ({"text": "<script>"}, set()),
    ],
)
def test_filters_leave_out_the_rest(filters, found, reader):
    assert set(listed(reader.get("/", params=filters))) == found


@pytest.mark.parametrize("filters", [{"min_doubt": "much"}, {"kind": "x"}, {"state": "y"}, {"max_score": "nan"}])
def test_a_filter_that_is_none_is_told(filters, reader):
    answer = reader.get("/", params=filters)
    assert answer.status_code == 400
    assert "expected" in answer.text


def test_a_bound_is_shown_as_it_was_typed(reader):
    assert 'name="min_score" inputmode="decimal" value="0.1234567"' in reader.get("/?min_score=0.1234567").text


def test_a_page_of_the_queue_that_there_is_none_of_is_the_nearest(reader):
    whole = listed(reader.get("/"))
    for page in ("0", "99", "-1", "x", "²", "9" * 50):
        assert listed(reader.get("/", params={"page": page})) == whole


def test_fifty_stand_on_a_page_and_none_is_left_out(tmp_path):
    speakers = [f"c/s{at:02d}" for at in range(30)]
    visitor = Visitor(create_app(review_catalog(tmp_path, speakers=speakers), Door(host="127.0.0.1", port=8765)))
    pages = [listed(visitor.get("/", params={"page": page})) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages[:3]] == [50, 50, 50]
    assert len({entry for page in pages for entry in page}) == sum(map(len, pages)) == 120 + 30 + 2


# ------------------------------------------------------------------------------------------------------ one is decided


@pytest.mark.parametrize(
    ("subject", "one", "other", "verdict", "kept"),
    [
        ("utterance", DROPPED, "", "drop", ("drop", None)),
        ("utterance", RELABELLED, "", "accept_relabel", ("relabel", "one/bob")),
        ("utterance", RELABELLED, "", "keep", ("keep", None)),
        ("speaker", "one/ann", "", "drop", ("drop", None)),
        ("pair", "one/bob", "one/ann", "merge", ("merge", "one/bob")),
        ("pair", "one/ann", "two/cem", "keep", ("keep", "two/cem")),
    ],
)
def test_what_a_button_says_is_on_the_disk_with_its_note(subject, one, other, verdict, kept, visit, catalog):
    answer = visit().say(subject, one, verdict, other, note=" a door ", ruled_to="one/bob", to="two/cem")
    assert answer.status_code == 303
    (row,) = catalog.read(REVIEWS, "ann").to_pylist()
    (stood,) = stands(catalog).values()
    assert stood == (*kept, "ann")
    assert row["note"] == "a door"


@pytest.mark.parametrize("named", [{"near": "two/cem"}, {"to": " two/cem "}, {"near": "one/bob", "to": "two/cem"}])
def test_another_speaker_is_chosen_or_typed_and_what_is_typed_counts(named, visit, catalog):
    visitor = visit()
    visitor.say("utterance", KEPT, "relabel", **named)
    visitor.say("speaker", "one/ann", "merge", **named)
    assert stands(catalog) == {
        ("utterance", KEPT): ("relabel", "two/cem", "ann"),
        ("pair", "one/ann"): ("merge", "two/cem", "ann"),
    }


def test_the_buttons_accept_and_reject_what_the_rule_says(reader):
    def buttons(*item):
        text = reader.get(look(*item)).text
        found = re.findall(r'<button name="verdict" value="(\w+)" data-keys="([^"]*)"', text)
        return {key: value for value, keys in found for key in keys.split()}

    assert buttons("utterance", DROPPED) == {"a": "drop", "d": "drop", "r": "keep", "k": "keep"}
    assert buttons("utterance", RELABELLED) == {"a": "accept_relabel", "r": "keep", "k": "keep", "d": "drop"}
    assert buttons("speaker", "one/ann") == {"a": "keep", "k": "keep", "r": "drop", "d": "drop"}
    assert buttons("pair", "one/ann", "one/bob") == {"a": "merge", "m": "merge", "r": "keep", "k": "keep"}
    assert buttons("pair", "one/bob", "two/cem") == {"m": "merge", "k": "keep"}  # no rule speaks of it


def test_after_a_decision_comes_the_next_of_the_same_filters_and_behind_the_last_the_queue(visit):
    visitor, filters = visit(), "kind=utterance&min_score=0.1&max_score=0.5"
    seen = listed(visitor.get(f"/?{filters}"))
    at = look(*seen[0]) + f"&{filters}"
    for entry, following in zip(seen, [*seen[1:], None], strict=True):
        assert visitor.get(at).status_code == 200
        at = visitor.say(*entry, "keep" if entry[1] != UNHEARD else "drop", view=filters).headers["location"]
        where = urlsplit(at)
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        asked = dict(pair.split("=") for pair in filters.split("&"))
        assert asked.items() <= query.items()
        if following is None:
            assert where.path == "/"
        else:
            assert (where.path, query["subject"], query["id"]) == ("/look", *following)
    assert listed(visitor.get(f"/?{filters}")) == []
    assert set(listed(visitor.get(f"/?{filters}&state=decided"))) == set(seen)


def test_next_and_previous_go_through_the_list(reader):
    visitor = reader
    seen = listed(visitor.get("/"))
    text = visitor.get(look(*seen[1])).text
    for rel, entry in (("prev", seen[0]), ("next", seen[2])):
        link = re.search(rf'rel="{rel}" href="([^"]+)"', text)[1]
        query = parse_qs(urlsplit(html.unescape(link)).query)
        assert (query["subject"][0], query["id"][0]) == entry[:2]
    assert 'rel="prev"' not in visitor.get(look(*seen[0])).text
    assert 'rel="next"' not in visitor.get(look(*seen[-1])).text


def test_what_cannot_be_said_is_told_in_one_line_and_what_was_typed_is_still_there(visit, catalog):
    answer = visit().say("utterance", KEPT, "relabel", to="one/nobody", note="sounds <b>like</b> him")
    assert answer.status_code == 422
    assert "no speaker of" in answer.text
    assert 'value="one/nobody"' in answer.text
    assert "sounds &lt;b&gt;like&lt;/b&gt; him</textarea>" in answer.text
    visit().say("pair", "one/ann", "merge", "one/bob")
    visit().say("pair", "one/bob", "merge", "two/cem")
    refused = visit().say("pair", "one/ann", "keep", "two/cem")
    assert refused.status_code == 422
    assert "contradicts what stands" in refused.text
    assert len(catalog.read(REVIEWS)) == 2
    for form in ({}, {"subject": "utterance"}, {"subject": "utterance", "id": KEPT, "verdict": "burn"}):
        assert visit().post("/decide", data=form).status_code in (404, 422)
    assert visit().say("utterance", UNHEARD, "keep").status_code == 422
    assert len(catalog.read(REVIEWS)) == 2


def test_what_a_disk_refuses_is_told_in_one_line(visit, catalog):
    visitor = visit()
    (catalog.root / "reviews").write_bytes(b"")
    answer = visitor.say("utterance", KEPT, "drop")
    assert answer.status_code == 503
    assert "reviews/ann.lock: Not a directory; expected" in html.unescape(answer.text)


def test_a_pair_that_only_a_reviewer_spoke_of_is_listed_as_decided(visit):
    visitor = visit()
    assert visitor.get(look("pair", "two/cem", "one/bob")).status_code == 200
    visitor.say("pair", "two/cem", "keep", "one/bob")
    for filters in ("", "&corpus=one", "&corpus=two"):
        assert listed(visitor.get(f"/?state=decided{filters}")) == [("pair", "one/bob", "two/cem")]
    assert "No rule decided on it." in visitor.get(look("pair", "one/bob", "two/cem", state="decided")).text


# ------------------------------------------------------------------------------------------------- what is shown now


def test_what_others_said_and_what_a_run_published_is_seen_by_the_next_view(visit, catalog):
    visitor = visit()
    assert len(listed(visitor.get("/"))) == 17
    decide(catalog, "bob", [Review(subject=Subject.UTTERANCE, subject_id=KEPT, verdict=Verdict.DROP)])
    assert ("utterance", KEPT) not in listed(visitor.get("/"))
    rows = catalog.read(DECISIONS, "ingest").to_pylist()
    catalog.publish(DECISIONS, rows_of(DECISIONS, [rows[0] | {"reason": "silent"}]), part="ingest", fingerprint="g")
    assert listed(visitor.get("/?reason=silent")) == [("utterance", UNHEARD)]
    catalog.keep_only(DECISIONS, {"clean"})
    assert listed(visitor.get("/?reason=silent")) == []


def test_without_a_catalog_there_is_no_page(tmp_path):
    with pytest.raises(CatalogError, match="expected a catalog"):
        create_app(Catalog(tmp_path), Door(host="127.0.0.1", port=8765))


def test_a_catalog_without_vectors_is_shown_and_tells_why_there_is_no_matrix(catalog, visit):
    two = catalog.path(EMBEDDINGS, "x")
    two.with_name("y.parquet").write_bytes(two.read_bytes())
    page = visit().get(look("utterance", KEPT))
    assert page.status_code == 200
    assert "expected those of one extractor" in page.text
    assert visit().get("/matrix?" + urlsplit(look("utterance", KEPT)).query).status_code == 503
