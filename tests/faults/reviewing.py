"""Several reviewers at once, by the page and by commands: what was acknowledged is on the disk, once."""

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from curate.catalog import Catalog
from curate.named import Review
from curate.reasons import Subject, Verdict
from curate.reviews import decide, said
from curate.schema import UTTERANCES
from tests.faults.account import Tried
from tests.faults.commands import Held, copied, gate, wait_at
from tests.forked import Forks

Word = tuple[str, str, str]  # reviewer, utterance, note


def tried(folder: Path, made: Path, forks: Forks, *, full: bool) -> Iterator[Tried]:
    """Processes that decide, and two visitors of a server that is killed right after it has answered."""
    yield by_processes(copied(made / "catalog", folder / "decided" / "catalog"), forks, words=40 if full else 6)
    for after in range(1, 12, 2) if full else (3,):
        yield by_page(copied(made / "catalog", folder / f"page-{after}" / "catalog"), forks, killed_after=after)


def by_processes(root: Path, forks: Forks, *, words: int) -> Tried:
    """Three reviewers, of each two processes that speak at once; one of each is killed after half of its words."""
    ended = [
        forks.start(speak, root, reviewer, turn, words, words // 2 if turn else None)
        for reviewer in ("ann", "bob", "cem")
        for turn in (0, 1)
    ]
    done = [one() for one in ended]
    acknowledged = [tuple(json.loads(line)) for one in done for line in one.stdout.splitlines()]
    untold = tuple(one.stderr[-300:] for one in done if one.returncode not in (0, -signal.SIGKILL))
    if len(acknowledged) != 3 * (words + words // 2):
        untold += (f"{len(acknowledged)} words were acknowledged; expected {3 * (words + words // 2)}",)
    lost, doubled = missing(root, acknowledged)
    return Tried(
        suite="concurrency",
        during="curate decide",
        fault="six processes at once, three killed",
        point=f"after {words // 2} words",
        lost=lost,
        doubled=doubled,
        untold=untold,
    )


def speak(root: Path, reviewer: str, turn: int, words: int, killed_after: int | None) -> None:
    """Decide one thing after another; each is printed when it is acknowledged."""
    catalog = Catalog(root)
    ids = sorted(catalog.read(UTTERANCES)["utterance_id"].to_pylist())
    for number in range(words):
        one, note = ids[number % len(ids)], f"{turn}-{number}"
        decide(catalog, reviewer, [Review(subject=Subject.UTTERANCE, subject_id=one, verdict=Verdict.DROP, note=note)])
        print(json.dumps([reviewer, one, note]), flush=True)  # noqa: T201 - it is what was acknowledged
        if number + 1 == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)


def by_page(root: Path, forks: Forks, *, killed_after: int) -> Tried:
    """Two visitors press buttons at once; the server is killed as soon as so many are acknowledged; another goes on."""
    acknowledged: list[Word] = []
    untold: list[str] = []
    for turn in range(2):
        server = served(root, forks)
        visitors = [Visitor(server.said.split()[1], who, turn) for who in ("ann", "bob")]
        asked = Asked(server.process, acknowledged, killed_after * (turn + 1), untold)
        ids = sorted(Catalog(root).read(UTTERANCES)["utterance_id"].to_pylist())
        threads = [threading.Thread(target=asked.press, args=(visitor, ids)) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with suppress(ProcessLookupError):  # it was killed
            os.kill(server.process, signal.SIGKILL)
        server.go_on()
    if len(acknowledged) < 2 * killed_after:
        untold.append(f"only {len(acknowledged)} were acknowledged")
    lost, doubled = missing(root, acknowledged)
    return Tried(
        suite="concurrency",
        during="curate review",
        fault="two visitors, the server killed",
        point=f"after {killed_after} answers",
        lost=lost,
        doubled=doubled,
        untold=tuple(untold),
    )


class Asked:
    """What visitors were told by a server, which is killed when it has acknowledged so many words."""

    def __init__(self, process: int, acknowledged: list[Word], most: int, untold: list[str]) -> None:
        self._process, self._acknowledged, self._most, self._untold = process, acknowledged, most, untold
        self._one = threading.Lock()

    def press(self, visitor: "Visitor", ids: list[str]) -> None:
        """One thing after the other, until there is no answer any more."""
        for number, one in enumerate(ids):
            try:
                word = visitor.drop(one, number)
            except (OSError, http.client.HTTPException):
                return
            except RuntimeError as refused:
                self._untold.append(str(refused))
                return
            with self._one:
                self._acknowledged.append(word)
                if len(self._acknowledged) == self._most:
                    os.kill(self._process, signal.SIGKILL)


class Visitor:
    """Sends the forms of the page."""

    def __init__(self, address: str, name: str, turn: int) -> None:
        self._host, self._name, self._turn = address.removeprefix("http://").strip("/"), name, turn
        self._cookie = ""
        self._cookie = self._post("/who", reviewer=name, back="/").partition(";")[0]

    def drop(self, utterance: str, number: int) -> Word:
        """Raises OSError or HTTPException where there was no answer, RuntimeError where it was refused."""
        note = f"{self._turn}-{number}"
        self._post("/decide", subject="utterance", id=utterance, verdict="drop", view="", note=note)
        return self._name, utterance, note

    def _post(self, path: str, **form: str) -> str:
        connection = http.client.HTTPConnection(self._host, timeout=300)
        headers = {"Origin": f"http://{self._host}", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request(
                "POST", path, urlencode(form), headers | ({"Cookie": self._cookie} if self._cookie else {})
            )
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != 303:
                raise RuntimeError(f"{path}: {answer.status}: {told[:500]!r}")
            return answer.headers.get("Set-Cookie", "")
        finally:
            connection.close()


def served(root: Path, forks: Forks) -> Held:
    """A server, which has said where it listens."""
    with gate() as (place, listening):
        ended = forks.start(serve, root, place)
        connection, _ = listening.accept()
        connection.settimeout(300)
        return Held(connection, ended)


def serve(root: Path, place: Path) -> None:
    """Until it is killed."""
    from pages.review import serving

    def tell(line: str) -> None:
        if line.startswith("Reviewing"):
            threading.Thread(target=wait_at, args=(place, line.split(" at ")[1].split()[0]), daemon=True).start()

    serving.serve(Catalog(root), host="127.0.0.1", port=0, token=None, reviewer="ann", opens=False, tell=tell)


def missing(root: Path, acknowledged: list[Word]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of what was acknowledged, what is not on the disk, and what is there more than once."""
    there = Counter((row["reviewer"], row["subject_id"], row["note"]) for row in said(Catalog(root)).to_pylist())
    lost = tuple(" ".join(word) for word in acknowledged if not there[word])
    doubled = [" ".join(word) for word, times in there.items() if times > 1]
    numbers = Counter((row["reviewer"], row["num_before"]) for row in said(Catalog(root)).to_pylist())
    doubled += [f"number {number} of {who}" for (who, number), times in numbers.items() if times > 1]
    return lost, tuple(doubled)
