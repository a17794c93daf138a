"""What policies tell those who subscribed, and that nobody else pays for it."""

import asyncio
import logging

import pytest
import trio

from sluicegate import AttemptTimeoutError, LimitExceededError, Pipeline, RateLimiter, Retry, Timeout
from sluicegate.policies import _policy
from sluicegate.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


class Failing:
    """Fails as often as it is told."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self):
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def later(self):
        return self()


def told(policy):
    events = []
    policy.subscribe(events.append)
    return events


def plainly(policy, failing):
    return policy.call(failing)


def on_asyncio(policy, failing):
    return asyncio.run(policy.call(failing.later))


def on_trio(policy, failing):
    return trio.run(policy.call, failing.later)


def decorated_on_asyncio(policy, failing):
    return asyncio.run(policy(failing.later)())


everywhere = pytest.mark.parametrize("run", [plainly, on_asyncio, on_trio, decorated_on_asyncio])


@everywhere
def test_a_retry_tells_of_every_wait_and_of_its_end(run, clock):
    retry = Retry(jitter=False, clock=clock)
    events, errors = told(retry), [OSError(1), OSError(2), OSError(3)]
    with pytest.raises(OSError, match="3"):
        run(retry, Failing(*errors))
    assert [(event.kind, event.attempt, event.attempts, event.delay, event.at) for event in events] == [
        ("retrying", 0, None, 1.0, 0.0),
        ("retrying", 1, None, 2.0, 1.0),
        ("failed", None, 3, None, 3.0),
    ]
    assert [event.error for event in events] == errors
    assert all(event.policy is retry for event in events)


@everywhere
def test_a_pipeline_tells_one_thing_a_call(run, clock):
    pipeline = Pipeline(Retry(jitter=False, clock=clock), clock=clock)
    events = told(pipeline)
    assert run(pipeline, Failing(OSError(), OSError())) == "done"
    (event,) = events
    assert (event.kind, event.attempts, event.duration, event.error) == ("completed", 3, 3.0, None)


@everywhere
def test_a_pipeline_tells_what_a_call_raised(run, clock):
    pipeline = Pipeline(Retry(retry_on=OSError, clock=clock), clock=clock)
    events, error = told(pipeline), KeyError()
    with pytest.raises(KeyError):
        run(pipeline, Failing(error))
    assert [(event.kind, event.attempts, event.error) for event in events] == [("completed", 1, error)]


def test_a_refused_call_took_no_attempt(clock):
    pipeline = Pipeline(RateLimiter("0/s;burst=0", clock=clock).limit(timeout=0), clock=clock)
    events = told(pipeline)
    with pytest.raises(LimitExceededError):
        pipeline.call(int)
    assert [event.attempts for event in events] == [0]


def test_a_cancelled_call_is_told_of_as_well(clock):
    async def hang():
        await asyncio.Event().wait()

    pipeline = Pipeline(Retry(clock=clock), clock=clock)
    events = told(pipeline)
    with pytest.raises(AttemptTimeoutError):
        asyncio.run(Pipeline(Timeout(2, clock=clock), pipeline).call(hang))
    assert [type(event.error) for event in events] == [asyncio.CancelledError]
    assert events[0].duration == 2.0


def test_a_call_whose_function_returns_an_awaitable_ends_with_it(clock):
    failing = Failing()
    pipeline = Pipeline(Retry(clock=clock), clock=clock)
    events = told(pipeline)

    def plain():
        return failing.later()

    awaitable = pipeline.call(plain)
    assert events == []

    async def main():
        return await awaitable

    assert asyncio.run(main()) == "done"
    assert [event.kind for event in events] == ["completed"]


def test_a_timeout_tells_whom_it_cut_short(clock):
    async def hang():
        await asyncio.Event().wait()

    timeout = Timeout(2, clock=clock)
    events = told(timeout)
    with pytest.raises(AttemptTimeoutError) as caught:
        asyncio.run(timeout.call(hang))
    assert [(event.kind, event.at, event.error) for event in events] == [("timed_out", 2.0, caught.value)]


def test_what_a_listener_raises_is_logged_and_the_others_hear_of_it_still(clock, caplog):
    def broken(event):
        raise ValueError("deaf")

    retry = Retry(clock=clock)
    retry.subscribe(broken)
    events = told(retry)
    with caplog.at_level(logging.ERROR, logger="sluicegate"):
        assert retry.call(Failing(OSError())) == "done"
    assert len(events) == 1
    assert "'retrying'" in caplog.text


def test_a_subscription_is_taken_back_alone_and_once(clock):
    events = []
    retry = Retry(clock=clock)
    take_back = retry.subscribe(events.append)
    retry.subscribe(events.append)
    take_back()
    take_back()
    retry.call(Failing(OSError()))
    assert len(events) == 1


def test_one_who_subscribes_late_hears_of_what_is_decorated_already(clock):
    pipeline = Pipeline(Retry(clock=clock), clock=clock)
    decorated = pipeline(Failing().later)
    events = told(pipeline)
    asyncio.run(decorated())
    assert len(events) == 1


def test_without_a_listener_no_event_is_made(clock, monkeypatch):
    def refuse(**fields):
        raise AssertionError(fields)

    monkeypatch.setattr(_policy, "PolicyEvent", refuse)
    pipeline = Pipeline(Retry(jitter=False, clock=clock), clock=clock)
    assert pipeline.call(Failing(OSError())) == "done"


def test_a_listener_that_cannot_be_called_is_refused(clock):
    with pytest.raises(TypeError, match="called with each event, and 3 cannot be"):
        Retry(clock=clock).subscribe(3)
