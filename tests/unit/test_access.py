"""Who may do what: roles by domain, tokens that narrow them, links that work once."""

from __future__ import annotations

import pytest

from legato.ports.access import Token
from legato.service.access import (
    NEEDED,
    ROLES,
    Actor,
    Thing,
    can,
    change_access,
    digest_of,
    identify,
    log_in,
    new_token,
    new_user,
    require,
)  # fmt: skip
from legato.service.asks import ChangeAccess
from legato.stores.memory import MemoryStore
from legato.terms.errors import Forbidden, LegatoError
from legato.terms.instant import Instant, after

NOW = Instant(1_000_000)
PROJECT = Thing(kind="project")


def person(**roles: str) -> Actor:
    return Actor(name="ada", roles={"" if name == "all" else name: role for name, role in roles.items()})


@pytest.fixture
def store() -> MemoryStore:
    opened = MemoryStore()
    opened.open_writer("a test")
    change_access(opened, ChangeAccess(actor="root", users=(new_user("ada", {"": "operator", "sales": "editor"}, NOW),)), NOW)
    return opened


def give(store: MemoryStore, kind: str = "token", **more: object) -> tuple[str, Token]:
    secret, token = new_token(kind, "ada", NOW, **more)  # type: ignore[arg-type]
    change_access(store, ChangeAccess(actor="root", tokens=(token,)), NOW)
    return secret, token


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", NEEDED)
def test_a_role_may_what_it_and_those_before_it_may(role: str, action: str) -> None:
    allowed = ROLES.index(role) >= ROLES.index(NEEDED[action])
    assert can(person(all=role), action, Thing(kind="run", domains=("", "sales"))) is allowed
    assert can(person(all=role), action, PROJECT) is allowed


def test_a_domains_own_role_counts_there_and_nowhere_else() -> None:
    ada = person(all="viewer", sales="editor", hr="operator")
    assert can(ada, "rollback", Thing(kind="asset", domains=("sales",)))
    assert not can(ada, "rollback", Thing(kind="asset", domains=("sales", "hr")))
    assert not can(ada, "submit", Thing(kind="run", domains=("",)))
    assert not can(ada, "submit", PROJECT)


def test_who_knows_one_domain_sees_that_alone() -> None:
    eve = person(sales="admin")
    assert can(eve, "read", PROJECT)
    assert can(eve, "read", Thing(kind="asset", domains=("sales",)))
    assert not can(eve, "read", Thing(kind="asset", domains=("hr",)))
    assert not can(eve, "read", Thing(kind="asset", domains=("",)))
    assert not can(eve, "access", PROJECT)
    assert not can(person(), "read", PROJECT)


def test_a_domains_role_can_be_less_than_that_everywhere() -> None:
    assert not can(person(all="admin", hr="viewer"), "submit", Thing(kind="run", domains=("hr",)))


def test_a_refusal_says_what_it_takes() -> None:
    with pytest.raises(Forbidden) as raised:
        require(person(all="viewer"), "rollback", Thing(kind="asset", name="prices", domains=("sales",)))
    assert (raised.value.code, raised.value.what) == ("access-denied", "ada may not rollback asset prices")
    assert raised.value.why == "it takes the role editor in sales"


def test_a_token_is_kept_as_its_digest_and_known_by_its_secret(store: MemoryStore) -> None:
    secret, token = give(store)
    assert secret not in repr(store.disk.tokens) + repr(token)
    assert token.digest == digest_of(secret)
    assert identify(store, secret, NOW) == Actor(name="ada", roles={"": "operator", "sales": "editor"})
    assert identify(store, secret + "x", NOW) is None
    assert identify(store, "", NOW) is None


def test_a_token_ends_when_it_expires_is_revoked_or_its_user_is_closed(store: MemoryStore) -> None:
    secret, _ = give(store, lasts_s=10)
    assert identify(store, secret, Instant(after(NOW, 10) - 1)) is not None
    assert identify(store, secret, after(NOW, 10)) is None
    other, token = give(store)
    change_access(store, ChangeAccess(actor="root", revoked=(token.id,)), NOW)
    assert identify(store, other, NOW) is None
    closed, _ = give(store)
    ada = store.user("ada")
    assert ada is not None
    gone = type(ada)(name=ada.name, roles=ada.roles, at=ada.at, closed=True)
    change_access(store, ChangeAccess(actor="root", users=(gone,)), NOW)
    assert identify(store, closed, NOW) is None
    assert store.tokens() == []


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        ({"": "viewer"}, {"": "viewer", "sales": "viewer"}),
        ({"": "admin"}, {"": "operator", "sales": "editor"}),
        ({"sales": "operator"}, {"sales": "operator"}),
        ({"hr": "admin"}, {"hr": "operator"}),
        ({}, {}),
    ],
)
def test_a_scope_only_narrows(store: MemoryStore, scope: dict[str, str], left: dict[str, str]) -> None:
    secret, _ = give(store, scope=scope)
    found = identify(store, secret, NOW)
    assert found is not None
    assert found.roles == left


def test_a_link_logs_in_once(store: MemoryStore) -> None:
    secret, link = give(store, "link", scope={"": "viewer"})
    assert identify(store, secret, NOW) is None
    mine, session = new_token("session", "root", NOW, lasts_s=1e9)
    log_in(store, link.digest, session, NOW)
    found = identify(store, mine, NOW)
    assert found == Actor(name="ada", roles={"": "viewer", "sales": "viewer"})
    for digest in (link.digest, session.digest, "unknown"):
        with pytest.raises(Forbidden) as raised:
            log_in(store, digest, new_token("session", "ada", NOW)[1], NOW)
        assert raised.value.code == "login"


def test_a_link_is_too_old_after_a_while(store: MemoryStore) -> None:
    _, link = give(store, "link")
    with pytest.raises(Forbidden):
        log_in(store, link.digest, new_token("session", "ada", NOW)[1], link.expires)


def test_every_change_of_access_is_recorded_and_no_secret_with_it(store: MemoryStore) -> None:
    secret, token = give(store, label="ci")
    change_access(store, ChangeAccess(actor="eve", revoked=(token.id,)), NOW)
    told = [(each.actor, each.action, each.object) for _, each in store.audits()]
    assert told == [
        ("eve", "token revoked", f"token {token.id}"), ("root", "token made", f"token {token.id}"), ("root", "user", "user ada"),
    ]  # fmt: skip
    assert secret not in repr(store.audits()) + repr(store.disk.audits)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda: ChangeAccess(revoked=("unknown",)), "token"),
        (lambda: ChangeAccess(tokens=(new_token("token", "nobody", NOW)[1],)), "user"),
        (lambda: new_user("../x", {"": "viewer"}, NOW), "user-name"),
        (lambda: new_user("bob", {"": "king"}, NOW), "role"),
        (lambda: new_user("bob", {}, NOW), "role"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(store: MemoryStore, ask, code: str) -> None:
    before = (store.users(), store.tokens(), store.audits())
    with pytest.raises(LegatoError) as raised:
        change_access(store, ask(), NOW)
    assert raised.value.code == code
    assert (store.users(), store.tokens(), store.audits()) == before
