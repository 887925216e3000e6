"""Objects that arrive in buckets: listed now and then, a page at a time, and told to the conductor, to whom each is new once."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from legato.declare.pattern import bucket_of, folder_of, matches
from legato.ports.bucket import Bucket
from legato.service.arrivals import patterns_of
from legato.service.asks import Ask, Done, ObjectSeen, TellObjects
from legato.service.listening import LOOK_EVERY_S, Patience, Tell
from legato.service.workspace import Workspace
from legato.terms.errors import LegatoError

PAGE = 1_000
MOST_PAGES = 20
"""How many pages of one folder are listed before others have their turn; the next look goes on behind them."""
MOST_KNOWN = 50_000
"""Of so many objects is remembered that they were told; what was forgotten is told again, and is nothing new."""


class BucketWatch:
    """Looks into one bucket for what some patterns mean."""

    def __init__(self, name: str, bucket: Bucket, told: Callable[[tuple[ObjectSeen, ...]], object]) -> None:
        self._name, self._bucket, self._told = name, bucket, told
        self._known: dict[str, str] = {}
        self._after: dict[str, str] = {}

    def look(self, patterns: list[str]) -> bool:
        """List on, and tell what is new; whether some folder is not listed to its end."""
        more = False
        for folder in dict.fromkeys(map(folder_of, patterns)):
            more |= self._look_into(folder, [each for each in patterns if folder_of(each) == folder])
        return more

    def _look_into(self, folder: str, patterns: list[str]) -> bool:
        prefix = folder.removeprefix(f"{self._name}/") + "/" if folder != self._name else ""
        after = self._after.pop(folder, "")
        for _ in range(MOST_PAGES):
            page = self._bucket.list(prefix, after, PAGE)
            seen = [ObjectSeen(path=f"{self._name}/{each.name}", digest=each.digest, size=each.size) for each in page]
            new = [each for each in seen if self._is_new(each) and any(matches(pattern, each.path) for pattern in patterns)]
            if new:
                self._told(tuple(new))
            self._remember(new)
            if len(page) < PAGE:
                return False
            after = page[-1].name
        self._after[folder] = after
        return True

    def _is_new(self, seen: ObjectSeen) -> bool:
        return self._known.get(seen.path) != seen.digest and seen.path.isprintable()

    def _remember(self, told: list[ObjectSeen]) -> None:
        for each in told:
            self._known.pop(each.path, None)
            self._known[each.path] = each.digest
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]


def watch_bucket(
    name: str, every_s: float, open_bucket: Callable[[], Bucket], workspace: Callable[[], Workspace],
    ask: Callable[[Ask, type[Done]], Done], tell: Tell, stop: Event,
) -> None:  # fmt: skip
    """Look into a bucket every so often, until told to end."""
    patience = Patience(tell, stop)
    watch: BucketWatch | None = None
    while not stop.is_set():
        begun, more = time.monotonic(), False
        try:
            if watch is None:
                watch = BucketWatch(name, open_bucket(), lambda seen: ask(TellObjects(objects=seen), Done))
            patterns = [each for each in patterns_of(workspace().project) if bucket_of(each) == name]
            more = watch.look(patterns)
            patience.succeed(f"{name} is looked into again")
        except LegatoError as error:
            patience.fail(error)
        stop.wait(0.0 if more else max(LOOK_EVERY_S, every_s - (time.monotonic() - begun)))
