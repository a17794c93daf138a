"""What the command line asks for: the words, where the cards go, what is kept, and how the process ends."""

from __future__ import annotations

import contextlib
import enum
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from sluicegate import ConfigurationError

from ._aside import OutputError
from ._cache_keys import cache_path
from ._degraded import Degradations, DegradedError
from ._format import Format
from ._one_line import os_reason
from ._settings import Settings, users_config
from ._summary import say
from ._vocabulary import Vocabulary, VocabularyError, read_vocabulary
from .cache import CompressedCache

STDIN = Path("-")
"""The name that stands for the standard input."""


class Exit(enum.IntEnum):
    """What the process returns."""

    OK = 0
    INCOMPLETE = 1
    """Rows were bad, words failed or were skipped, or the token budget was spent before the last one."""
    USAGE = 2
    CONFIGURATION = 3
    API = 4
    """The API refuses, or is out of order, or every word failed by it."""
    STORAGE = 5
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the command line asked for.

    Attributes:
        file: the vocabulary; `STDIN` for the standard input.
        output: where the cards go; None for beside the file, or from the standard input to standard output.
        format: the form they are written in.
        start_from: the first data row that is taken, counted from 1.
        limit: how many data rows are taken; None for all.
        resume: whether a run of the same words that was not completed is gone on with.
        cache_only: whether no request is made, and words that are not in the cache are listed.
        dry_run: whether no request is made, and what the job would take is told.
        batch_size: words each worker may run ahead of the oldest unfinished one.
        flags: settings given by flags, None where a flag was not given.
        config: the TOML file with settings; None for the user's own, where there is one.
        as_json: whether the summary is one JSON object on the standard output.
        quiet: whether only errors are told.
    """

    file: Path
    output: Path | None = None
    format: Format = Format.TSV
    start_from: int = 1
    limit: int | None = None
    resume: bool = True
    cache_only: bool = False
    dry_run: bool = False
    batch_size: int = 10
    flags: Mapping[str, object]
    config: Path | None = None
    as_json: bool = False
    quiet: bool = False


class UsageError(Exception):
    """The command line asks for something that cannot be."""


class StorageError(Exception):
    """What is kept cannot be read."""


def told(console: Console, command: Callable[[], int]) -> int:
    """Return the exit code of a command; whatever goes wrong with it is told in one line."""
    try:
        return command()
    except (UsageError, VocabularyError) as error:
        return _complain(console, error, Exit.USAGE)
    except ConfigurationError as error:
        return _complain(console, error, Exit.CONFIGURATION)
    except (OutputError, StorageError) as error:
        return _complain(console, error, Exit.STORAGE)
    except DegradedError as error:
        return _complain(console, error, Exit.CONFIGURATION if error.part == "telemetry" else Exit.STORAGE)
    except KeyboardInterrupt:
        return _complain(console, "interrupted", Exit.INTERRUPTED)


def _complain(console: Console, error: object, code: Exit) -> int:
    say(console, f"flashcards: {error}")
    return code


def settings_of(job: Job) -> Settings:
    """Return the settings that hold.

    Raises:
        ConfigurationError: one makes no sense.
    """
    return Settings.load(job.flags, os.environ, job.config or users_config(os.environ))


def vocabulary_of(job: Job) -> Vocabulary:
    """Return the words of the job.

    Raises:
        UsageError: the file cannot be read.
        VocabularyError: it is no vocabulary.
    """
    if job.file == STDIN:
        if sys.stdin is None:  # whoever started the process closed it
            raise UsageError("the standard input is closed; give a .csv file")
        return _rows(job, sys.stdin.buffer, "<stdin>")
    if job.file.suffix.lower() != ".csv":
        raise UsageError(f"{job.file} does not end in .csv; give a .csv file, or - for the standard input")
    try:
        with job.file.open("rb") as stream:
            return _rows(job, stream, str(job.file))
    except OSError as error:
        problem = f"cannot read {job.file}: {os_reason(error)}"
        raise UsageError(f"{problem}; give a .csv file, or - for the standard input") from error


def _rows(job: Job, stream: BinaryIO, source: str) -> Vocabulary:
    return read_vocabulary(stream, source=source, start_from=job.start_from, limit=job.limit)


def output_of(job: Job) -> Path | None:
    """Return where the cards go, None for the standard output.

    Raises:
        UsageError: they would go over the vocabulary, or between the lines of the summary.
    """
    if job.output is None:
        output = None if job.file == STDIN else job.file.with_suffix(f".{job.format}")
    else:
        output = None if job.output == STDIN else job.output
    if output is None and job.as_json:
        raise UsageError("--json needs the standard output for itself; say where the cards go with --output")
    if output is not None and _is_same_file(output, job.file):
        raise UsageError(f"{output} is the vocabulary itself; name another file by --output")
    return output


def _is_same_file(output: Path, file: Path) -> bool:
    try:
        return output.samefile(file)
    except OSError:  # one of them is not there
        return False


@contextlib.contextmanager
def opened_cache(
    job: Job, settings: Settings, degradations: Degradations
) -> Iterator[CompressedCache | None]:
    """Open the cache, or note that the job goes on without; the server it brings along needs none.

    Raises:
        UsageError: only the cache may be asked, and it may not.
        StorageError: only the cache may be asked, and it cannot be opened.
        DegradedError: it cannot be opened, and the job is not to go on without.
    """
    if job.cache_only and not settings.cache:
        raise UsageError("--cache-only and --no-cache leave nothing to ask; leave one of them out")
    if not settings.cache or (settings.embedded and not job.cache_only):
        yield None
        return
    path = cache_path(settings, os.environ)
    try:
        cache = CompressedCache(
            path, ttl=settings.cache_ttl, jitter=settings.cache_jitter, size=settings.cache_size
        )
    except (OSError, sqlite3.Error) as error:
        problem = f"cannot open the cache {path}: {error}; name another folder by --cache-dir"
        if job.cache_only:
            raise StorageError(problem) from error
        degradations.note("cache", problem, "answers are neither found nor kept")
        yield None
        return
    with cache:
        yield cache
