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

from ._one_line import os_reason, shown
from ._settings import DEFAULT_BASE_URL, Settings, users_config
from ._show import masked_url


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
    if settings.cache_dir is None:
        return Finding("cache", True, "cache_dir is not set")

    def write() -> None:
        folder = settings.cache_dir or Path()
        while not folder.exists():
            folder = folder.parent
        tempfile.TemporaryFile(dir=folder).close()

    found = f"{settings.cache_dir} can be written"
    return _attempt(
        "cache", found, f"make {settings.cache_dir} writable, or name another by cache_dir", write
    )


def check_database(settings: Settings) -> Finding:
    """Open the database, where SQLAlchemy is there to do it."""
    if importlib.util.find_spec("sqlalchemy") is None:
        return Finding("database", True, "SQLAlchemy is not installed; runs are not kept yet")
    if settings.database_url is None:
        return Finding("database", True, "database_url is not set; runs are not kept yet")
    where = masked_url(settings.database_url)
    try:
        engine = importlib.import_module("sqlalchemy").create_engine(settings.database_url)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except Exception as error:  # whatever a driver raises is the finding
        reason = shown(str(error).partition("\n")[0]).replace(settings.database_url, where)
        return Finding(
            "database", False, f"{where}: {reason}", "check database_url, or leave it out for SQLite"
        )
    return Finding("database", True, f"{where} opens")


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
