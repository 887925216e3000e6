"""Commands that are printed are commands when pasted."""

from __future__ import annotations

import subprocess

import pytest

from legato.service.shell import command, word

WORDS = [
    "report", "delays@2013-01-05..2013-01-09", "+raw@a,b+", "a b", "sales@2013-01-05|EWR", "it's",
    'say "hi"', "it's \"$HOME\" `id` \\n",
    "select * from read_parquet('/p/x.parquet') where \"carrier\" IS NULL", "it's wow!now", "it's != 3", "", "*", "~", "ä ö",
]  # fmt: skip


def test_words_reach_the_command_as_they_are() -> None:
    script = "printf '%s\\0' " + command(*WORDS)
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split("\0")[:-1] == WORDS


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("delays@2013-01", "delays@2013-01"),
        ("a and not b", "'a and not b'"),
        ("x where 'a' = \"b\"", '"x where \'a\' = \\"b\\""'),
    ],
)
def test_words_are_quoted_only_as_far_as_needed(text: str, written: str) -> None:
    assert word(text) == written
