"""A function's fingerprint follows its code and all project code that it uses, and nothing else."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from legato.worker.loading import load_project
from legato.worker.merkle import Merkle
from legato.worker.modules import Finder

Codes = Callable[..., dict[str, str]]
_folder = count()


@pytest.fixture
def codes(tmp_path: Path) -> Iterator[Codes]:
    """Writes a project of these files into a new folder and gives its nodes' fingerprints."""

    def load(pipeline: str, **files: str) -> dict[str, str]:
        root = tmp_path / str(next(_folder))
        root.mkdir()
        (root / "legato.toml").write_text('name = "test"\nmodules = ["pipeline"]\n')
        for name, text in {"pipeline": f"import legato as lg\n{textwrap.dedent(pipeline)}", **files}.items():
            file = root / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return {name: node.code for name, node in load_project(root).project.nodes.items()}

    yield load
    for finder in [each for each in sys.meta_path if isinstance(each, Finder)]:
        finder.withdraw()


FIRST = """
    @lg.asset
    def a(limit=3):
        total = limit + 1
        return total
"""


@pytest.mark.parametrize(
    "other",
    [
        """


    # a comment
    @lg.asset
    def a(limit=3):
        # another
        total = limit + 1

        return total  # and a third
    """,
        '''
    @lg.asset
    def a(limit=3):
        """A docstring."""
        total = (limit
                 + 1)
        return total
    ''',
        """
    @lg.asset(retries=3, tags=["x"])
    def a( limit = 3 ): total = limit+1; return total
    """,
        """
    def before(): return 1
    @lg.asset
    def a(limit=3):
        total = limit + 1
        return total
    unused = 5
    """,
    ],
)
def test_layout_comments_and_docstrings_do_not_count(codes: Codes, other: str) -> None:
    assert codes(FIRST)["a"] == codes(other)["a"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("+ 1", "+ 2"), ("limit=3", "limit=4"), ("+ 1", "- 1"), ("return total", "return limit"), ("(limit=3)", "(limit: int = 3)")],
)
def test_any_change_of_the_function_counts(codes: Codes, old: str, new: str) -> None:
    assert old in FIRST
    assert codes(FIRST)["a"] != codes(FIRST.replace(old, new))["a"]


USES = {
    "a function": ("def helper(x): return x + 1", "def helper(x): return x + 2", "helper(1)"),
    "a constant": ("RATE = 1", "RATE = 2", "RATE"),
    "a constant of a constant": ("BASE = 1\nRATE = BASE * 2", "BASE = 3\nRATE = BASE * 2", "RATE"),
    "a table that is filled later": ("TABLE = {}\nTABLE['a'] = 1", "TABLE = {}\nTABLE['a'] = 2", "TABLE"),
    "a list that is filled later": ("LIST = []\nLIST.append(1)", "LIST = []\nLIST.append(2)", "LIST"),
    "a class": ("class Box:\n  def size(self): return 1", "class Box:\n  def size(self): return 2", "Box().size()"),
    "a class's base": (
        "class Base:\n  size = 1\nclass Box(Base): pass",
        "class Base:\n  size = 2\nclass Box(Base): pass",
        "Box().size",
    ),
    "an instance": (
        "class Box:\n  def size(self): return 1\nbox = Box()",
        "class Box:\n  def size(self): return 2\nbox = Box()",
        "box.size()",
    ),
    "a helper's helper": (
        "def deep(): return 1\ndef helper(): return deep()",
        "def deep(): return 2\ndef helper(): return deep()",
        "helper()",
    ),
    "helpers in a circle": (
        "def odd(n): return n and even(n - 1)\ndef even(n): return not n or odd(n - 1)",
        "def odd(n): return n and even(n - 1)\ndef even(n): return n < 1 or odd(n - 1)",
        "odd(3)",
    ),
    "a helper's default": ("def helper(x=1): return x", "def helper(x=2): return x", "helper()"),
    "a helper's decorator": (
        "def twice(f): return lambda: 2 * f()\n@twice\ndef helper(): return 1",
        "def twice(f): return lambda: 3 * f()\n@twice\ndef helper(): return 1",
        "helper()",
    ),
    "a cached helper": (
        "import functools\n@functools.cache\ndef helper(): return 1",
        "import functools\n@functools.cache\ndef helper(): return 2",
        "helper()",
    ),
    "a name bound in a branch": (
        "try:\n  import nowhere\nexcept ImportError:\n  RATE = 1",
        "try:\n  import nowhere\nexcept ImportError:\n  RATE = 2",
        "RATE",
    ),
    "a use in a nested function": ("RATE = 1", "RATE = 2", "[(lambda: RATE)() for _ in 'a']"),
    "an alias of others' code": ("import math as m", "import cmath as m", "m.sqrt(1)"),
    "another declared function": (
        "@lg.task\ndef clean(x=1): return x + 1",
        "@lg.task\ndef clean(x=1): return x + 2",
        "clean(1)",
    ),
}


@pytest.mark.parametrize("use", USES)
def test_what_a_function_uses_counts(codes: Codes, use: str) -> None:
    old, new, used = USES[use]
    after = f"\n@lg.asset\ndef a():\n    return {used}\n\n@lg.asset\ndef other():\n    return 1\n"
    first, second = codes(old + after), codes(new + after)
    assert first["a"] != second["a"]
    assert first["other"] == second["other"]
    assert first == codes(f"# a comment\n\n{old}{after}")


IMPORTS = {
    "import helpers": "helpers.clean(1)",
    "import helpers as h": "h.clean(1)",
    "from helpers import clean": "clean(1)",
    "from helpers import clean as c": "c(1)",
    "from helpers import *": "clean(1)",
    "import package.helpers": "package.helpers.clean(1)",
    "from package import helpers": "helpers.clean(1)",
    "from package import again": "again(1)",
}


@pytest.mark.parametrize(
    ("statement", "inside"), [(each, inside) for each in IMPORTS for inside in sorted({False, "*" not in each})]
)
def test_helpers_in_other_modules_count(codes: Codes, statement: str, inside: bool) -> None:
    used = f"return {IMPORTS[statement]}"
    body = f"{statement}; {used}" if inside else used
    pipeline = f"{'' if inside else statement}\n@lg.asset\ndef a():\n    {body}\n"

    def made(amount: int, unused: int = 0) -> str:
        text = f"RATE = {amount}\nOTHER = {unused}\ndef clean(x): return x * RATE\n"
        files = {"helpers": text, "package/helpers": text, "package/__init__": "from .helpers import clean as again\n"}
        return codes(pipeline, **files)["a"]

    assert made(1) == made(1) == made(1, unused=5)
    assert made(1) != made(2)


def test_swapped_aliases_count(codes: Codes) -> None:
    helpers = "def one(): return 1\ndef two(): return 2\n"
    body = "\n@lg.asset\ndef a():\n    return x() - y()\n"
    first = codes(f"from helpers import one as x, two as y{body}", helpers=helpers)
    assert first != codes(f"from helpers import two as x, one as y{body}", helpers=helpers)


def test_parameters_and_attributes_named_like_other_functions_do_not_count(codes: Codes) -> None:
    def pipeline(amount: int) -> str:
        return f"""
    @lg.asset
    def flights():
        return {amount}

    def tidy(flights):
        return flights

    @lg.asset
    def delays(flights, box=None):
        return tidy(flights), box and box.flights, [flights for flights in flights]
    """

    first, second = codes(pipeline(1)), codes(pipeline(2))
    assert first["delays"] == second["delays"]
    assert first["flights"] != second["flights"]


def test_functions_made_in_a_loop_or_factory_differ_by_what_they_hold(codes: Codes) -> None:
    pipeline = """
    def make(name, amount):
        @lg.asset(name=name)
        def made():
            return amount
        return made

    made = [make("a", 1), make("b", 1), make("c", 2)]

    def helper(x): return x
    def make_with(name, fn):
        return lg.asset(name=name)(lambda: fn(1))
    more = {"d": make_with("d", helper), "e": make_with("e", str)}
    loop = []
    for i in range(2):
        @lg.asset(name=f"loop{i}")
        def f(i=i): return i
        loop.append(f)
    """
    first = codes(pipeline)
    assert first["a"] == first["b"] != first["c"]
    assert first["loop0"] != first["loop1"]
    changed = codes(pipeline.replace("def helper(x): return x", "def helper(x): return -x"))
    assert {name for name in first if first[name] != changed[name]} == {"d"}


def test_what_a_decorator_wraps_counts(codes: Codes) -> None:
    pipeline = """
    import functools
    def logged(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs)
        return wrapper

    @lg.asset
    @logged
    def a():
        return 1
    """
    prints = {
        codes(text)["a"]
        for text in (pipeline, pipeline.replace("return 1", "return 2"), pipeline.replace("fn(*args", "fn(None, *args"))
    }
    assert len(prints) == 3


def test_code_without_source_still_has_a_fingerprint(codes: Codes) -> None:
    pipeline = """
    names = {"lg": lg}
    exec("def helper(): return 1\\n@lg.asset\\ndef a(): return helper() + 1", names)
    a = names["a"]
    """
    first = codes(pipeline)["a"]
    assert first == codes(f"\n\n{pipeline}")["a"]
    assert first != codes(pipeline.replace("helper() + 1", "helper() + 2"))["a"]
    assert first != codes(pipeline.replace("return 1", "return 5"))["a"]


def test_several_lambdas_on_a_line_are_told_apart(codes: Codes) -> None:
    first = codes("a, b = lg.asset(name='a')(lambda: 1), lg.asset(name='b')(lambda: 2)\n")
    assert first["a"] != first["b"]


def test_secrets_and_machines_do_not_count(codes: Codes, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = """
    import os
    from pathlib import Path
    HERE = Path(__file__).parent
    KEY = os.environ.get("LEGATO_TEST_TOKEN")

    @lg.asset
    def a(path=HERE / "x", token=lg.secret("LEGATO_TEST_TOKEN")):
        return HERE, KEY
    """
    first = codes(pipeline)
    monkeypatch.setenv("LEGATO_TEST_TOKEN", "s3cret")
    assert first == codes(pipeline)


def test_knots_get_one_digest_each_whatever_is_asked_first() -> None:
    graph = {"a": {"b": "b"}, "b": {"c": "c", "d": "d"}, "c": {"a": "a"}, "d": {}, "e": {"a": "a"}}

    def digests(names: str) -> dict[str, str]:
        merkle: Merkle[str] = Merkle(lambda key: (key, graph[key]))
        return {name: merkle.digest(name) for name in names}

    assert digests("abcde") == digests("edcba") == digests("cadbe")
    assert len(set(digests("abcde").values())) == 5


def test_a_long_chain_of_helpers_needs_no_stack() -> None:
    expanded: list[int] = []

    def expand(key: int) -> tuple[str, dict[str, int]]:
        expanded.append(key)
        return str(key), {"next": key + 1} if key < 5000 else {}

    merkle: Merkle[int] = Merkle(expand)
    assert merkle.digest(0) != merkle.digest(1)
    assert sorted(expanded) == list(range(5001))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("from bare import prices", "prices.price()"),
        ("from bare.prices import price", "price()"),
        ("import bare.prices", "bare.prices.price()"),
        ("import bare.prices as known", "known.price()"),
        ("from bare.deeper import costs", "costs.cost()"),
        ("import bare.deeper.costs", "bare.deeper.costs.cost()"),
    ],
)
def test_packages_without_a_file_of_their_own_are_followed(codes: Codes, imports: str, call: str, late: bool) -> None:
    pipeline = f"""
    {"" if late else imports}

    @lg.asset
    def a():
        {imports if late else ""}
        return {call}
    """
    found = set()
    for number in (1, 1, 2):
        files = {"bare/prices": f"def price(): return {number}", "bare/deeper/costs": f"def cost(): return {number}"}
        found.add(codes(pipeline, **files)["a"])
    assert len(found) == 2
