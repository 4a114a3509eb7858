"""Who is let in, and what every answer holds a browser to."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from curate.errors import VoxcurateError
from pages.review.guard import Door, Guard, drawn_token, is_of_this_machine

TOKEN = "0123456789abcdefXYZ_-"
HERE = "http://127.0.0.1:8765"


def client(door, base_url=HERE):
    inner = Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])])
    return TestClient(Guard(inner, door), base_url=base_url)


def local():
    return Door(host="127.0.0.1", port=8765)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:9", "127.0.0.1:9000"])
def test_names_of_this_machine_are_served_also_through_a_tunnel(host):
    assert client(local()).get("/", headers={"host": host}).text == "in"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8765", "10.0.0.7:8765", "", "localhost.:8765"]
)
def test_a_foreign_host_is_refused_in_one_line(host):
    answer = client(local()).get("/", headers={"host": host})
    assert answer.status_code == 403
    assert len(answer.text.splitlines()) == 1
    assert answer.text != "in"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8765", "http://127.0.0.1:3000", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_origin_is_refused(origin, method):
    answer = client(local()).request(method, "/", headers={"origin": origin})
    assert answer.status_code == 403
    assert len(answer.text.splitlines()) == 1


def test_a_form_must_say_its_origin_and_it_must_be_ours():
    assert client(local()).post("/").status_code == 403
    assert client(local()).post("/", headers={"origin": HERE}).text == "in"
    tunnel = {"host": "localhost:9000", "origin": "http://localhost:9000"}
    assert client(local()).post("/", headers=tunnel).text == "in"


def test_every_answer_also_a_refusal_carries_the_policy():
    for headers in ({}, {"host": "evil.example"}):
        answer = client(local()).get("/", headers=headers)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_without_the_token_nobody_is_let_in_and_with_it_a_cookie_is_given_and_the_address_loses_it():
    door = Door(host="127.0.0.1", port=8765, token=TOKEN)
    for address in ("/", "/?token=", f"/?token={TOKEN}x", f"/?token={TOKEN[:-1]}", "/?token=ñ"):
        assert client(door).get(address, follow_redirects=False).status_code == 403
    browser = client(door)
    answer = browser.get(f"/?token={TOKEN}&state=all", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?state=all")
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=lax", "voxcurate-review-8765="))
    assert browser.get("/").text == "in"
    assert browser.get(f"/?token={TOKEN}&state=all", follow_redirects=False).headers["location"] == "/?state=all"
    assert browser.post("/", headers={"origin": HERE}).text == "in"
    assert client(door).post(f"/?token={TOKEN}", headers={"origin": HERE}).status_code == 403


def test_a_wrong_cookie_is_no_token():
    door = Door(host="127.0.0.1", port=8765, token=TOKEN)
    for value in ("", "x", TOKEN[::-1]):
        assert client(door).get("/", headers={"cookie": f"{door.cookie}={value}; a=b; ;=;"}).status_code == 403


@pytest.mark.parametrize("token", ["", "short", "x" * 129, "with blanks and more of it", "ñ" * 20])
def test_a_token_that_can_be_guessed_or_not_be_written_is_refused(token):
    with pytest.raises(VoxcurateError, match="--token: expected 16 to 128"):
        Door(host="127.0.0.1", port=1, token=token)


def test_a_host_that_others_reach_needs_a_token():
    with pytest.raises(VoxcurateError, match=r"--host 0\.0\.0\.0: .* expected a token"):
        Door(host="0.0.0.0", port=1)
    assert Door(host="0.0.0.0", port=1, token=drawn_token()).token


def test_what_listens_to_all_is_served_by_numbers_and_by_the_name_of_the_machine_alone(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Lab7")
    monkeypatch.setattr("socket.getfqdn", lambda: "lab7.example.org")
    door = Door(host="0.0.0.0", port=8765, token=TOKEN)
    assert door.address == f"http://Lab7:8765/?token={TOKEN}"
    served = ["10.0.0.7:8765", "lab7:8765", "lab7.example.org", "localhost:8765", "[fe80::1]:8765"]
    assert all(map(door.serves, served))
    assert not any(map(door.serves, ["evil.example:8765", "lab7.evil.example", ""]))
    named = Door(host="lab7.example.org", port=8765, token=TOKEN)
    assert named.serves("lab7.example.org:8765")
    assert not named.serves("localhost:8765")


def test_which_hosts_are_this_machines():
    assert all(map(is_of_this_machine, ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"]))
    assert not any(map(is_of_this_machine, ["0.0.0.0", "::", "10.0.0.7", "localhost.example.org", ""]))


def test_the_token_is_not_shown_where_a_door_is_printed():
    assert TOKEN not in repr(Door(host="127.0.0.1", port=1, token=TOKEN))
