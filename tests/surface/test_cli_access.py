"""`legato users`, `tokens`, `login-link`, `audit` and `api`: with a running service and without one, and never a secret twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_site import legato, make_project, records
from service_site import serving

from legato.ports.store import Store
from legato.service.access import digest_of, identify
from legato.surfaces.cli.main import call
from legato.wiring.state import open_keyring


def told(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    call(["-C", str(folder), *words, "--json"])
    return records(capsys.readouterr().out)[0]


def store_of(folder: Path) -> Store:
    return open_keyring(folder)._open_reader()


def test_without_a_service_users_and_tokens_are_made_and_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_project(tmp_path)
    assert told(tmp_path, capsys, "users")["result"] == []
    made = told(tmp_path, capsys, "users", "add", "ada", "--role", "viewer", "--role", "sales=editor")
    assert made["result"]["roles"] == {"": "viewer", "sales": "editor"}
    token = told(tmp_path, capsys, "tokens", "add", "ada", "--label", "ci", "--role", "viewer", "--days", "2")["result"]
    store = store_of(tmp_path)
    found = identify(store, token["secret"], open_keyring(tmp_path).clock.now())
    assert found is not None
    assert found.roles == {"": "viewer", "sales": "viewer"}
    listed = told(tmp_path, capsys, "tokens")["result"]
    assert listed == [token["token"]]
    assert "digest" not in listed[0]
    assert told(tmp_path, capsys, "tokens", "revoke", token["token"]["id"])["ok"]
    assert identify(store, token["secret"], open_keyring(tmp_path).clock.now()) is None
    told(tmp_path, capsys, "users", "close", "ada")
    assert told(tmp_path, capsys, "users")["result"][0]["closed"]
    assert [each["action"] for each in told(tmp_path, capsys, "audit")["result"]] == [
        "user",
        "token revoked",
        "token made",
        "user",
    ]
    store.close()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("tokens", "add", "nobody"), "user"),
        (("tokens", "add"), "usage"),
        (("tokens", "revoke", "0000"), "token"),
        (("users", "add", "ada"), "role"),
        (("users", "add", "ada", "--role", "king"), "role"),
        (("users", "add", "../ada", "--role", "viewer"), "user-name"),
        (("users", "close", "ada"), "user"),
        (("login-link", "ada"), "user"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str
) -> None:
    make_project(tmp_path)
    assert told(tmp_path, capsys, *words)["error"]["code"] == code


def test_a_running_service_records_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path):
        link = told(tmp_path, capsys, "login-link")["result"]["link"]
        store = store_of(tmp_path)
        kept = store.token(digest_of(link))
        assert kept is not None
        assert kept.kind == "link"
        user = store.user(kept.user)
        assert user is not None
        assert user.roles == {"": "admin"}
        store.close()


def test_no_user_code_is_loaded_for_it(tmp_path: Path) -> None:
    make_project(tmp_path, pipeline="raise SystemExit('loaded')")
    for words in (("users",), ("tokens",), ("audit",), ("login-link",)):
        done = legato(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert "loaded" not in done.stdout + done.stderr


def test_people_see_tables_and_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_project(tmp_path)
    call(["-C", str(tmp_path), "users", "add", "ada", "--role", "viewer"])
    call(["-C", str(tmp_path), "tokens", "add", "ada"])
    call(["-C", str(tmp_path), "tokens"])
    call(["-C", str(tmp_path), "users"])
    call(["-C", str(tmp_path), "audit", "--limit", "1"])
    call(["-C", str(tmp_path), "login-link", "ada"])
    shown = capsys.readouterr().out
    assert "ada may come in: viewer" in shown
    assert shown.count("legato_") == 2
    assert "older ones: legato audit --before 2" in shown
    assert "/login#legato_" in shown


def test_the_schema_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(["api"])
    schema = json.loads(capsys.readouterr().out)
    assert schema["openapi"].startswith("3.1")
    assert "/api/v1/runs" in schema["paths"]
    line = schema["components"]["schemas"]["RunLine"]["properties"]
    assert line["at"] == {"type": "string", "format": "date-time"}
    assert line["ended"] == {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}
