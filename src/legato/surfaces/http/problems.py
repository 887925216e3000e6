"""Errors as `application/problem+json` (RFC 9457): code, what, where, why, next."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from legato.surfaces.shape import encode, error_record
from legato.terms.errors import Forbidden, InvalidProject, LegatoError, NotFound, Unreachable, UsageError

PROBLEM = "application/problem+json"
_OF_CLASS: tuple[tuple[type[LegatoError], int], ...] = (
    (NotFound, 404), (InvalidProject, 422), (UsageError, 400), (Forbidden, 403), (Unreachable, 503),
)  # fmt: skip
_OF_CODE = {
    "login-needed": 401, "webhook-signature": 401, "login": 401, "too-many": 429, "request-large": 413,
    "request-type": 415, "method": 405, "internal": 500, "service-silent": 504,
}  # fmt: skip


def status_of(error: LegatoError) -> int:
    """The HTTP status of an error; 409 for what is refused because of how things are now."""
    return _OF_CODE.get(error.code) or next((status for kind, status in _OF_CLASS if isinstance(error, kind)), 409)


def body_of(error: LegatoError) -> bytes:
    """The problem, as it is sent."""
    status = status_of(error)
    named = {"type": f"urn:legato:error:{error.code}", "title": error.what, "status": status, "detail": error.why}
    return encode({**named, **error_record(error)})


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The response to any exception of a handler. Of what nobody foresaw it tells nothing: the server's log does."""
    told = _told(error, request.scope["path"])
    return Response(body_of(told), status_code=status_of(told), media_type=PROBLEM)


def _told(error: Exception, path: str) -> LegatoError:
    if isinstance(error, LegatoError):
        return error
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        told = [f"{each.get('key', 'body')}: {each.get('message', '')}" for each in extra if isinstance(each, dict)]
        why = "\n".join(told) or error.detail
        return UsageError("request", "the request does not have the form that it should have", why=why, next="legato api")
    if isinstance(error, HTTPException):
        return _of_http(error, path)
    return LegatoError("internal", "this is a fault of Legato", why="an error that Legato did not foresee; the log has it")


def _of_http(error: HTTPException, path: str) -> LegatoError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFound("route", "there is nothing here", where=path, next="legato api")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return UsageError("method", "this is not what can be done here", where=path, next="legato api")
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return LegatoError("internal", "this is a fault of Legato", why="an error that Legato did not foresee; the log has it")
    return UsageError("request", "the request does not have the form that it should have", why=error.detail, next="legato api")
