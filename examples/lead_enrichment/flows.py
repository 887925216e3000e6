"""New leads, enriched from a service that is slow, shaky and limited; scored, and the best of them published."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import polars as pl

import legato as lg


class Again(Exception):
    """The service could not answer now. `retry_after` is what it asks for, in seconds."""

    retry_after: float | None = None


class Unknown(Exception):
    """The service does not know the company: asking again is of no use."""


def ask(path: str) -> Any:
    """One request; what went wrong as the class of exception that says what to do."""
    try:
        with urlopen(os.environ["DIRECTORY_URL"] + path) as answer:
            return json.load(answer)
    except HTTPError as error:
        if error.code == 404:
            raise Unknown(path) from None
        again = Again(f"{error.code} {error.reason}")
        if wanted := error.headers.get("Retry-After"):
            again.retry_after = float(wanted)
        raise again from None


@lg.task(retries=3)
def find_leads() -> list[dict]:
    """Who showed interest since yesterday."""
    return ask("/leads")


@lg.task
def guess(lead: dict) -> dict:
    """What to assume of a company that nobody can say anything about."""
    return {**lead, "people": 10, "industry": "unknown", "guessed": True}


# The service allows 40 requests a second. Half of it leaves room: starts are counted here, arrivals there.
@lg.task(
    pool=lg.rate("20/s"),
    timeout="1s",
    retries=lg.Retry(3, delay_s=0.1, on=(Again, TimeoutError)),
    fallback=guess,
)
def enrich(lead: dict) -> dict:
    """A lead with what the service knows of its company."""
    return {**lead, **ask(f"/companies/{lead['company']}"), "guessed": False}


@lg.task
def score(leads: list[dict]) -> list[dict]:
    """The more people and visits, the better; a guess is worth less."""
    lg.metric("guessed", sum(lead["guessed"] for lead in leads))
    weight = {"energy": 1.5, "finance": 1.2}
    return [
        {**lead, "score": round(lead["visits"] * lead["people"] ** 0.5 * weight.get(lead["industry"], 1.0))} for lead in leads
    ]


@lg.asset(contract=lg.contract({"company": lg.column(str, nulls=False), "score": lg.column(int, low=0)}, extra="allow"))
def hot_leads(found: list[dict], most: int) -> pl.DataFrame:
    """The leads that sales calls first."""
    return pl.DataFrame(found).sort("score", descending=True).head(most)


lg.check(hot_leads, lg.unique("company"))


@lg.flow
def enrich_leads(most: int = 10) -> int:
    """Enriches all new leads, beside each other, and publishes the best."""
    leads = enrich.map(find_leads())
    hot_leads.materialize(found=score(leads), most=most)
    return len(leads)
