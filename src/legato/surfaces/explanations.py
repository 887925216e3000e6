"""What codes and words mean, from the package's own page: `explanations.md`."""

from __future__ import annotations

from importlib.resources import files

from msgspec import Struct

from legato.terms.errors import NotFound

ALIASES = {"status": "statuses", "reason": "reasons", "partition": "partition-key", "envelope": "json"}
"""Other names of entries."""


class Explanation(Struct, frozen=True):
    """What a code or a word means, in paragraphs."""

    name: str
    section: str
    text: str


def read_explanations() -> dict[str, Explanation]:
    """Every explanation, by the code or word that it explains."""
    found: dict[str, Explanation] = {}
    section = ""
    page = files("legato.surfaces").joinpath("explanations.md").read_text(encoding="utf-8")
    for block in f"\n{page}".split("\n#")[1:]:
        title, _, body = block.lstrip("#").partition("\n")
        if block.startswith("#"):
            found[title.strip()] = Explanation(title.strip(), section, body.strip("\n"))
        else:
            section = title.strip()
    return found


def find_explanation(word: str) -> Explanation:
    """The explanation of a code or a word; `NotFound` (`topic`) if there is none."""
    known = read_explanations()
    asked = word.strip("[]").lower()
    found = known.get(ALIASES.get(asked, asked))
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(asked[:100], known, n=1)
        why = f"did you mean `{near[0]}`?" if near else ""
        raise NotFound("topic", f"there is no explanation of {word!r}", why=why, next="legato explain")
    return found
