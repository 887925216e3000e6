"""Patterns of files, as text: which paths they match, where their folder is, and what key a file has."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_SCHEME = re.compile(r"(?P<root>[a-z][a-z0-9+.-]*://[^/*?\[\]]+/|/)?(?P<rest>.*)\Z", re.S)
_WILD = re.compile(r"\*\*|\*|\?|\[[^/\]]+\]")
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f\\]")


def pattern_fault(pattern: Any) -> str:
    """Why this is no pattern of files; empty if it is one."""
    if not isinstance(pattern, str) or not pattern.strip():
        return "is no text"
    found = _ILLEGAL.search(pattern)
    if found:
        return f"contains {found.group()!r}"
    match = _SCHEME.match(pattern)
    segments = match["rest"].split("/") if match else []
    if "://" in segments[0] or (len(segments) > 1 and segments[0].endswith(":")):
        return "has no bucket between its scheme and its path"
    if ".." in segments:
        return "escapes its folder with `..`"
    if segments[0].startswith("~"):
        return "begins with ~, which nobody's folder is on a server"
    if segments[-1] in ("", ".", "**"):
        return "ends in a folder, and names no file in it"
    if "" in segments or "." in segments:
        return "has an empty part between two /"
    if any("**" in each and each != "**" for each in segments):
        return "has a ** beside other letters: it stands alone between two /"
    try:
        _compiled(pattern)
    except re.error:
        return "has a [ ] that cannot be read"
    return ""


def bucket_of(pattern: str) -> str:
    """The bucket of a pattern with a scheme: `s3://landing` of `s3://landing/inbox/*.csv`; empty for local files."""
    match = _SCHEME.match(pattern)
    root = match["root"] if match else None
    return root.rstrip("/") if root and "://" in root else ""


def folder_of(pattern: str) -> str:
    """The folder below which all files lie that the pattern may match: `inbox` of `inbox/2*/x.csv`; empty: the project's."""
    wild = _WILD.search(pattern)
    literal = pattern[: wild.start()] if wild else pattern
    head, slash, _ = literal.rpartition("/")
    return head if head or not slash else "/"


def matches(pattern: str, path: str) -> bool:
    """Whether the pattern means this path. `*` and `?` stop at a `/`, `**` does not; names with a dot before them are hidden."""
    return _compiled(pattern).match(path) is not None


def key_of_file(pattern: str, path: str) -> str:
    """What the wildcards stand for in the last part that has some; where that is unclear, the file's name without its ending."""
    parts, names = pattern.split("/"), path.split("/")
    wild = [at for at, part in enumerate(parts) if part != "**" and _WILD.search(part)]
    if not wild or "**" in parts[wild[-1] :]:
        return names[-1].rsplit(".", 1)[0]
    part, name = parts[wild[-1]], names[wild[-1] - len(parts)]
    found = list(_WILD.finditer(part))
    return name[found[0].start() : len(name) - (len(part) - found[-1].end())]


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    made, at = "", 0
    for wild in _WILD.finditer(pattern):
        made += re.escape(pattern[at : wild.start()])
        starts_name = wild.start() == 0 or pattern[wild.start() - 1] == "/"
        hidden = r"(?!\.)" if starts_name else ""
        at = wild.end()
        if wild.group() == "**":
            made += r"(?:(?!\.)[^/]+/)*"
            at += 1  # the / behind it belongs to the folders
        elif wild.group() == "*":
            made += hidden + r"[^/]*"
        elif wild.group() == "?":
            made += hidden + r"[^/]"
        else:
            inner = wild.group()[1:-1]
            negated, inner = inner[0] in "!^", inner.lstrip("!^") if inner[0] in "!^" else inner
            made += f"{hidden}(?!/)[{'^' if negated else ''}{_escaped(inner)}]"
    return re.compile(made + re.escape(pattern[at:]) + r"\Z", re.S)


def _escaped(letters: str) -> str:
    """The inside of a [ ] in which only a - between two letters means something."""
    return re.sub(r"([\[\]\\^&~|])", r"\\\1", letters)
