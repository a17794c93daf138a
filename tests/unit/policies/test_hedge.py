"""The hedge: when another attempt begins, who wins, and what becomes of the losers."""

import asyncio

import pytest
import trio

from sluicegate import AttemptTimeoutError, ConfigurationError, Hedge, Pipeline, Timeout
from sluicegate.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


class Slow:
    """Attempts that take as long as they are told, and then answer or raise."""

    def __init__(self, clock, *courses):
        self.clock = clock
        self.courses = list(courses)
        self.began, self.cancelled = [], []

    async def __call__(self, word="answer"):
        number = len(self.began)
        self.began.append(self.clock.now())
        seconds, end = self.courses[number]
        try:
            await self.clock.sleep_until(self.clock.now_ns() + int(seconds * 1e9))
        except BaseException:
            self.cancelled.append(number)
            raise
        if end is not None:
            raise end
        return f"{word} {number}"


def on_asyncio(policy, slow):
    return asyncio.run(policy.call(slow))


def on_trio(policy, slow):
    return trio.run(policy.call, slow)


everywhere = pytest.mark.parametrize("run", [on_asyncio, on_trio])


@everywhere
def test_an_attempt_that_answers_in_time_stays_alone(run, clock):
    slow = Slow(clock, (0.4, None))
    assert run(Hedge(0.5, clock=clock), slow) == "answer 0"
    assert slow.began == [0.0]


@everywhere
def test_the_first_to_answer_wins_and_the_loser_is_cancelled(run, clock):
    slow = Slow(clock, (10, None), (1, None))
    assert run(Hedge(0.5, clock=clock), slow) == "answer 1"
    assert (slow.began, slow.cancelled, clock.now(), clock.sleepers) == ([0.0, 0.5], [0], 1.5, 0)


@everywhere
def test_the_first_attempt_may_still_win(run, clock):
    slow = Slow(clock, (1, None), (10, None))
    assert run(Hedge(0.5, clock=clock), slow) == "answer 0"
    assert slow.cancelled == [1]


@everywhere
def test_begins_as_many_as_it_may_and_no_more(run, clock):
    slow = Slow(clock, *[(10, None)] * 3)
    assert run(Hedge(2, max_hedged=2, clock=clock), slow) == "answer 0"
    assert (slow.began, sorted(slow.cancelled)) == ([0.0, 2.0, 4.0], [1, 2])


@everywhere
def test_a_failure_makes_the_next_begin_at_once(run, clock):
    slow = Slow(clock, (0.1, OSError()), (1, None))
    assert run(Hedge(5, clock=clock), slow) == "answer 1"
    assert slow.began == [0.0, pytest.approx(0.1)]


@everywhere
def test_ends_with_the_exception_of_the_last_that_failed(run, clock):
    first, second = OSError("first"), OSError("second")
    slow = Slow(clock, (3, first), (1, second))
    with pytest.raises(OSError, match="first") as caught:
        run(Hedge(1, clock=clock), slow)
    assert caught.value is first
    assert clock.now() == 3.0


@everywhere
def test_of_two_that_end_at_once_the_one_that_answers_counts(run, clock):
    slow = Slow(clock, (2, OSError("first")), (1, None))
    assert run(Hedge(1, clock=clock), slow) == "answer 1"
    assert slow.began == [0.0, 1.0]


@everywhere
def test_a_timeout_around_it_cancels_all(run, clock):
    slow = Slow(clock, (10, None), (10, None))
    with pytest.raises(AttemptTimeoutError):
        run(Pipeline(Timeout(2, clock=clock), Hedge(1, clock=clock)), slow)
    assert (sorted(slow.cancelled), clock.now(), clock.sleepers) == ([0, 1], 2.0, 0)


@everywhere
def test_without_a_delay_all_begin_at_once(run, clock):
    slow = Slow(clock, (3, None), (2, None), (1, None))
    assert run(Hedge(0, max_hedged=2, clock=clock), slow) == "answer 2"
    assert slow.began == [0.0, 0.0, 0.0]


def test_a_cancelled_call_leaves_no_attempt_behind(clock):
    clock = ManualClock()
    slow = Slow(clock, (10, None), (10, None))

    async def main():
        task = asyncio.create_task(Hedge(1, clock=clock).call(slow))
        while not clock.sleepers:
            await asyncio.sleep(0)
        clock.advance(1)
        while clock.sleepers < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert sorted(slow.cancelled) == [0, 1]


def test_a_trio_cancellation_is_no_group(clock):
    async def main():
        with trio.move_on_after(0) as scope:
            await Hedge(1, clock=clock).call(trio.sleep_forever)
        assert scope.cancelled_caught

    trio.run(main)


def test_by_the_machines_clock_as_well():
    async def answer():
        return 7

    assert asyncio.run(Hedge(3_600).call(answer)) == 7
    assert trio.run(Hedge(3_600).call, answer) == 7


def test_tells_of_every_attempt_that_it_adds(clock):
    hedge, events = Hedge(1, max_hedged=2, clock=clock), []
    hedge.subscribe(events.append)
    on_asyncio(hedge, Slow(clock, *[(9, None)] * 3))
    assert [(event.kind, event.attempt, event.at) for event in events] == [
        ("hedged", 1, 1.0),
        ("hedged", 2, 2.0),
    ]


def test_refuses_plain_functions():
    with pytest.raises(TypeError, match="coroutine functions only"):
        Hedge(1).call(int)
    with pytest.raises(TypeError, match="coroutine functions only"):
        Hedge(1)(int)
    with pytest.raises(TypeError, match="coroutine functions only"):
        Pipeline(Hedge(1)).call(int)


@pytest.mark.parametrize(("field", "options"), [("delay", (-1,)), ("max_hedged", (1, 0))])
def test_refuses_options_that_make_no_sense(field, options):
    with pytest.raises(ConfigurationError) as caught:
        Hedge(*options)
    assert caught.value.field == field


class Quit(BaseException):
    """Like SystemExit, which is no failure of an attempt."""


@everywhere
def test_what_is_no_exception_ends_the_call_without_another_attempt(run, clock):
    slow = Slow(clock, (0.1, Quit()), (0.1, None))
    with pytest.raises(Quit):
        run(Hedge(0.5, clock=clock), slow)
    assert slow.began == [0.0]


@pytest.mark.parametrize("run", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)])
def test_the_loser_is_gone_when_the_call_ends(run, clock):
    slow = Slow(clock, (10, None), (1, None))

    async def main():
        await Hedge(0.5, clock=clock).call(slow)
        return list(slow.cancelled)

    assert run(main()) == [0]
