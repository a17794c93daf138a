"""The bulkhead: so many at once, a line before it, and no place lost."""

import asyncio
import contextlib
import random
import threading

import pytest
import trio

from sluicegate import AdaptiveConcurrency, Bulkhead, BulkheadFullError, ConfigurationError, Pipeline, Timeout
from sluicegate.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


def sleeper(clock, seconds=1):
    """Make a coroutine function that takes so long, and notes who ran and how many did at once."""
    ran, running = [], []

    async def sleep(number=0):
        running.append(number)
        sleep.most = max(sleep.most, len(running))
        try:
            await clock.sleep_until(clock.now_ns() + seconds * 1_000_000_000)
            ran.append((number, clock.now()))
        finally:
            running.remove(number)
        return number

    sleep.most, sleep.ran = 0, ran
    return sleep


def on_asyncio(*calls):
    async def main():
        return await asyncio.gather(*(call() for call in calls), return_exceptions=True)

    return asyncio.run(main())


def on_trio(*calls):
    ended = [None] * len(calls)

    async def run(index, call):
        try:
            ended[index] = await call()
        except Exception as error:
            ended[index] = error

    async def main():
        async with trio.open_nursery() as nursery:
            # One after the other, since trio starts tasks in any order.
            for index, call in enumerate(calls):
                nursery.start_soon(run, index, call)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()

    trio.run(main)
    return ended


everywhere = pytest.mark.parametrize("run", [on_asyncio, on_trio])


@everywhere
def test_lets_so_many_run_at_once_and_refuses_the_others(run, clock):
    bulkhead, sleep = Bulkhead(2, name="search", clock=clock), sleeper(clock)
    ended = run(*[lambda: bulkhead.call(sleep)] * 5)
    refused = [error for error in ended if isinstance(error, BulkheadFullError)]
    assert (len(refused), sleep.most, bulkhead.in_use) == (3, 2, 0)
    assert {(error.policy, error.retry_after) for error in refused} == {("search", None)}


@everywhere
def test_serves_its_line_first_in_first_out(run, clock):
    bulkhead, sleep = Bulkhead(1, max_queue=10, clock=clock), sleeper(clock)
    run(*[lambda number=number: bulkhead.call(sleep, number) for number in range(4)])
    assert sleep.ran == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]
    assert (bulkhead.in_use, bulkhead.waiting) == (0, 0)


@everywhere
def test_refuses_who_has_waited_too_long_and_keeps_the_others_in_line(run, clock):
    bulkhead, sleep = Bulkhead(1, max_queue=10, max_wait=1.5, clock=clock), sleeper(clock)
    ended = run(*[lambda number=number: bulkhead.call(sleep, number) for number in range(3)])
    assert ended[:2] == [0, 1]
    assert isinstance(ended[2], BulkheadFullError)
    assert "none ended within 1.5 s" in str(ended[2])
    assert (bulkhead.in_use, bulkhead.waiting) == (0, 0)


@everywhere
def test_a_line_that_is_full_refuses_at_once(run, clock):
    bulkhead, sleep = Bulkhead(1, max_queue=1, clock=clock), sleeper(clock)
    ended = run(*[lambda number=number: bulkhead.call(sleep, number) for number in range(3)])
    assert ended[:2] == [0, 1]
    assert isinstance(ended[2], BulkheadFullError)


@everywhere
def test_holds_a_place_for_a_block(run, clock):
    bulkhead = Bulkhead(1, clock=clock)

    async def hold():
        async with bulkhead:
            assert bulkhead.in_use == 1
            with pytest.raises(BulkheadFullError):
                await bulkhead.call(sleeper(clock))
        return bulkhead.in_use

    assert run(hold) == [0]


@everywhere
def test_a_block_waits_in_line_for_its_place(run, clock):
    bulkhead = Bulkhead(1, max_queue=1, max_wait=9, clock=clock)
    entered = []

    async def hold():
        async with bulkhead:
            entered.append(clock.now())
            await sleeper(clock, 2)()

    run(hold, hold)
    assert entered == [0.0, 2.0]
    assert bulkhead.in_use == 0


def test_a_call_that_raises_gives_its_place_up(clock):
    bulkhead = Bulkhead(1, clock=clock)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            bulkhead.call(lambda: 1 // 0)
    assert bulkhead.call(int) == 0


def test_what_a_plain_function_returns_to_be_awaited_takes_its_place_then(clock):
    bulkhead, sleep = Bulkhead(1, clock=clock), sleeper(clock)

    def plain():
        return sleep(7)

    awaitable = bulkhead.call(plain)
    assert bulkhead.in_use == 0

    async def main():
        return await awaitable

    assert asyncio.run(main()) == 7
    assert bulkhead.in_use == 0


def test_threads_wait_in_line_by_a_manual_clock():
    clock = ManualClock()
    bulkhead, order = Bulkhead(1, max_queue=5, max_wait=10, clock=clock), []
    with bulkhead:
        threads = []
        for number in range(3):
            threads.append(threading.Thread(target=bulkhead.call, args=(order.append, number)))
            threads[-1].start()
            clock.wait_for_sleepers(number + 1)
        assert bulkhead.waiting == 3
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2]
    assert (bulkhead.in_use, bulkhead.waiting, clock.sleepers) == (0, 0, 0)


def test_a_thread_waits_by_the_machines_clock_as_well():
    bulkhead, order = Bulkhead(1, max_queue=1, max_wait=60), []
    with bulkhead:
        thread = threading.Thread(target=bulkhead.call, args=(order.append, "second"))
        thread.start()
        while bulkhead.waiting == 0:
            threading.Event().wait(0.001)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("max_wait", [1e-9, 0.002])
def test_a_thread_is_refused_by_the_machines_clock_as_well(max_wait):
    bulkhead = Bulkhead(1, max_queue=1, max_wait=max_wait)
    with bulkhead, pytest.raises(BulkheadFullError, match="none ended within"):
        bulkhead.call(int)
    assert (bulkhead.in_use, bulkhead.waiting) == (0, 0)


def test_a_thread_is_refused_once_it_has_waited_too_long(clock):
    bulkhead = Bulkhead(1, max_queue=1, max_wait=3, clock=clock)
    with bulkhead, pytest.raises(BulkheadFullError):
        bulkhead.call(int)
    assert clock.now() == 3.0
    assert bulkhead.call(int) == 0


def test_threads_and_both_kinds_of_tasks_share_one():
    bulkhead = Bulkhead(2, max_queue=1_000)
    most, running, lock = 0, 0, threading.Lock()

    def enter():
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)

    def leave():
        nonlocal running
        with lock:
            running -= 1

    def work():
        enter()
        leave()

    def threaded():
        for _ in range(200):
            bulkhead.call(work)

    def looped(pause, run):
        async def later():
            enter()
            await pause()
            leave()

        async def main():
            for _ in range(200):
                await bulkhead.call(later)

        run(main)

    threads = [
        threading.Thread(target=threaded),
        threading.Thread(target=threaded),
        threading.Thread(target=looped, args=(lambda: asyncio.sleep(0), lambda main: asyncio.run(main()))),
        threading.Thread(target=looped, args=(trio.lowlevel.checkpoint, trio.run)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most <= 2
    assert (bulkhead.in_use, bulkhead.waiting, running) == (0, 0, 0)


def make_bulkhead(clock):
    return Bulkhead(7, max_queue=1_000, max_wait=5, clock=clock)


def make_adaptive(clock):
    return AdaptiveConcurrency(initial=7, max=20, law="aimd", max_queue=1_000, clock=clock)


@pytest.mark.parametrize("make", [make_bulkhead, make_adaptive])
@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_cancellations_on_asyncio_loses_no_place(clock, seed, make):
    dice, policy = random.Random(seed), make(clock)
    sleep = sleeper(clock)

    async def main():
        tasks = [asyncio.create_task(policy.call(sleep, number)) for number in range(1_000)]
        for _ in range(40):
            for task in dice.sample(tasks, 40):
                task.cancel()
            await clock.sleep_until(clock.now_ns() + dice.randrange(300_000_000))
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(end, asyncio.CancelledError) for end in ended)
        assert sleep.ran
        return await policy.call(sleep, -1)

    assert asyncio.run(main()) == -1
    assert (policy.in_use, policy.waiting, clock.sleepers) == (0, 0, 0)


@pytest.mark.parametrize("make", [make_bulkhead, make_adaptive])
@pytest.mark.parametrize("seed", range(2))
def test_a_storm_of_cancellations_on_trio_loses_no_place(clock, seed, make):
    dice, policy = random.Random(seed), make(clock)
    sleep = sleeper(clock)

    async def main():
        scopes = [trio.CancelScope() for _ in range(1_000)]

        async def run(number):
            with scopes[number], contextlib.suppress(BulkheadFullError):
                await policy.call(sleep, number)

        async with trio.open_nursery() as nursery:
            for number in range(1_000):
                nursery.start_soon(run, number)
            for _ in range(30):
                for scope in dice.sample(scopes, 40):
                    scope.cancel()
                await clock.sleep_until(clock.now_ns() + dice.randrange(300_000_000))
            for scope in scopes:
                scope.cancel()
        return await policy.call(sleep, -1)

    assert trio.run(main) == -1
    assert sleep.ran
    assert (policy.in_use, policy.waiting) == (0, 0)


def test_a_loop_that_was_closed_keeps_no_place(clock):
    bulkhead, sleep = Bulkhead(1, max_queue=1, clock=clock), sleeper(clock)
    coroutine = bulkhead.call(sleep)
    loop = asyncio.new_event_loop()
    with bulkhead:
        task = loop.create_task(coroutine)
        loop.run_until_complete(asyncio.sleep(0))
        assert bulkhead.waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()
    assert bulkhead.call(int) == 0


def test_a_timeout_around_it_cuts_the_wait(clock):
    bulkhead, sleep = Bulkhead(1, max_queue=1, clock=clock), sleeper(clock)
    with bulkhead, pytest.raises(TimeoutError):
        asyncio.run(Pipeline(Timeout(2, clock=clock), bulkhead).call(sleep))
    assert (clock.now(), bulkhead.in_use, bulkhead.waiting) == (2.0, 0, 0)


def test_tells_of_what_it_refuses(clock):
    bulkhead, events = Bulkhead(1, clock=clock), []
    bulkhead.subscribe(events.append)
    with bulkhead, pytest.raises(BulkheadFullError) as caught:
        bulkhead.call(int)
    assert [(event.kind, event.error) for event in events] == [("rejected", caught.value)]


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("max_concurrent", {"max_concurrent": 0}),
        ("max_concurrent", {"max_concurrent": True}),
        ("max_concurrent", {"max_concurrent": 2.5}),
        ("max_queue", {"max_concurrent": 1, "max_queue": -1}),
        ("max_wait", {"max_concurrent": 1, "max_wait": -1}),
        ("max_wait", {"max_concurrent": 1, "max_wait": float("nan")}),
    ],
)
def test_refuses_options_that_make_no_sense(field, options):
    with pytest.raises(ConfigurationError) as caught:
        Bulkhead(**options)
    assert caught.value.field == field
