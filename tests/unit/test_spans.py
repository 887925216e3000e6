"""Traces: a run is one, its attempts are spans in it; what is sent is what was recorded; a collector may be away."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from legato.collectors.otlp import OtlpCollector, collector_of, request_of
from legato.kernel import events as ev
from legato.plan.records import Handling, Plan, Reason, Step
from legato.ports.spans import Span
from legato.ports.store import Commit, Run
from legato.service import spans
from legato.service.spans import Tracer, span_of, trace_of
from legato.stores.memory import MemoryStore
from legato.terms.codec import pack
from legato.terms.errors import LegatoError, Unreachable, UsageError
from legato.terms.fact import Error
from legato.terms.instant import Instant

BEGAN = Instant(1_790_000_000_000_000)


class Away:
    """A collector that is away for some calls, and remembers what came."""

    def __init__(self, *faults):
        self.faults, self.came = list(faults), []

    def send(self, spans):
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        self.came.append(list(spans))


@pytest.fixture
def store():
    store = MemoryStore()
    store.open_writer("a test")
    return store


def play(store, name="r1", outcome="failed", at=BEGAN):
    """A run of two steps: the first is tried twice, the second succeeds."""
    steps = [Step("flaky", "", True, Reason("requested")), Step("sound", "2013-01-05", True, Reason("requested"))]
    plan = Plan(request="run all", project="p", steps=steps, handling={"flaky": Handling(), "sound": Handling()})
    store.accept(Run(id=name, request="run all", actor="ada", project="p", at=at), pack(plan), [])
    broken = Error("raised", "boom", ("builtins.ValueError", "builtins.Exception"))
    events = [
        ev.AttemptsStarted(at, (0, 1), 1), ev.AttemptFailed(Instant(at + 5), 0, 1, broken, "retry", 0.5),
        ev.StepSucceeded(Instant(at + 6), 1, 2, 1.5), ev.AttemptsStarted(Instant(at + 7), (0,), 3),
        ev.AttemptFailed(Instant(at + 8), 0, 3, broken, "fail", 0.25), ev.RunEnded(Instant(at + 9), outcome),
    ]  # fmt: skip
    ended = Run(
        id=name, request="run all", actor="ada", project="p", at=at, state=outcome, ended=Instant(at + 9), counts={"failed": 1}
    )  # fmt: skip
    store.commit([Commit(run_id=name, events=[ev.encode(each) for each in events], run=ended)])


def tracer(store, collector, folder, told=None, since=BEGAN):
    return Tracer(lambda: store, collector, folder / "traced", (told if told is not None else []).append, since)


def test_a_run_is_a_trace_and_its_attempts_are_spans_of_it(store, tmp_path):
    collector = Away()
    following = tracer(store, collector, tmp_path)
    assert not following.step(store)
    play(store)
    assert following.step(store)
    assert not following.step(store)
    (sent,) = collector.came
    assert {span.trace for span in sent} == {trace_of("r1")}
    assert len({span.id for span in sent}) == 4
    first, second, third, run = sent
    assert (run.id, run.parent, run.name, run.error) == (span_of("r1"), "", "run all", "the run failed")
    assert (run.began, run.ended) == (BEGAN, BEGAN + 9)
    assert all(span.parent == run.id for span in (first, second, third))
    assert [(span.name, span.error) for span in (first, second, third)] == [
        ("flaky", "boom"), ("sound@2013-01-05", ""), ("flaky (try 2)", "boom")
    ]  # fmt: skip
    assert (second.began, second.ended) == (BEGAN, BEGAN + 1_500_000)
    assert first.attributes["exception.type"] == "builtins.ValueError"


def test_what_the_collector_did_not_take_waits_in_the_store(store, tmp_path):
    collector = Away(Unreachable("traces", "away"), Unreachable("traces", "away"))
    following = tracer(store, collector, tmp_path)
    following.step(store)
    play(store)
    for _ in range(2):
        with pytest.raises(Unreachable):
            following.step(store)
    assert following.step(store)
    assert [len(each) for each in collector.came] == [4], "all of it, once"


def test_the_first_begins_with_what_was_accepted_since_its_service_is_there(store, tmp_path):
    play(store, "old", at=Instant(BEGAN - 60_000_000))
    play(store, "new")
    collector = Away()
    tracer(store, collector, tmp_path).step(store)
    assert {span.trace for sent in collector.came for span in sent} == {trace_of("new")}


def test_where_the_first_began_is_known_to_the_next_though_nothing_was_taken(store, tmp_path):
    tracer(store, Away(), tmp_path).step(store)
    play(store)
    with pytest.raises(Unreachable):
        tracer(store, Away(Unreachable("traces", "away")), tmp_path).step(store)
    collector = Away()
    assert tracer(store, collector, tmp_path, since=Instant(BEGAN + 60_000_000)).step(store)
    assert [len(each) for each in collector.came] == [4]


def test_another_process_goes_on_where_one_stopped(store, tmp_path):
    first = tracer(store, Away(), tmp_path)
    first.step(store)
    play(store, "r1")
    first.step(store)
    play(store, "r2")
    collector = Away()
    tracer(store, collector, tmp_path).step(store)
    assert {span.trace for sent in collector.came for span in sent} == {trace_of("r2")}


def test_what_is_refused_for_good_is_left_out_and_said(store, tmp_path):
    told = []
    collector = Away(LegatoError("traces", "the collector of traces refuses spans", why="it answers 400"))
    following = tracer(store, collector, tmp_path, told)
    following.step(store)
    play(store)
    assert following.step(store)
    assert told == ["4 spans are left out: the collector of traces refuses spans, it answers 400"]


def test_who_is_too_far_behind_begins_nearer_and_says_what_is_left_out(store, tmp_path, monkeypatch):
    monkeypatch.setattr(spans, "MOST_BEHIND", 6)
    told, collector = [], Away()
    (tmp_path / "traced").write_text("0")
    for number in range(3):
        play(store, f"r{number}")
    following = tracer(store, collector, tmp_path, told)
    while following.step(store):
        pass
    assert told == ["12 events are left out of the traces: the collector was too slow, or away for too long"]
    assert {span.trace for sent in collector.came for span in sent} == {trace_of("r2")}


def test_a_store_that_was_restored_has_fewer_events_than_were_sent(store, tmp_path):
    (tmp_path / "traced").write_text("999999")
    following, collector = tracer(store, Away(), tmp_path), Away()
    assert not following.step(store)
    play(store)
    following._collector = collector
    assert following.step(store)
    assert len(collector.came) == 1


# -- the protocol --

SPAN = Span(
    trace="a" * 32, id="b" * 16, parent="c" * 16, name="x", began=BEGAN, ended=Instant(BEGAN + 1), attributes={"n": 1, "t": True}
)  # fmt: skip


def test_a_request_is_as_the_protocol_says():
    made = request_of([SPAN], "shop")
    (resource,) = made["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "shop"}}]
    (span,) = resource["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["spanId"], span["parentSpanId"]) == ("a" * 32, "b" * 16, "c" * 16)
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("1790000000000000000", "1790000000000001000")
    assert span["attributes"] == [{"key": "n", "value": {"intValue": "1"}}, {"key": "t", "value": {"boolValue": True}}]
    assert span["status"] == {"code": 1}


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.came.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(self.server.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.came, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_are_posted_where_the_variables_say(server):
    url = f"http://127.0.0.1:{server.server_port}"
    collector = collector_of({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{url}/", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b, y=c"}, "shop")
    collector.send([SPAN])
    ((path, headers, body),) = server.came
    assert (path, headers["X-Key"], headers["Y"]) == ("/v1/traces", "a b", "c")
    assert body == request_of([SPAN], "shop")


@pytest.mark.parametrize(("status", "kind"), [(503, Unreachable), (429, Unreachable), (400, LegatoError), (302, LegatoError)])
def test_an_answer_says_whether_it_is_worth_trying_again(server, status, kind):
    server.status = status
    with pytest.raises(LegatoError) as raised:
        OtlpCollector(f"http://127.0.0.1:{server.server_port}/v1/traces", {}, "shop").send([SPAN])
    assert type(raised.value) is kind
    assert [path for path, _, _ in server.came] == ["/v1/traces"], "no redirect is followed, and no header goes elsewhere"


def test_nobody_there_is_worth_trying_again():
    with pytest.raises(Unreachable):
        OtlpCollector("http://127.0.0.1:9/v1/traces", {}, "shop").send([SPAN])
    with pytest.raises(UsageError):
        OtlpCollector("file:///etc/passwd", {}, "shop")


@pytest.mark.parametrize("environ", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}])
def test_without_an_address_nothing_is_traced(environ):
    assert collector_of(environ, "shop") is None
