"""The main job: a vocabulary file in, cards out, and an exit code that says how it went."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from rich.console import Console

from sluicegate import RateLimiterConfig

from ._api import Api
from ._degraded import Degradations
from ._formats import open_output
from ._job import Exit, Job, opened_cache, output_of, settings_of, told, vocabulary_of
from ._log import LOG, logged
from ._progress import Display, Picture
from ._run import End, Run
from ._run_record import UNRECORDED
from ._settings import DEFAULT_BASE_URL, EMBEDDED_RATE, Settings
from ._stored import observe_pool, stored_run
from ._summary import Summary, say
from ._tally import Tally
from ._telemetry import start
from ._vocabulary import Vocabulary

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def process(job: Job) -> int:
    """Do the job and return its exit code; whatever goes wrong is told in one line."""
    console = Console(stderr=True)
    return told(console, lambda: _process(job, console))


def _process(job: Job, console: Console) -> int:
    settings = settings_of(job)
    vocabulary = vocabulary_of(job)
    output = output_of(job)
    with logged(settings, quiet=job.quiet):
        summary = asyncio.run(_run(job, settings, vocabulary, output, console))
    if not job.quiet:
        summary.print(console)
    summary.print_errors(console)
    if job.as_json:
        print(summary.as_json())
    return summary.exit_code


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


async def _run(
    job: Job, settings: Settings, vocabulary: Vocabulary, path: Path | None, console: Console
) -> Summary:
    tally = Tally()
    degradations = Degradations(lambda text: say(console, f"flashcards: {text}"), allowed=settings.degrade)
    telemetry = start(
        settings.telemetry, lambda text: degradations.note("telemetry", text, "nothing is measured")
    )
    with (
        contextlib.closing(telemetry),
        opened_cache(job, settings, degradations) as cache,
        contextlib.nullcontext()
        if job.cache_only
        else stored_run(
            str(job.file),
            settings,
            vocabulary,
            os.environ,
            degradations,
            resume=job.resume,
            has_cache=cache is not None,
        ) as stored,
        open_output(job.format, path) as output,
    ):
        record = UNRECORDED if stored is None else stored
        if stored is not None:
            observe_pool(telemetry, stored.pool)
            if not (stored.is_new or job.quiet):
                say(console, f"flashcards: {stored.greeting}")
        async with (
            _endpoint(job, settings, vocabulary) as base_url,
            Api(
                settings,
                base_url=base_url,
                tally=tally,
                cache=cache,
                cache_only=job.cache_only,
                telemetry=telemetry,
                record=record,
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
                record=record,
            )
            where = settings.base_url or base_url or DEFAULT_BASE_URL
            LOG.info("%d words, asked of %s at %s", run.total, where, settings.effective_rate)
            started = time.monotonic()
            async with _shown(job, run, api, console):
                with _interruptible(run, console):
                    end = await run.execute()
            seconds = time.monotonic() - started
        code = _exit_code(run, vocabulary)
        written = end is End.COMPLETED and code != Exit.API
        if written:
            output.complete()
        pool = None
        if stored is not None:
            stored.finish(end.value, code)
            pool = dataclasses.asdict(stored.pool.stats())
    if record.fault:
        degradations.found("database", f"cannot keep the run: {record.fault}", "not all of it was kept")
    if cache is not None and cache.fault:
        degradations.found("cache", f"cannot write the cache: {cache.fault}", "not every answer was kept")
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
        degraded=degradations.told,
        cost=api.cost,
        seconds=seconds,
        run=None if stored is None else stored.run_id,
        resumed=0 if stored is None else stored.resumed,
        pool=pool,
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
            cost=api.cost,
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
