"""What `flashcards cache` does: look at the answers that are kept, or forget them."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from sluicegate import ConfigurationError

from ._cache_keys import cache_path
from ._settings import Settings, users_config
from .cache import CompressedCache


def tell_stats(flags: Mapping[str, object], config: Path | None) -> int:
    """Print place, count and size as one JSON object, and return the exit code."""

    def tell(path: Path, cache: CompressedCache) -> None:
        stats = cache.stats()
        print(json.dumps({"path": str(path), "entries": stats.entries, "bytes": stats.bytes}))

    return _open(flags, config, tell)


def clear(flags: Mapping[str, object], config: Path | None) -> int:
    """Forget every answer, say how many they were, and return the exit code."""
    return _open(flags, config, lambda path, cache: print(f"{cache.clear()} answers forgotten in {path}"))


def _open(
    flags: Mapping[str, object], config: Path | None, do: Callable[[Path, CompressedCache], None]
) -> int:
    try:
        settings = Settings.load(flags, os.environ, config or users_config(os.environ))
    except ConfigurationError as error:
        print(f"flashcards: {error}", file=sys.stderr)
        return 3
    path = cache_path(settings, os.environ)
    try:
        with CompressedCache(path) as cache:
            do(path, cache)
    except (OSError, sqlite3.Error) as error:
        print(f"flashcards: cannot use the cache {path}: {error}", file=sys.stderr)
        return 5
    return 0
