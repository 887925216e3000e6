"""`legato diff`: versions are kept when something runs with them, and compared without their code."""

from __future__ import annotations

import json
from pathlib import Path

from cli_site import legato, make_project

FIRST = "import legato as lg\n@lg.asset\ndef raw(): return [1]\n@lg.asset\ndef report(raw): return raw\n"
SECOND = "import legato as lg\n@lg.asset(owner='ann')\ndef report(): return [2]\n@lg.flow\ndef go(n: int = 1): ...\n"


def test_versions_that_ran_are_compared(tmp_path: Path) -> None:
    site = make_project(tmp_path, FIRST)
    assert legato(site, "run").returncode == 0
    assert "there are no two versions" in legato(site, "diff").stderr
    (site / "pipeline.py").write_text(SECOND)
    for _ in range(2):  # to run it again keeps nothing new
        assert legato(site, "run").returncode == 0
    versions = json.loads(legato(site, "diff", "--list", "--json").stdout)["result"]
    newer, older = (each["fingerprint"] for each in versions)
    shown = legato(site, "diff").stdout
    assert shown.splitlines() == [
        f"{older[:12]} -> {newer[:12]}: 3 changes",
        "  new      flow go",
        "  removed  asset raw",
        "           breaking: read by report",
        "  changed  asset report: code; no longer reads raw; owner",
    ]
    assert legato(site, "diff", older[:8]).stdout == legato(site, "diff", older, "last").stdout == shown
    found = json.loads(legato(site, "diff", newer, older, "--json").stdout)["result"]
    changes = {each["name"]: each["what"] for each in found["changes"]}
    assert changes == {"go": "removed", "raw": "new", "report": "changed"}
    assert "no version of the project is named 'zzz'" in legato(site, "diff", "zzz").stderr
