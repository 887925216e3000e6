"""The route that webhooks call: open to whoever signs, where the webhook has a secret; else it takes a token."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from litestar import post
from litestar.params import PathParameter
from msgspec import Struct

from legato.declare.resource import Secret
from legato.service import asks
from legato.service.access import Actor, Thing, require
from legato.service.hooks import Call, Hook, hooks_of, id_given, require_key, require_signed
from legato.surfaces.http.gate import HOOKS
from legato.surfaces.http.looking import Asking
from legato.surfaces.http.site import ACTOR, Site, site_of
from legato.terms.errors import Forbidden, LegatoError, NotFound, Unreachable, UsageError

HookName = Annotated[str, PathParameter(max_length=200)]

log = logging.getLogger("legato.http")


class CallTaken(Struct, frozen=True, kw_only=True):
    """A call that is recorded: the tick that it is, and what each trigger made of it. `new` is False if it came before."""

    tick: str
    new: bool
    decided: tuple[asks.Verdict, ...]


@post(f"{HOOKS}/{{name:path}}", status_code=202, opt={"open": True}, operation_id="CallHook")
async def call_hook(request: Asking, name: HookName) -> CallTaken:
    """Call a webhook. Answered when the call, and what was decided of it, are recorded; sent again, it counts once."""
    headers = {each.lower(): value for each, value in request.headers.items()}
    call = Call(headers, await request.body(), site_of(request).clock.now())
    actor: Actor | None = request.scope.get(ACTOR)  # type: ignore[assignment]
    return await anyio.to_thread.run_sync(_take, site_of(request), name.removeprefix("/"), call, actor)


def _take(site: Site, name: str, call: Call, actor: Actor | None) -> CallTaken:
    hook = _hooks(site).get(name)
    if hook is None:
        raise _no_hook(name)
    _require_json(call)
    id = _id_of_signed(site, hook, call) if hook.moment.secret else _id_of_known(site, hook, call, actor)
    question = asks.Deliver(kind="webhook", items=(asks.Delivery(name=name, id=id, body=call.body),))
    (taken,) = site.ask(question, list[asks.Taken])
    if not taken.heard:
        raise _no_hook(name)
    return CallTaken(tick=taken.tick, new=taken.new, decided=taken.decided)


def _require_json(call: Call) -> None:
    """Refuse a body that says of itself that it is JSON, as all that are let in do, and is none: no run could be made of it."""
    try:
        if call.body:
            msgspec.json.decode(call.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError("request", "what is sent here is JSON", why=str(error), next="see docs/triggers.md") from error


def _hooks(site: Site) -> dict[str, Hook]:
    """The webhooks of the project as it is now, looked for once for each version of it."""
    workspace = site.workspace()
    if site.hooks is None or site.hooks[0] is not workspace:
        site.hooks = workspace, hooks_of(workspace.project)
    return site.hooks[1]


def _id_of_signed(site: Site, hook: Hook, call: Call) -> str:
    """The id of a call that is signed. After many that are not, these learn no more why; one that is comes in as ever, so nobody
    is shut out by a stranger."""
    try:
        return require_signed(hook.moment, _secret_of(hook), call)
    except Forbidden:
        site.tries.count(f"wrongly signed calls of webhook {hook.moment.name!r}")
        raise


def _secret_of(hook: Hook) -> str:
    """The secret, read anew: who changes it need not start the service again. Without one that signs nobody is let in."""
    try:
        secret = Secret(hook.moment.secret).reveal()
        require_key(hook.moment, secret)
    except LegatoError as error:
        log.error("webhook %s: %s", hook.moment.name, error)
        raise Unreachable(
            "webhook-secret", "this webhook cannot be called now",
            why="the service has no secret to judge calls by; its log says more", next="set it where legato up is started",
        ) from None  # fmt: skip
    return secret


def _id_of_known(site: Site, hook: Hook, call: Call, actor: Actor | None) -> str:
    """The id of a call that somebody with a token makes: the given one, else a new one."""
    if actor is None:
        raise Forbidden(
            "login-needed", "this webhook takes a token", why="it has no secret that signs calls",
            next="legato tokens add USER, or lg.webhook(..., secret=lg.secret(...))",
        )  # fmt: skip
    require(actor, "submit", Thing(kind="webhook", name=hook.moment.name, domains=hook.domains))
    return id_given(call) or f"{site.clock.noise(128):032x}"


def _no_hook(name: str) -> NotFound:
    return NotFound("webhook", f"no trigger listens to a webhook {name!r}", next="legato triggers")


ROUTES: list[Any] = [call_hook]
