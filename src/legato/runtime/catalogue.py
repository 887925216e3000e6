"""The published versions that live runs read, held in memory and moved by the conductor's own commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from legato.ports.store import Commit, Head, Store
from legato.terms.attempt import Ref
from legato.terms.fact import Column


class Catalogue:
    """Heads by asset and partition, loaded asset by asset: what is committed, with the commit that is being written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heads: dict[str, dict[str, Head]] = {}
        self._newest: dict[str, Head] = {}
        self._columns: dict[tuple[str, str, str], tuple[Column, ...]] = {}
        self._troubles: set[tuple[str, str]] = {(trouble.asset, trouble.partition) for trouble in store.troubles()}

    def learn(self, assets: Iterable[str]) -> None:
        """Load the heads of assets that are not known yet."""
        new = [asset for asset in assets if asset not in self._heads]
        if new:
            self._heads.update(self._store.heads(new))

    def relearn(self, assets: Iterable[str]) -> None:
        """Load the heads of those assets anew that are known."""
        known = [asset for asset in assets if asset in self._heads]
        self._heads.update(self._store.heads(known))
        for asset in known:
            self._newest.pop(asset, None)

    def heads(self, asset: str) -> Mapping[str, Head]:
        """Partition -> published version."""
        return self._heads[asset]

    def known(self) -> Mapping[str, Mapping[str, Head]]:
        """All that is known here, by asset and partition, as it is at any moment."""
        return self._heads

    def head(self, asset: str, partition: str) -> Head | None:
        """The published version of one asset partition."""
        return self._heads[asset].get(partition)

    def ref(self, asset: str, partition: str, version: str) -> Ref | None:
        """Where a version is stored, published or not; None if there is no such version."""
        found = self._store.version(asset, partition, version)
        return None if found is None else found.ref

    def maker(self, asset: str, partition: str) -> str:
        """The run that made the published version; empty where there is none."""
        head = self._heads[asset].get(partition)
        found = None if head is None else self._store.version(asset, partition, head.version)
        return "" if found is None else found.run

    def columns(self, asset: str, partition: str) -> tuple[Column, ...]:
        """The columns that readers see: of this partition or, where it is not published yet, of the newest one that is."""
        heads = self._heads[asset]
        if asset not in self._newest and heads:
            self._newest[asset] = max(heads.values(), key=lambda each: each.at)
        head = heads.get(partition) or self._newest.get(asset)
        if head is None:
            return ()
        key = (asset, head.partition, head.version)
        if key not in self._columns:
            version = self._store.version(*key)
            self._columns[key] = version.columns if version else ()
        return self._columns[key]

    @property
    def has_troubles(self) -> bool:
        """Whether any trouble is open."""
        return bool(self._troubles)

    def troubled(self, asset: str, partition: str) -> bool:
        """Whether the newest try of this asset partition (or task) left a trouble open."""
        return (asset, partition) in self._troubles

    def publish(self, head: Head) -> None:
        """Let this version be the one that is read."""
        heads = self._heads.setdefault(head.asset, {})
        if (former := heads.get(head.partition)) is not None:
            self._columns.pop((head.asset, head.partition, former.version), None)
        heads[head.partition] = head

    def withdraw(self, asset: str, partition: str) -> None:
        """Let no version of this asset partition be read."""
        self._heads.get(asset, {}).pop(partition, None)

    def follow(self, commit: Commit) -> None:
        """Take over which troubles were just committed."""
        self._troubles.update((trouble.asset, trouble.partition) for trouble in commit.troubles)
        self._troubles.difference_update(commit.settled)
