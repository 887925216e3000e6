"""Closes three months: one is approved after a crash, one is refused, one cannot be taken back whole. Takes a few seconds."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from server import Ledger

FOLDER = Path(__file__).parent
LEGATO = [sys.executable, "-m", "legato", "-C", str(FOLDER)]
ME = getpass.getuser()


def tell(text: str) -> None:
    print(f"\n# {text}", flush=True)


def legato(*words: str) -> None:
    """One command, in the foreground."""
    print("$ legato", *words, flush=True)
    subprocess.run([*LEGATO, *words], check=False)


def close(month: str) -> subprocess.Popen[str]:
    """The flow, in the background as in another terminal; comes back when it waits for finance."""
    words = ("run", "close_month", "--month", month, "--approver", ME)
    print("$ legato", *words, "&", flush=True)
    running = subprocess.Popen([*LEGATO, *words], stdout=subprocess.PIPE, text=True, start_new_session=True)
    for line in running.stdout:
        print(line, end="", flush=True)
        if line.startswith("waits"):
            break
    return running


def answer(running: subprocess.Popen[str], *words: str) -> None:
    """Finance's answer, and what the flow does with it."""
    legato("approve", "last", *words)
    print(running.communicate()[0], end="")


def main() -> None:
    shutil.rmtree(FOLDER / ".legato", ignore_errors=True)  # what an earlier demo has left
    with Ledger() as ledger:
        os.environ["LEDGER_URL"] = ledger.url

        tell("March. The flow posts the corrections and waits; then the machine loses its power.")
        os.killpg(close("2026-03").pid, signal.SIGKILL)
        legato("waits")
        legato("approve", "last", "--reason", "agreed with the auditors")
        legato("resume", "last")
        tell(f"Nothing was posted twice: {len(ledger.under('journals'))} journals; published: {ledger.under('published')}")

        tell("April. Finance refuses: what was posted is taken back, the last first.")
        answer(close("2026-04"), "--reject", "--reason", "Swiss rent is missing")
        tell(f"The ledger holds March alone: {len(ledger.under('journals'))} journals")

        tell("May. Refused too, but meanwhile the auditors have locked Switzerland: its journal cannot be taken back.")
        running = close("2026-05")
        ledger.records["locks/CH"] = True
        answer(running, "--reject")
        tell(f"One journal is left of May: {len(ledger.under('journals'))} journals. Unlock it, and let the rollback go on.")
        del ledger.records["locks/CH"]
        legato("resume", "last")
        tell(f"March alone again: {len(ledger.under('journals'))} journals")
        legato("runs", "-n", "3")


if __name__ == "__main__":
    main()
