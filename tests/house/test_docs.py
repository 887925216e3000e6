"""The documentation holds: links lead somewhere, complete examples load, every guarantee is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from legato.plan.validate import faults
from legato.worker.loading import load_project

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "decisions/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if ".legato" not in path.parts
)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
FILE = re.compile(r"`(?P<path>[\w/]+/\w+\.py)`(?:\s+\((?P<names>`[^)]*`)\))?")
"""A file of the code, and names in it: `kernel/joints.py` (`Joints`)."""
FOLDERS = (ROOT, ROOT / "src", ROOT / "src" / "legato", ROOT / "src" / "legato" / "kernel")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.M)
GUARANTEES = (
    "An accepted run is never lost.",
    "Each asset version is published exactly once, atomically:",
    "No step starts before its inputs are published.",
    "Every trigger tick becomes exactly one run or one recorded skip with a reason,",
    "kill -9 of any process at any moment loses nothing acknowledged,",
    "Cancel means: no new attempt starts,",
    "At most one attempt writes an asset partition at a time, across runs.",
    "If durability is unknown (disk full, failed fsync, lost database),",
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _prose(page: Path) -> str:
    """The page without its blocks of code, in which a bracket is no link and a hash no heading."""
    return BLOCK.sub("", page.read_text())


def _anchors(page: Path) -> set[str]:
    """The names under which the page's headings can be linked to."""
    texts = (match["text"] for match in HEADING.finditer(_prose(page)))
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in texts}


def _examples() -> Iterator[tuple[str, str, str]]:
    """Page, code and configuration of every complete example: a block that starts with `# pipeline.py`."""
    for page in PAGES:
        blocks = list(BLOCK.finditer(page.read_text()))
        config = next((each["code"] for each in blocks if each["code"].startswith("# legato.toml")), 'modules = ["pipeline"]\n')
        for number, block in enumerate(blocks):
            if block["language"] == "python" and block["code"].startswith("# pipeline.py"):
                yield f"{_name(page)}:{number}", block["code"], config


EXAMPLES = list(_examples())


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for match in LINK.finditer(_prose(page)):
        target, _, anchor = match["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        other = (page.parent / target).resolve() if target else page
        if not other.exists() or (anchor and anchor not in _anchors(other)):
            broken.append(match["target"])
    assert broken == []


def test_there_are_complete_examples() -> None:
    assert any(name.startswith("README.md") for name, _, _ in EXAMPLES)


@pytest.mark.parametrize(("name", "code", "config"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_complete_examples_load(tmp_path: Path, name: str, code: str, config: str) -> None:
    (tmp_path / "legato.toml").write_text(config)
    (tmp_path / "pipeline.py").write_text(code)
    assert load_project(tmp_path, faults).project.nodes


def test_every_guarantee_is_told_with_its_proof() -> None:
    page = (ROOT / "docs" / "semantics.md").read_text()
    section = page.partition("## The guarantees\n")[2].partition("\n## ")[0]
    items = re.split(r"^\d\. ", section, flags=re.M)[1:]
    told = [re.sub(r"[*\s]+", " ", item).strip() for item in items]
    assert [text.startswith(start) for text, start in zip(told, GUARANTEES, strict=True)] == [True] * 8
    for item in items:
        proofs = re.findall(r"`(tests/[\w/]+\.py)`", item)
        assert proofs
        assert [proof for proof in proofs if not (ROOT / proof).exists()] == []


def test_the_tests_that_pages_name_are_there() -> None:
    named = {(page.name, path) for page in PAGES for path in re.findall(r"`(tests/[\w/]+\.\w+)`", page.read_text())}
    assert sorted(each for each in named if not (ROOT / each[1]).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_that_pages_name_are_there_with_what_they_are_named_for(page: Path) -> None:
    gone = []
    for match in FILE.finditer(page.read_text()):
        file = next((each / match["path"] for each in FOLDERS if (each / match["path"]).exists()), None)
        code = "" if file is None else file.read_text()
        names = re.findall(r"(\w+)`", match["names"] or "")
        gone += (
            [match["path"]] if not code else [f"{match['path']}: {name}" for name in names if not re.search(rf"\b{name}\b", code)]
        )
    assert gone == []
