"""The two pages of the door: logging in with a link, and who is logged in. Static, so open to all; their script asks the API."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from legato.surfaces.http.gate import PAGES

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


@cache
def _read(name: str) -> bytes:
    return files("legato.surfaces.http").joinpath("static", name).read_bytes()


def _page(path: str, name: str) -> HTTPRouteHandler:
    @get(path, sync_to_thread=False, opt={"open": True}, include_in_schema=False)
    def page() -> Response[bytes]:
        return Response(_read(name), media_type=_KINDS[name.rpartition(".")[2]])

    return page


ROUTES: list[Any] = [_page(path, name) for path, name in PAGES.items()]
