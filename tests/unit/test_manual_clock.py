"""The manual clock: how it moves, whom it wakes and when it jumps."""

import asyncio
import random
import socket
import threading
from datetime import timedelta

import pytest
import trio

from sluicegate._durations import FOREVER_NS
from sluicegate.testing import ManualClock

SECOND = 1_000_000_000


def run_asyncio(main):
    return asyncio.run(main())


@pytest.fixture(params=[run_asyncio, trio.run], ids=["asyncio", "trio"])
def run(request):
    """Run a coroutine function in either library."""
    return request.param


async def together(*functions):
    """Run coroutine functions side by side, in the library that is running."""
    if trio.lowlevel.in_trio_run():
        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)
    else:
        async with asyncio.TaskGroup() as group:
            for function in functions:
                group.create_task(function())


async def in_turn(*functions):
    """The same, but each begins once those before it wait: trio starts tasks in any order."""
    if not trio.lowlevel.in_trio_run():
        await together(*functions)
        return
    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(function)
            await settle()


async def settle():
    """Let every other task run until it waits."""
    if trio.lowlevel.in_trio_run():
        await trio.testing.wait_all_tasks_blocked()
    else:
        for _ in range(10):
            await asyncio.sleep(0)


async def elsewhere(function):
    """Run a function in another thread, and wait for it."""
    await (trio.to_thread.run_sync(function) if trio.lowlevel.in_trio_run() else asyncio.to_thread(function))


class TestMoving:
    def test_starts_at_zero_and_stands_still(self):
        clock = ManualClock()
        assert (clock.now(), clock.now_ns()) == (0.0, 0)

    def test_starts_where_it_is_told(self):
        assert ManualClock(2.5).now_ns() == 2_500_000_000
        assert ManualClock(start=timedelta(minutes=1)).now() == 60.0

    def test_advances_by_seconds_and_by_nanoseconds(self):
        clock = ManualClock()
        clock.advance(0.1)
        clock.advance_ns(1)
        clock.advance(timedelta(seconds=1))
        assert clock.now_ns() == 1_100_000_001

    def test_may_be_set_back(self):
        clock = ManualClock(10.0)
        clock.set(4.0)
        assert clock.now() == 4.0

    @pytest.mark.parametrize("bad", [-1.0, float("nan"), timedelta(seconds=-1)])
    def test_refuses_to_advance_backwards(self, bad):
        with pytest.raises(ValueError):
            ManualClock().advance(bad)

    def test_refuses_a_quiet_below_zero(self):
        with pytest.raises(ValueError, match="quiet"):
            ManualClock(quiet=-1)

    def test_shows_its_time(self):
        assert repr(ManualClock(1.5, autojump=True)) == "ManualClock(1.5, autojump=True)"


class TestSleepersOfATask:
    def test_wake_in_the_order_of_their_deadlines_first_come_first_among_equals(self, run):
        clock, woken = ManualClock(), []
        deadlines = [5, 3, 5, 1, 3, 3, 9]

        async def main():
            async def sleeper(name, deadline):
                await clock.sleep_until(deadline * SECOND)
                woken.append((name, clock.now()))

            async def mover():
                await settle()
                assert clock.sleepers == 7
                clock.advance(5)
                await settle()
                assert clock.sleepers == 1
                clock.advance(4)

            await in_turn(
                *(lambda n=name, d=deadline: sleeper(n, d) for name, deadline in enumerate(deadlines)), mover
            )

        run(main)
        assert woken == [(3, 5.0), (1, 5.0), (4, 5.0), (5, 5.0), (0, 5.0), (2, 5.0), (6, 9.0)]

    def test_wake_in_order_however_many_there_are(self, run):
        clock, woken = ManualClock(), []
        rng = random.Random(7)
        deadlines = [rng.randrange(1, 5) for _ in range(60)]

        async def main():
            async def sleeper(name, deadline):
                await clock.sleep_until(deadline * SECOND)
                woken.append((deadline, name))

            async def mover():
                while clock.sleepers < len(deadlines):
                    await settle()
                clock.advance(5)

            await in_turn(
                *(lambda n=name, d=deadline: sleeper(n, d) for name, deadline in enumerate(deadlines)), mover
            )

        run(main)
        assert woken == sorted(woken)

    def test_sleep_on_until_the_very_nanosecond(self, run):
        clock = ManualClock()

        async def main():
            async def mover():
                await settle()
                clock.advance_ns(SECOND - 1)
                await settle()
                assert clock.sleepers == 1
                clock.advance_ns(1)

            await in_turn(lambda: clock.sleep_until(SECOND), mover)

        run(main)
        assert clock.sleepers == 0

    def test_return_without_yielding_where_the_deadline_has_passed(self):
        clock = ManualClock(5.0)
        with pytest.raises(StopIteration):
            clock.sleep_until(5 * SECOND).send(None)

    def test_stay_asleep_when_time_goes_back(self, run):
        clock = ManualClock(5.0)

        async def main():
            async def mover():
                await settle()
                clock.set(1.0)
                clock.advance(4.5)
                await settle()
                assert clock.sleepers == 1
                clock.set(6.0)

            await in_turn(lambda: clock.sleep_until(6 * SECOND), mover)

        run(main)

    def test_leave_nothing_behind_when_cancelled(self, run):
        clock = ManualClock()

        async def main():
            if trio.lowlevel.in_trio_run():
                with trio.move_on_after(0):
                    await clock.sleep_until(SECOND)
            else:
                task = asyncio.create_task(clock.sleep_until(SECOND))
                await settle()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        run(main)
        assert clock.sleepers == 0
        clock.advance(2)

    def test_pass_the_turn_on_when_cancelled_after_waking(self, run):
        clock, woken = ManualClock(), []

        async def main():
            async def sleeper(name):
                await clock.sleep_until(SECOND)
                woken.append(name)

            if trio.lowlevel.in_trio_run():
                async with trio.open_nursery() as nursery:
                    scope = trio.CancelScope()

                    async def doomed():
                        with scope:
                            await sleeper("doomed")

                    nursery.start_soon(doomed)
                    await settle()
                    nursery.start_soon(sleeper, "next")
                    await settle()
                    await trio.to_thread.run_sync(clock.advance, 1)
                    scope.cancel()
            else:
                doomed = asyncio.create_task(sleeper("doomed"))
                following = asyncio.create_task(sleeper("next"))
                await settle()
                clock.advance(1)
                doomed.cancel()
                await asyncio.wait([doomed, following])

        run(main)
        assert "next" in woken

    def test_wake_when_another_thread_moves_the_time(self, run):
        clock = ManualClock()

        def move():
            clock.wait_for_sleepers(1)
            clock.advance(1)

        mover = threading.Thread(target=move)
        mover.start()
        run(lambda: clock.sleep_until(SECOND))
        mover.join()
        assert clock.now() == 1.0


class TestSleepersInThreads:
    def test_wake_when_the_time_reaches_them(self):
        clock, woken = ManualClock(), []

        def sleeper(deadline):
            clock.sleep_until_blocking(deadline * SECOND)
            woken.append(deadline)

        threads = [threading.Thread(target=sleeper, args=(deadline,)) for deadline in (2, 1)]
        for thread in threads:
            thread.start()
        clock.wait_for_sleepers(2)
        clock.advance(1)
        threads[1].join()
        assert (woken, clock.sleepers) == ([1], 1)
        clock.advance(1)
        threads[0].join()
        assert woken == [1, 2]

    def test_sleep_to_the_end_of_time_though_time_jumps_for_others(self):
        clock = ManualClock(autojump=True)
        thread = threading.Thread(target=clock.sleep_until_blocking, args=(FOREVER_NS,))
        thread.start()
        clock.wait_for_sleepers(1)
        clock.sleep_until_blocking(SECOND)
        assert (clock.now(), clock.sleepers) == (1.0, 1)
        clock.advance_ns(FOREVER_NS)
        thread.join()

    def test_waiting_for_sleepers_that_never_come_ends(self):
        with pytest.raises(TimeoutError, match="0 of 1 sleepers"):
            ManualClock().wait_for_sleepers(1, timeout=0.001)

    def test_return_at_once_where_the_deadline_has_passed(self):
        ManualClock(5.0).sleep_until_blocking(5 * SECOND)


class TestAutojump:
    def test_runs_a_day_of_tasks_at_their_exact_times(self, run):
        clock, seen = ManualClock(autojump=True), []

        async def main():
            async def ticker(period, times):
                for tick in range(1, times + 1):
                    await clock.sleep_until(tick * period * SECOND)
                    seen.append((clock.now_ns(), period))

            await together(lambda: ticker(3600, 24), lambda: ticker(7200, 12), lambda: ticker(86_400, 1))

        run(main)
        assert clock.now() == 86_400.0
        assert [at for at, _ in seen] == sorted(at for at, _ in seen)
        assert all(at % (period * SECOND) == 0 for at, period in seen)
        assert len(seen) == 37

    def test_waits_for_tasks_that_still_have_something_to_do(self, run):
        clock, seen = ManualClock(autojump=True), []

        async def main():
            async def worker():
                for _ in range(50):
                    await (trio.lowlevel.checkpoint() if trio.lowlevel.in_trio_run() else asyncio.sleep(0))
                seen.append(("worker", clock.now()))

            async def sleeper():
                await clock.sleep_until(SECOND)
                seen.append(("sleeper", clock.now()))

            await together(sleeper, worker) if not trio.lowlevel.in_trio_run() else await both(
                sleeper, worker
            )

        async def both(*functions):
            async with trio.open_nursery() as nursery:
                for function in functions:
                    nursery.start_soon(function)

        run(main)
        assert seen == [("worker", 0.0), ("sleeper", 1.0)]

    def test_takes_what_has_already_arrived_by_socket_before_it_jumps(self):
        clock = ManualClock(autojump=True)

        async def main():
            here, there = socket.socketpair()
            here.setblocking(False)
            with here, there:
                answer = asyncio.create_task(asyncio.get_running_loop().sock_recv(here, 1))
                sleeper = asyncio.create_task(clock.sleep_until(SECOND))
                await asyncio.sleep(0)
                there.send(b"!")
                await answer
                assert clock.now() == 0.0
                await sleeper

        asyncio.run(main())

    def test_with_quiet_waits_for_an_answer_from_outside(self, run):
        clock = ManualClock(autojump=True, quiet=0.05)

        async def main():
            async def asker():
                await elsewhere(lambda: None)
                assert clock.now() == 0.0

            await together(lambda: clock.sleep_until(SECOND), asker)

        run(main)
        assert clock.now() == 1.0

    def test_makes_a_lone_thread_jump_at_once(self):
        clock = ManualClock(autojump=True)
        for hour in range(1, 25):
            clock.sleep_until_blocking(hour * 3600 * SECOND)
        assert clock.now() == 86_400.0

    def test_moves_threads_through_time_together(self):
        clock, seen = ManualClock(autojump=True), []

        def sleeper(period, times):
            for tick in range(1, times + 1):
                clock.sleep_until_blocking(tick * period * SECOND)
                seen.append(clock.now_ns())

        threads = [threading.Thread(target=sleeper, args=arguments) for arguments in [(2, 6), (3, 4)]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert clock.now() == 12.0
        assert len(seen) == 10

    def test_never_jumps_to_the_end_of_time(self, run):
        clock = ManualClock(autojump=True)

        async def main():
            async def mover():
                await clock.sleep_until(SECOND)
                await settle()
                assert clock.now() == 1.0
                clock.advance_ns(FOREVER_NS)

            await together(lambda: clock.sleep_until(FOREVER_NS), mover)

        run(main)

    def test_goes_on_jumping_after_it_had_nothing_to_jump_to(self, run):
        clock = ManualClock(autojump=True)

        async def main():
            async def mover():
                await elsewhere(lambda: clock.wait_for_sleepers(1))
                await clock.sleep_until(SECOND)
                clock.set(1e11)

            await together(lambda: clock.sleep_until(FOREVER_NS), mover)

        run(main)

    def test_two_loops_one_after_another_share_a_clock(self, run):
        clock = ManualClock(autojump=True)
        run(lambda: clock.sleep_until(SECOND))
        run(lambda: clock.sleep_until(2 * SECOND))
        assert clock.now() == 2.0


class TestCallAt:
    def test_calls_once_the_time_has_come(self, run):
        clock, called = ManualClock(), []

        async def main():
            clock.call_at(SECOND, lambda: called.append(clock.now()))
            clock.advance(0.5)
            assert called == []
            clock.advance(1)
            clock.advance(1)

        run(main)
        assert called == [1.5]

    def test_calls_at_once_where_the_time_has_passed(self, run):
        clock, called = ManualClock(1.0), []

        async def main():
            clock.call_at(SECOND, lambda: called.append(clock.now()))

        run(main)
        assert called == [1.0]

    def test_does_not_call_what_was_cancelled(self, run):
        clock, called = ManualClock(), []

        async def main():
            alarm = clock.call_at(SECOND, lambda: called.append(clock.now()))
            alarm.cancel()
            alarm.cancel()
            clock.advance(2)

        run(main)
        assert called == []

    def test_is_no_sleeper_yet_time_jumps_to_it(self, run):
        clock = ManualClock(autojump=True)

        async def main():
            event = trio.Event() if trio.lowlevel.in_trio_run() else asyncio.Event()
            clock.call_at(SECOND, event.set)
            assert clock.sleepers == 0
            await event.wait()

        run(main)
        assert clock.now() == 1.0

    def test_needs_a_running_loop(self):
        with pytest.raises(RuntimeError):
            ManualClock().call_at(SECOND, print)
