"""The month-end close of a group of companies: collect, reconcile, post, ask finance, publish; or take everything back."""

from __future__ import annotations

import json
import os
from urllib.request import Request, urlopen

import legato as lg

ENTITIES = ["AT", "CH", "DE", "US"]
ROUNDING_CENTS = 100

Lines = list[dict]


class Refused(Exception):
    """Finance does not want this month published."""


def ledger(method: str, path: str, body: object = None) -> object:
    """One request to the group's ledger."""
    request = Request(f"{os.environ['LEDGER_URL']}/{path}", json.dumps(body).encode(), method=method)
    with urlopen(request, timeout=5) as answer:
        return json.load(answer)


@lg.task(retries=lg.Retry(3, delay_s=0.1, on=(OSError,)))
def collect(entity: str, month: str) -> Lines:
    """What an entity says that the others owe it."""
    return ledger("GET", f"books/{entity}/{month}")


@lg.task
def reconcile(ledgers: dict[str, Lines]) -> dict[str, int]:
    """What each entity has to post, in cents, so that both sides of every debt agree."""
    said = {(entity, line["partner"]): line["cents"] for entity, lines in ledgers.items() for line in lines}
    corrections = dict.fromkeys(ledgers, 0)
    for (entity, partner), cents in said.items():
        if entity < partner:
            difference = cents + said[partner, entity]
            if abs(difference) > ROUNDING_CENTS:
                raise ValueError(f"{entity} and {partner} disagree by {difference / 100:.2f}: more than rounding")
            corrections[partner] -= difference
    return corrections


def reverse(result: str) -> None:
    """Take a journal out of the ledger."""
    ledger("DELETE", result)


@lg.task(retries=lg.Retry(3, delay_s=0.1, on=(OSError,)), undo=reverse)
def post(entity: str, month: str, cents: int, context: lg.Context) -> str:
    """Post an entity's correction. The key makes it one journal, however often this is tried."""
    return ledger("PUT", f"journals/{entity}/{context.idempotency_key}", {"month": month, "cents": cents})


@lg.task(undo=reverse)
def publish(month: str, journals: list[str]) -> str:
    """Close the month: from here on the group's figures are public."""
    return ledger("PUT", f"published/{month}", journals)


@lg.flow(on_failure="rollback")
def close_month(month: str, approver: str = "finance") -> str:
    """Closes a month. Whatever fails, or a refusal, takes back what was posted, the last first."""
    ledgers = [collect.submit(entity, month) for entity in ENTITIES]
    corrections = reconcile({entity: each.result() for entity, each in zip(ENTITIES, ledgers, strict=True)})
    journals = [post.submit(entity, month, cents) for entity, cents in corrections.items()]
    journals = [each.result() for each in journals]
    if not lg.approval(f"Publish {month}?", who=approver, timeout="2d"):
        raise Refused(f"{approver} refused {month}")
    return publish(month, journals)
