"""Clocks as arguments, and waiting on the machine's own."""

import asyncio
import time

import pytest
import trio

from sluicegate import _native, _time
from sluicegate._time import resolve_clock, sleep_until, sleep_until_blocking
from sluicegate.testing import ManualClock

MILLISECOND = 1_000_000


def test_no_clock_is_the_monotonic_one():
    before = time.monotonic()
    assert before <= resolve_clock(None).now() <= time.monotonic()


def test_the_two_kinds_of_clock_are_taken_as_they_are(clock):
    machine = _native.MonotonicClock()
    assert resolve_clock(clock) is clock
    assert resolve_clock(machine) is machine


@pytest.mark.parametrize("bad", [time, time.monotonic, 0.0, "clock"])
def test_anything_else_is_no_clock(bad):
    with pytest.raises(TypeError, match="clock must be None, MonotonicClock or"):
        resolve_clock(bad)


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_task_wakes_at_its_deadline_and_never_before(library):
    clock = resolve_clock(None)

    async def main():
        early = []
        for _ in range(5):
            deadline = clock.now_ns() + MILLISECOND
            await sleep_until(clock, deadline)
            early.append(clock.now_ns() < deadline)
        return early

    assert not any(trio.run(main) if library == "trio" else asyncio.run(main()))


def test_a_thread_wakes_at_its_deadline_and_never_before():
    clock = resolve_clock(None)
    deadline = clock.now_ns() + MILLISECOND
    sleep_until_blocking(clock, deadline)
    assert clock.now_ns() >= deadline


async def test_a_task_woken_too_early_sleeps_on(monkeypatch):
    clock = resolve_clock(None)
    naps = []
    nap = asyncio.sleep

    async def broken_nap(delay):
        naps.append(delay)
        await nap(0 if len(naps) == 1 else delay)

    monkeypatch.setattr(_time.asyncio, "sleep", broken_nap)
    deadline = clock.now_ns() + 20 * MILLISECOND
    await sleep_until(clock, deadline)
    assert clock.now_ns() >= deadline
    assert len(naps) >= 2
    assert naps[1] < naps[0]


def test_a_thread_woken_too_early_sleeps_on(monkeypatch):
    clock = resolve_clock(None)
    naps = []
    nap = time.sleep

    def broken_nap(delay):
        naps.append(delay)
        nap(0 if len(naps) == 1 else delay)

    monkeypatch.setattr(_time.time, "sleep", broken_nap)
    deadline = clock.now_ns() + 20 * MILLISECOND
    sleep_until_blocking(clock, deadline)
    assert clock.now_ns() >= deadline
    assert len(naps) >= 2


def test_a_deadline_beyond_every_timer_is_slept_in_parts(monkeypatch):
    class EnoughError(Exception):
        pass

    def nap(delay):
        assert delay == 86_400.0
        raise EnoughError

    monkeypatch.setattr(_time.time, "sleep", nap)
    with pytest.raises(EnoughError):
        sleep_until_blocking(resolve_clock(None), 2**64 - 1)


def test_a_deadline_that_has_passed_does_not_yield():
    clock = resolve_clock(None)
    with pytest.raises(StopIteration):
        sleep_until(clock, clock.now_ns()).send(None)


async def test_a_cancelled_sleep_leaves_no_timer_that_wakes_anyone():
    clock = resolve_clock(None)
    task = asyncio.create_task(sleep_until(clock, clock.now_ns() + 3_600_000 * MILLISECOND))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(timer.cancelled() for timer in asyncio.get_running_loop()._scheduled)


async def test_a_manual_clock_makes_both_wait_on_its_own_time():
    clock = ManualClock(autojump=True)
    await sleep_until(clock, 5 * 1_000 * MILLISECOND)
    sleep_until_blocking(clock, 10 * 1_000 * MILLISECOND)
    assert clock.now() == 10.0
