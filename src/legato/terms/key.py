"""Names and keys: how assets, partitions and runs are written, and which writings are refused."""

from __future__ import annotations

import re
import zlib

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[./][A-Za-z0-9_]+)*\Z")
NAME_HINT = "a name is letters, digits and _, with . or / between parts, and starts with a letter or _"
NO_PARTITION = ""
"""The partition key of everything that is not partitioned."""

MAX_NAME = 200
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def is_name(text: str) -> bool:
    """Whether the text may name a node, pool, tag or domain."""
    return len(text) <= MAX_NAME and NAME.match(text) is not None


def show(asset: str, partition: str = NO_PARTITION, number: int = 0) -> str:
    """An asset partition as people write it: `delays@2013-01-05`, or the bare name; of several calls of a task, `enrich#3`."""
    name = f"{asset}@{partition}" if partition else asset
    return f"{name}#{number}" if number else name


def split(text: str) -> tuple[str, str]:
    """The asset and partition of `delays@2013-01-05`; the partition is empty where none is written."""
    asset, _, partition = text.partition("@")
    return asset, partition


def split_number(text: str) -> tuple[str, int]:
    """The name and the number of `enrich#3`; 0 where none is written."""
    name, _, digits = text.rpartition("#")
    return (name, int(digits)) if name and digits.isdecimal() else (text, 0)


def run_id(seconds: int, noise: int) -> str:
    """A run's short name: sortable by second since 2020, with 20 random bits: `5w2k8m-4zq1`."""
    stamp = max(0, seconds - 1_577_836_800)
    head = "".join(_ID_ALPHABET[(stamp >> shift) & 31] for shift in range(25, -1, -5))
    tail = "".join(_ID_ALPHABET[(noise >> shift) & 31] for shift in range(15, -1, -5))
    return f"{head}-{tail}"


def unit_interval(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but its arguments: jitter that a replay repeats."""
    return zlib.crc32("\x1f".join(map(str, parts)).encode()) / 2**32
