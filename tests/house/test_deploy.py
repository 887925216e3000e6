"""What is in `deploy/` holds: the unit and the image start what there is, as nobody special, with nothing open needlessly."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from legato.surfaces.cli.main import legato
from legato.surfaces.http.gate import API, OPEN_ROUTES
from legato.surfaces.http.serving import PORT

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = (DEPLOY / "legato.service").read_text()
IMAGE = (DEPLOY / "Containerfile").read_text()
SETTING = re.compile(r"(?P<name>[A-Z][A-Za-z]+)=(?P<value>.*)")
HARD = {
    "NoNewPrivileges": "true", "ProtectSystem": "strict", "ProtectHome": "true", "PrivateTmp": "true", "PrivateDevices": "true",
    "CapabilityBoundingSet": "", "RestrictSUIDSGID": "true", "RestrictNamespaces": "true", "UMask": "0077", "LimitCORE": "0",
    "ProtectKernelModules": "true", "ProtectKernelTunables": "true", "ProtectControlGroups": "true",
    "SystemCallFilter": "@system-service", "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
}  # fmt: skip


def settings() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in UNIT.splitlines():
        if line and not line.startswith(("#", "[")):
            match = SETTING.fullmatch(line)
            assert match, line
            assert match["name"] not in found, line
            found[match["name"]] = match["value"]
    return found


def options_of(words: list[str]) -> set[str]:
    """The command's options; all words of the call are known."""
    command = legato.get_command(click.Context(legato), words[0])
    assert command is not None
    known = {name for each in command.params for name in each.opts}
    given = {word for word in words[1:] if word.startswith("--")}
    assert given <= known
    return given


def test_the_unit_is_as_hard_as_it_can_be() -> None:
    found = settings()
    assert HARD.items() <= found.items()
    assert found["User"] not in ("", "root")
    assert found["ReadWritePaths"] == f"{found['WorkingDirectory']}/.legato", "the code cannot be written"
    assert [line for line in UNIT.splitlines() if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]


def test_the_unit_starts_what_there_is_and_ends_it_as_it_wants_to_be_ended() -> None:
    found = settings()
    program, *words = found["ExecStart"].split()
    assert program.endswith("/legato")
    assert options_of(words) == {"--log-format"}
    assert found["KillMode"] == "mixed", "the supervisor alone is told; it ends the others in their order"
    assert int(found["TimeoutStopSec"]) > 60


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    """Where there is a systemd to ask; the tests above know what it would say of the rest."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    program = tmp_path / "legato"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "legato.service"
    unit.write_text(UNIT.replace("/srv/shop/venv/bin/legato", str(program)).replace("User=legato", "User=daemon"))
    told = subprocess.run([analyze, "verify", "--recursive-errors=no", str(unit)], capture_output=True, text=True, timeout=60)
    assert [line for line in told.stderr.splitlines() if "legato.service" in line] == []


def test_the_image_runs_as_nobody_and_holds_no_secret() -> None:
    lines = [line for line in IMAGE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert all(re.fullmatch(r"[1-9]\d+:[1-9]\d+", user) for user in users)
    assert lines.index("USER 10001:10001") > max(n for n, line in enumerate(lines) if line.startswith(("COPY", "RUN")))
    assert not [line for line in lines if line.startswith("ADD")]
    assert not re.search(r"(?i)(password|token|secret|api_key)\s*=", "\n".join(lines))
    assert f"EXPOSE {PORT}" in lines


def test_the_image_starts_what_there_is_and_asks_how_it_is() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", IMAGE, re.M)
    (given,) = re.findall(r"^CMD (.*)$", IMAGE, re.M)
    program, *words = json.loads(entry)
    assert program == "legato"
    assert options_of([*words, *json.loads(given)]) == {"--host", "--log-format"}
    (health,) = re.findall(r"CMD (\[\"python.*)$", IMAGE, re.M)
    assert f"127.0.0.1:{PORT}{API}/health" in json.loads(health)[2]
    assert ("GET", f"{API}/health") in OPEN_ROUTES


@pytest.mark.parametrize("what", [".legato", ".git", "*.env"])
def test_state_and_secrets_are_no_part_of_an_image(what: str) -> None:
    assert what in (DEPLOY / "containerignore").read_text().splitlines()
