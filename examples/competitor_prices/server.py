"""Three shops that sell the same things, as web pages. Prices follow from the names and the day, and from nothing else.

A shop's front page leads to its pages, each with a few offers. Some prices move from one day to the next, one page is not
always there, one product is given up, and on the third day somebody mistypes a price.
"""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Thread

SHOPS = ("harbour", "hilltop", "north")
PRODUCTS = ("bread knife", "carafe", "coffee mill", "colander", "frying pan", "kettle", "ladle", "scales", "toaster", "whisk")
ON_A_PAGE = 4
SHAKY, GIVEN_UP, MISTYPED = "/hilltop/2", ("hilltop", "toaster", 2), ("north", "kettle", 3)


def offers(shop: str, day: int) -> dict[str, float]:
    """What a shop asks for each of its products on a day."""
    return {each: price(shop, each, day) for each in PRODUCTS if (shop, each) != GIVEN_UP[:2] or day < GIVEN_UP[2]}


def price(shop: str, product: str, day: int) -> float:
    """The price of the first day, moved on about every fifth day since."""
    if (shop, product, day) == MISTYPED:
        return 0.0
    asked = Random(product).uniform(8, 90) * Random(f"{shop} {product}").uniform(0.9, 1.1)
    for each in range(2, day + 1):
        chance = Random(f"{shop} {product} {each}")
        asked *= chance.uniform(0.7, 1.3) if chance.random() < 0.2 else 1
    return round(asked, 2)


class Town(ThreadingHTTPServer):
    """Serves the shops on a free port of this machine while the `with` block runs, as they are on its `day`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.url, self.day, self.visits = f"http://127.0.0.1:{self.server_port}", 1, 0

    def __enter__(self) -> Town:
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of one page."""
        _, shop, *number = path.split("/")
        listed = list(offers(shop, self.day).items()) if shop in SHOPS else []
        if not number:
            pages = range(1, -(-len(listed) // ON_A_PAGE) + 1)
            return 200, "".join(f'<a class="page" href="/{shop}/{each}">Page {each}</a>' for each in pages)
        self.visits += path == SHAKY
        if path == SHAKY and self.visits % 3:  # two visitors of three have to come again
            return 503, "try again"
        start = (int(number[0]) - 1) * ON_A_PAGE
        shown = (f"<li><b>{name}</b> <i>{asked:.2f} EUR</i></li>" for name, asked in listed[start : start + ON_A_PAGE])
        return 200, f"<h1>{shop}</h1><ul>{''.join(shown)}</ul>"


class Visit(BaseHTTPRequestHandler):
    """One request for a page."""

    server: Town

    def do_GET(self) -> None:
        """Show the page."""
        status, text = self.server.page(self.path.rstrip("/"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(f"<!doctype html><body>{text}</body>".encode())

    def log_message(self, *_: object) -> None:
        """Nothing: the demo tells what is worth telling."""
