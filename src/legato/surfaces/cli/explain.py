"""`legato explain`: what a code or a word means, from the package's own page."""

from __future__ import annotations

from importlib.resources import files

import click
from msgspec import Struct

from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, wrap
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
    page = files("legato.surfaces.cli").joinpath("explanations.md").read_text(encoding="utf-8")
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


@command
@click.argument("word", required=False)
def explain(call: Call, word: str | None) -> None:
    """Explain an error code or a word.

    WORD is a code as it stands behind an error, such as store-locked, or one of the topics: without it all are listed.
    """
    known = read_explanations()
    if word is None:
        call.answer(list(known.values()), lambda: _draw_all(call.screen, known))
        return
    found = find_explanation(word)
    call.answer(found, lambda: _draw(call.screen, found))


def _draw_all(screen: Screen, known: dict[str, Explanation]) -> None:
    for section in dict.fromkeys(each.section for each in known.values()):
        names = [each.name for each in known.values() if each.section == section]
        screen.say(screen.hang(f"{screen.paint(section.ljust(8), 'bold')}", ", ".join(names)))


def _draw(screen: Screen, found: Explanation) -> None:
    screen.say(screen.paint(found.name, "bold"))
    for paragraph in found.text.split("\n\n"):
        if paragraph.startswith("    "):
            screen.say("\n".join(line.rstrip() for line in paragraph.splitlines()))
        else:
            for line in wrap(" ".join(paragraph.split()), min(screen.width, 100)):
                screen.say(line)
        screen.say()
