"""Routes of the door itself: is anybody there, logging in and out, the schema."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.params import JSONBody
from msgspec import Struct

from legato.ports.access import Token
from legato.service import asks
from legato.service.access import LASTS_S, digest_of, new_token
from legato.surfaces.http.gate import COOKIE
from legato.surfaces.http.looking import Asking, looking
from legato.surfaces.http.schema import schema_of
from legato.surfaces.http.site import entered, site_of
from legato.terms.errors import LegatoError

READY_WITHIN_S = 2.0


class LinkGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the # of a link from `legato login-link`."""

    link: str


class Alive(Struct, frozen=True, kw_only=True):
    """Whether it is so."""

    ok: bool


@get("/health", sync_to_thread=False, opt={"open": True})
def health() -> Alive:
    """Whether the web server answers."""
    return Alive(ok=True)


@get("/ready", sync_to_thread=True, opt={"open": True})
def ready(request: Asking) -> Response[Alive]:
    """Whether the service can do its work: the conductor answers and the store can be read."""
    site = site_of(request)
    try:
        site.ask(asks.Ping(), asks.Pong, READY_WITHIN_S)
        with site.reading() as store:
            store.newest_change()
    except LegatoError:  # who is not logged in learns that it is so, and not why
        return Response(Alive(ok=False), status_code=503)
    return Response(Alive(ok=True))


@post("/login", sync_to_thread=True, status_code=200, opt={"open": True})
def login(request: Asking, data: JSONBody[LinkGiven]) -> Response[Alive]:
    """Exchange a link for a session, which is a cookie that no page can read."""
    site = site_of(request)
    secret, session = new_token("session", "", site.clock.now())
    site.ask(asks.LogIn(link=digest_of(data.link), session=session), asks.Done)
    return Response(Alive(ok=True), cookies=[_cookie(secret, site.scheme, LASTS_S["session"])])


@post("/logout", sync_to_thread=True, status_code=200, opt={"action": "read"})
def logout(request: Asking) -> Response[Alive]:
    """End the session."""
    with entered(request) as inside:
        found = _session_of(request, inside.store.token)
        if found is not None:
            inside.ask(asks.ChangeAccess(revoked=(found.id,), actor=inside.actor.name), asks.Done)
        return Response(Alive(ok=True), cookies=[_cookie("", inside.site.scheme, 0)])


@looking("/openapi")
def openapi(request: Asking) -> dict[str, Any]:
    """The schema of this API, in OpenAPI 3.1."""
    return schema_of(request.app)


def _session_of(request: Asking, find: Any) -> Token | None:
    secret = request.cookies.get(COOKIE, "")
    found: Token | None = find(digest_of(secret)) if secret else None
    return found if found is not None and found.kind == "session" else None


def _cookie(secret: str, scheme: str, lasts_s: float) -> Cookie:
    return Cookie(
        key=COOKIE, value=secret, path="/", max_age=int(lasts_s), httponly=True, samesite="strict", secure=scheme == "https"
    )


ROUTES: list[Any] = [health, ready, login, logout, openapi]
