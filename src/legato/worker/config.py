"""Reads a project's configuration: `legato.toml`, or `[tool.legato]` in `pyproject.toml`, here or in a folder above."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from legato.declare.draft import BUILT_IN_STORAGES
from legato.declare.keep import DEFAULT_KEEP, KEEP_KEYS, Keep, parse_keep
from legato.declare.manuscript import Script
from legato.declare.pool import Limit, parse_rate
from legato.declare.resolve import did_you_mean
from legato.terms.errors import EXIT_INVALID, Fault, InvalidProject, LegatoError, Place
from legato.terms.key import NAME_HINT, is_name
from legato.worker.outside import Broker, Bucket, read_broker, read_buckets

ExecutorKind = Literal["process", "inline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a project says of itself. `workers` of 0 means one for each core; `storage` keeps what names no other storage; `text`
    is what the file says.

    `storages` maps further names to settings: `kind` is one of the built-in storages, the rest is its own.
    """

    name: str
    root: Path
    file: Path
    modules: tuple[str, ...] = ()
    pools: Mapping[str, Limit] = field(default_factory=dict)
    workers: int = 0
    executor: ExecutorKind = "process"
    storage: str = BUILT_IN_STORAGES[0]
    storages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keep: Keep = DEFAULT_KEEP
    broker: Broker | None = None
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    text: bytes = b""

    @property
    def home(self) -> Path:
        """The folder where Legato keeps this project's state and data."""
        return self.root / ".legato"


KEYS = ("name", "modules", "pools", "workers", "executor", "storage", "storages", "keep", "broker", "buckets")


def read_config(folder: Path) -> tuple[Config, list[Fault]]:
    """The configuration of the project that `folder` is in, with what is wrong with it."""
    for each in (folder.resolve(), *folder.resolve().parents):
        for name in ("legato.toml", "pyproject.toml"):
            file = each / name
            text = file.read_bytes() if file.is_file() else b""
            settings = _settings(file, text) if file.is_file() else None
            if settings is not None:
                return _Reader(file, text, settings).config()
    raise LegatoError(
        "project-none",
        "no legato.toml here or above",
        where=str(folder),
        why="a project is a folder with a legato.toml, or a pyproject.toml with [tool.legato]",
        next="legato init",
        exit_code=EXIT_INVALID,
    )


def config_of_then(folder: Path, script: Script) -> tuple[Config, list[Fault]]:
    """What the project in a folder said of itself when it was this script. Where things lie and how work is done is as it is now:
    storages, broker and buckets, what is kept for how long, executor and workers."""
    now, _ = read_config(folder)
    file = now.root / script.settings_file
    then, faults = _Reader(file, script.settings, _settings(file, script.settings) or {}).config()
    return replace(
        then, storages={**then.storages, **now.storages}, broker=then.broker and (now.broker or then.broker),
        buckets={name: now.buckets.get(name, each) for name, each in then.buckets.items()},
        keep=now.keep, executor=now.executor, workers=now.workers,
    ), faults  # fmt: skip


def _settings(file: Path, body: bytes) -> dict[str, Any] | None:
    """The settings in a file; None if it is not about Legato."""
    mine = file.name == "legato.toml"
    text = body.decode("utf-8", errors="replace")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        if not mine and "[tool.legato" not in text:
            return None
        line = re.search(r"line (\d+)", str(error))
        place = Place(str(file), int(line[1]) if line else 0)
        raise InvalidProject([Fault("config-toml", f"this is not TOML: {error}", place, "see https://toml.io")]) from None
    if mine:
        return content
    settings = content.get("tool", {}).get("legato")
    if settings is None:
        return None
    return {"name": content.get("project", {}).get("name", file.parent.name), **settings}


class _Reader:
    """Checks one setting a method: a sound value is taken, anything else becomes a fault and the default."""

    def __init__(self, file: Path, text: bytes, settings: dict[str, Any]) -> None:
        self._file, self._text, self._settings = file, text, settings
        self._lines = text.decode("utf-8", errors="replace").splitlines()
        self._faults: list[Fault] = []

    def config(self) -> tuple[Config, list[Fault]]:
        for key in self._settings:
            if key not in KEYS:
                hint = did_you_mean(key, KEYS) or f"the keys are {', '.join(KEYS)}"
                self._fault("config-key", f"`{key}` is no setting of Legato", hint, key)
        storages = self._storages()
        config = Config(
            name=self._name(),
            root=self._file.parent,
            file=self._file,
            modules=self._modules(),
            pools=self._pools(),
            workers=self._workers(),
            executor=self._executor(),
            storage=self._storage(storages),
            storages=storages,
            keep=self._keep(),
            broker=read_broker(self._settings.get("broker"), self._fault),
            buckets=read_buckets(self._settings.get("buckets"), self._fault),
            text=self._text,
        )
        return config, self._faults

    def _fault(self, code: str, what: str, hint: str, key: str) -> None:
        starts = re.compile(rf"\s*(\[.*\b)?[\"']?{re.escape(key)}[\"']?\s*(=|\])")
        line = next((number for number, text in enumerate(self._lines, 1) if starts.match(text)), 0)
        self._faults.append(Fault(code, what, Place(str(self._file), line), hint))

    def _name(self) -> str:
        value = self._settings.get("name", self._file.parent.name)
        if isinstance(value, str) and value.strip():
            return value
        self._fault("config-value", f"name = {value!r} is not text", 'write name = "flights"', "name")
        return self._file.parent.name

    def _modules(self) -> tuple[str, ...]:
        value = self._settings.get("modules", [])
        if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            return tuple(dict.fromkeys(value))
        what = "modules must list what to load" if "modules" in self._settings else "modules is missing"
        self._fault("config-modules", what, 'write modules = ["pipeline"], names or files of Python modules', "modules")
        return ()

    def _pools(self) -> dict[str, Limit]:
        value = self._settings.get("pools", {})
        if not isinstance(value, dict):
            self._fault("config-value", "pools must be a table", "write [pools] and below it crm = 2", "pools")
            return {}
        return {name: self._pool(name, size) for name, size in value.items()}

    def _pool(self, name: str, size: Any) -> Limit:
        """The size of a pool: `crm = 2`, or `crm = { slots = 2, rate = "100/min" }`."""
        given = size if isinstance(size, dict) else {"slots": size}
        slots, rate = given.get("slots"), given.get("rate")
        if not is_name(name):
            self._fault("name", f"{name!r} cannot be the name of a pool", NAME_HINT, name)
        elif not given or not given.keys() <= {"slots", "rate"}:
            hint = f'write {name} = 2, or {name} = {{ slots = 2, rate = "100/min" }}'
            self._fault("pool-size", f"pool `{name}` has no slots and no rate, or more than these", hint, name)
        elif "slots" in given and (not isinstance(slots, int) or isinstance(slots, bool) or slots < 1):
            self._fault("pool-size", f"pool `{name}` has {slots!r} slots", f"write {name} = 1 or more", name)
        else:
            try:
                return Limit(slots, *(parse_rate(rate) if rate is not None else ()))
            except LegatoError as error:
                self._fault("rate", f"pool `{name}`: {error.what}", error.next, name)
        return Limit()

    def _workers(self) -> int:
        value = self._settings.get("workers", 0)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._fault("config-value", f"workers = {value!r} is not a number of processes", "write workers = 4", "workers")
        return 0

    def _executor(self) -> ExecutorKind:
        value = self._settings.get("executor", "process")
        if value == "inline":
            return "inline"
        if value != "process":
            self._fault("config-value", f"executor = {value!r} is unknown", "write process or inline", "executor")
        return "process"

    def _keep(self) -> Keep:
        value = self._settings.get("keep", {})
        if not isinstance(value, dict):
            self._fault("config-value", "keep must be a table", 'write [keep] and below it runs = "90d"', "keep")
            return DEFAULT_KEEP
        found: dict[str, Any] = {}
        for name, each in value.items():
            if name not in KEEP_KEYS:
                hint = did_you_mean(name, KEEP_KEYS) or f"the keys are {', '.join(KEEP_KEYS)}"
                self._fault("config-key", f"`{name}` is nothing that is kept for a while", hint, name)
                continue
            try:
                found |= parse_keep(name, each)
            except LegatoError as error:
                self._fault(error.code, error.what, error.next, name)
        return Keep(**found)

    def _storages(self) -> dict[str, dict[str, Any]]:
        value = self._settings.get("storages", {})
        sound = {}
        for name, settings in value.items() if isinstance(value, dict) else [("storages", value)]:
            if isinstance(settings, dict) and settings.get("kind") in BUILT_IN_STORAGES and is_name(name):
                sound[name] = settings
                continue
            hint = f'write [storages.lake] and below it kind = "files" (kinds: {", ".join(BUILT_IN_STORAGES)})'
            self._fault("config-value", f"storage `{name}` has no known kind", hint, name)
        return sound

    def _storage(self, storages: Mapping[str, Any]) -> str:
        value = self._settings.get("storage", BUILT_IN_STORAGES[0])
        known = (*BUILT_IN_STORAGES, *storages)
        if isinstance(value, str) and value in known:
            return value
        hint = did_you_mean(str(value), known) or f"there are {', '.join(known)}"
        self._fault("storage-unknown", f"storage = {value!r} is unknown", hint, "storage")
        return BUILT_IN_STORAGES[0]
