"""Several reviewers at one page: what each takes back, what each sees of others, and who he is."""

import re
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from curate.catalog import rows_of
from curate.named import Review
from curate.reasons import Subject, Verdict
from curate.reviews import decide
from curate.schema import DECISIONS, REVIEWS
from tests.pages.conftest import Visitor
from tests.pages.visits import DROPPED, KEPT, RELABELLED, listed, look, stands

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
    assert re.search(r"Accept: .{0,40}merge", blind, re.DOTALL), "as the rule would"
    for filters, there in (("reason=reviewed", False), ("verdict=keep", False), ("reason=same_person", True)):
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
