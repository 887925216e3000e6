"""Where `legato up` listens: judged before it says that it is up, and its own until it ends."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from cli_site import legato, make_project
from ports import free_port
from up_site import up, wait_until

from legato.surfaces.http import serving
from legato.surfaces.http.serving import Address, listen
from legato.terms.errors import EXIT_UNREACHABLE, EXIT_USAGE, LegatoError

SOURCE = """
import legato as lg

@lg.asset
def sales() -> list[int]:
    return [1]
"""
NO_PEM = {"--certificate": "legato.toml", "--key": "legato.toml"}


def told(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of a service that cannot come up, and all that it said."""
    ended = legato(make_project(folder), "up", *words)
    said = ended.stdout + ended.stderr
    assert "is up" not in said
    assert "login#" not in said
    assert not (folder / ".legato" / "state.db").exists(), "nothing was started"
    return ended.returncode, said


def test_a_port_that_is_taken_ends_it_at_once(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        code, said = told(tmp_path, "--port", str(port))
    assert (code, "[address-taken]" in said, "--port" in said) == (EXIT_UNREACHABLE, True, True), said


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999", "http"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    code, said = told(tmp_path, "--port", port)
    assert (code, "'--port'" in said) == (EXIT_USAGE, True), said


@pytest.mark.parametrize("host", ["nosuch.invalid", "203.0.113.7", "a..b"])
def test_a_host_that_is_not_this_machines_is_named(tmp_path: Path, host: str) -> None:
    code, said = told(tmp_path, "--host", host, "--proxy", "legato.example", "--port", str(free_port()))
    assert (code, "[address-host]" in said, f"{host} is" in said, "--host" in said) == (EXIT_USAGE, True, True, True), said


@pytest.mark.parametrize("missing", ["--certificate", "--key", ""])
def test_a_certificate_that_cannot_be_used_is_said(tmp_path: Path, missing: str) -> None:
    given = {option: str(tmp_path / ("none.pem" if option == missing else file)) for option, file in NO_PEM.items()}
    code, said = told(tmp_path, *(word for option in given.items() for word in option), "--port", str(free_port()))
    assert (code, "[address-tls]" in said, (missing or "--certificate and --key") in said) == (EXIT_USAGE, True, True), said


def test_nobody_takes_the_address_while_the_web_process_starts_again(tmp_path: Path) -> None:
    with up(tmp_path, SOURCE, "up") as service:
        web = service.parts()["web"]
        os.kill(web, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{web}").exists(), every_s=0.001)
        with pytest.raises(LegatoError, match="nothing can listen"):
            listen(Address(port=service.port))
        wait_until(lambda: service.get("/api/v1/health") == 200)
        assert "web was killed by SIGKILL" in service.end()
        listen(Address(port=service.port)).close()


def test_a_link_is_made_with_the_address_of_the_service_that_is_up(tmp_path: Path) -> None:
    with up(tmp_path, SOURCE, "up") as service:
        wait_until(lambda: service.get("/api/v1/ready") == 200)
        code, said = service.call("login-link")
        assert (code, f" http://127.0.0.1:{service.port}/login#legato_" in said) == (0, True), said
        made = service.legato("login-link")
        assert made["url"] == f"http://127.0.0.1:{service.port}/login#{made['link']}"
        service.end()
        made = service.legato("login-link")
        assert made["url"] == f"/login#{made['link']}"


def test_an_address_that_is_left_in_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that was killed leaves it as soon as its web process is gone too."""
    before = socket.create_server(("127.0.0.1", free_port()))
    address = Address(port=before.getsockname()[1])
    monkeypatch.setattr(serving.time, "sleep", lambda _: before.close())
    listen(address, patience_s=60.0).close()
