"""Questions at the desk: each is told from all others, whichever of them a desk takes."""

from __future__ import annotations

from collections import Counter

from legato.service.asks import Ask


def test_every_question_has_a_tag_of_its_own() -> None:
    tags = Counter(kind.__struct_config__.tag for kind in Ask.__subclasses__())
    assert len(tags) > 10
    assert [tag for tag, count in tags.items() if count > 1] == []
