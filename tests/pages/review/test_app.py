"""The page without a browser: what is listed, what is said and taken back, and what is refused."""

import html
import json
import re
import struct
import threading
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest

from curate.catalog import Catalog, rows_of
from curate.errors import CatalogError
from curate.named import Review
from curate.reasons import Subject, Verdict
from curate.reviews import decide, said, standing
from curate.schema import DECISIONS, EMBEDDINGS, REVIEWS
from pages.review.app import create_app
from pages.review.guard import Door
from tests.pages.catalogs_made import review_catalog
from tests.pages.conftest import Visitor

DROPPED, RELABELLED, KEPT = "one/ann/0", "one/ann/1", "one/ann/2"
UNHEARD = "two/cem/3"


def look(subject, one, other="", **filters):
    return f"/look?{urlencode({'subject': subject, 'id': one} | ({'other': other} if other else {}) | filters)}"


def listed(page):
    """Subject and ids of the entries of a queue, in order."""
    links = re.findall(r'<a class="id stretched" href="([^"]+)"', page.text)
    found = [parse_qs(urlsplit(html.unescape(link)).query) for link in links]
    return [tuple(query[name][0] for name in ("subject", "id", "other") if name in query) for query in found]


def stands(catalog):
    rows = standing(said(catalog)).to_pylist()
    return {(row["subject"], row["subject_id"]): (row["verdict"], row["other_id"], row["reviewer"]) for row in rows}


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


# ------------------------------------------------------------------------------------------------------------- undo


def test_undo_goes_back_word_by_word_also_to_what_was_said_before_of_the_same(visit, catalog):
    visitor = visit()
    states = [stands(catalog)]
    for one, verdict in ((DROPPED, "keep"), (KEPT, "drop"), (DROPPED, "drop"), (DROPPED, "keep")):
        visitor.say("utterance", one, verdict)
        states.append(stands(catalog))
    for state in reversed(states[:-1]):
        assert visitor.post("/undo", data={"view": ""}).status_code == 303
        assert stands(catalog) == state
    answer = visitor.post("/undo", data={"view": ""})
    assert answer.status_code == 400
    assert "nothing to undo" in answer.text


def test_undo_leads_to_what_was_taken_back(visit):
    visitor = visit()
    visitor.say("pair", "one/bob", "merge", "one/ann")
    query = parse_qs(urlsplit(visitor.post("/undo", data={"view": "state=all"}).headers["location"]).query)
    assert query == {"state": ["all"], "subject": ["pair"], "id": ["one/ann"], "other": ["one/bob"]} or query == {
        "state": ["all"],
        "subject": ["pair"],
        "id": ["one/bob"],
        "other": ["one/ann"],
    }


def test_undo_takes_back_own_words_alone_and_what_others_said_stands_again(visit, catalog):
    visit("bob").say("utterance", KEPT, "drop")
    visit("ann").say("utterance", KEPT, "keep")
    visit("ann").post("/undo", data={"view": ""})
    assert stands(catalog) == {("utterance", KEPT): ("drop", None, "bob")}
    assert visit("ann").post("/undo", data={"view": ""}).status_code == 400
    assert stands(catalog) == {("utterance", KEPT): ("drop", None, "bob")}


def test_undo_leaves_alone_what_was_said_since_another_took_ones_word_back(visit, catalog):
    visit("ann").say("utterance", DROPPED, "keep")
    visit("ann").say("utterance", KEPT, "drop")
    decide(catalog, "bob", [Review(subject=Subject.UTTERANCE, subject_id=KEPT, verdict=None)])
    visit("carl").say("utterance", KEPT, "keep")
    visit("ann").post("/undo", data={"view": ""})
    assert stands(catalog) == {("utterance", KEPT): ("keep", None, "carl")}


def test_undo_twice_at_once_takes_back_two_words_and_none_of_others(visit, catalog):
    visit("bob").say("utterance", KEPT, "drop")
    ann = [visit("ann") for _ in range(2)]
    for one, verdict in ((DROPPED, "keep"), (KEPT, "keep")):
        ann[0].say("utterance", one, verdict)
    threads = [threading.Thread(target=one.post, args=("/undo",), kwargs={"data": {"view": ""}}) for one in ann]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stands(catalog) == {("utterance", KEPT): ("drop", None, "bob")}


def test_words_of_the_command_line_are_undone_as_well(visit, catalog):
    decide(catalog, "ann", [Review(subject=Subject.SPEAKER, subject_id="one/bob", verdict=Verdict.DROP)])
    visit().say("speaker", "one/bob", "keep")
    decide(catalog, "ann", [Review(subject=Subject.SPEAKER, subject_id="one/bob", verdict=None)])
    assert visit().post("/undo", data={"view": ""}).status_code == 400  # his last word took both with it


# -------------------------------------------------------------------------------------------------------- reviewers


def test_who_comes_without_a_name_is_asked_once_and_led_on(app, catalog):
    visitor = Visitor(app, None)
    asked = visitor.get("/?kind=pair")
    assert (asked.status_code, asked.headers["location"]) == (303, "/who?back=%2F%3Fkind%3Dpair")
    page = visitor.get(asked.headers["location"]).text
    assert 'name="reviewer" value="ann"' in page
    answer = visitor.post("/who", data={"reviewer": "Tha\u0309o", "back": "/?kind=pair"})
    assert answer.headers["location"] == "/?kind=pair"
    assert "Th\u1ea3o" in visitor.get("/").text
    visitor.say("utterance", KEPT, "keep")
    assert catalog.parts(REVIEWS) == ["Th\u1ea3o"]


@pytest.mark.parametrize("name", ["", "a/b", "../x", "x" * 65, "<script>"])
def test_a_name_that_is_none_is_refused_and_shown_again(name, app):
    answer = Visitor(app, None).post("/who", data={"reviewer": name, "back": "/"})
    assert answer.status_code == 422
    assert "expected at most 64 letters" in answer.text
    assert "<script>" not in re.sub(r'<script src="/\w+\.js" defer></script>', "", answer.text)


@pytest.mark.parametrize(
    "back", ["//evil.example", "http://evil.example", "/\\evil.example", "", "/\nx", "javascript:x"]
)
def test_nobody_is_led_elsewhere(back, app):
    answer = Visitor(app, None).post("/who", data={"reviewer": "ann", "back": back})
    assert answer.headers["location"] == "/"


def test_without_a_name_nothing_is_said(app, catalog):
    assert Visitor(app, None).say("utterance", KEPT, "drop").status_code == 403
    assert catalog.parts(REVIEWS) == []


def test_who_speaks_second_does_not_see_what_others_said_until_he_has_spoken(visit):
    visit("bob").say("pair", "one/ann", "keep", "one/bob", note="a cough")
    blind = {"state": "mine_open"}
    text = visit("ann").get("/", params=blind | {"kind": "pair"}).text
    assert len(listed(visit("ann").get("/", params=blind))) == 17
    address = look("pair", "one/ann", "one/bob", **blind)
    shown = text + visit("ann").get(address).text
    for word in ("a cough", "by bob", ">bob<"):
        assert word not in shown
    assert "a cough" in visit("ann").get(look("pair", "one/ann", "one/bob", state="all")).text
    visit("ann").say("pair", "one/ann", "merge", "one/bob", view="state=mine_open")
    assert "a cough" in visit("ann").get(address).text
    assert ("pair", "one/ann", "one/bob") not in listed(visit("ann").get("/", params=blind))
    assert len(listed(visit("bob").get("/", params=blind))) == 16


def test_what_a_run_made_of_others_words_is_hidden_as_well(visit, catalog):
    """Of a pair that others spoke of, `identities` says `reviewed` in the place of its own verdict."""
    before = catalog.read(DECISIONS, "identities").to_pylist()
    reviewed = [before[0] | {"verdict": "keep", "reason": "reviewed"}]
    catalog.publish(DECISIONS, rows_of(DECISIONS, reviewed), part="identities", fingerprint="g")
    by_bob = [
        before[0] | {"verdict": "keep", "reason": "reviewed", "step": "review", "decided_by": "bob", "score": None}
    ]
    catalog.publish(DECISIONS, rows_of(DECISIONS, by_bob), part="review", fingerprint="g")
    address = look("pair", "one/ann", "one/bob")
    assert "bob" in visit("ann").get(address).text.replace("one/bob", "")
    blind = visit("ann").get(address + "&state=mine_open").text
    assert "reviewed" not in blind
    assert "bob" not in blind.replace("one/bob", "").replace("one%2Fbob", "")
    assert "keep apart</span>" not in blind
    for filters, there in (("reason=reviewed", False), ("verdict=keep", False), ("reason=undecided", True)):
        found = listed(visit("ann").get(f"/?state=mine_open&kind=pair&{filters}"))
        assert (("pair", "one/ann", "one/bob") in found) == there, filters


def test_agreement_tells_kappa_and_contradictions(visit):
    for name, verdicts in (("ann", ("keep", "drop", "keep")), ("bob", ("keep", "keep", "keep"))):
        for one, verdict in zip((DROPPED, RELABELLED, KEPT), verdicts, strict=True):
            visit(name).say("utterance", one, verdict)
    page = visit().get("/agreement").text
    row = re.search(
        r"<tr><th scope=\"row\"><bdi>ann</bdi>.*?<bdi>bob</bdi></th>(.*?)</tr>",
        page.split('id="kappa-title"')[1],
        re.DOTALL,
    )[1]
    assert re.findall(r"<td[^>]*>(.*?)</td>", row) == ["utterance", "3", "2", "0.00"]
    against = page.split('id="against-title"')[1]
    assert RELABELLED in against
    assert KEPT not in against


def test_two_reviewers_who_speak_at_once_lose_nothing(visit, catalog):
    """Each also from two windows at once."""
    words = [
        (name, one, verdict)
        for name in ("ann", "bob")
        for one in (KEPT, DROPPED, RELABELLED)
        for verdict in ("keep", "drop")
    ]
    failed = []

    def speak(part):
        for name, one, verdict in part:
            if visit(name).say("utterance", one, verdict).status_code != 303:
                failed.append((name, one, verdict))

    threads = [threading.Thread(target=speak, args=(words[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    rows = catalog.read(REVIEWS).to_pylist()
    assert sorted((row["reviewer"], row["subject_id"], row["verdict"]) for row in rows) == sorted(words)
    assert len({(row["reviewer"], row["num_before"]) for row in rows}) == len(words)


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


# ------------------------------------------------------------------------------------------------ sound and matrix


def test_sound_is_sent_whole_or_as_the_range_that_is_asked_for(reader):
    visitor, address = reader, f"/sound?{urlencode({'utterance': KEPT})}"
    whole = visitor.get(address)
    assert (whole.status_code, whole.headers["content-type"], len(whole.content)) == (200, "audio/wav", 44 + 8000)
    part = visitor.get(address, headers={"range": "bytes=40-49"})
    assert (part.status_code, part.headers["content-range"]) == (206, "bytes 40-49/8044")
    assert part.content == whole.content[40:50]
    assert visitor.get(address, headers={"range": "bytes=9000-"}).headers["content-range"] == "bytes */8044"
    outline = visitor.get(f"/wave?{urlencode({'utterance': KEPT})}").json()
    assert outline["duration_s"] == 0.5
    assert len(outline["low"]) == len(outline["high"]) == 600


@pytest.mark.parametrize(
    "address",
    [
        *(
            f"/{kind}?utterance={name}"
            for kind in ("sound", "wave")
            for name in ("", "nobody", "../../etc/passwd", "/etc/passwd")
        ),
        *("/sound/../../etc/passwd", "/sound/%2e%2e/%2e%2e/etc/passwd", "/sound//etc/passwd", "/sound", "/etc/passwd"),
        *("/sound?utterance=one%2Fann%2F0%00", "/review.py", "/app.py", "/frame.html.jinja"),
        *("/look?subject=utterance&id=nobody", "/look?subject=speaker&id=nobody", "/look?subject=x&id=y", "/look"),
        *("/look?subject=pair&id=one/ann", "/look?subject=pair&id=one/ann&other=x", "/docs", "/openapi.json"),
    ],
)
def test_what_the_catalog_does_not_know_is_not_found(address, reader):
    answer = reader.get(address)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_sound_that_is_not_there_any_more_is_told(tmp_path):
    catalog = review_catalog(tmp_path)
    (tmp_path / "audio" / "s0-2.wav").unlink()
    visitor = Visitor(create_app(catalog, Door(host="127.0.0.1", port=8765)))
    answer = visitor.get(f"/sound?{urlencode({'utterance': KEPT})}")
    assert answer.status_code == 400
    assert "expected a readable file" in html.unescape(answer.text)


def matrix(answer):
    (length,) = struct.unpack_from("<I", answer.content)
    told = json.loads(answer.content[4 : 4 + length])
    return told, np.frombuffer(answer.content, np.int8, offset=4 + length).reshape(len(told["ids"]), -1)


def test_a_matrix_has_the_cosines_of_its_speakers_speaker_by_speaker(reader):
    told, cosines = matrix(reader.get("/matrix?" + urlsplit(look("pair", "one/bob", "two/cem")).query))
    assert told["groups"] == [["one/bob", 4], ["two/cem", 3]]
    assert (told["num_all"], told["num_unheard"]) == (8, 1)
    assert UNHEARD not in told["ids"]
    vectors = {f"one/bob/{at}": (2, at / 2, 1) for at in range(4)} | {
        f"two/cem/{at}": (3, at / 2, -1) for at in range(3)
    }
    units = np.array([np.divide(vectors[one], np.linalg.norm(vectors[one])) for one in told["ids"]])
    assert np.abs(cosines / 127 - units @ units.T).max() < 0.004
    marked, _ = matrix(reader.get("/matrix?" + urlsplit(look("utterance", RELABELLED)).query))
    assert marked["marked"] == [RELABELLED]
    assert [group for group, _ in marked["groups"]] == ["one/ann", "one/bob"]


# --------------------------------------------------------------------------------------------------- hostile corpora

EVIL = (
    'one/<script>alert("x")</script>',
    "one/'\"><img src=x onerror=alert(1)>\u202e{{7*7}}",
    "two/" + "0123456789" * 1000,
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    catalog = review_catalog(
        tmp_path_factory.mktemp("hostile"), speakers=EVIL, transcript="</bdi><script>alert(2)</script>" * 300
    )
    return Visitor(create_app(catalog, Door(host="127.0.0.1", port=8765)))


def test_a_likelier_speaker_is_one_also_where_an_utterance_has_his_name_or_it_looks_like_a_word_of_ours(tmp_path):
    speakers, names = ("one/ann", "one/score", "two/cem"), {"one/score/0": "one/score"}
    catalog = review_catalog(tmp_path, speakers=speakers, names=names, with_sound=False)
    visitor = Visitor(create_app(catalog, Door(host="127.0.0.1", port=8765)))
    text = visitor.get(look("utterance", RELABELLED)).text
    assert "Likelier an utterance of one/score than of its own speaker." in text
    assert "Of the likelier speaker" in text
    assert "What it repeats" not in text


def test_names_of_a_hostile_corpus_are_text_on_every_page(hostile):
    addresses = ["/?state=all", "/agreement", *(look("speaker", one) for one in EVIL), look("pair", *EVIL[:2])]
    addresses += [look("utterance", f"{EVIL[0]}/0"), look("utterance", f"{EVIL[2]}/1"), look("pair", EVIL[0], EVIL[2])]
    for one in EVIL:
        hostile.say("speaker", one, "drop", note="<script>alert(3)</script>")
    for address in addresses:
        page = hostile.get(address)
        assert page.status_code == 200
        assert page.text.count("<script") == 2
        assert "<img" not in page.text
        assert "\u202e" not in re.sub(r"<bdi>[^<]*</bdi>", "", html_values_removed(page.text))
        assert "49\u202e" not in page.text
        assert hostile.get(address.replace("/look", "/matrix")).status_code in (200, 404)
    assert hostile.get(f"/sound?{urlencode({'utterance': f'{EVIL[2]}/1'})}").status_code == 200
    whole = hostile.get(look("speaker", EVIL[2])).text
    assert "show all" in whole
    assert EVIL[2] in whole


def html_values_removed(text):
    """Attributes turn nothing around."""
    return re.sub(r'"[^"]*"', '""', text)
