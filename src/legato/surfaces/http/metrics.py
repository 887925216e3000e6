"""`/metrics`: the numbers of the service, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from litestar import Response, get

from legato.service.metering import Family, Labels, read_nodes, read_state
from legato.surfaces.http.looking import Asking
from legato.surfaces.http.site import entered

TEXT = "text/plain; version=0.0.4"


@get("/metrics", sync_to_thread=True, media_type=TEXT, opt={"action": "read"})
def metrics(request: Asking) -> Response[bytes]:
    """Counters and gauges in Prometheus' text format. Of nodes and troubles those that the asker may look at."""
    with entered(request) as inside:
        inside.require("read", "the service")
        state, store = inside.workspace.state, inside.store
        found = [
            *inside.site.meter.read(store),
            *read_nodes(store, inside.may_read_node),
            *read_state(store, inside.may_read_node, inside.workspace.find_holder(), state),
        ]
    return Response("".join(in_text(found)).encode(), media_type=TEXT)


def in_text(families: Iterable[Family]) -> Iterator[str]:
    """The lines of the format, in order."""
    for family in families:
        yield f"# HELP {family.name} {_escaped(family.help)}\n# TYPE {family.name} {family.kind}\n"
        for labels, number in family.samples:
            yield f"{family.name}{_labels(labels)} {_number(number)}\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels) + "}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(float(number))


ROUTES: list[Any] = [metrics]
