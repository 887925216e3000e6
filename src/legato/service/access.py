"""Who may do what: one question, `can`, for reading too; and the secrets by which somebody is known."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from legato.ports.access import EVERYWHERE, AccessChange, Audit, Role, Token, TokenKind, User
from legato.ports.store import Store
from legato.service.actor import actor as system_user
from legato.service.asks import ChangeAccess
from legato.terms.errors import Forbidden, NotFound, UsageError
from legato.terms.instant import Instant, after, format_seconds
from legato.terms.key import is_name

Action = Literal["read", "submit", "cancel", "resume", "answer", "pause", "rollback", "keys", "access"]

ROLES: tuple[Role, ...] = ("viewer", "operator", "editor", "admin")
NEEDED: dict[Action, Role] = {
    "read": "viewer", "submit": "operator", "cancel": "operator", "resume": "operator", "answer": "operator",
    "pause": "operator", "rollback": "editor", "keys": "editor", "access": "admin",
}  # fmt: skip
"""The least role that may do it."""

LASTS_S: dict[TokenKind, float] = {"link": 15 * 60, "session": 7 * 86_400, "token": 90 * 86_400}
"""How long a secret of each kind is good for, if nobody says otherwise."""

_PREFIX = "legato_"


class Actor(Struct, frozen=True, kw_only=True):
    """Who asks, and the roles that they have now, by domain."""

    name: str
    roles: dict[str, Role]
    groups: tuple[str, ...] = ()

    def role_in(self, domain: str) -> Role | None:
        """The role in a domain: that of the domain itself or, where none is said, that everywhere."""
        return self.roles.get(domain, self.roles.get(EVERYWHERE))


class Thing(Struct, frozen=True, kw_only=True):
    """What something is done to: its kind, its name, and the domains that it touches. One that touches none is the project's."""

    kind: str
    name: str = ""
    domains: tuple[str, ...] = ()


def can(actor: Actor, action: Action, thing: Thing) -> bool:
    """Whether the actor may do this: in every domain that the thing touches.

    What is the project's own may be read by whoever may read anything (each thing in it is then asked for), and changed by
    whoever may everywhere.
    """
    if thing.domains:
        return all(_is_enough(actor.role_in(domain), action) for domain in thing.domains)
    if action == "read":
        return bool(actor.roles)
    return _is_enough(actor.roles.get(EVERYWHERE), action)


def require(actor: Actor, action: Action, thing: Thing) -> None:
    """Refuse (`access-denied`) what the actor may not do."""
    if can(actor, action, thing):
        return
    where = f" in {', '.join(each or 'no domain' for each in thing.domains)}" if thing.domains else ""
    raise Forbidden(
        "access-denied", f"{actor.name} may not {action} {thing.kind} {thing.name}".rstrip(),
        why=f"it takes the role {NEEDED[action]}{where}", next="ask an admin: legato users",
    )  # fmt: skip


def _is_enough(role: Role | None, action: Action) -> bool:
    return role is not None and ROLES.index(role) >= ROLES.index(NEEDED[action])


def local_actor() -> Actor:
    """Whoever may read the project's state on this machine: they could change it with any tool, so they may do all."""
    return Actor(name=system_user(), roles={EVERYWHERE: "admin"})


# -- secrets --


def new_secret() -> tuple[str, str]:
    """A secret, and its digest.

    It is 256 random bits, so one plain SHA-256 is enough: there is nothing to guess that a slow hash would have to protect, and
    every request pays for the hash.
    """
    secret = _PREFIX + secrets.token_urlsafe(32)
    return secret, digest_of(secret)


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return sha256(secret.encode()).hexdigest()


def new_token(
    kind: TokenKind, user: str, now: Instant, *, label: str = "", lasts_s: float = 0, scope: dict[str, Role] | None = None
) -> tuple[str, Token]:  # fmt: skip
    """A secret for a user, and the token that it is known by."""
    secret, digest = new_secret()
    return secret, Token(
        id=digest[:12], kind=kind, user=user, digest=digest, at=now, expires=after(now, lasts_s or LASTS_S[kind]), label=label,
        scope=scope,
    )  # fmt: skip


def identify(store: Store, secret: str, now: Instant) -> Actor | None:
    """Who comes with this secret; None if it is unknown, has expired, is for logging in alone, or is a closed user's."""
    token = store.token(digest_of(secret))
    if token is None or token.kind == "link" or token.expires <= now:
        return None
    user = store.user(token.user)
    if user is None or user.closed:
        return None
    return Actor(name=user.name, roles=_narrowed(user.roles, token.scope))


def _narrowed(roles: Mapping[str, Role], scope: Mapping[str, Role] | None) -> dict[str, Role]:
    """The roles, in each domain no more than the scope says; none where it says nothing."""
    if scope is None:
        return dict(roles)
    found: dict[str, Role] = {}
    for domain in {*roles, *scope}:
        mine, most = roles.get(domain, roles.get(EVERYWHERE)), scope.get(domain, scope.get(EVERYWHERE))
        if mine is not None and most is not None:
            found[domain] = min(mine, most, key=ROLES.index)
    return found


# -- changes --


def log_in(store: Store, link: str, session: Token, now: Instant) -> None:
    """Exchange a link for a session, once. `Forbidden` (`login`) if the link is not, or no longer, good."""
    found = store.token(link)
    user = store.user(found.user) if found is not None else None
    if found is None or found.kind != "link" or found.expires <= now or user is None or user.closed:
        raise Forbidden("login", "this link does not log anybody in", why="it was used, or is too old", next="legato login-link")
    mine = Token(
        id=session.id, kind="session", user=found.user, digest=session.digest, at=now, expires=after(now, LASTS_S["session"]),
        scope=found.scope,
    )  # fmt: skip
    done = Audit(at=now, actor=found.user, action="login", object=f"session {mine.id}", detail=f"link {found.id}")
    store.change_access(AccessChange(tokens=[mine], revoked=[link, *_expired(store, now)], audit=[done]))


def change_access(store: Store, ask: ChangeAccess, now: Instant) -> int:
    """Record users and tokens, and take tokens back; how many. Each is recorded with who did it."""
    known = {token.id: token for token in store.tokens()}
    unknown = [id for id in ask.revoked if id not in known]
    if unknown:
        raise NotFound("token", f"there is no token {', '.join(unknown)}", next="legato tokens list")
    for token in ask.tokens:
        if not any(user.name == token.user and not user.closed for user in ask.users):
            _require_user(store, token.user)
    revoked = [known[id] for id in ask.revoked]
    closed = {user.name for user in ask.users if user.closed}
    lost = [token for token in known.values() if token.user in closed]
    told = [
        *(("user", f"user {user.name}", "closed" if user.closed else in_words(user.roles)) for user in ask.users),
        *((f"{token.kind} made", f"{token.kind} {token.id}", _token_in_words(token, now)) for token in ask.tokens),
        *((f"{token.kind} revoked", f"{token.kind} {token.id}", f"of {token.user}") for token in revoked),
    ]
    store.change_access(
        AccessChange(
            users=list(ask.users), tokens=list(ask.tokens), revoked=[token.digest for token in (*revoked, *lost)],
            audit=[Audit(at=now, actor=ask.actor, action=what, object=object, detail=why) for what, object, why in told],
        )
    )  # fmt: skip
    return len(told)


def first_link(store: Store, now: Instant) -> str:
    """Where nobody can come in yet: the secret of a link that logs in whoever runs this process, once; else empty."""
    if store.users():
        return ""
    me = local_actor()
    secret, link = new_token("link", me.name, now)
    change_access(store, ChangeAccess(actor=me.name, users=(new_user(me.name, me.roles, now),), tokens=(link,)), now)
    return secret


def new_user(name: str, roles: Mapping[str, str], now: Instant) -> User:
    """A user of this name with these roles; `UsageError` if the name or a role is none."""
    if not is_name(name):
        raise UsageError(
            "user-name", f"{name!r} cannot name a user", why="a name is letters, digits, _ . and /", next="legato users"
        )
    if not roles:
        raise UsageError("role", f"{name} would have no role", next=f"legato users add {name} --role viewer")
    return User(name=name, roles={domain: as_role(role) for domain, role in roles.items()}, at=now)


def as_role(text: str) -> Role:
    """The role of this name."""
    for role in ROLES:
        if role == text:
            return role
    raise UsageError("role", f"{text!r} is no role", why=f"roles are {', '.join(ROLES)}", next="legato explain role")


def in_words(roles: Mapping[str, str]) -> str:
    """Roles for people: `viewer, sales: editor`."""
    return ", ".join(role if domain == EVERYWHERE else f"{domain}: {role}" for domain, role in sorted(roles.items()))


def _token_in_words(token: Token, now: Instant) -> str:
    scope = f", {in_words(token.scope)}" if token.scope is not None else ""
    return f"for {token.user}, for {format_seconds((token.expires - now) / 1e6)}{scope}"


def _expired(store: Store, now: Instant) -> list[str]:
    return [token.digest for token in store.tokens() if token.expires <= now]


def _require_user(store: Store, name: str) -> None:
    user = store.user(name)
    if user is None or user.closed:
        raise NotFound("user", f"there is no user {name!r}", next="legato users")
