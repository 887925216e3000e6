"""Code that is kept: the same for the same files, whole or refused, and loaded as it was whatever the files say by now."""

from __future__ import annotations

import shutil
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.declare import manuscript
from legato.declare.body import Code
from legato.declare.manuscript import Manuscript, Page, Script, read, write
from legato.declare.node import Project
from legato.declare.snapshot import take
from legato.ports.store import ProjectVersion
from legato.service.projects import keep_project
from legato.stores.memory import MemoryDisk, MemoryStore
from legato.terms.codec import fingerprint, pack, unpack
from legato.terms.errors import LegatoError
from legato.terms.instant import Instant
from legato.worker.loading import Loaded, load_project

PAGES = (Page("shop", "shop/__init__.py", b""), Page("shop.sales", "shop/sales.py", b"x = 1\n"), Page("top", "src/top.py", b""))
SCRIPT = Script("legato.toml", b'modules = ["shop"]\n', PAGES)


@given(st.permutations(PAGES))
def test_equal_files_make_equal_manuscripts(pages: list[Page]) -> None:
    kept = write(Script("legato.toml", SCRIPT.settings, tuple(pages)))
    assert (pack(kept), kept.digest) == (pack(write(SCRIPT)), write(SCRIPT).digest)
    assert read(kept) == SCRIPT


def test_a_text_is_there_once_whoever_says_it() -> None:
    assert len(write(SCRIPT).texts) == 3, "the settings, one module, and the two that say nothing"


def test_another_place_is_another_manuscript_with_the_same_texts() -> None:
    moved = write(Script("legato.toml", SCRIPT.settings, (*PAGES[:2], Page("top", "top.py", b""))))
    assert moved.digest != write(SCRIPT).digest
    assert moved.texts == write(SCRIPT).texts


def test_of_too_much_code_only_its_size_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manuscript, "MOST_BYTES", len(SCRIPT.settings) + 6)
    assert read(write(SCRIPT)) == SCRIPT
    kept = write(Script("legato.toml", SCRIPT.settings + b"#", PAGES))
    assert kept.texts == {}
    with pytest.raises(LegatoError, match="too large") as raised:
        read(kept)
    assert raised.value.code == "code-too-large"


def _with_index(change: Callable[[list[Any]], None]) -> Manuscript:
    """A manuscript whose index somebody has changed."""
    kept = write(SCRIPT)
    index = unpack(kept.index, dict)
    change(index)
    return Manuscript(pack(index), kept.texts)


def _with_page(module: str, file: str) -> Manuscript:
    return _with_index(lambda index: index["pages"].append([module, file, fingerprint(b"")]))


def _with_text(body: bytes) -> Manuscript:
    kept = write(SCRIPT)
    return Manuscript(kept.index, {**kept.texts, fingerprint(b"x = 1\n"): body})


DAMAGED = {
    "no index": Manuscript(b"", write(SCRIPT).texts),
    "another index": Manuscript(pack({"pages": 1}), write(SCRIPT).texts),
    "half an index": Manuscript(write(SCRIPT).index[:-9], write(SCRIPT).texts),
    "no texts": Manuscript(write(SCRIPT).index, {}),
    "another text": _with_text(zlib.compress(b"x = 2\n")),
    "half a text": _with_text(zlib.compress(b"x = 1\n")[:-5]),
    "no text at all": _with_text(b"x = 1\n"),
    "a text that never ends": _with_text(zlib.compress(bytes(manuscript.MOST_BYTES * 4))),
    "two modules of one name": _with_page("top", "top.py"),
    "settings of something else": _with_index(lambda index: index.update(settings=["../legato.toml", fingerprint(b"")])),
    **{
        f"{module} in {file!r}": _with_page(module, file)
        for module, file in (
            ("up", "../up.py"), ("up", "a/../up.py"), ("up", "./up.py"), ("up", "a//up.py"), ("up", "up.py/"),
            ("passwd", "/etc/passwd"),
            ("up", "/tmp/../up.py"), ("up", "down.py"), ("a.b", "a.py"), ("a", "b/__init__.py"), ("__init__", "__init__.py"),
            ("..up", "up.py"), ("a/b", "a/b.py"), ("", ".py"), ("up", "up.so"), ("up", "nul\0/up.py"), ("a.", "a.py"),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("kept", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_damaged_is_refused(kept: Manuscript) -> None:
    with pytest.raises(LegatoError) as raised:
        read(kept)
    assert raised.value.code == "code-damaged"


# -- loading it --

CONFIG = 'modules = ["flow_of_then", "shop_of_then.sales"]\n'
FILES = {
    "legato.toml": CONFIG,
    "flow_of_then.py": """
from pathlib import Path
import legato as lg
import named_of_then.prices

@lg.task
def first() -> str:
    return (Path(__file__).parent / "data.txt").read_text() + named_of_then.prices.NAME

@lg.task
def second() -> str:
    import late_of_then
    return late_of_then.said()

@lg.task
def third() -> str:
    from deep_of_then.inner import late
    return late.SAID

@lg.task
def fails() -> str:
    raise ValueError("as it was")  # the line of then
""",
    "late_of_then.py": 'def said():\n    return "late, as it was"\n',
    "deep_of_then/__init__.py": 'SAID = "as it was"\n',
    "deep_of_then/inner/late.py": "from deep_of_then import SAID\n",
    "named_of_then/prices.py": 'NAME = "as it was"\n',
    "src/shop_of_then/__init__.py": 'OF = "shop"\n',
    "src/shop_of_then/sales.py": "import legato as lg\nfrom . import OF\n\n@lg.asset\ndef sales() -> str:\n    return OF\n",
    "data.txt": "data as it is, ",
}


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def then(tmp_path: Path) -> Loaded:
    _write(tmp_path, FILES)
    return load_project(tmp_path)


def _call(loaded: Loaded, name: str) -> Any:
    return loaded.code.body(name).fn()


def _reload(loaded: Loaded) -> Loaded:
    """The project, loaded from what is kept of it."""
    return load_project(loaded.config.root, script=read(write(loaded.script)))


def test_kept_code_is_loaded_as_it_was(then: Loaded) -> None:
    root = then.config.root
    _write(root, {name: text.replace("as it was", "as it is") for name, text in FILES.items()})
    again = _reload(then)
    assert (again.project, again.source, again.script) == (then.project, then.source, then.script)
    assert _call(again, "first") == "data as it is, as it was"
    assert _call(again, "second") == "late, as it was", "what is imported only when it runs is of then, too"
    assert load_project(root).project.fingerprint != then.project.fingerprint


def test_kept_code_needs_no_files(then: Loaded) -> None:
    root = then.config.root
    for name in ("flow_of_then.py", "late_of_then.py"):
        (root / name).unlink()
    for name in ("src", "named_of_then"):
        shutil.rmtree(root / name)
    _write(root, {"named_of_then.py": "", "shop_of_then.py": "", "late_of_then/__init__.py": ""})
    again = _reload(then)
    assert again.project == then.project
    assert (_call(again, "first"), _call(again, "second")) == ("data as it is, as it was", "late, as it was")


def test_a_traceback_shows_the_lines_of_then(then: Loaded) -> None:
    root = then.config.root
    (root / "flow_of_then.py").write_text("# another line\n" * 40)
    with pytest.raises(ValueError, match="as it was") as raised:
        _call(_reload(then), "fails")
    assert "# the line of then" in "".join(traceback.format_exception(raised.value))


def test_a_project_that_is_loaded_imports_later_what_was_there_then(then: Loaded) -> None:
    _write(then.config.root, {"late_of_then.py": 'def said():\n    return "late, as it is"\n'})
    assert _call(then, "second") == "late, as it was"


def test_packages_of_what_is_imported_later_are_kept_too(then: Loaded) -> None:
    assert {"deep_of_then", "deep_of_then.inner.late"} <= {page.module for page in then.script.pages}
    assert _call(then, "third") == "as it was"
    _write(then.config.root, {"deep_of_then/__init__.py": 'SAID = "as it is"\n'})
    assert _call(_reload(then), "third") == "as it was"


def test_a_change_of_what_is_imported_later_is_a_change_of_the_files(then: Loaded) -> None:
    _write(then.config.root, {"late_of_then.py": 'def said():\n    return "late, as it is"\n'})
    assert load_project(then.config.root).source != then.source


def test_settings_are_those_of_then_but_things_lie_where_they_lie_now(then: Loaded) -> None:
    (then.config.root / "legato.toml").write_text(
        'modules = ["gone"]\nname = "renamed"\n[storages.lake]\nkind = "files"\npath = "here"\n[keep]\nruns = "3d"\n'
    )
    again = _reload(then)
    assert (again.config.modules, again.config.name) == (then.config.modules, then.config.name)
    assert again.config.storages == {"lake": {"kind": "files", "path": "here"}}
    assert again.config.keep.runs_s == 3 * 86_400
    assert again.project == then.project


def test_a_version_that_comes_back_into_force_keeps_its_code() -> None:
    store, code = MemoryStore(MemoryDisk()), write(Script("legato.toml", b"", (Page("m", "m.py", b"x = 1"),)))
    store.open_writer("test")
    snapshot = take(Project(name="p", nodes={}, makers={}, fingerprint="one"), Code(), "")
    clock = SimpleNamespace(now=lambda: Instant(5))
    workspace: Any = SimpleNamespace(
        is_former=False, project=snapshot.project, take_manuscript=lambda: None, clock=clock, snapshot=snapshot
    )  # fmt: skip
    store.keep_project(ProjectVersion("one", Instant(1)), b"", code)
    store.keep_project(ProjectVersion("two", Instant(2)), b"")
    keep_project(store, workspace)
    assert [each.fingerprint for each in store.projects(limit=5)] == ["one", "two"]
    assert store.manuscript("one") == code
