"""Who may come in: users with their roles, the secrets they come in with, and the record of what they did."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from legato.terms.instant import Instant

Role = Literal["viewer", "operator", "editor", "admin"]
"""What somebody may do, each also what those before it may: look; run and stop; change what is published; say who may what."""

EVERYWHERE = ""
"""The domain under which a role holds in every domain."""

TokenKind = Literal["token", "session", "link"]
"""What a secret is for: programs; a browser, after login; to log in once."""


class User(Struct, frozen=True, kw_only=True):
    """Somebody who may come in. `roles` are by domain; a closed one may no more, but keeps the name that records speak of."""

    name: str
    roles: dict[str, Role]
    at: Instant
    closed: bool = False


class Token(Struct, frozen=True, kw_only=True):
    """A secret that lets a user in until it expires. Only its digest is kept.

    `scope` narrows the user's roles, by domain; None leaves them as they are.
    """

    id: str
    kind: TokenKind
    user: str
    digest: str
    at: Instant
    expires: Instant
    label: str = ""
    scope: dict[str, Role] | None = None


class Audit(Struct, frozen=True, kw_only=True):
    """One thing that somebody did, or was refused: who, when, what, to what."""

    at: Instant
    actor: str
    action: str
    object: str
    detail: str = ""


class AccessChange(Struct, kw_only=True):
    """What one change of access writes, all or nothing: users and tokens replace those of the same name and digest, the tokens
    of the `revoked` digests are gone."""

    users: list[User] = []
    tokens: list[Token] = []
    revoked: list[str] = []
    audit: list[Audit] = []
