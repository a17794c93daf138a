"""The fallback: what is answered in the place of a call, and what passes through."""

import asyncio

import pytest
import trio

from sluicegate import ConfigurationError, Fallback, Pipeline, Retry
from sluicegate.testing import ManualClock


def plainly(policy, error):
    def fail():
        raise error

    return policy.call(fail)


async def later(error):
    raise error


def on_asyncio(policy, error):
    return asyncio.run(policy.call(later, error))


def on_trio(policy, error):
    return trio.run(policy(later), error)


def by_awaitable(policy, error):
    def plain():
        return later(error)

    async def main():
        return await policy.call(plain)

    return asyncio.run(main())


everywhere = pytest.mark.parametrize("run", [plainly, on_asyncio, on_trio, by_awaitable])


@everywhere
def test_answers_with_a_value(run):
    assert run(Fallback("stale"), OSError()) == "stale"


@everywhere
def test_answers_with_what_a_function_makes_of_the_error(run):
    error = OSError()
    assert run(Fallback(lambda caught: (caught, "stale")), error) == (error, "stale")


@everywhere
def test_raises_what_it_is_not_meant_for(run):
    error = KeyError()
    with pytest.raises(KeyError) as caught:
        run(Fallback("stale", on=(OSError, ValueError)), error)
    assert caught.value is error


@everywhere
def test_asks_a_predicate(run):
    fallback = Fallback("stale", on=lambda error: error.args == ("soft",))
    assert run(fallback, OSError("soft")) == "stale"
    with pytest.raises(OSError, match="hard"):
        run(fallback, OSError("hard"))


@everywhere
def test_raises_what_its_function_raises_after_the_calls_own_error(run):
    def refuse(error):
        raise LookupError

    error = OSError()
    with pytest.raises(LookupError) as caught:
        run(Fallback(refuse), error)
    assert caught.value.__context__ is error


@everywhere
@pytest.mark.parametrize("passing", [KeyboardInterrupt, SystemExit])
def test_is_never_meant_for_what_is_no_exception_proper(run, passing):
    with pytest.raises(passing):
        run(Fallback("stale", on=BaseException), passing())


def test_awaits_a_coroutine_function_of_a_coroutine_function():
    async def look_up(error):
        await asyncio.sleep(0)
        return "looked up"

    assert on_asyncio(Fallback(look_up), OSError()) == "looked up"


def test_a_cancelled_call_is_not_answered_for():
    async def main():
        task = asyncio.create_task(Fallback("stale", on=BaseException).call(asyncio.Event().wait))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_answers_once_a_retry_inside_has_given_up():
    clock = ManualClock(autojump=True)
    pipeline = Pipeline(Fallback("stale"), Retry(jitter=False, clock=clock))
    assert plainly(pipeline, OSError()) == "stale"
    assert clock.now() == 3.0


def test_leaves_a_result_alone_and_keeps_the_signature():
    @Fallback(None)
    def double(number: int) -> int:
        """Double."""
        return 2 * number

    assert (double(4), double.__name__, double.__doc__) == (8, "double", "Double.")


def test_tells_that_it_answered():
    events, error = [], OSError()
    fallback = Fallback("stale")
    fallback.subscribe(events.append)
    plainly(fallback, error)
    assert [(event.kind, event.error) for event in events] == [("fell_back", error)]


@pytest.mark.parametrize("on", [3, "OSError", None, int])
def test_refuses_what_says_nothing_of_exceptions(on):
    with pytest.raises(ConfigurationError) as caught:
        Fallback("stale", on=on)
    assert caught.value.field == "on"
