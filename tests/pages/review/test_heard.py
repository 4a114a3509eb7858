"""What the page plays and draws, of corpora of any names."""

import html
import json
import re
import struct
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from pages.review.app import create_app
from pages.review.guard import Door
from tests.pages.catalogs_made import review_catalog
from tests.pages.conftest import Visitor
from tests.pages.visits import KEPT, RELABELLED, UNHEARD, look

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
