"""Use the installed package, and nothing but the package, from outside the checkout."""

import asyncio
import sys
from importlib import metadata, resources, util
from pathlib import Path

import sluicegate
from sluicegate.testing import ManualClock


def check_files() -> None:
    """The wheel carries its licences and types, and comes from this environment."""
    assert Path(sluicegate.__file__).is_relative_to(sys.prefix), sluicegate.__file__
    assert resources.files(sluicegate).joinpath("py.typed").is_file()
    assert resources.files(sluicegate).joinpath("_native.pyi").is_file()
    names = {file.name for file in metadata.files("sluicegate") or ()}
    assert {"LICENSE-MIT", "LICENSE-APACHE"} <= names, names
    assert not [needed for needed in metadata.requires("sluicegate") or () if "extra ==" not in needed]
    assert not [extra for extra in ("httpx", "httpx2", "rich", "typer") if util.find_spec(extra)]


def check_limiter() -> None:
    """A limiter admits its burst, and again once the time has passed."""
    clock = ManualClock()
    limiter = sluicegate.RateLimiter("2/s", clock=clock)
    assert [limiter.try_acquire() for _ in range(3)] == [True, True, False]
    clock.advance(limiter.peek().retry_after)
    assert limiter.try_acquire()


def check_pipeline() -> None:
    """A retry gets through a limiter and a breaker, and waits on the clock it was given."""
    clock = ManualClock(autojump=True)
    breaker = sluicegate.CircuitBreaker(clock=clock)
    limiter = sluicegate.RateLimiter("1/s", clock=clock)
    pipeline = sluicegate.Pipeline(sluicegate.Retry(clock=clock), limiter, breaker)
    calls = []

    async def flaky() -> str:
        calls.append(clock.now())
        if len(calls) < 3:
            raise ConnectionError
        return "done"

    assert asyncio.run(pipeline.call(flaky)) == "done"
    assert len(calls) == 3
    assert calls[2] >= 2.0, calls
    assert breaker.snapshot().total_failures == 2


check_files()
check_limiter()
check_pipeline()
print(f"sluicegate {metadata.version('sluicegate')} works from {sys.prefix}")
