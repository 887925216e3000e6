"""Frames between an executor and its worker: a length, a kind, and MessagePack; one frame carries a whole batch."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum

import msgspec

from legato.terms.attempt import Answers, Order, Report

_HEAD = struct.Struct("<IB")
_ARRAY32 = struct.Struct(">BI")
MOST_FRAME_BYTES = 1 << 30
"""No honest frame is so long: values of any size are stored, and not sent."""


class Frame(IntEnum):
    """Kinds of frames. All but REPORTS go from the executor to the worker."""

    REPORTS = 0
    ORDERS = 1
    RECALL = 2
    """Give back every order that has not begun."""
    DROP = 3
    """Give back this one order, or say that it has begun."""
    QUIT = 4
    """Finish what was sent before, close resources, end."""
    ANSWERS = 5
    """Outcomes of calls, for the flow that waits for them."""


_encoder = msgspec.msgpack.Encoder()
_orders = msgspec.msgpack.Decoder(list[Order])
_reports = msgspec.msgpack.Decoder(list[Report])
_answers = msgspec.msgpack.Decoder(Answers)
_key = msgspec.msgpack.Decoder(tuple[str, int, int])

encode_report = _encoder.encode
"""One report as it stands inside a frame."""


def frame(kind: Frame, body: bytes = b"") -> bytes:
    """One frame, ready to be sent."""
    return _HEAD.pack(len(body), kind) + body


def orders_frame(orders: Sequence[Order]) -> bytes:
    """A batch of orders."""
    return frame(Frame.ORDERS, _encoder.encode(orders))


def answers_frame(answers: Answers) -> bytes:
    """Answers for a flow."""
    return frame(Frame.ANSWERS, _encoder.encode(answers))


def drop_frame(key: tuple[str, int, int]) -> bytes:
    """A request for one order (run, step, token) back."""
    return frame(Frame.DROP, _encoder.encode(key))


def reports_frame(count: int, bodies: bytes) -> bytes:
    """A batch of reports that were encoded one by one."""
    return _HEAD.pack(len(bodies) + _ARRAY32.size, Frame.REPORTS) + _ARRAY32.pack(0xDD, count) + bodies


def decode_orders(body: bytes) -> list[Order]:
    """The orders of a frame."""
    return _orders.decode(body)


def decode_answers(body: bytes) -> Answers:
    """The answers of a frame."""
    return _answers.decode(body)


def decode_reports(body: bytes) -> list[Report]:
    """The reports of a frame."""
    return _reports.decode(body)


def join_reports(count: int, bodies: bytes) -> list[Report]:
    """Reports that were encoded one by one and never framed."""
    return _reports.decode(_ARRAY32.pack(0xDD, count) + bodies)


def decode_key(body: bytes) -> tuple[str, int, int]:
    """The run, step and token of a request for one order."""
    return _key.decode(body)


class Splitter:
    """Cuts a stream of bytes into frames; keeps what is not whole yet."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = bytearray()

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are whole now: kind and body of each. ValueError if what comes cannot be one."""
        stream = self._stream
        stream += chunk
        position = 0
        while len(stream) - position >= _HEAD.size:
            length, kind = _HEAD.unpack_from(stream, position)
            if length > MOST_FRAME_BYTES:
                raise ValueError(f"a frame of {length:,} bytes")
            end = position + _HEAD.size + length
            if end > len(stream):
                break
            yield kind, bytes(stream[position + _HEAD.size : end])
            position = end
        del stream[:position]
