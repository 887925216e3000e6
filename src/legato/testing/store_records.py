"""Small records to write into a store under test, and the protocol of the place where it lives."""

from __future__ import annotations

from typing import Any, Protocol

from legato.ports.access import Audit, Token, TokenKind, User
from legato.ports.store import Cached, Commit, Head, Run, RunState, Store, Trouble, Version, VersionState
from legato.terms.attempt import Ref
from legato.terms.instant import Instant


class StoreSite(Protocol):
    """One place where a store lives, as a test needs it."""

    def open(self) -> Store:
        """A new handle on the same state, as another process would have it; nothing is opened for writing yet."""
        ...

    def vacate(self) -> None:
        """Take the writer's place from whoever has it, without the writer noticing: as after a lost lock or lease."""
        ...


def make_run(run_id: str, state: RunState = "open", **more: Any) -> Run:
    """A run of this id."""
    fields = {"request": "run +report", "actor": "ada", "project": "f" * 32, "at": Instant(1_000_000)}
    return Run(id=run_id, state=state, **{**fields, **more})


def make_ref(asset: str, partition: str, version: str) -> Ref:
    """A ref of this name."""
    return Ref(asset, partition, version, "files", f"{asset}/{partition}/{version}", "parquet", 10, 3, "d" * 32)


def make_version(asset: str, partition: str, version: str, state: VersionState = "published") -> Version:
    """A version of this name."""
    return Version(
        ref=make_ref(asset, partition, version), state=state, run="r1", step=0, token=1, at=Instant(2), inputs={"up": "x"}
    )


def make_head(asset: str, partition: str, version: str) -> Head:
    """The head that publishes the version of this name."""
    ref = make_ref(asset, partition, version)
    return Head(asset, partition, version, "d" * 32, "code", "contract", {"up": "x"}, Instant(3), ref)


def make_trouble(asset: str, partition: str, message: str = "it broke") -> Trouble:
    """An open trouble of this key."""
    return Trouble(asset=asset, partition=partition, run="r1", step=0, kind="raised", message=message, at=Instant(4))


def make_user(name: str, *, closed: bool = False) -> User:
    """A user of this name."""
    return User(name=name, roles={"": "viewer", "sales": "editor"}, at=Instant(5), closed=closed)


def make_token(digest: str, user: str, kind: TokenKind = "token", **more: Any) -> Token:
    """A token of a user."""
    return Token(id=f"id-{digest}", kind=kind, user=user, digest=digest, at=Instant(6), expires=Instant(60), **more)


def make_audit(action: str) -> Audit:
    """A record of something done."""
    return Audit(at=Instant(7), actor="ada", action=action, object="r1", detail="a test")


def make_cached(key: str, run: str = "r1", value: bytes = b"value", kept: Ref | None = None) -> Cached:
    """A result of this run under this key."""
    return Cached(key=key, node="a", run=run, step=3, at=Instant(5), value=None if kept else value, kept=kept)


def publish(version: str, *partitions: str, asset: str = "a", run_id: str = "r1") -> Commit:
    """A commit that adds and publishes one version of each partition."""
    return Commit(
        run_id=run_id,
        events=[version.encode()],
        versions=[make_version(asset, partition, version) for partition in partitions],
        heads=[make_head(asset, partition, version) for partition in partitions],
    )
