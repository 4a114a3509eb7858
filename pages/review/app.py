"""The routes of the review page: each asks what there is now, and fills one template.

They are plain functions, which FastAPI calls in threads. Pages work without JavaScript; `review.js` adds keys,
waveforms and the matrix.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import numpy as np
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from curate.catalog import Catalog
from curate.errors import CatalogError, VoxcurateError
from curate.named import Review
from curate.reasons import Subject
from curate.reviews import composed, decide
from curate.storage import why
from pages.review.agreement import agreement
from pages.review.asked import Asked
from pages.review.guard import SAME_SITE, Door, Guard
from pages.review.item import Item, UnknownError, item_of
from pages.review.listed import listed
from pages.review.matrix import chosen, packed
from pages.review.saying import key_of, last_undone, review_of
from pages.review.shown import Moment, Shown
from pages.review.sound import Sounds, UnsatisfiableError, byte_range, peaks
from pages.review.templates import Pages, asset

MAX_FORM_BYTES = 1 << 20
REVIEWER = "voxcurate-reviewer"  # the cookie with the name


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name. Raises HTTPException for one that is too long, or no form."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, f"expected a form of at most {MAX_FORM_BYTES} bytes")
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise HTTPException(400, "expected a form in UTF-8") from None


Form = Annotated[dict[str, str], Depends(form_of)]


class NobodyError(Exception):
    """Who asks has not said his name yet."""


def create_app(catalog: Catalog, door: Door, *, reviewer: str = "") -> Guard:
    """The page of a catalog; `reviewer` is the name that is proposed. Raises CatalogError where there is no catalog."""
    shown, sounds, pages = Shown(catalog), Sounds(), Pages(catalog)
    undoing = threading.Lock()  # two at once would take back one word twice, and with it what others said
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def who(request: Request) -> str:
        try:
            return composed(unquote(request.cookies.get(REVIEWER, "")))
        except VoxcurateError:
            raise NobodyError from None

    @app.get("/")
    def queue(request: Request) -> Response:
        asked, name = Asked.of(request.query_params), who(request)
        found = listed(shown.now(), asked, name, request.query_params.get("page", "1"))
        return pages.page("queue", name, asked, here="queue", **found)

    @app.get("/look")
    def look(request: Request) -> Response:
        asked, name = Asked.of(request.query_params), who(request)
        return _looked(shown.now(), pages, name, asked, dict(request.query_params))

    @app.post("/decide")
    def say(request: Request, form: Form) -> Response:
        asked, name, before = _view(form), who(request), shown.now()
        try:
            one = review_of(
                form | ({"to": form["near"]} if form.get("near") and not form.get("to", "").strip() else {})
            )
            decide(catalog, name, [one])
        except VoxcurateError as error:
            return _looked(before, pages, name, asked, form, fault=str(error), status=422)
        return RedirectResponse(_following(before, asked, name, form), 303)

    @app.post("/undo")
    def undo(request: Request, form: Form) -> Response:
        asked, name = _view(form), who(request)
        with undoing:
            things = last_undone(shown.now(), name)
            decide(catalog, name, things)
        return RedirectResponse(_address(asked, things[0]), 303)

    @app.get("/who")
    def ask_who(request: Request) -> Response:
        named = unquote(request.cookies.get(REVIEWER, "")) or reviewer
        return pages.page("who", "", Asked(), proposed=named, back=_back(request.query_params.get("back", "")))

    @app.post("/who")
    def take_name(request: Request, form: Form) -> Response:
        back = _back(form.get("back", ""))
        try:
            name = composed(form.get("reviewer", "").strip())
        except VoxcurateError as error:
            said = {"proposed": form.get("reviewer", ""), "back": back, "fault": str(error)}
            return pages.page("who", "", Asked(), status=422, **said)
        answer = RedirectResponse(back, 303)
        answer.set_cookie(REVIEWER, quote(name), max_age=365 * 86_400, httponly=True, samesite=SAME_SITE)
        return answer

    @app.get("/agreement")
    def agree(request: Request) -> Response:
        name = who(request)
        return pages.page("agreement", name, Asked(), here="agreement", **agreement(shown.now()))

    @app.get("/sound")
    def sound(request: Request, utterance: str = "") -> Response:
        wav = _wav(shown.now(), sounds, utterance)
        return _ranged(wav, request.headers.get("range"))

    @app.get("/wave")
    def wave(utterance: str = "") -> Response:
        return JSONResponse(peaks(_wav(shown.now(), sounds, utterance)))

    @app.get("/matrix")
    def matrix(request: Request) -> Response:
        moment, query = shown.now(), request.query_params
        item = _item(moment, query, who(request), Asked.of(query))
        these = chosen(moment.tables, item.speakers, item.marked)
        return Response(packed(these, moment.tables.closeness), media_type="application/octet-stream")

    for file, kind in (("review.css", "text/css"), ("review.js", "text/javascript"), ("matrix.js", "text/javascript")):
        app.add_api_route(f"/{file}", _answering(asset(file), kind))

    _tell_faults(app, pages)
    return Guard(app, door)


def _answering(text: str, kind: str) -> Callable[[], Response]:
    return lambda: Response(text, media_type=kind)


def _tell_faults(app: FastAPI, pages: Pages) -> None:
    """Whatever cannot be done is told on a page, in one line."""

    def nobody(request: Request, _error: Exception) -> Response:
        if request.method != "GET":
            return PlainTextResponse("nobody said who speaks; expected a name\n", 403)
        back = f"{request.url.path}?{request.url.query}"
        return RedirectResponse(f"/who?{urlencode({'back': back})}", 303)

    def known(request: Request, error: Exception) -> Response:
        status = 404 if isinstance(error, UnknownError) else 503 if isinstance(error, CatalogError) else 400
        return pages.fault(status, str(error))

    def by_system(request: Request, error: Exception) -> Response:
        place = getattr(error, "filename", None) or "the system"
        return pages.fault(503, f"{place}: {why(error)}; expected a catalog that can be read and written")

    def by_http(request: Request, error: Exception) -> Response:
        told = {404: "there is no such page", 405: "this address does not take that"}
        status = getattr(error, "status_code", 400)
        return pages.fault(status, told.get(status, str(getattr(error, "detail", ""))))

    app.add_exception_handler(NobodyError, nobody)
    app.add_exception_handler(VoxcurateError, known)
    app.add_exception_handler(OSError, by_system)
    app.add_exception_handler(HTTPException, by_http)


# ------------------------------------------------------------------------------------------------------ one item


def _item(moment: Moment, query: Mapping[str, str], reviewer: str, asked: Asked) -> Item:
    """Raises UnknownError where the address names nothing of the catalog."""
    try:
        subject = Subject(query.get("subject", ""))
    except ValueError:
        raise UnknownError(f"subject {query.get('subject', '')[:80]!r}: expected one of {', '.join(Subject)}") from None
    one, other = query.get("id", ""), query.get("other") or None
    if (other is None) == (subject == Subject.PAIR):
        raise UnknownError("expected a second id of a pair, and of nothing else")
    return item_of(moment, subject, one, other, reviewer=reviewer, is_blind=asked.is_blind)


def _looked(
    moment: Moment,
    pages: Pages,
    name: str,
    asked: Asked,
    query: Mapping[str, str],
    *,
    fault: str = "",
    status: int = 200,
) -> Response:
    item = _item(moment, query, name, asked)
    rows, place = asked.rows(moment, name), moment.place(item.key)
    at = None if place is None else int(np.searchsorted(rows, place))
    is_there = at is not None and at < len(rows) and rows[at] == place
    before = None if not at else int(rows[at - 1])
    behind = None if at is None else at + 1 if is_there else at
    after = int(rows[behind]) if behind is not None and behind < len(rows) else None
    return pages.page(
        "look",
        name,
        asked,
        status=status,
        item=item,
        item_query=asked.query(**_named(item.subject, item.id, item.other)),
        before=None if before is None else _address_of(moment, asked, before),
        after=None if after is None else _address_of(moment, asked, after),
        num_found=len(rows),
        typed={field: query.get(field, "") for field in ("note", "to", "near")}
        if fault
        else dict.fromkeys(("note", "to", "near"), ""),
        fault=fault,
    )


def _following(moment: Moment, asked: Asked, name: str, form: Mapping[str, str]) -> str:
    """The item after this one among those that were asked for before it was decided; behind the last, the queue."""
    rows = asked.rows(moment, name)
    place = moment.place(key_of(form["subject"], form["id"], form.get("other")))
    at = len(rows) if place is None else int(np.searchsorted(rows, place, side="right"))
    return _address_of(moment, asked, int(rows[at])) if at < len(rows) else f"/?{asked.query()}"


def _named(subject: str, one: str, other: str | None) -> dict[str, str | None]:
    return {"subject": subject, "id": one, "other": other if subject == Subject.PAIR else None}


def _address_of(moment: Moment, asked: Asked, place: int) -> str:
    row: dict[str, Any] = moment.items.slice(place, 1).to_pylist()[0]
    return f"/look?{asked.query(**_named(row['subject'], row['subject_id'], row['other_id']))}"


def _address(asked: Asked, one: Review) -> str:
    return f"/look?{asked.query(**_named(one.subject, one.subject_id, one.other_id))}"


def _view(form: Mapping[str, str]) -> Asked:
    return Asked.of(dict(parse_qsl(form.get("view", ""), keep_blank_values=True)))


def _back(address: str) -> str:
    """An address of ours, else the queue: nobody is led elsewhere."""
    is_ours = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_ours and address.isprintable() else "/"


# ------------------------------------------------------------------------------------------------------ sound


def _wav(moment: Moment, sounds: Sounds, utterance: str) -> bytes:
    """Raises UnknownError for an id that is not in the catalog, or has no corpus there."""
    row = moment.tables.utterance(utterance)
    root = None if row is None else moment.tables.roots.get(row["corpus"])
    if row is None or root is None:
        raise UnknownError(f"{utterance[:200]!r}: no utterance of {moment.tables.catalog.root}")
    return sounds.wav(row, root)


def _ranged(wav: bytes, asked: str | None) -> Response:
    headers = {"accept-ranges": "bytes"}
    try:
        found = byte_range(asked, len(wav))
    except UnsatisfiableError:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{len(wav)}"})
    if found is None:
        return Response(wav, media_type="audio/wav", headers=headers)
    first, last = found
    headers["content-range"] = f"bytes {first}-{last}/{len(wav)}"
    return Response(wav[first : last + 1], 206, headers, "audio/wav")
