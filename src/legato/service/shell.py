"""Commands as text that can be pasted into a shell."""

from __future__ import annotations

import re
import shlex

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+\Z")
_ALIVE_IN_DOUBLE_QUOTES = re.compile(r'(["$`\\])')
_HISTORY = re.compile(r"![^\s=(]")


def command(*words: str) -> str:
    """The command line whose words these are."""
    return " ".join(word(each) for each in words)


def word(text: str) -> str:
    """One word: bare where it can be, else in single quotes, or in double quotes where it holds single ones."""
    if _PLAIN.match(text):
        return text
    if "'" not in text:
        return f"'{text}'"
    if _HISTORY.search(text):  # a shell that people type into would put an older command there
        return shlex.quote(text)
    return '"' + _ALIVE_IN_DOUBLE_QUOTES.sub(r"\\\1", text) + '"'
