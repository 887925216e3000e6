"""The gate before every route: what is looked at before anybody's request is let in. Plain ASGI, so nothing passes beside it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from itertools import accumulate
from typing import Any

import anyio.to_thread

from legato.service.access import Actor, identify
from legato.surfaces.http.problems import PROBLEM, body_of, status_of
from legato.surfaces.http.site import ACTOR, Site
from legato.terms.errors import Forbidden, LegatoError, NotFound, UsageError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/v1"
LOGIN = f"{API}/login"
PAGES = {"/": "home.html", "/login": "login.html", "/page.css": "page.css", "/page.js": "page.js"}
"""The pages of the door, each with its file. They are the same for everybody, so they are open too."""
OPEN_ROUTES = frozenset({("GET", f"{API}/health"), ("GET", f"{API}/ready"), ("POST", LOGIN), *(("GET", path) for path in PAGES)})
"""What is answered without login: these methods on exactly these paths."""

HOOKS = "/hooks"
"""Below it stand the webhooks, by name. Their route lets in who signs; a session counts for nothing there, only a token does, so
no page can make a browser call one."""

COOKIE = "legato_session"
OWN_HEADER = b"x-legato"
"""A header that no form and no foreign page can send without being asked for by CORS, which nobody here answers."""

MOST_BODY, MOST_DEPTH, MOST_URL = 1 << 20, 32, 8_192

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy",
     b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
     b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)  # fmt: skip

_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})
_PATH = re.compile(r"/\Z|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+\Z")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.S)
"""A string, to the end of the body where nothing closes it. It gives back nothing that it took: no byte is looked at twice."""
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_STEPS = bytes(set(range(256)) - set(_STEPS))


class Gate:
    """Lets a request in to the app, or answers why not."""

    def __init__(self, app: App, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket: there are none
            await send({"type": "websocket.close", "code": 1008})
            return
        answering = _with_headers(send, self._site.scheme == "https")
        try:
            headers = _headers(scope)
            self._judge(scope, headers)
            await self._let_in(scope, headers)
            body = await _read_body(receive, headers)
        except LegatoError as error:
            await _refuse(answering, error)
            return
        await self._app(scope, _replay(body, receive), answering)

    def _judge(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse what no honest client sends, whoever it is."""
        method, path = scope["method"], scope["path"]
        raw = scope.get("raw_path") or path.encode()
        if len(raw) + len(scope["query_string"]) > MOST_URL:
            raise UsageError("request-large", f"an address has {MOST_URL:,} bytes at most")
        if method not in _METHODS:
            raise UsageError("method", f"{method} is not what can be done here", next="legato api")
        if raw != path.encode() or not _PATH.match(path):
            raise NotFound("route", "there is nothing here", why="the path is not written as paths here are", next="legato api")
        self._judge_origin(headers)
        if not _is_followed_link(method, path, headers):
            self._judge_site(headers)
        if method not in ("GET", "HEAD") and OWN_HEADER not in headers and not _is_hook(method, path):
            raise Forbidden("request-foreign", "a request that changes something has the header X-Legato", next="legato api")

    def _judge_origin(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self._site.hosts:
            raise Forbidden("request-foreign", f"this service is not {host or 'nameless'}", why="another name leads here")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() != f"{self._site.scheme}://{host}":
            raise Forbidden("request-foreign", "the request comes from another site's page")

    def _judge_site(self, headers: dict[bytes, bytes]) -> None:
        if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
            raise Forbidden("request-foreign", "the request comes from another site's page")

    async def _let_in(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Find out who asks; without a login only the open routes are there."""
        asked = (scope["method"], scope["path"])
        if asked == ("POST", LOGIN):
            self._site.tries.count("tries to log in")
        if asked in OPEN_ROUTES:
            return
        hook = _is_hook(*asked)
        secret = _token(headers) if hook else _token(headers) or _session(headers)
        actor = await anyio.to_thread.run_sync(self._identify, secret) if secret else None
        if actor is None and not hook:
            raise Forbidden(
                "login-needed", "nobody is logged in", why="no valid session or token came along", next="legato login-link"
            )
        scope[ACTOR] = actor

    def _identify(self, secret: str) -> Actor | None:
        with self._site.reading() as store:
            return identify(store, secret, self._site.clock.now())


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """The headers by name; those that decide anything may come once."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in found and name in (
            b"host",
            b"origin",
            b"authorization",
            b"content-type",
            b"content-length",
            b"sec-fetch-site",
        ):
            raise UsageError("request", f"the header {name.decode('latin-1')} is there twice")
        found[name] = found[name] + b"; " + value if name == b"cookie" and name in found else value
    return found


def _is_followed_link(method: str, path: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser goes to one of the pages, from wherever its link stands: in a mail, a chat, another page."""
    kind = headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest")
    return method == "GET" and path in PAGES and kind == (b"navigate", b"document")


def _is_hook(method: str, path: str) -> bool:
    return method == "POST" and path.startswith(f"{HOOKS}/")


def _token(headers: dict[bytes, bytes]) -> str:
    """The token of a program."""
    kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _session(headers: dict[bytes, bytes]) -> str:
    """The session of a browser."""
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


async def _read_body(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    """The whole body, which is JSON, not too large and not too deep."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MOST_BODY:
        raise _too_large()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UsageError("request", "the request ended before it was whole")
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            raise _too_large()
        if not message.get("more_body"):
            break
    if body and headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
        raise UsageError("request-type", "what is sent here is application/json", next="legato api")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise UsageError("request", "what is sent here is JSON in UTF-8", why=str(error), next="legato api") from error
    if depth_of(bytes(body)) > MOST_DEPTH:
        raise UsageError("request-large", f"a body has {MOST_DEPTH} levels at most")
    return bytes(body)


def depth_of(body: bytes) -> int:
    """How many levels JSON has at its deepest; a bracket in a string is none."""
    brackets = _STRING.sub(b"", body).translate(None, _NO_STEPS)
    return max(accumulate(map(_STEPS.__getitem__, brackets), initial=0))


def _too_large() -> UsageError:
    return UsageError("request-large", f"a body has {MOST_BODY:,} bytes at most", next="ask for less at once")


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body again, for the app; after it whatever comes, which is that the client has gone."""
    left: Iterable[bytes] = iter((body,))

    async def again() -> dict[str, Any]:
        for rest in left:
            return {"type": "http.request", "body": rest, "more_body": False}
        return await receive()

    return again


def _with_headers(send: Send, secure: bool) -> Send:
    """Every answer has the headers that keep a browser from doing more than it is asked to."""
    more = (*HEADERS, (b"strict-transport-security", b"max-age=31536000")) if secure else HEADERS

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in more}
            kept = [(name, value) for name, value in message.get("headers", ()) if bytes(name).lower() not in ours | {b"server"}]
            message = {**message, "headers": [*kept, *more]}
        await send(message)

    return sending


async def _refuse(send: Send, error: LegatoError) -> None:
    body = body_of(error)
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})
