"""Files are told when they are complete, once as they are, whatever else lies or happens in their folders."""

from __future__ import annotations

import os
import socket
from hashlib import blake2b
from pathlib import Path

import pytest

from legato.service import arrivals, folders
from legato.service.arrivals import Watch
from legato.terms.instant import Instant, after

BEGIN = Instant(1_800_000_000_000_000)


class Looks:
    """Looks at a folder, the time told by hand."""

    def __init__(self, root: Path, *patterns: str) -> None:
        self.root, self.now = root, BEGIN
        self.watch = Watch(root, patterns)

    def after(self, seconds: float) -> list[str]:
        """The paths that are told so much later."""
        return [each.path for each in self.told(seconds)]

    def told(self, seconds: float) -> list[arrivals.FileArrived]:
        self.now = after(self.now, seconds)
        return self.watch.look(self.now)

    def settled(self) -> list[str]:
        """What is told in two looks that are far enough apart."""
        return self.after(1) + self.after(0.3)


def write(root: Path, path: str, text: str = "a,b\n", *, mtime_s: int | None = None) -> Path:
    made = root / path
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(text)
    if mtime_s is not None:
        os.utime(made, (mtime_s, mtime_s))
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places of the files that are opened."""
    places, plain = [], os.open

    def noted(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & os.O_DIRECTORY:
            places.append(os.fspath(path))
        return plain(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(arrivals.os, "open", noted)
    return places


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each folder that is listed."""
    found, plain = [], os.scandir

    def noted(folder: int) -> object:
        found.append(folder)
        return plain(folder)

    monkeypatch.setattr(folders.os, "scandir", noted)
    return found


# -- complete files --


def test_a_file_is_told_when_two_looks_find_it_the_same(tmp_path: Path) -> None:
    write(tmp_path, "inbox/a.csv", "one")
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.after(0) == []
    assert looks.watch.wait_s == 0.3
    assert looks.after(0.29) == []
    [told] = looks.told(0.01)
    assert (told.path, told.digest, told.size) == ("inbox/a.csv", blake2b(b"one", digest_size=32).hexdigest(), 3)
    assert looks.watch.wait_s is None
    assert looks.after(1) == []


def test_a_growing_file_is_not_taken(tmp_path: Path) -> None:
    looks = Looks(tmp_path, "inbox/*.csv")
    for length in range(1, 6):
        write(tmp_path, "inbox/a.csv", "x" * length)
        assert looks.after(0.5) == []
    assert [each.size for each in looks.told(0.3)] == [5]


def test_a_file_that_changes_while_it_is_read_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write(tmp_path, "inbox/a.csv", "before")
    looks, plain = Looks(tmp_path, "inbox/*.csv"), os.pread
    looks.after(0)

    def meddling(descriptor: int, size: int, offset: int) -> bytes:
        chunk = plain(descriptor, size, offset)
        made.write_text("after it")
        return chunk

    monkeypatch.setattr(arrivals.os, "pread", meddling)
    assert looks.after(1) == []
    monkeypatch.setattr(arrivals.os, "pread", plain)
    assert looks.after(1) == []
    assert [each.digest for each in looks.told(0.3)] == [blake2b(b"after it", digest_size=32).hexdigest()]


def test_a_deleted_file_is_forgotten_and_new_when_it_comes_back(tmp_path: Path) -> None:
    made = write(tmp_path, "inbox/a.csv")
    looks = Looks(tmp_path, "inbox/*.csv")
    looks.after(0)
    made.unlink()
    assert looks.settled() == []
    assert looks.watch.wait_s is None
    write(tmp_path, "inbox/a.csv")
    assert looks.settled() == ["inbox/a.csv"]


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    write(tmp_path, "inbox/done.csv", "")
    assert [(each.path, each.size) for each in [*Looks(tmp_path, "inbox/*.csv").told(0)]] == []
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.settled() == ["inbox/done.csv"]


# -- once --


def test_what_is_told_is_not_read_again(tmp_path: Path, opened: list[str], listed: list[int]) -> None:
    for name in "abc":
        write(tmp_path, f"inbox/{name}.csv", name)
    looks = Looks(tmp_path, "inbox/*.csv", "inbox/a*")
    assert looks.settled() == ["inbox/a.csv", "inbox/b.csv", "inbox/c.csv"]
    assert len(opened) == 3
    for _ in range(5):
        assert looks.after(1) == []
    known = len(listed)
    for _ in range(50):
        assert looks.after(1) == []
    assert (len(opened), len(listed)) == (3, known), "an unchanged folder is not listed again within a minute"
    looks.after(10)
    assert len(listed) == known + 1


def test_a_file_that_is_written_over_in_its_place_is_told_again(tmp_path: Path) -> None:
    made = write(tmp_path, "inbox/a.csv", "one", mtime_s=1_700_000_000)
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.settled() == ["inbox/a.csv"]
    looks.after(10)
    made.write_text("two")
    assert looks.settled() == ["inbox/a.csv"]


def test_a_file_that_is_replaced_is_told_again_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_TOLD", 0)
    write(tmp_path, "inbox/a.csv", "one")
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.settled() == ["inbox/a.csv"]
    other = write(tmp_path, "inbox/.a.csv.part", "two")
    other.rename(tmp_path / "inbox/a.csv")
    assert [each.digest for each in looks.told(1) + looks.told(0.3)] == [blake2b(b"two", digest_size=32).hexdigest()]


def test_a_folder_is_listed_once_more_where_its_time_of_change_is_coarse(tmp_path: Path) -> None:
    """A file comes right after the listing, and the folder's time of change stays what it was."""
    write(tmp_path, "inbox/a.csv")
    os.utime(tmp_path / "inbox", (1_700_000_000, 1_700_000_000))
    looks = Looks(tmp_path, "inbox/*.csv")
    looks.settled()
    write(tmp_path, "inbox/b.csv")
    os.utime(tmp_path / "inbox", (1_700_000_000, 1_700_000_000))
    assert looks.settled() == []
    assert looks.after(2) + looks.after(0.3) == ["inbox/b.csv"]


# -- large and many --


def test_large_files_are_read_in_slices_and_hold_up_no_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_BYTES", 100)
    monkeypatch.setattr(arrivals, "SLICE_BYTES", 40)
    monkeypatch.setattr(arrivals, "FILE_BYTES", 1)
    write(tmp_path, "inbox/large.csv", "x" * 1_000)
    write(tmp_path, "inbox/small.csv", "y" * 10)
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.settled() == ["inbox/small.csv"]
    assert looks.watch.wait_s == 0.0
    count = 0
    while not (found := looks.told(0.01)):
        count += 1
    assert 8 <= count <= 12
    assert [(each.path, each.digest) for each in found] == [
        ("inbox/large.csv", blake2b(b"x" * 1_000, digest_size=32).hexdigest()),
    ]  # fmt: skip


def test_a_large_file_that_changes_between_slices_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_BYTES", 100)
    monkeypatch.setattr(arrivals, "SLICE_BYTES", 40)
    made = write(tmp_path, "inbox/a.csv", "x" * 200)
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.settled() == []
    made.write_text("z" * 150)
    found = [each for _ in range(20) for each in looks.told(0.3)]
    assert [each.digest for each in found] == [blake2b(b"z" * 150, digest_size=32).hexdigest()]


def test_each_of_many_files_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_COMING", 7)
    monkeypatch.setattr(arrivals, "MOST_TOLD", 3)
    for number in range(40):
        write(tmp_path, f"inbox/{number:02d}.csv", str(number))
    looks = Looks(tmp_path, "inbox/*.csv")
    found = [path for _ in range(40) for path in looks.after(0.3)]
    assert sorted(found) == [f"inbox/{number:02d}.csv" for number in range(40)]


# -- where patterns look --


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["top.csv"]),
        ("in/*.csv", ["in/a.csv"]),
        ("in/2*/x.csv", ["in/2026/x.csv"]),
        ("in/**/*.csv", ["in/2026/deep/y.csv", "in/2026/x.csv", "in/a.csv"]),
        ("**/x.csv", ["in/2026/x.csv", "other/x.csv"]),
        ("in/a.csv", ["in/a.csv"]),
        ("[io]*/?.csv", ["in/a.csv", "other/x.csv"]),
    ],
)
def test_patterns_find_what_they_mean(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for path in (
        "top.csv",
        "in/a.csv",
        "in/a.txt",
        "in/2026/x.csv",
        "in/2026/deep/y.csv",
        "other/x.csv",
        ".hidden/x.csv",
        "in/.b.csv",
    ):
        write(tmp_path, path)
    assert sorted(Looks(tmp_path, pattern).settled()) == expected
    absolute = Looks(tmp_path / "elsewhere", f"{tmp_path}/{pattern}")
    assert sorted(absolute.settled()) == [f"{tmp_path}/{path}" for path in expected]


def test_folders_that_no_pattern_leads_to_are_not_looked_into(tmp_path: Path, listed: list[int]) -> None:
    for path in ("in/a.csv", "in/2025/x.csv", "in/1999/x.csv", "out/x.csv"):
        write(tmp_path, path)
    assert sorted(Looks(tmp_path, "in/2*/*.csv", "in/*.csv", "in/2*/x*").settled()) == ["in/2025/x.csv", "in/a.csv"]
    assert len(listed) == 2


def test_hidden_folders_are_not_looked_into(tmp_path: Path, listed: list[int]) -> None:
    for path in (".git/deep/x.csv", "a/x.csv", "a/.b/x.csv"):
        write(tmp_path, path)
    assert Looks(tmp_path, "**/*.csv").settled() == ["a/x.csv"]
    assert len(listed) == 2


def test_a_folder_that_another_pattern_reaches_later_is_listed_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "top/in/a.csv")
    write(tmp_path, "top/in/b.txt")
    plain = os.stat

    def refusing(path: str, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == str(tmp_path):
            raise PermissionError(13, "Permission denied")
        return plain(path, follow_symlinks=follow_symlinks)

    looks = Looks(tmp_path, "top/in/*.csv", "*/in/*.txt")
    monkeypatch.setattr(folders.os, "stat", refusing)
    assert looks.settled() == ["top/in/a.csv"]
    assert looks.watch.troubles == {".": "Permission denied"}
    monkeypatch.setattr(folders.os, "stat", plain)
    assert looks.settled() == ["top/in/b.txt"]
    monkeypatch.setattr(folders.os, "stat", refusing)
    assert looks.settled() == []
    monkeypatch.setattr(folders.os, "stat", plain)
    assert looks.settled() == ["top/in/b.txt"]


def test_a_folder_may_come_later_and_go(tmp_path: Path) -> None:
    looks = Looks(tmp_path, "inbox/**/*.csv")
    assert looks.after(0) == []
    assert list(looks.watch.troubles) == ["inbox"]
    write(tmp_path, "inbox/day/a.csv")
    assert looks.settled() == ["inbox/day/a.csv"]
    assert looks.watch.troubles == {}
    (tmp_path / "inbox").rename(tmp_path / "away")
    assert looks.settled() == []
    (tmp_path / "away").rename(tmp_path / "inbox")
    assert looks.settled() == ["inbox/day/a.csv"]


def test_patterns_with_a_scheme_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    watch = Watch(tmp_path, ["s3://bucket/in/*.csv", "inbox/*.csv"])
    assert watch.look(BEGIN) == []
    assert watch.troubles == {}


# -- what is hostile --


def test_links_are_followed_within_their_folder_and_not_out_of_it(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret/key.csv", "secret")
    write(tmp_path, "inbox/day/a.csv", "one")
    (tmp_path / "inbox/out.csv").symlink_to(secret)
    (tmp_path / "inbox/in.csv").symlink_to("day/a.csv")
    (tmp_path / "inbox/gone.csv").symlink_to("nowhere.csv")
    (tmp_path / "inbox/folder").symlink_to(tmp_path / "secret")
    (tmp_path / "inbox/round").symlink_to(tmp_path / "inbox")
    looks = Looks(tmp_path, "inbox/**/*.csv")
    assert sorted(looks.settled()) == ["inbox/day/a.csv", "inbox/in.csv"]
    assert looks.watch.troubles == {
        "inbox/gone.csv": "No such file or directory", "inbox/out.csv": "it is a link that leads out of its folder",
    }  # fmt: skip
    (tmp_path / "inbox/in.csv").unlink()
    (tmp_path / "inbox/in.csv").symlink_to(secret)
    assert looks.settled() == []


def test_a_pattern_s_own_folder_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "mounted/a.csv")
    (tmp_path / "inbox").symlink_to(tmp_path / "mounted")
    (tmp_path / "mounted/b.csv").symlink_to("a.csv")
    assert Looks(tmp_path, "inbox/*.csv").settled() == ["inbox/a.csv", "inbox/b.csv"]


def test_what_is_no_file_is_not_opened(tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inbox").mkdir()
    monkeypatch.chdir(tmp_path / "inbox")
    os.mkfifo("pipe.csv")
    Path("folder.csv").mkdir()
    Path("link.csv").symlink_to("pipe.csv")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("socket.csv")
        assert Looks(tmp_path, "inbox/*.csv").settled() == []
    assert opened == []


def test_a_file_that_becomes_a_pipe_before_it_is_read_blocks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, plain = write(tmp_path, "inbox/a.csv"), os.open

    def late(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == str(made):
            made.unlink()
            os.mkfifo(made)
        return plain(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(arrivals.os, "open", late)
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.settled() + looks.settled() == []


def test_of_a_file_that_is_another_when_it_is_opened_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, plain = write(tmp_path, "inbox/a.csv"), os.open
    read: list[int] = []

    def late(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == str(made):
            made.write_text("it is another one")
        return plain(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(arrivals.os, "open", late)
    monkeypatch.setattr(arrivals.os, "pread", lambda *asked: read.append(asked))
    assert Looks(tmp_path, "inbox/*.csv").settled() == []
    assert read == []


@pytest.mark.parametrize("name", [b"a\nb.csv", b"\x1b[2J.csv", b"\xff\xfe.csv", b"a\x7f.csv"])
def test_names_that_cannot_be_told_are_left_alone(tmp_path: Path, name: bytes) -> None:
    write(tmp_path, "inbox/ok.csv")
    with open(os.fsencode(tmp_path) + b"/inbox/" + name, "wb") as file:
        file.write(b"x")
    looks = Looks(tmp_path, "inbox/*.csv")
    assert looks.settled() == ["inbox/ok.csv"]
    assert looks.watch.troubles == {"inbox": "1 names in it are no text that can be shown"}


def test_long_and_strange_names_are_names(tmp_path: Path) -> None:
    names = sorted(
        ("x" * 251 + ".csv", "..csv.csv"[1:], "a b.csv", "bücher.csv", "-rf *.csv", "$(id).csv", "a\\b.csv", "\u202efoo.csv")
    )
    for name in names:
        write(tmp_path, f"inbox/{name}")
    assert Looks(tmp_path, "inbox/*.csv").settled() == [f"inbox/{name}" for name in names if not name.startswith(".")]


def test_a_file_that_cannot_be_read_is_a_trouble_until_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "inbox/a.csv")
    plain = os.open

    def refusing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path.endswith("a.csv"):
            raise PermissionError(13, "Permission denied")
        return plain(path, flags, mode, dir_fd=dir_fd)

    looks = Looks(tmp_path, "inbox/*.csv")
    monkeypatch.setattr(arrivals.os, "open", refusing)
    assert looks.settled() == []
    assert looks.watch.troubles == {"inbox/a.csv": "Permission denied"}
    monkeypatch.setattr(arrivals.os, "open", plain)
    assert looks.settled() == ["inbox/a.csv"]
    assert looks.watch.troubles == {}


def test_too_many_folders_are_told_and_the_others_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MOST_FOLDERS", 3)
    for number in range(5):
        write(tmp_path, f"inbox/{number}/a.csv")
    looks = Looks(tmp_path, "inbox/**/*.csv")
    assert looks.settled() == ["inbox/0/a.csv", "inbox/1/a.csv"]
    assert looks.watch.troubles == {"": "3 folders are not watched: 3 are at most"}
