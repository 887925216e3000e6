"""What competitors ask: every page of every shop is read, what is asked is published, and what has moved since the last time."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from urllib.request import urlopen

import polars as pl

import legato as lg

SHOPS = ["harbour", "hilltop", "north"]
POLITE = {"retries": lg.Retry(5, delay_s=0.1, on=(OSError,)), "timeout": "20s", "pool": "shops"}


class Page(HTMLParser):
    """A page of a shop: the further pages that it links to, and its offers."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.offers: list[dict] = []
        self._tag = ""
        with urlopen(os.environ["SHOPS_URL"] + path, timeout=10) as answer:
            self.feed(answer.read().decode())

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._tag = tag
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_data(self, text: str) -> None:
        if self._tag == "b":
            self.offers.append({"product": text})
        elif self._tag == "i":
            self.offers[-1]["price"] = float(text.removesuffix(" EUR"))

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""


@lg.task(**POLITE)
def list_pages(shop: str) -> list[str]:
    """The pages of a shop."""
    return Page(f"/{shop}").links


@lg.task(**POLITE)
def read_page(path: str) -> list[dict]:
    """The offers on a page."""
    return [{"shop": path.split("/")[1], **offer} for offer in Page(path).offers]


@lg.asset(
    deps={"before": lg.previous},
    contract=lg.contract({"shop": str, "product": str, "price": lg.column(float, low=0.01), "last_price": float}),
)
def prices(found: list[dict], before: pl.DataFrame | None) -> pl.DataFrame:
    """What each shop asks now, and what it asked the last time: null where something is gone, or is new."""
    now = pl.DataFrame(found)
    last = now if before is None else before.drop("last_price").drop_nulls("price")
    both = now.join(last.rename({"price": "last_price"}), on=["shop", "product"], how="full", coalesce=True)
    return both.sort("shop", "product")


lg.check(prices, lg.unique("shop", "product"))


@lg.asset
def price_changes(prices: pl.DataFrame) -> pl.DataFrame:
    """What has moved since the last time: new, gone, or so many percent dearer or cheaper."""
    moved = prices.filter(pl.col("price").ne_missing(pl.col("last_price")))
    return moved.with_columns(percent=(100 * (pl.col("price") / pl.col("last_price") - 1)).round(1))


@lg.task
def tell(most: int) -> None:
    """Say what moved most. A real one might write to a channel."""
    changes = lg.load("price_changes", kind=pl.DataFrame)
    for row in changes.sort(pl.col("percent").abs(), descending=True, nulls_last=False).head(most).to_dicts():
        news = "new" if row["last_price"] is None else "gone" if row["price"] is None else f"{row['percent']:+.1f} %"
        print(f"{news:>8}  {row['product']} at {row['shop']}: {row['last_price']} -> {row['price']}")
    print(f"{changes.height} changes since the last time")


@lg.flow
def watch_prices(most: int = 5) -> None:
    """Looks at every shop, publishes what it finds and what has changed, and tells the biggest changes."""
    pages = [page for found in list_pages.map(SHOPS) for page in found]
    offers = [offer for found in read_page.map(pages) for offer in found]
    prices.materialize(found=offers)
    price_changes.materialize()
    tell(most)
