"""A manuscript: what the Python files of one version of a project said, kept so that its code can be loaded again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import NoReturn

import msgspec
from msgspec import Struct

from legato.terms.codec import fingerprint, pack, unpack
from legato.terms.errors import LegatoError

MOST_BYTES = 16 * 2**20
"""The text of a larger project is not kept."""


class Manuscript(Struct, frozen=True):
    """A manuscript as it is stored: an index, and the texts that it names, by their digests. Versions share texts."""

    index: bytes
    texts: dict[str, bytes] = {}

    @property
    def digest(self) -> str:
        """The same for the same texts at the same places."""
        return fingerprint(self.index)


class Page(Struct, frozen=True, order=True):
    """One module: its name, its file, and what that said. The file is named from the project's folder, or in full if it lies
    elsewhere. It is never opened: it is only what the module is told to be."""

    module: str
    file: str
    text: bytes

    @property
    def is_package(self) -> bool:
        """Whether other modules are in it."""
        return self.file.rpartition("/")[2] == "__init__.py"


class Script(Struct, frozen=True):
    """A manuscript as it is read: the settings (their file's name, and what it said), and the modules by name."""

    settings_file: str
    settings: bytes
    pages: tuple[Page, ...]


class _Index(Struct, frozen=True):
    settings: tuple[str, str]
    pages: tuple[tuple[str, str, str], ...]
    size_bytes: int


def write(script: Script) -> Manuscript:
    """The manuscript of these modules; of too many only how large they are, so that whoever asks for them hears it."""
    pages, size = sorted(script.pages), len(script.settings) + sum(len(page.text) for page in script.pages)
    if size > MOST_BYTES:
        return Manuscript(pack(_Index((script.settings_file, ""), (), size)))
    texts = {fingerprint(text): text for text in (script.settings, *(page.text for page in pages))}
    named = tuple((page.module, page.file, fingerprint(page.text)) for page in pages)
    index = _Index((script.settings_file, fingerprint(script.settings)), named, size)
    return Manuscript(pack(index), {digest: zlib.compress(text) for digest, text in sorted(texts.items())})


def read(manuscript: Manuscript) -> Script:
    """What `write` was given; a `LegatoError` (`code-too-large`, `code-damaged`) if that is not there whole."""
    try:
        index = unpack(manuscript.index, _Index)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        _refuse("its index cannot be read")
    if index.size_bytes > MOST_BYTES:
        raise LegatoError(
            "code-too-large", "the code of that version is not kept: it is too large",
            why=f"its files are {index.size_bytes / 2**20:,.0f} MiB, and at most {MOST_BYTES // 2**20} MiB are kept",
            next="go on with the code of now (--code now)",
        )  # fmt: skip
    texts = _unpacked(manuscript.texts)
    file, settings = index.settings
    pages = tuple(Page(module, _sound(module, path), _text(texts, digest)) for module, path, digest in index.pages)
    if file not in ("legato.toml", "pyproject.toml") or len({page.module for page in pages}) < len(pages):
        _refuse("its index contradicts itself")
    return Script(file, _text(texts, settings), pages)


def _unpacked(texts: Mapping[str, bytes]) -> dict[str, bytes]:
    """The texts as they were; no more of them than any project may have, whatever they unpack to."""
    found: dict[str, bytes] = {}
    room = MOST_BYTES
    for digest, body in texts.items():
        opened = zlib.decompressobj()
        try:
            found[digest] = opened.decompress(body, room + 1)
        except zlib.error:
            _refuse("a text cannot be unpacked")
        room -= len(found[digest])
        if room < 0 or not opened.eof or fingerprint(found[digest]) != digest:
            _refuse("a text is not what it was")
    return found


def _text(texts: Mapping[str, bytes], digest: str) -> bytes:
    if digest not in texts:
        _refuse("a text is missing")
    return texts[digest]


def _sound(module: str, file: str) -> str:
    """The file, if it is one that a module of this name can have."""
    names, parts = module.split("."), file.removeprefix("/").split("/")
    last = parts[-2:] if parts[-1] == "__init__.py" else [parts[-1].removesuffix(".py")]
    is_plain = all(name.isidentifier() for name in names) and not {"", ".", ".."} & set(parts) and "\0" not in file
    if not is_plain or not file.endswith(".py") or last[0] != names[-1]:
        _refuse(f"{module!r} cannot be the module of {file!r}")
    return file


def _refuse(why: str) -> NoReturn:
    raise LegatoError(
        "code-damaged", "the code of that version is kept, but damaged", why=why, next="go on with the code of now (--code now)",
    )  # fmt: skip


def script_of(settings_file: str, settings: bytes, root: str, modules: Iterable[tuple[str, str, bytes]]) -> Script:
    """The script of these modules (name, file, text) of a project in the folder `root`."""
    pages = (Page(name, file.removeprefix(f"{root}/"), text) for name, file, text in modules)
    return Script(settings_file, settings, tuple(sorted(pages)))
