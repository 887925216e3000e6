"""Pictures as `lg.image` takes them: bytes, the path of a file, or a figure that can draw itself."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

from legato.quality.schema import describe
from legato.terms.errors import UsageError

Kind = Literal["png", "jpeg", "svg"]
MOST_BYTES = 10 * 2**20

_MAGIC: tuple[tuple[bytes, Kind], ...] = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"))
_XML = (b"<?xml", b"<!--", b"<!doctype svg")
_SUFFIX = {"png": ".png", "jpeg": ".jpg", "svg": ".svg"}


class Picture(NamedTuple):
    """A picture in one of the three forms that every browser shows."""

    kind: Kind
    body: bytes

    @property
    def suffix(self) -> str:
        """What its file's name ends with."""
        return _SUFFIX[self.kind]


def read_picture(name: str, image: Any) -> Picture:
    """The picture, of whatever kind it is; `fact-value` if it is none, `fact-size` if it is larger than 10 MiB."""
    body = _bytes_of(name, image)
    if len(body) > MOST_BYTES:
        raise _too_large(name, len(body))
    kind = _kind_of(body)
    if kind is None:
        raise UsageError(
            "fact-value", f"the image {name!r} is neither PNG nor JPEG nor SVG", where=str(image) if _is_path(image) else None,
            why="its first bytes say so", next="save it as PNG",
        )  # fmt: skip
    return Picture(kind, body)


def _bytes_of(name: str, image: Any) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str) and image.lstrip().startswith("<"):
        return image.encode("utf-8", "surrogatepass")
    if _is_path(image):
        return _read(name, Path(image))
    if callable(draw := getattr(image, "savefig", None)):  # a figure of matplotlib, or of what behaves like one
        canvas = BytesIO()
        draw(canvas, format="png")
        return canvas.getvalue()
    raise UsageError(
        "fact-value", f"the image {name!r} is {describe(image)}", why="it takes bytes, a path, or a figure of matplotlib",
        next="hand over the bytes of a PNG, JPEG or SVG",
    )  # fmt: skip


def _is_path(image: Any) -> bool:
    return isinstance(image, str | os.PathLike)


def _read(name: str, path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _too_large(name, size)
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "fact-value", f"the image {name!r} cannot be read", where=str(path), why=error.strerror or str(error),
            next="write the file first; a relative path starts at the project's folder",
        ) from error  # fmt: skip


def _too_large(name: str, size: int) -> UsageError:
    return UsageError(
        "fact-size", f"the image {name!r} has {size:,} bytes", why=f"an image may have {MOST_BYTES:,}", next="make it smaller"
    )


def _kind_of(body: bytes) -> Kind | None:
    for magic, kind in _MAGIC:
        if body.startswith(magic):
            return kind
    start = body[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return "svg" if start.startswith(b"<svg") or (start.startswith(_XML) and b"<svg" in start) else None
