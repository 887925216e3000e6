"""Routes that change what is published and who may what."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import delete, post
from litestar.params import JSONBody, PathParameter
from msgspec import Struct

from legato.ports.access import Audit, Role, Token, User
from legato.service import asks
from legato.service.access import as_role, new_token, new_user
from legato.service.keys import Added, judge_keys, sets_of
from legato.surfaces.http.looking import Asking, Limit, Number, Words, looking, page_of
from legato.surfaces.http.site import entered
from legato.terms.errors import UsageError
from legato.terms.instant import Instant

TokenId = Annotated[str, PathParameter(max_length=64, pattern=r"^[0-9a-f]+$")]
_LONGEST_S = 366 * 86_400.0


class RollbackAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes back: `ASSET`, `ASSET@PARTITION` or `ASSET@RANGE`; to the version before, or to a version or run."""

    what: str
    to: str = ""


class KeysAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys for a dynamic set of partitions."""

    name: str
    keys: list[str]


class UserAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user, new or not: the roles by domain (under the empty name: everywhere); closed for one that may come in no more."""

    name: str
    roles: dict[str, str]
    closed: bool = False


class TokenAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token for a user: what it is called, for how long, and what it is narrowed to."""

    user: str
    label: str = ""
    lasts_s: float = 90 * 86_400
    scope: dict[str, str] | None = None


class LinkAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link for a user, who can log in with it once."""

    user: str


class TokenShown(Struct, frozen=True, kw_only=True):
    """A token, without what it is known by."""

    id: str
    kind: str
    user: str
    label: str
    at: Instant
    expires: Instant
    scope: dict[str, Role] | None


class TokenMade(Struct, frozen=True, kw_only=True):
    """A new token. Its secret is told here and nowhere else."""

    secret: str
    token: TokenShown


class AuditLine(Struct, frozen=True, kw_only=True):
    """Something that was done, with its number for paging."""

    number: int
    at: Instant
    actor: str
    action: str
    object: str
    detail: str


@post("/rollback", sync_to_thread=True, status_code=200, opt={"action": "rollback"})
def rollback(request: Asking, data: JSONBody[RollbackAsked]) -> asks.RolledBack:
    """Publish older versions again: readers see all of them at once."""
    with entered(request) as inside:
        inside.node(data.what, "rollback")
        return inside.ask(asks.RollBack(what=data.what, to=data.to, actor=inside.actor.name), asks.RolledBack)


@post("/keys", sync_to_thread=True, status_code=200, opt={"action": "keys"})
def add_keys(request: Asking, data: JSONBody[KeysAsked]) -> Added:
    """Add keys to a dynamic set of partitions."""
    with entered(request) as inside:
        sound = judge_keys(inside.workspace, data.name, data.keys)
        for cut in sets_of(inside.workspace)[data.name]:
            inside.node(cut, "keys")
        return inside.ask(asks.AddKeys(name=data.name, keys=tuple(sound), actor=inside.actor.name), Added)


@looking("/audit", "access")
def audit(request: Asking, limit: Limit = 50, before: Number = 0) -> list[AuditLine]:
    """What was done, and by whom, newest first."""
    with entered(request) as inside:
        inside.require("access", "the audit")
        return [_line(number, each) for number, each in inside.store.audits(limit=limit, before=before)]


@looking("/users", "access")
def users(request: Asking, limit: Limit = 1_000, after: Words = "") -> list[User]:
    """Users with their roles, by name, from behind one on."""
    with entered(request) as inside:
        inside.require("access", "users")
        return page_of(inside.store.users(), lambda each: each.name, after, limit)


@post("/users", sync_to_thread=True, status_code=200, opt={"action": "access"})
def put_user(request: Asking, data: JSONBody[UserAsked]) -> User:
    """Make a user, or change one. Closing one revokes all of its tokens."""
    with entered(request) as inside:
        inside.require("access", "users")
        sound = new_user(data.name, data.roles, inside.site.clock.now())
        user = User(name=sound.name, roles=sound.roles, at=sound.at, closed=data.closed)
        inside.ask(asks.ChangeAccess(users=(user,), actor=inside.actor.name), asks.Done)
        return user


@looking("/tokens", "access")
def tokens(request: Asking, limit: Limit = 1_000, after: Words = "") -> list[TokenShown]:
    """Tokens, sessions and links that somebody has, without their secrets; by their ids, from behind one on."""
    with entered(request) as inside:
        inside.require("access", "tokens")
        return page_of(map(_shown, inside.store.tokens()), lambda each: each.id, after, limit)


@post("/tokens", sync_to_thread=True, opt={"action": "access"})
def make_token(request: Asking, data: JSONBody[TokenAsked]) -> TokenMade:
    """Make a token for a program."""
    with entered(request) as inside:
        inside.require("access", "tokens")
        if not 0 < data.lasts_s <= _LONGEST_S:
            raise UsageError(
                "token-time", f"a token lasts a year at most, and not {data.lasts_s:g} s", next="legato tokens add --help"
            )
        scope = None if data.scope is None else {domain: as_role(role) for domain, role in data.scope.items()}
        secret, token = new_token(
            "token", data.user, inside.site.clock.now(), label=data.label, lasts_s=data.lasts_s, scope=scope
        )  # fmt: skip
        inside.ask(asks.ChangeAccess(tokens=(token,), actor=inside.actor.name), asks.Done)
        return TokenMade(secret=secret, token=_shown(token))


@post("/links", sync_to_thread=True, opt={"action": "access"})
def make_link(request: Asking, data: JSONBody[LinkAsked]) -> TokenMade:
    """Make a link that logs a user's browser in, once, soon: `/login#SECRET`."""
    with entered(request) as inside:
        inside.require("access", "tokens")
        secret, token = new_token("link", data.user, inside.site.clock.now())
        inside.ask(asks.ChangeAccess(tokens=(token,), actor=inside.actor.name), asks.Done)
        return TokenMade(secret=secret, token=_shown(token))


@delete("/tokens/{token:str}", sync_to_thread=True, status_code=200, opt={"action": "access"})
def revoke_token(request: Asking, token: TokenId) -> asks.Done:
    """Take a token, a session or a link back."""
    with entered(request) as inside:
        inside.require("access", "tokens")
        return inside.ask(asks.ChangeAccess(revoked=(token,), actor=inside.actor.name), asks.Done)


def _line(number: int, told: Audit) -> AuditLine:
    return AuditLine(number=number, at=told.at, actor=told.actor, action=told.action, object=told.object, detail=told.detail)


def _shown(token: Token) -> TokenShown:
    return TokenShown(
        id=token.id, kind=token.kind, user=token.user, label=token.label, at=token.at, expires=token.expires, scope=token.scope
    )


ROUTES: list[Any] = [rollback, add_keys, audit, users, put_user, tokens, make_token, make_link, revoke_token]
