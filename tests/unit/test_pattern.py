"""Patterns of files: what they match, what key a file has, and which of them are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.declare.pattern import folder_of, key_of_file, matches, pattern_fault


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("inbox/*.csv", "inbox/a.csv", True),
        ("inbox/*.csv", "inbox/.a.csv", False),
        ("inbox/*.csv", "inbox/deep/a.csv", False),
        ("inbox/*.csv", "inbox/a.csv.part", False),
        ("inbox/*.csv", "other/inbox/a.csv", False),
        ("inbox/*.csv", "inbox/a.csv\n", False),
        ("inbox/**/*.csv", "inbox/a.csv", True),
        ("inbox/**/*.csv", "inbox/x/y/a.csv", True),
        ("inbox/**/*.csv", "inbox/.git/a.csv", False),
        ("**/day.csv", "a/b/day.csv", True),
        ("in/20[0-9][0-9].csv", "in/2013.csv", True),
        ("in/20[!0-9][0-9].csv", "in/2013.csv", False),
        ("in/[.]x", "in/.x", False),
        ("in/?.csv", "in/a.csv", True),
        ("in/?.csv", "in//.csv", False),
        ("in/a+(1).csv", "in/a+(1).csv", True),
        ("s3://bucket/in/*", "s3://bucket/in/a", True),
        ("/data/*/x", "/data/a/x", True),
    ],
)
def test_matching(pattern: str, path: str, expected: bool) -> None:
    assert pattern_fault(pattern) == ""
    assert matches(pattern, path) == expected


@given(
    st.lists(st.sampled_from(["*", "?", "a", "b", "/", "**/", "[ab]", "."]), min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from(["a", "b", "ab", "a.b", "ba"]), min_size=1, max_size=4).map("/".join),
)
def test_matching_is_that_of_the_shell(pattern: str, path: str) -> None:
    if pattern_fault(pattern) or pattern.startswith("/"):
        return
    parts, wanted = path.split("/"), pattern.split("/")

    def fits(at: int, left: int) -> bool:
        if left == len(wanted):
            return at == len(parts)
        if wanted[left] == "**":
            return any(fits(skip, left + 1) for skip in range(at, len(parts) + 1))
        return at < len(parts) and Path(parts[at]).match(wanted[left]) and fits(at + 1, left + 1)

    assert matches(pattern, path) == fits(0, 0)


@pytest.mark.parametrize(
    ("pattern", "path", "key"),
    [
        ("inbox/*.csv", "inbox/orders-17.csv", "orders-17"),
        ("inbox/day-*.csv", "inbox/day-2013-01-05.csv", "2013-01-05"),
        ("inbox/*/*.csv", "inbox/x/a.csv", "a"),
        ("inbox/*/data.csv", "inbox/2013-01-05/data.csv", "2013-01-05"),
        ("inbox/**/a[0-9]-*.gz", "inbox/x/y/a7-b.gz", "7-b"),
        ("inbox/*/**/data.csv", "inbox/x/y/data.csv", "data"),
        ("inbox/data.csv", "inbox/data.csv", "data"),
        ("inbox/*", "inbox/a.csv", "a.csv"),
    ],
)
def test_a_file_has_the_key_that_its_wildcards_stand_for(pattern: str, path: str, key: str) -> None:
    assert matches(pattern, path)
    assert key_of_file(pattern, path) == key


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("inbox/*.csv", "inbox"),
        ("*.csv", ""),
        ("a/b/c.csv", "a/b"),
        ("a/b*/c.csv", "a"),
        ("/x*", "/"),
        ("/data/x*", "/data"),
        ("s3://bucket/*", "s3://bucket"),
    ],
)
def test_the_folder_below_which_to_look(pattern: str, folder: str) -> None:
    assert folder_of(pattern) == folder


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("../x/*.csv", "escapes"),
        ("a/../../etc/*", "escapes"),
        ("/data/../etc/*", "escapes"),
        ("s3://bucket/../other/*", "escapes"),
        ("", "no text"),
        ("  ", "no text"),
        (None, "no text"),
        (7, "no text"),
        ("a\x00b", "contains"),
        ("a\\b", "contains"),
        ("inbox/", "ends in a folder"),
        ("inbox/**", "ends in a folder"),
        ("inbox//a", "empty part"),
        ("./a", "empty part"),
        ("a**/b", "beside other letters"),
        ("~/inbox/*", "begins with ~"),
        ("s3://*/a", "no bucket"),
        ("s3:///a", "no bucket"),
        ("a/[z-a].csv", "cannot be read"),
        ("a/[!].csv", "cannot be read"),
    ],
)
def test_what_is_no_pattern(pattern: object, fault: str) -> None:
    assert fault in pattern_fault(pattern)
