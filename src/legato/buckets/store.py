"""Buckets of S3, Google Cloud Storage and Azure, by obstore."""

from __future__ import annotations

import builtins
from datetime import timedelta
from typing import Any

from legato.ports.bucket import ObjectFound
from legato.terms.errors import Unreachable

ANSWER_S = 10


class StoreBucket:
    """Lists a store of obstore; `open_bucket` makes one of a bucket's name."""

    def __init__(self, name: str, store: Any) -> None:
        self._name, self._store = name, store

    def list(self, prefix: str, after: str, most: int) -> builtins.list[ObjectFound]:
        """A page of objects, in the order of their names."""
        from obstore.exceptions import BaseError

        try:
            stream = self._store.list(prefix or None, offset=after or None, chunk_size=most)
            page = next(iter(stream), ())
        except (BaseError, OSError, ValueError) as error:
            why = str(error).partition("\n")[0][:300]
            raise Unreachable(
                "bucket", f"{self._name} cannot be listed", why=why, next="look at [buckets] in legato.toml"
            ) from error
        return [ObjectFound(each["path"], _digest(each), each["size"]) for each in page]


def open_bucket(name: str, *, endpoint: str = "", region: str = "", access: str = "", secret: str = "") -> StoreBucket:
    """The bucket of this name (`s3://landing`). Without keys, the environment of its provider says how to come in."""
    from obstore.store import from_url

    kind = name.partition("://")[0]
    named: dict[str, dict[str, str]] = {
        "s3": {"endpoint": endpoint, "region": region, "access_key_id": access, "secret_access_key": secret},
        "gs": {"service_account_key": secret},
        "az": {"endpoint": endpoint, "account_name": access, "account_key": secret},
    }
    config: Any = {key: value for key, value in named[kind].items() if value}
    options: Any = {"timeout": f"{ANSWER_S}s", "connect_timeout": "5s", "allow_http": endpoint.startswith("http://")}
    retries: Any = {"max_retries": 1, "retry_timeout": timedelta(seconds=ANSWER_S)}
    return StoreBucket(name, from_url(name, config=config, client_options=options, retry_config=retries))


def _digest(found: Any) -> str:
    """What tells the bytes of an object from others."""
    return str(found["e_tag"] or found["version"] or f"{found['last_modified'].isoformat()}/{found['size']}")
