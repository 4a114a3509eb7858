"""How fast the review page answers among 200,000 utterances and 100,000 reviews.

    .venv/bin/python -m benchmarks.speed.views [--utterances 200000] [--reviews 100000] [--rounds 5]

The catalog is that of `benchmarks.speed.review`. Timed is the server alone, from the request to the last byte, without
a network; of the first view after a start or a run, which reads the tables, `opened` tells. How it is timed: `turns`.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from starlette.testclient import TestClient

from benchmarks.speed.review import fill
from benchmarks.speed.turns import in_turns, machine
from curate.catalog import Catalog
from curate.schema import UTTERANCES
from pages.review.app import create_app
from pages.review.guard import Door

PORT = 8765
HERE = f"http://127.0.0.1:{PORT}"


def opened(catalog: Catalog) -> TestClient:
    """A browser of sorts, of somebody who has said his name."""
    door = Door(host="127.0.0.1", port=PORT)
    client = TestClient(create_app(catalog, door), base_url=HERE, headers={"origin": HERE}, follow_redirects=False)
    client.post("/who", data={"reviewer": "ann", "back": "/"})
    return client


def views(catalog: Catalog) -> dict[str, str]:
    """Addresses by what they show."""
    rows = catalog.read(UTTERANCES, "c0").slice(0, 51).to_pylist()
    utterance, one, other = rows[0]["utterance_id"], rows[0]["speaker_id"], rows[50]["speaker_id"]
    pair = {"subject": "pair", "id": one, "other": other}
    return {
        "the queue": "/",
        "all that has a text in its id": "/?state=all&text=u00001",
        "not said by me": "/?state=mine_open",
        "page 100 of what is decided": "/?state=decided&page=100",
        "an utterance": f"/look?{urlencode({'subject': 'utterance', 'id': utterance})}",
        "a speaker": f"/look?{urlencode({'subject': 'speaker', 'id': one})}",
        "a pair": f"/look?{urlencode(pair)}",
        "the matrix of a pair": f"/matrix?{urlencode(pair)}",
        "agreement": "/agreement",
    }


def asked(client: TestClient, address: str) -> Callable[[], bytes]:
    """One view, whole."""

    def view() -> bytes:
        answer = client.get(address)
        answer.raise_for_status()
        return bytes(answer.content)

    return view


def decided(client: TestClient, address: str) -> Callable[[], bytes]:
    """A verdict, on the disk, and the view that it leads to."""
    utterance = {"subject": "utterance", "id": address, "verdict": "drop", "view": ""}
    return lambda: asked(client, client.post("/decide", data=utterance).headers["location"])()


def undone(client: TestClient) -> Callable[[], bytes]:
    """The last one taken back."""
    return lambda: asked(client, client.post("/undo", data={"view": ""}).headers["location"])()


def main() -> None:
    """Print what each takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=200_000)
    parser.add_argument("--reviews", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        catalog = fill(Path(folder), given.utterances, given.reviews)
        print("opened", *in_turns({"the page": lambda: opened(catalog)}, rounds=1).lines("the page"), sep="\n")
        client = opened(catalog)
        first = catalog.read(UTTERANCES, "c0")["utterance_id"][0].as_py()
        ways = {name: asked(client, address) for name, address in views(catalog).items()}
        ways |= {"one decided, and the next": decided(client, first), "that undone": undone(client)}
        turns = in_turns(ways, rounds=given.rounds)
        print("views", *(line.partition("   ours")[0] for line in turns.lines(next(iter(ways)))), sep="\n")


if __name__ == "__main__":
    main()
