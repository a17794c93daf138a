"""What `flashcards cache` does: look at the answers that are kept, carry them elsewhere, or forget them."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from sluicegate import ConfigurationError

from ._aside import Aside, OutputError
from ._cache_file import BadAnswer, CacheFileError, read_answers, write_answers
from ._cache_keys import cache_path
from ._job import STDIN, Exit
from ._one_line import os_reason
from ._settings import Settings, users_config
from ._summary import say_list
from .cache import CompressedCache


def tell_stats(flags: Mapping[str, object], config: Path | None) -> int:
    """Print place, count and size as one JSON object, and return the exit code."""

    def tell(path: Path, cache: CompressedCache) -> int:
        stats = cache.stats()
        print(json.dumps({"path": str(path), "entries": stats.entries, "bytes": stats.bytes}))
        return Exit.OK

    return _open(flags, config, tell)


def clear(flags: Mapping[str, object], config: Path | None) -> int:
    """Forget every answer, say how many they were, and return the exit code."""

    def forget(path: Path, cache: CompressedCache) -> int:
        print(f"{cache.clear()} answers forgotten in {path}")
        return Exit.OK

    return _open(flags, config, forget)


def export(file: Path, flags: Mapping[str, object], config: Path | None) -> int:
    """Write every answer into a file, or to stdout where that is `-`, and return the exit code."""
    target = None if file == STDIN else file

    def write(path: Path, cache: CompressedCache) -> int:
        with Aside(target) as aside:
            count = write_answers(aside.stream, cache.answers())
            aside.complete()
        print(f"{count:,} answers of {path} written to {target or '<stdout>'}", file=sys.stderr)
        return Exit.OK

    return _open(flags, config, write)


def warm(file: Path, flags: Mapping[str, object], config: Path | None) -> int:
    """Keep the answers of a file, or of stdin, that are not kept yet; return 1 where lines held none."""
    source = "<stdin>" if file == STDIN else str(file)
    sifted = _Sifted()

    def keep(path: Path, cache: CompressedCache) -> int:
        try:
            if file == STDIN and sys.stdin is None:  # whoever started the process closed it
                return _complain("the standard input is closed; give a file", Exit.USAGE)
            if file == STDIN:
                cache.warm(sifted.sift(sys.stdin.buffer, cache))
            else:
                with file.open("rb") as stream:
                    cache.warm(sifted.sift(stream, cache))
        except OSError as error:
            return _complain(f"cannot read {source}: {os_reason(error)}", Exit.USAGE)
        except CacheFileError as error:
            return _complain(f"{source}: {error}", Exit.USAGE)
        cache.close()
        if cache.fault:
            return _complain(f"cannot write the cache {path}: {cache.fault}", Exit.STORAGE)
        print(f"{sifted.fresh:,} answers of {source} kept in {path}, {sifted.known:,} were there already")
        say_list(Console(stderr=True), "bad lines", [f"line {bad.line}: {bad.reason}" for bad in sifted.bad])
        return Exit.INCOMPLETE if sifted.bad else Exit.OK

    return _open(flags, config, keep)


@dataclass(slots=True)
class _Sifted:
    """What became of the lines of a file."""

    fresh: int = 0
    known: int = 0
    bad: list[BadAnswer] = field(default_factory=list)

    def sift(self, stream: BinaryIO, cache: CompressedCache) -> Iterator[tuple[bytes, str]]:
        """Yield the answers that are not kept yet, or not legibly."""
        for found in read_answers(stream):
            if isinstance(found, BadAnswer):
                self.bad.append(found)
            elif cache.get(found[0]) is not None:
                self.known += 1
            else:
                self.fresh += 1
                yield found


def _complain(problem: str, code: Exit) -> Exit:
    print(f"flashcards: {problem}", file=sys.stderr)
    return code


def _open(
    flags: Mapping[str, object], config: Path | None, do: Callable[[Path, CompressedCache], int]
) -> int:
    try:
        settings = Settings.load(flags, os.environ, config or users_config(os.environ))
    except ConfigurationError as error:
        return _complain(str(error), Exit.CONFIGURATION)
    path = cache_path(settings, os.environ)
    try:
        with CompressedCache(
            path, ttl=settings.cache_ttl, jitter=settings.cache_jitter, size=settings.cache_size
        ) as cache:
            return do(path, cache)
    except OutputError as error:
        return _complain(str(error), Exit.STORAGE)
    except (OSError, sqlite3.Error) as error:
        return _complain(
            f"cannot use the cache {path}: {error}; name another folder by --cache-dir", Exit.STORAGE
        )
