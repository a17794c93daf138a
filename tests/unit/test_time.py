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


@pytest.fixture
async def alarms(monkeypatch):
    """When the running loop is asked to wake somebody; the first is woken at once."""
    loop = asyncio.get_running_loop()
    call_at, asked = loop.call_at, []

    def hasty(when, callback, *args):
        asked.append(when)
        return call_at(loop.time() if len(asked) == 1 else when, callback, *args)

    monkeypatch.setattr(loop, "call_at", hasty)
    return asked


async def test_a_task_woken_too_early_sleeps_on(alarms):
    clock = resolve_clock(None)
    deadline = clock.now_ns() + 20 * MILLISECOND
    await sleep_until(clock, deadline)
    assert clock.now_ns() >= deadline
    assert len(alarms) >= 2


async def test_a_task_sleeps_until_an_absolute_time_so_that_nobody_overtakes_it(alarms):
    clock = resolve_clock(None)
    deadline = clock.now_ns() + MILLISECOND
    await sleep_until(clock, deadline)
    assert alarms == pytest.approx([deadline / 1e9] * len(alarms), rel=0, abs=1e-8)


async def test_a_loop_with_a_time_of_its_own_is_asked_for_it(alarms, monkeypatch):
    loop, clock = asyncio.get_running_loop(), resolve_clock(None)
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 1_000)
    deadline = clock.now_ns() + MILLISECOND
    await sleep_until(clock, deadline)
    assert clock.now_ns() >= deadline
    assert alarms[0] >= deadline / 1e9 + 1_000


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
