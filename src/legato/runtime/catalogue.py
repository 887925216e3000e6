"""The published versions that live runs read, held in memory and moved by the conductor's own commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from legato.ports.store import Commit, Head, Store


class Catalogue:
    """Heads by asset and partition. Loaded asset by asset; always equal to what is committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heads: dict[str, dict[str, Head]] = {}
        self._troubles: set[tuple[str, str]] = {(trouble.asset, trouble.partition) for trouble in store.troubles()}

    def learn(self, assets: Iterable[str]) -> None:
        """Load the heads of assets that are not known yet."""
        new = [asset for asset in assets if asset not in self._heads]
        if new:
            self._heads.update(self._store.heads(new))

    def heads(self, asset: str) -> Mapping[str, Head]:
        """Partition -> published version."""
        return self._heads[asset]

    def head(self, asset: str, partition: str) -> Head | None:
        """The published version of one asset partition."""
        return self._heads[asset].get(partition)

    def troubled(self, asset: str, partition: str) -> bool:
        """Whether the newest try of this asset partition (or task) left a trouble open."""
        return (asset, partition) in self._troubles

    def follow(self, commit: Commit) -> None:
        """Take over what was just committed."""
        for head in commit.heads:
            self._heads.setdefault(head.asset, {})[head.partition] = head
        for asset, partition in commit.unpublished:
            self._heads.get(asset, {}).pop(partition, None)
        self._troubles.update((trouble.asset, trouble.partition) for trouble in commit.troubles)
        self._troubles.difference_update(commit.settled)
