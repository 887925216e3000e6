"""How deep a body is: judged before anybody is known, so no body may cost more than its length."""

from __future__ import annotations

import json
import random
import time

import pytest

from legato.surfaces.http.gate import MOST_BODY, depth_of

ENDLESS = '"', '"\\"' * 3, '"' + '\\"' * 5, "\\", '"[[[', '"a" "', '{"a\\\\": [["', '"\\', '[\\"]['


def depth_by_hand(body: bytes) -> int:
    """The same, one byte after the other."""
    depth = deepest = 0
    inside = escaped = False
    for byte in body.decode():
        if inside:
            inside = escaped or byte != '"'
            escaped = not escaped and byte == "\\"
        elif byte == '"':
            inside = True
        elif byte in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in "]}":
            depth -= 1
    return deepest


@pytest.mark.parametrize("body", ENDLESS)
def test_a_string_that_nothing_closes_reaches_to_the_end(body: str) -> None:
    assert depth_of(body.encode()) == depth_by_hand(body.encode())


@pytest.mark.parametrize("seed", range(20))
def test_the_depth_is_that_of_whoever_reads_byte_by_byte(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(500):
        body = "".join(chance.choices('""\\\\[]{}a\n', k=chance.randrange(24))).encode()
        assert depth_of(body) == depth_by_hand(body), body


@pytest.mark.parametrize("value", [1, [], {}, [[]], [{"[[": ']\\"[['}], {"a": [{"b": []}], "c": {}}])
def test_the_depth_is_that_of_the_value(value: object) -> None:
    def levels(of: object) -> int:
        inner = of.values() if isinstance(of, dict) else of if isinstance(of, list) else None
        return 0 if inner is None else 1 + max(map(levels, inner), default=0)

    assert depth_of(json.dumps(value).encode()) == levels(value)


@pytest.mark.timing
@pytest.mark.parametrize("opening", [b'"', b"", b'["a", "'])
@pytest.mark.parametrize("again", [b'\\"', b'"\\', b"\\\\", b'"', b"[", b"a"])
def test_no_body_costs_more_than_its_length(opening: bytes, again: bytes) -> None:
    for size in (1 << 15, MOST_BODY):
        body = (opening + again * size)[:size]
        began = time.process_time()
        depth_of(body)
        assert time.process_time() - began < 1.0
