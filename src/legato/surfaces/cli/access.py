"""`legato users`, `legato tokens`, `legato login-link` and `legato audit`: who may come in, and what they did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, when
from legato.terms.errors import NotFound, UsageError

if TYPE_CHECKING:
    from legato.ports.access import Audit, Role, Token, User
    from legato.service.keyring import Keyring

_ROLES = click.option(
    "--role", multiple=True, metavar="[DOMAIN=]ROLE", help="viewer, operator, editor or admin: everywhere, or in a domain."
)


@command
@click.argument("action", type=click.Choice(("list", "add", "close")), default="list")
@click.argument("name", required=False)
@_ROLES
def users(call: Call, action: str, name: str | None, role: tuple[str, ...]) -> None:
    """List who may come in by the API, let somebody in, or nobody of that name any more.

    \b
      legato users                                           all of them
      legato users add ada --role viewer --role sales=editor
      legato users close ada                                 with all of her tokens
    """
    from msgspec.structs import replace

    from legato.service.access import new_user
    from legato.service.actor import actor
    from legato.service.asks import ChangeAccess

    keyring = _keyring(call)
    if action == "list":
        with keyring.reading() as store:
            found = store.users() if store is not None else []
        call.answer(found, lambda: _draw_users(call.screen, found))
        return
    who, now = _required(name, f"legato users {action} NAME"), keyring.clock.now()
    user = new_user(who, _roles(role), now) if action == "add" else replace(_user(keyring, who), closed=True)
    keyring.change(ChangeAccess(actor=actor(), users=(user,)))
    call.answer(
        user, lambda: call.screen.say(f"{who} {'may come in: ' + _in_words(user.roles) if action == 'add' else 'is closed'}")
    )


@command
@click.argument("action", type=click.Choice(("list", "add", "revoke")), default="list")
@click.argument("name", metavar="[USER|ID]", required=False)
@_ROLES
@click.option("--label", default="", metavar="TEXT", help="What it is for.")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it is good for.")
def tokens(call: Call, action: str, name: str | None, role: tuple[str, ...], label: str, days: int) -> None:
    """List the tokens by which somebody can come in, make one for a program, or take one back.

    \b
      legato tokens                                  all of them, sessions and links too
      legato tokens add ada --label ci --role viewer  its secret is printed once; --role narrows what ada may
      legato tokens revoke 3f2a77c1d0e9              by its id
    """
    from legato.service.access import new_token
    from legato.service.actor import actor
    from legato.service.asks import ChangeAccess

    keyring = _keyring(call)
    if action == "list":
        with keyring.reading() as store:
            found = sorted(store.tokens() if store is not None else [], key=lambda each: (each.at, each.id))
        shown = [_shown(each) for each in found]
        call.answer(shown, lambda: _draw_tokens(call.screen, found))
        return
    if action == "revoke":
        keyring.change(ChangeAccess(actor=actor(), revoked=(_required(name, "legato tokens revoke ID"),)))
        call.answer({"revoked": name}, lambda: call.screen.say(f"token {name} is taken back"))
        return
    user = _required(name, "legato tokens add USER")
    scope = _roles(role) if role else None
    secret, token = new_token("token", user, keyring.clock.now(), label=label, lasts_s=days * 86_400, scope=scope)
    keyring.change(ChangeAccess(actor=actor(), tokens=(token,)))
    call.answer({"secret": secret, "token": _shown(token)}, lambda: _draw_secret(call.screen, secret, token))


@command
@click.argument("user", required=False)
def login_link(call: Call, user: str | None) -> None:
    """Make a link that logs a browser in, once, within 15 minutes.

    USER is who is logged in; without it you are, and may do everything. While no service is up, the link lacks its address.
    """
    keyring = _keyring(call)
    secret = keyring.make_link(user or "")
    url = f"{keyring.url}/login#{secret}"
    call.answer({"link": secret, "url": url}, lambda: call.screen.say(f"{user or 'you'}, once, within 15 minutes: {url}"))


@command
@click.option("--limit", "-n", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many at most.")
@click.option("--before", type=int, default=0, metavar="NUMBER", help="Go on with those before this one.")
def audit(call: Call, limit: int, before: int) -> None:
    """List what was done, and by whom, newest first."""
    with _keyring(call).reading() as store:
        found = store.audits(limit=limit, before=before) if store is not None else []
    shown = [{"number": number, **_plain(each)} for number, each in found]
    call.answer(shown, lambda: _draw_audit(call.screen, found, limit))


def _keyring(call: Call) -> Keyring:
    from legato.wiring.state import open_keyring

    return open_keyring(call.folder or Path.cwd())


def _roles(words: Sequence[str]) -> dict[str, Role]:
    from legato.service.access import as_role

    split = [word.rpartition("=") for word in words]
    return {domain: as_role(role) for domain, _, role in split}


def _user(keyring: Keyring, name: str) -> User:
    with keyring.reading() as store:
        found = store.user(name) if store is not None else None
    if found is None:
        raise NotFound("user", f"there is no user {name!r}", next="legato users")
    return found


def _required(name: str | None, next: str) -> str:
    if name is None:
        raise UsageError("usage", "who, or which one?", next=next)
    return name


def _in_words(roles: dict[str, Role]) -> str:
    from legato.service.access import in_words

    return in_words(roles)


def _plain(told: Audit) -> dict[str, Any]:
    from legato.surfaces.shape import as_plain

    found: dict[str, Any] = as_plain(told)
    return found


def _shown(token: Token) -> dict[str, Any]:
    from legato.surfaces.shape import as_plain

    return {name: value for name, value in as_plain(token).items() if name != "digest"}


def _draw_users(screen: Screen, found: Sequence[User]) -> None:
    rows = [
        (screen.paint(each.name, "bold"), _in_words(each.roles), when(each.at), "closed" if each.closed else "") for each in found
    ]
    screen.table(("user", "roles", "since", ""), rows)
    if not found:
        screen.say("nobody may come in yet")
        screen.say("  next: legato login-link")


def _draw_tokens(screen: Screen, found: Sequence[Token]) -> None:
    rows = [
        (
            screen.paint(each.id, "bold"), each.kind, each.user, each.label,
            "" if each.scope is None else _in_words(each.scope), when(each.at), when(each.expires),
        )
        for each in found
    ]  # fmt: skip
    screen.table(("id", "kind", "user", "label", "no more than", "made", "until"), rows)
    if not found:
        screen.say("there are no tokens")


def _draw_secret(screen: Screen, secret: str, token: Token) -> None:
    screen.say(secret)
    screen.say(f"token {token.id} of {token.user}, until {when(token.expires)}; this is the only time that it is shown")


def _draw_audit(screen: Screen, found: Sequence[tuple[int, Audit]], limit: int) -> None:
    rows = [(f"{number}", when(each.at), each.actor, each.action, each.object, each.detail) for number, each in found]
    screen.table(("", "when", "who", "what", "of", "more"), rows)
    if not found:
        screen.say("nothing was recorded")
    elif len(found) == limit:
        screen.say(f"older ones: legato audit --before {found[-1][0]}")


@command
def api(call: Call) -> None:
    """Print the schema of the HTTP API, in OpenAPI 3.1."""
    from legato.surfaces.http.serving import require_installed

    require_installed()
    from legato.surfaces.http.app import build_routes
    from legato.surfaces.http.schema import schema_of

    schema = schema_of(build_routes(None))
    call.answer(schema, lambda: call.screen.say(json.dumps(schema, indent=2)))
