"""`legato explain`: what a code or a word means."""

from __future__ import annotations

import click

from legato.surfaces.cli.call import Call, command
from legato.surfaces.cli.output import Screen, wrap
from legato.surfaces.explanations import Explanation, find_explanation, read_explanations


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
