"""The main job: a vocabulary file in, cards out, and an exit code that says how it went."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from sluicegate import ConfigurationError, RateLimiterConfig

from ._api import Api
from ._aside import OutputError
from ._cache_keys import cache_path
from ._format import Format
from ._formats import open_output
from ._one_line import os_reason
from ._progress import Display, Picture
from ._run import End, Run
from ._settings import EMBEDDED_RATE, Settings, users_config
from ._summary import Summary, say
from ._tally import Tally
from ._telemetry import start
from ._vocabulary import Vocabulary, VocabularyError, read_vocabulary
from ._wire import Usage
from .cache import CompressedCache

STDIN = Path("-")
"""The name that stands for the standard input."""

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class Exit(enum.IntEnum):
    """What the process returns."""

    OK = 0
    INCOMPLETE = 1
    """Some rows were bad, some words failed, or the token budget was spent before the last one."""
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
        cache_only: whether no request is made, and words that are not in the cache are listed.
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
    cache_only: bool = False
    batch_size: int = 10
    flags: Mapping[str, object]
    config: Path | None = None
    as_json: bool = False
    quiet: bool = False


def process(job: Job) -> int:
    """Do the job and return its exit code; whatever goes wrong is told in one line."""
    console = Console(stderr=True)
    try:
        settings = Settings.load(job.flags, os.environ, job.config or users_config(os.environ))
        vocabulary = _vocabulary(job)
        output = _output(job)
        summary = asyncio.run(_run(job, settings, vocabulary, output, console))
    except _UsageError as error:
        return _complain(console, error, Exit.USAGE)
    except VocabularyError as error:
        return _complain(console, error, Exit.USAGE)
    except ConfigurationError as error:
        return _complain(console, error, Exit.CONFIGURATION)
    except (OutputError, _StorageError) as error:
        return _complain(console, error, Exit.STORAGE)
    except KeyboardInterrupt:
        return _complain(console, "interrupted", Exit.INTERRUPTED)
    if not job.quiet:
        summary.print(console)
    summary.print_errors(console)
    if job.as_json:
        print(summary.as_json())
    return summary.exit_code


class _UsageError(Exception):
    """The command line asks for something that cannot be."""


class _StorageError(Exception):
    """What is kept cannot be read."""


def _complain(console: Console, error: object, code: Exit) -> int:
    say(console, f"flashcards: {error}")
    return code


def _vocabulary(job: Job) -> Vocabulary:
    if job.file == STDIN:
        return _rows(job, sys.stdin.buffer, "<stdin>")
    if job.file.suffix.lower() != ".csv":
        raise _UsageError(f"{job.file} does not end in .csv")
    try:
        with job.file.open("rb") as stream:
            return _rows(job, stream, str(job.file))
    except OSError as error:
        raise _UsageError(f"cannot read {job.file}: {os_reason(error)}") from error


def _rows(job: Job, stream: BinaryIO, source: str) -> Vocabulary:
    return read_vocabulary(stream, source=source, start_from=job.start_from, limit=job.limit)


def _output(job: Job) -> Path | None:
    if job.output is None:
        output = None if job.file == STDIN else job.file.with_suffix(f".{job.format}")
    else:
        output = None if job.output == STDIN else job.output
    if output is None and job.as_json:
        raise _UsageError("--json needs the standard output for itself; say where the cards go with --output")
    if output is not None and _is_same_file(output, job.file):
        raise _UsageError(f"{output} is the vocabulary itself")
    return output


def _is_same_file(output: Path, file: Path) -> bool:
    try:
        return output.samefile(file)
    except OSError:  # one of them is not there
        return False


@contextlib.asynccontextmanager
async def _endpoint(job: Job, settings: Settings, vocabulary: Vocabulary) -> AsyncIterator[str | None]:
    """Yield the base URL of the server the job brings along, or None where the settings name an API."""
    if not settings.embedded or job.cache_only:
        yield None
        return
    from .server import EmbeddedServer  # noqa: PLC0415 - a web server, needed by this path alone

    unlimited = RateLimiterConfig.parse(settings.effective_rate).rate == float("inf")
    async with EmbeddedServer(vocabulary.items, rate="inf/s" if unlimited else EMBEDDED_RATE) as server:
        yield server.base_url


@contextlib.contextmanager
def _cache(job: Job, settings: Settings, console: Console) -> Iterator[CompressedCache | None]:
    """Open the cache, or say that the job goes on without; the server it brings along needs none."""
    if job.cache_only and not settings.cache:
        raise _UsageError("--cache-only and --no-cache leave nothing to ask")
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
            raise _StorageError(problem) from error
        say(console, f"flashcards: {problem}; the job goes on, and answers are not kept")
        yield None
        return
    with cache:
        yield cache


async def _run(
    job: Job, settings: Settings, vocabulary: Vocabulary, path: Path | None, console: Console
) -> Summary:
    tally = Tally()
    telemetry = start(settings.telemetry, lambda text: say(console, f"flashcards: {text}"))
    with (
        contextlib.closing(telemetry),
        _cache(job, settings, console) as cache,
        open_output(job.format, path) as output,
    ):
        async with (
            _endpoint(job, settings, vocabulary) as base_url,
            Api(
                settings,
                base_url=base_url,
                tally=tally,
                cache=cache,
                cache_only=job.cache_only,
                telemetry=telemetry,
            ) as api,
        ):
            run = Run(
                vocabulary.items,
                api,
                output,
                tally,
                concurrency=settings.concurrency,
                window=settings.concurrency * job.batch_size,
                telemetry=telemetry,
            )
            started = time.monotonic()
            async with _shown(job, run, api, console):
                with _interruptible(run, console):
                    end = await run.execute()
            seconds = time.monotonic() - started
        code = _exit_code(run, vocabulary)
        written = end is End.COMPLETED and code != Exit.API
        if written:
            output.complete()
    if cache is not None and cache.fault:
        say(console, f"flashcards: not every answer could be kept: {cache.fault}")
    stats, snapshot = api.admission.limiter.stats(), api.breaker.snapshot()
    return Summary(
        end=end,
        reason=run.reason or ("every word failed by the API" if run.failed_by_api else ""),
        exit_code=code,
        output=(str(path) if path else "<stdout>") if written else None,
        words=len(vocabulary.items),
        failed=run.failed,
        bad_rows=vocabulary.bad_rows,
        tally=tally,
        limiter_refusals=stats.denied,
        limiter_waits=api.admission.waits,
        limiter_waited_seconds=stats.waited,
        shared_calls=api.flights.shared,
        cache_served=(0, 0) if cache is None else cache.served,
        breaker_trips=snapshot.trips,
        breaker_rejections=snapshot.total_rejected,
        latencies={stage: latencies.percentiles() for stage, latencies in api.latencies.items()},
        cost=settings.price(Usage(tally.prompt_tokens, tally.completion_tokens)),
        seconds=seconds,
    )


def _exit_code(run: Run, vocabulary: Vocabulary) -> Exit:
    if run.end is End.INTERRUPTED:
        return Exit.INTERRUPTED
    if run.end is End.BUDGET:
        return Exit.INCOMPLETE
    if run.end is not End.COMPLETED or run.failed_by_api:
        return Exit.API
    return Exit.INCOMPLETE if run.failed or vocabulary.bad_rows else Exit.OK


@contextlib.asynccontextmanager
async def _shown(job: Job, run: Run, api: Api, console: Console) -> AsyncIterator[None]:
    """Show the run for the length of the block."""
    if job.quiet:
        yield
        return
    tally = api.tally

    def look() -> Picture:
        return Picture(
            done=tally.words,
            total=run.total,
            failed=len(run.failed),
            requests=tally.requests,
            limit=api.admission.rate,
            burst=api.admission.burst,
            retries=tally.retries,
            breaker=api.breaker.state.name.lower().replace("_", "-"),
            tokens=tally.total_tokens,
            waiting_for=api.waiting_for,
        )

    watching = asyncio.create_task(Display(console, look).watch(), name="display")
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


@contextlib.contextmanager
def _interruptible(run: Run, console: Console) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end the run for the length of the block: once gently, twice at once."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if run.end is End.COMPLETED:
            say(console, "finishing the calls in flight; once more to stop now")
            run.stop(End.INTERRUPTED, "interrupted")
        else:
            run.abort()

    # Where a platform or a thread cannot have handlers, Ctrl-C stops at once.
    with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
        for number in _INTERRUPTS:
            loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            for number in _INTERRUPTS:
                loop.remove_signal_handler(number)
