"""Who may talk to the page: its own pages alone, and beyond this machine only who has the token.

A page of another site that is open in the same browser can send requests here, or, by a name that it has lead to this
machine, pretend to be this one. It cannot choose what the browser writes into `Host` and `Origin`: the first must be a
name that is served, the second, of whatever changes something, must be the page's own. What is shown may load nothing
from elsewhere and run no script that is not a file of ours, whatever a corpus calls its speakers.
"""

import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from curate.errors import VoxcurateError

OF_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
# By `strict`, who follows a link from another site, such as a mail, would come without the cookies that he has. What is
# shown changes nothing, and forms of other sites are refused by their origin.
SAME_SITE: Literal["lax"] = "lax"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # by `no-referrer` browsers would hide the origin of our own forms, too
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def drawn_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def is_of_this_machine(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where the page is served, and what must be shown to be let in; without a token, this machine alone may."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token is not None and not TOKEN.fullmatch(self.token):
            raise VoxcurateError("--token: expected 16 to 128 letters, digits, `-` and `_`")
        if self.token is None and not is_of_this_machine(self.host):
            raise VoxcurateError(f"--host {self.host}: others can reach it; expected a token as well")

    @property
    def cookie(self) -> str:
        """What the token's cookie is called: browsers keep one jar for all ports of a machine."""
        return f"voxcurate-review-{self.port}"

    @property
    def address(self) -> str:
        """What a browser is given."""
        shown = socket.gethostname() if _is_any(self.host) else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}/{f'?token={self.token}' if self.token else ''}"

    def serves(self, host: str) -> bool:
        """Whether a `Host` header names this server. The port may be another one, as through a tunnel."""
        name = re.sub(r":\d*$", "", host.lower())
        if is_of_this_machine(self.host):
            return name in {*OF_THIS_MACHINE, self.host}
        if not _is_any(self.host):
            return name in {self.host.lower(), f"[{self.host}]"}
        return name in {*OF_THIS_MACHINE, socket.gethostname().lower(), socket.getfqdn().lower()} or _is_number(name)


def _is_any(host: str) -> bool:
    return _is_number(host) and ipaddress.ip_address(host).is_unspecified


def _is_number(name: str) -> bool:
    """Whether it is an address in numbers: which no other site can have lead elsewhere."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Guard:
    """Lets through what may come in, and puts on every answer what browsers hold a page to."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # what starts and ends the server; there are no web sockets
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._answer(scope) or self._app
        await answer(scope, receive, sent)

    def _answer(self, scope: Scope) -> Response | None:
        """What is said instead; None lets it through."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._door.serves(host):
            return _refusal(f"Host {host[:80]!r} is not served here; expected the address that `curate review` printed")
        is_post = scope["method"] not in ("GET", "HEAD")
        if (origin is not None or is_post) and origin != f"http://{host}":
            return _refusal(f"Origin {(origin or '')[:80]!r} is another page's; expected a form of this one")
        return self._without_token(scope, headers)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        token = self._door.token
        if token is None:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] == "GET" and _same(dict(query).get("token", ""), token):
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            answer = RedirectResponse(f"/{f'?{rest}' if rest else ''}", status_code=303)
            answer.set_cookie(self._door.cookie, token, httponly=True, samesite=SAME_SITE)
            return answer
        if _same(cookie_parser(headers.get("cookie", "")).get(self._door.cookie, ""), token):
            return None
        return _refusal("no token, or not the right one; expected the address that `curate review` printed")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _refusal(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", status_code=403)
