"""What counts as a failure, as a success, as nothing; and what callbacks that raise can do."""

import asyncio
import gc
import weakref

import pytest
import trio

from sluicegate import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerRegistry,
    CircuitIsolatedError,
    CircuitState,
    ConfigurationError,
)
from sluicegate._circuit_breaker import _extras
from sluicegate.testing import ManualClock


class OddError(Exception):
    """What nobody asked for."""


def outcomes(breaker):
    snapshot = breaker.snapshot()
    return snapshot.total_successes, snapshot.total_failures, snapshot.total_ignored


def test_an_exception_that_is_not_handled_counts_as_a_success_and_is_raised(build):
    breaker = build(handle=ConnectionError)
    breaker.fail(error=OddError())
    assert outcomes(breaker) == (1, 0, 0)
    assert breaker.last_failure is None


def test_an_exception_that_is_ignored_counts_as_nothing_though_it_is_handled(build):
    breaker = build(handle=(OSError, OddError), ignore=OddError)
    breaker.fail(error=OddError())
    breaker.fail(error=OSError())
    assert outcomes(breaker) == (0, 1, 1)


def test_any_exception_is_a_failure_by_default(build):
    breaker = build()
    breaker.fail(error=ExceptionGroup("two", [OddError(), OSError()]))
    assert outcomes(breaker) == (0, 1, 0)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("handle", [Exception, BaseException])
def test_what_is_no_exception_counts_as_nothing_whatever_is_handled(build, kind, handle):
    breaker = build(handle=handle)
    breaker.fail(error=kind())
    assert outcomes(breaker) == (0, 0, 1)


def test_predicates_decide_in_place_of_types(build):
    breaker = build(handle=lambda error: "down" in str(error), ignore=lambda error: "maybe" in str(error))
    breaker.fail(error=OSError("down"))
    breaker.fail(error=OSError("maybe down"))
    breaker.fail(error=OSError("up"))
    assert outcomes(breaker) == (1, 1, 1)


def test_a_result_that_the_predicate_condemns_is_a_failure_and_still_returned(build):
    breaker = build(handle_result=lambda result: result >= 500)
    assert [breaker.call(lambda: 200), breaker.call(lambda: 503)] == [200, 503]
    assert outcomes(breaker) == (1, 1, 0)


@pytest.mark.parametrize("option", ["handle", "ignore"])
def test_what_a_predicate_of_errors_raises_takes_the_calls_place_and_counts_nothing(half_open, option):
    def predicate(error):
        if isinstance(error, OSError):
            raise OddError("the predicate")
        return option == "handle"

    breaker = half_open(**{option: predicate}, min_throughput=10)
    with pytest.raises(OddError, match="the predicate") as raised:
        breaker.call(_raise, OSError("down"))
    assert isinstance(raised.value.__context__, OSError)
    assert breaker.try_enter() is not None


def test_what_a_predicate_of_results_raises_counts_nothing(half_open):
    breaker = half_open(handle_result=lambda result: result.missing)
    with pytest.raises(AttributeError):
        breaker.call(lambda: "answer")
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.snapshot().total_ignored == 1
    assert breaker.try_enter() is not None


def test_what_a_listener_raises_is_logged_and_changes_nothing(build, caplog):
    def listener(event):
        raise OddError("the listener")

    breaker = build(listener=listener)
    breaker.fail(10)
    assert breaker.state is CircuitState.OPEN
    assert "the listener" in caplog.text
    assert breaker.rejection().retry_after == 1.0


def test_an_interrupt_in_a_listener_gets_through_and_costs_no_place(half_open):
    def listener(event):
        if event.kind == "half_opened":
            raise KeyboardInterrupt

    breaker = half_open(listener=listener)
    with pytest.raises(KeyboardInterrupt):
        breaker.try_enter()
    assert breaker.try_enter() is not None


def test_a_listener_may_call_the_breaker_and_even_reset_it(build):
    seen = []

    def listener(event):
        seen.append((event.kind, event.breaker.state, event.breaker.snapshot().trips))
        if event.kind == "opened":
            event.breaker.reset()

    breaker = build(listener=listener)
    breaker.fail(10)
    assert seen == [("opened", CircuitState.OPEN, 1), ("closed", CircuitState.CLOSED, 1)]
    breaker.succeed()


def test_an_event_says_what_changed_and_when(build, clock):
    seen = []
    breaker = build(listener=seen.append)
    clock.advance(7.0)
    breaker.isolate()
    (event,) = seen
    assert (event.kind, event.breaker, event.at) == ("isolated", breaker, 7.0)
    assert (event.from_state, event.to_state) == (CircuitState.CLOSED, CircuitState.ISOLATED)


def test_a_listener_that_cannot_be_called_is_refused_where_it_is_named():
    for kind in (CircuitBreaker, CircuitBreakerRegistry):
        with pytest.raises(ConfigurationError, match=r"listener must be callable.*3") as caught:
            kind(listener=3)
        assert caught.value.field == "listener"


def test_breakers_of_one_config_have_each_their_own_clock_and_listener(clock):
    config, heard = CircuitBreakerConfig(break_duration=5.0), []
    later = ManualClock(start=100.0)
    told = CircuitBreaker(config, clock=clock, listener=heard.append)
    other = CircuitBreaker(config, clock=later, listener=lambda event: heard.append("other"))
    plain = CircuitBreaker(config)
    for breaker in (told, other, plain):
        breaker.isolate()
        assert breaker.config is config
    assert [event if event == "other" else (event.breaker, event.at) for event in heard] == [
        (told, 0.0),
        "other",
    ]
    later.advance(2.0)
    assert (other.snapshot().time_in_state, told.snapshot().time_in_state) == (2.0, 0.0)


def test_a_breaker_that_its_own_listener_refers_to_is_collected():
    class Owner:
        def __init__(self):
            self.breaker = CircuitBreaker(CircuitBreakerConfig(), listener=self.listen)

        def listen(self, event):
            pytest.fail("nothing changes")

    owner = Owner()
    seen = weakref.ref(owner.breaker)
    del owner
    gc.collect()
    assert seen() is None


def test_who_subscribes_hears_after_the_listener_until_they_leave(build):
    heard = []
    breaker = build(listener=lambda event: heard.append("own"))
    leave = breaker._subscribe(heard.append)
    breaker._subscribe(lambda event: heard.append("other"))
    breaker.isolate()
    assert [getattr(event, "kind", event) for event in heard] == ["own", "isolated", "other"]
    for _ in range(2):
        leave()
    breaker.reset()
    assert heard[3:] == ["own", "other"]


def test_a_subscriber_that_fails_keeps_no_other_from_hearing(build, caplog):
    def fail(event):
        raise OddError("the subscriber")

    heard = []
    breaker = build()
    breaker._subscribe(fail)
    breaker._subscribe(heard.append)
    breaker.isolate()
    assert len(heard) == 1
    assert "the subscriber" in caplog.text


def test_an_isolation_without_a_reason_does_not_tell_the_last_one(build):
    breaker = build()
    told = []
    for reason in ("maintenance", None):
        breaker.isolate(reason)
        with pytest.raises(CircuitIsolatedError) as refused:
            breaker.call(print)
        told.append((refused.value.reason, str(refused.value)))
        breaker.reset()
    assert told == [
        ("maintenance", "circuit breaker 'far' is isolated: maintenance"),
        (None, "circuit breaker 'far' is isolated"),
    ]


def test_a_listener_may_isolate_what_was_just_reset(build):
    def isolate_again(event):
        if event.kind == "closed":
            breaker.isolate("not yet")

    breaker = build(listener=isolate_again)
    breaker.isolate("maintenance")
    breaker.reset()
    assert breaker.rejection().reason == "not yet"


def test_what_few_breakers_have_is_forgotten_with_them(build):
    gc.collect()
    known = len(_extras)
    breaker = build()
    for reason in (None, "maintenance", "repairs", None):
        breaker.isolate(reason)
        assert breaker.rejection().reason == reason
        breaker.reset()
    breaker._subscribe(print)
    assert len(_extras) == known + 1
    del breaker
    gc.collect()
    assert len(_extras) == known


class Alike(CircuitBreaker):
    """Equal to any other of its kind, and so without a hash."""

    __hash__ = None

    def __eq__(self, other):
        return isinstance(other, Alike)


def test_a_breaker_without_a_hash_has_its_own_reason_and_listeners():
    heard = []
    one, other = Alike(), Alike()
    one._subscribe(heard.append)
    one.isolate("maintenance")
    other.isolate()
    assert [event.breaker is one for event in heard] == [True]
    with pytest.raises(CircuitIsolatedError) as refused:
        other.call(print)
    assert refused.value.reason is None


@pytest.mark.parametrize("answer", [-1.0, float("nan"), "soon", None, OddError("the generator")])
def test_where_the_generator_has_no_good_answer_the_break_duration_holds(build, caplog, answer):
    def generator(trips):
        if isinstance(answer, Exception):
            raise answer
        return answer

    breaker = build(break_duration=3.0, break_duration_generator=generator)
    breaker.fail(10)
    assert breaker.rejection().retry_after == 3.0
    assert "generator" in caplog.text


def test_while_the_generator_thinks_the_break_duration_holds(build):
    seen = []

    def generator(trips):
        seen.append(breaker.retry_after)
        return 5.0

    breaker = build(break_duration=3.0, break_duration_generator=generator)
    breaker.fail(10)
    assert (seen, breaker.retry_after) == ([3.0], 5.0)


def test_a_generator_that_resets_the_breaker_leaves_it_closed(build):
    def generator(trips):
        breaker.reset()
        return 5.0

    breaker = build(break_duration_generator=generator)
    breaker.fail(10)
    assert breaker.state is CircuitState.CLOSED


def test_a_call_that_began_before_the_trip_raises_its_own_exception(build, events):
    breaker = build()

    def outlast():
        breaker.fail(10)
        raise OddError("late")

    with pytest.raises(OddError, match="late"):
        breaker.call(outlast)
    assert events == ["opened"]
    assert breaker.snapshot().total_failures == 11


@pytest.mark.parametrize("verb", ["success", "failure"])
def test_a_late_result_never_moves_an_isolated_breaker(build, verb):
    breaker = build(min_throughput=1)
    late = breaker.try_enter()
    breaker.isolate()
    getattr(late, verb)()
    assert breaker.state is CircuitState.ISOLATED


def test_cancellation_in_trio_counts_as_nothing(build):
    breaker = build()

    async def main():
        with trio.move_on_after(0):
            await breaker.call(trio.sleep_forever)

    trio.run(main)
    assert outcomes(breaker) == (0, 0, 1)


async def test_a_call_that_is_cancelled_before_it_starts_is_not_recorded(build):
    breaker = build()
    task = asyncio.create_task(breaker.call(asyncio.sleep, 0))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(breaker) == (0, 0, 0)


def test_a_breaker_that_its_own_predicate_holds_is_collected():
    def build():
        def handle(error):
            return breaker.state is CircuitState.CLOSED

        breaker = CircuitBreaker(handle=handle, consecutive_failures=1)
        with pytest.raises(OddError):
            breaker.call(_raise, OddError())
        return weakref.ref(breaker)

    gone = build()
    gc.collect()
    assert gone() is None


def _raise(error):
    raise error
