"""`flashcards doctor`: what a run needs, tried one by one, and what to do about what is missing.

Nothing is sent that is paid for: the network is tried by a connection alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sluicegate import ConfigurationError, RateLimiter

from ._cache_keys import cache_path
from ._one_line import os_reason
from ._settings import DEFAULT_BASE_URL, Settings, users_config


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: what was looked at.
        ok: whether a run can do with it.
        found: what is there, in one line.
        remedy: what to do; empty where nothing is to be done.
    """

    check: str
    ok: bool
    found: str
    remedy: str = ""


def doctor(flags: Mapping[str, object], config: Path | None, *, as_json: bool) -> int:
    """Print what every check found on stdout, and return 0, or 1 where one failed."""
    findings = [check_core()]
    try:
        settings = Settings.load(flags, os.environ, config or users_config(os.environ))
    except ConfigurationError as error:
        findings.append(Finding("settings", False, str(error), "correct it where it is named"))
    else:
        findings.append(Finding("settings", True, f"{len(settings.sources)} set, the rest by default"))
        findings += [check(settings) for check in CHECKS]
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok ' if finding.ok else 'NO '} {finding.check:<9} {finding.found}")
            if finding.remedy:
                print(f"{'':14}{finding.remedy}")
    return 0 if all(finding.ok for finding in findings) else 1


def check_core() -> Finding:
    """Draw a permit of one, and see the next refused."""
    limiter = RateLimiter("0/s;burst=1")
    if limiter.try_acquire() and not limiter.try_acquire():
        return Finding("core", True, "the native module loads and decides")
    return Finding("core", False, "the native module decides wrongly", "install sluicegate anew")


def check_key(settings: Settings) -> Finding:
    """Look whether there is a key, where the API wants one."""
    if settings.api_key is not None:
        return Finding("key", True, f"set by {settings.sources.get('api_key', 'the caller')}")
    if settings.embedded:
        return Finding(
            "key", True, "none; cards are made by a server on this machine (set OPENROUTER_API_KEY)"
        )
    return Finding("key", True, f"none; {settings.base_url} is asked without Authorization")


def check_network(settings: Settings) -> Finding:
    """Connect to the API, or to this machine where it brings its own."""
    if settings.embedded:
        return _attempt("network", "loopback works", "allow sockets on 127.0.0.1", _listen)
    url = urlsplit(settings.base_url or DEFAULT_BASE_URL)
    address = (url.hostname or "", url.port or (443 if url.scheme == "https" else 80))

    def connect() -> None:
        socket.create_connection(address, timeout=settings.connect_timeout).close()

    where = f"{address[0]}:{address[1]}"
    return _attempt(
        "network", f"{where} answers", f"check the network, a proxy, and base_url ({where})", connect
    )


def check_cache(settings: Settings) -> Finding:
    """Write into the folder of the cache, or into the one it would be made in."""
    if not settings.cache:
        return Finding("cache", True, "switched off")
    folder = cache_path(settings, os.environ).parent
    return _attempt(
        "cache",
        f"{folder} can be written",
        f"make {folder} writable, or name another by cache_dir",
        lambda: _write_into(folder),
    )


def check_database(settings: Settings) -> Finding:
    """Open the database and look at its tables, or at the folder that its file would be made in."""
    if importlib.util.find_spec("sqlalchemy") is None:
        return Finding(
            "database", False, "SQLAlchemy is not installed", 'pip install "sluicegate[flashcards]"'
        )
    from .store import Database, StoreError, default_path, revision_of  # noqa: PLC0415 - SQLAlchemy

    default = default_path(os.environ)
    if settings.database_url is None and not default.exists():
        return _attempt(
            "database",
            f"{default} can be made",
            f"make {default.parent} writable, or name another by database_url",
            lambda: _write_into(default.parent),
        )
    try:
        with Database(settings, os.environ) as database, database.reading() as connection:
            revision = revision_of(connection)
    except (ConfigurationError, StoreError) as error:
        return Finding("database", False, str(error), "check database_url, or leave it out for SQLite")
    tables = "has no tables yet" if revision is None else f"has tables of revision {revision}"
    return Finding("database", True, f"{database.shown_url} opens, and {tables}")


def _write_into(folder: Path) -> None:
    while not folder.exists():
        folder = folder.parent
    tempfile.TemporaryFile(dir=folder).close()


def _listen() -> None:
    socket.create_server(("127.0.0.1", 0)).close()


def _attempt(check: str, found: str, remedy: str, action: Callable[[], None]) -> Finding:
    try:
        action()
    except OSError as error:
        return Finding(check, False, os_reason(error), remedy)
    return Finding(check, True, found)


CHECKS: tuple[Callable[[Settings], Finding], ...] = (check_key, check_network, check_cache, check_database)
"""What is looked at once the settings are read, in this order."""
