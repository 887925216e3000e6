"""Canonical bytes and fingerprints: equal values give equal bytes, on every machine and in every process."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_packer = msgspec.msgpack.Encoder(order="deterministic")
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def pack(value: object) -> bytes:
    """Canonical MessagePack of records and plain values: keys sorted, sets sorted."""
    return _packer.encode(value)


NIL = pack(None)
"""The bytes of nothing."""


def unpack(body: bytes, kind: type[T]) -> T:
    """The record that `pack` wrote, validated against its type."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders.setdefault(kind, msgspec.msgpack.Decoder(kind))
    result: T = decoder.decode(body)
    return result


def fingerprint(*parts: object) -> str:
    """32 hexadecimal digits (128 bits of BLAKE2b) over the canonical bytes of the parts."""
    digest = blake2b(digest_size=16)
    for part in parts:
        body = part if isinstance(part, bytes) else _packer.encode(part)
        digest.update(len(body).to_bytes(8, "little"))
        digest.update(body)
    return digest.hexdigest()
