"""OpenTelemetry's protocol over HTTP, in JSON: what every collector understands, without a library."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from legato.ports.spans import Span
from legato.terms.errors import LegatoError, Unreachable, UsageError

_TIMEOUT_S = 10.0
_LATER = frozenset((408, 429, 500, 502, 503, 504))
_INTERNAL, _OK, _FAILED = 1, 1, 2


class OtlpCollector:
    """Posts spans to a collector. Redirects are not followed, so its headers go nowhere else."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], service: str) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise UsageError(
                "traces", f"{endpoint!r} is no address of a collector", next="write for example http://localhost:4318"
            )
        self._url, self._headers, self._service = endpoint, dict(headers), service
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, spans: Sequence[Span]) -> None:
        """Post them, all in one request."""
        body = msgspec.json.encode(request_of(spans, self._service))
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json", **self._headers}, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                answer.read(1 << 16)
        except urllib.error.HTTPError as error:
            error.close()
            why = f"it answers {error.code}"
            if error.code in _LATER:
                raise self._unreachable(why) from error
            raise LegatoError("traces", "the collector of traces refuses spans", where=self._url, why=why) from error
        except (OSError, ValueError) as error:
            raise self._unreachable(str(getattr(error, "reason", error))) from error

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable("traces", "the collector of traces does not answer", where=self._url, why=why)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def collector_of(environ: Mapping[str, str], service: str) -> OtlpCollector | None:
    """The collector that OpenTelemetry's own variables name; None if they name none."""
    endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    if not endpoint and (base := environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")):
        endpoint = f"{base.rstrip('/')}/v1/traces"
    if not endpoint or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    told = environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    pairs = (each.partition("=") for each in told.split(",") if "=" in each)
    headers = {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}
    return OtlpCollector(endpoint, headers, environ.get("OTEL_SERVICE_NAME", service))


def request_of(spans: Sequence[Span], service: str) -> dict[str, Any]:
    """The request of the protocol, as plain data."""
    resource = {"attributes": _attributes({"service.name": service})}
    scope = {"scope": {"name": "legato"}, "spans": [_span(each) for each in spans]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _span(span: Span) -> dict[str, Any]:
    status = {"code": _FAILED, "message": span.error} if span.error else {"code": _OK}
    told = {
        "traceId": span.trace, "spanId": span.id, "name": span.name, "kind": _INTERNAL, "status": status,
        "startTimeUnixNano": str(span.began * 1000), "endTimeUnixNano": str(max(span.began, span.ended) * 1000),
        "attributes": _attributes(span.attributes),
    }  # fmt: skip
    return {**told, "parentSpanId": span.parent} if span.parent else told


def _attributes(values: Mapping[str, str | int | float | bool]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: str | int | float | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
