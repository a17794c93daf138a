"""Pipelines: order, waiting and refusing, functions and coroutine functions."""

import asyncio
import inspect
import itertools

import pytest
import trio

from sluicegate import (
    AttemptTimeoutError,
    CircuitBreaker,
    CircuitState,
    LimitExceededError,
    Pipeline,
    RateLimiter,
    Retry,
    Timeout,
)
from sluicegate.testing import ManualClock


class Gate:
    """What a limiter is to a pipeline: a context manager that lets pass, later or not at all."""

    def __init__(self, log, name="gate", refusals=0):
        self.log, self.name, self.refusals = log, name, refusals

    def _enter(self, how):
        self.log.append(f"{how} {self.name}")
        if self.refusals:
            self.refusals -= 1
            raise LimitExceededError("spent", policy=self.name, retry_after=0.5)

    def __enter__(self):
        self._enter("enter")

    def __exit__(self, *exception):
        self.log.append(f"leave {self.name}")

    async def __aenter__(self):
        self._enter("await")

    async def __aexit__(self, *exception):
        self.log.append(f"leave {self.name}")


class Breaker:
    """What a breaker is to a pipeline: something with `call`."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def call(self, func, *args, **kwargs):
        self.log.append(f"begin {self.name}")
        result = func(*args, **kwargs)
        return self._later(result) if inspect.isawaitable(result) else self._end(result)

    async def _later(self, result):
        return self._end(await result)

    def _end(self, result):
        self.log.append(f"end {self.name}")
        return result


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


@pytest.fixture
def log():
    return []


def test_makes_the_call_through_all_policies_the_outermost_first(log):
    pipeline = Pipeline(Breaker(log, "a"), Gate(log), Breaker(log, "b"))

    def add(x, *, y):
        log.append("call")
        return x + y

    assert pipeline.call(add, 1, y=2) == 3
    assert log == ["begin a", "enter gate", "begin b", "call", "end b", "leave gate", "end a"]


@pytest.mark.parametrize(
    "run", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)], ids=["asyncio", "trio"]
)
def test_makes_a_coroutine_call_through_all_policies_and_never_blocks(log, run):
    pipeline = Pipeline(Breaker(log, "a"), Gate(log), Breaker(log, "b"))

    async def add(x, *, y):
        log.append("call")
        return x + y

    assert run(pipeline.call(add, 1, y=2)) == 3
    assert log == ["begin a", "await gate", "begin b", "call", "end b", "leave gate", "end a"]


def test_calls_nothing_before_the_coroutine_is_awaited(log):
    async def add():
        log.append("call")

    coroutine = Pipeline(Breaker(log, "a"), Gate(log)).call(add)
    assert log == []
    asyncio.run(coroutine)
    assert log[-1] == "end a"


def test_a_retry_around_a_gate_passes_it_for_every_attempt(log, clock):
    pipeline = Pipeline(Retry(jitter=False, clock=clock), Gate(log, refusals=2))
    assert pipeline.call(lambda: "done") == "done"
    assert log == ["enter gate"] * 3 + ["leave gate"]


def test_a_gate_around_a_retry_is_passed_once(log, clock):
    answers = [OSError(), OSError(), "done"]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert Pipeline(Gate(log), Retry(clock=clock)).call(ask) == "done"
    assert log == ["enter gate", "leave gate"]


def test_a_refusal_reaches_the_caller_and_nothing_is_called(log):
    with pytest.raises(LimitExceededError):
        Pipeline(Gate(log, refusals=1)).call(log.append, "called")
    assert log == ["enter gate"]


def test_decorates_functions_and_coroutine_functions_and_methods(log):
    pipeline = Pipeline(Gate(log))

    class Client:
        @pipeline
        def get(self, url: str) -> str:
            """Get."""
            return f"sync {url}"

        @pipeline
        async def fetch(self, url: str) -> str:
            """Fetch."""
            return f"async {url}"

    assert Client().get("here") == "sync here"
    assert asyncio.run(Client().fetch("there")) == "async there"
    assert inspect.iscoroutinefunction(Client.fetch)
    assert not inspect.iscoroutinefunction(Client.get)
    assert (Client.fetch.__name__, Client.get.__doc__) == ("fetch", "Get.")
    assert list(inspect.signature(Client.get).parameters) == ["self", "url"]


def test_a_pipeline_is_a_policy(log, clock):
    inner = Pipeline(Gate(log, "inner"), name="inner")
    assert Pipeline(Gate(log, "outer"), inner).call(int) == 0
    assert log == ["enter outer", "enter inner", "leave inner", "leave outer"]


def test_without_policies_calls_are_made_as_they_are():
    assert Pipeline().call(int, "7") == 7


def test_shows_what_it_is_made_of():
    pipeline = Pipeline(Retry(name="r"), Timeout(2, name="t"), name="p")
    assert repr(pipeline).startswith("Pipeline(Retry(RetryConfig(max_attempts=3, ")
    assert repr(pipeline).endswith("name='r'), Timeout(2.0, name='t'), name='p')")


def test_one_pipeline_serves_functions_and_coroutine_functions_at_once(log, clock):
    pipeline = Pipeline(Retry(clock=clock), Gate(log), name="api")

    async def later():
        return 2

    assert pipeline.name == "api"
    assert pipeline.call(int) == 0
    assert asyncio.run(pipeline.call(later)) == 2
    assert log == ["enter gate", "leave gate", "await gate", "leave gate"]


@pytest.mark.parametrize("wrap", [lambda timeout: timeout, Pipeline], ids=["bare", "in a pipeline"])
def test_a_timeout_in_it_refuses_plain_functions_before_anything_happens(log, clock, wrap):
    pipeline = Pipeline(Retry(clock=clock), Gate(log), wrap(Timeout(1, clock=clock)))
    with pytest.raises(TypeError, match="coroutine functions only"):
        pipeline.call(int)
    with pytest.raises(TypeError, match="coroutine functions only"):
        pipeline(int)
    assert log == []
    assert clock.now() == 0.0


def test_times_out_each_attempt_or_all_of_them_by_the_order(clock):
    async def hang():
        await asyncio.Event().wait()

    timeout, retry = Timeout(2, clock=clock), Retry(max_attempts=2, jitter=False, clock=clock)
    with pytest.raises(AttemptTimeoutError):
        asyncio.run(Pipeline(retry, timeout).call(hang))
    assert clock.now() == 5.0
    with pytest.raises(AttemptTimeoutError):
        asyncio.run(Pipeline(timeout, retry).call(hang))
    assert clock.now() == 7.0


@pytest.mark.parametrize("bad", [None, 3, "retry", Retry, lambda: None, open])
def test_refuses_what_is_no_policy(bad):
    with pytest.raises(TypeError, match="policy"):
        Pipeline(bad)


def test_refuses_to_decorate_a_generator_function():
    def generate():
        yield 1

    async def generate_later():
        yield 1

    for function in (generate, generate_later):
        with pytest.raises(TypeError, match="generator"):
            Pipeline()(function)


class TestOfLimitersAndBreakers:
    def test_a_bare_limiter_makes_threads_wait(self, clock):
        pipeline = Pipeline(RateLimiter("1/s", clock=clock))
        assert [pipeline.call(clock.now) for _ in range(3)] == [0.0, 1.0, 2.0]

    @pytest.mark.parametrize("run", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)])
    def test_a_bare_limiter_makes_tasks_wait(self, clock, run):
        async def now():
            return clock.now()

        async def main():
            return [await pipeline.call(now) for _ in range(3)]

        pipeline = Pipeline(RateLimiter("1/s", clock=clock))
        assert run(main()) == [0.0, 1.0, 2.0]

    def test_a_limit_with_a_timeout_refuses(self, clock):
        limiter = RateLimiter("1/s", name="search", clock=clock)
        pipeline = Pipeline(limiter.limit(timeout=0))
        assert pipeline.call(int) == 0
        with pytest.raises(LimitExceededError) as caught:
            pipeline.call(int)
        assert (caught.value.policy, caught.value.retry_after) == ("search", 1.0)

    def test_a_retry_waits_exactly_until_a_limit_admits_again(self, clock):
        limiter = RateLimiter("1/4s", clock=clock)
        retry = Retry(max_attempts=2, initial_interval=0, jitter=False, clock=clock)
        pipeline = Pipeline(retry, limiter.limit(timeout=0))
        assert [pipeline.call(clock.now) for _ in range(3)] == [0.0, 4.0, 8.0]
        assert retry.stats().retries == 2

    def test_a_retry_outlasts_the_break_of_a_breaker(self, clock):
        breaker = CircuitBreaker(min_throughput=2, break_duration=30, clock=clock)
        answers = [OSError(), OSError(), "well again"]
        called_at = []

        async def ask():
            called_at.append(clock.now())
            answer = answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return answer

        pipeline = Pipeline(Retry(max_attempts=4, jitter=False, clock=clock), breaker)
        assert asyncio.run(pipeline.call(ask)) == "well again"
        assert called_at == [0.0, 1.0, 31.0]

    def test_a_timeout_around_a_limiter_cuts_the_wait_and_gives_the_permit_back(self, clock):
        limiter = RateLimiter("1/10s", clock=clock)
        pipeline = Pipeline(Timeout(4, clock=clock), limiter)

        async def now():
            return clock.now()

        async def main():
            await pipeline.call(now)
            with pytest.raises(AttemptTimeoutError):
                await pipeline.call(now)
            assert clock.now() == 4.0
            return await Pipeline(limiter).call(now)

        assert asyncio.run(main()) == 10.0

    def test_a_cancelled_call_does_not_count_against_the_breaker(self, clock):
        breaker = CircuitBreaker(min_throughput=1, clock=clock)

        async def hang():
            await asyncio.Event().wait()

        with pytest.raises(AttemptTimeoutError):
            asyncio.run(Pipeline(Timeout(1, clock=clock), breaker).call(hang))
        assert breaker.state is CircuitState.CLOSED
        with pytest.raises(AttemptTimeoutError):
            asyncio.run(Pipeline(breaker, Timeout(1, clock=clock)).call(hang))
        assert breaker.state is CircuitState.OPEN

    def test_all_of_them_serve_many_tasks_at_once_within_the_rate(self, clock):
        limiter = RateLimiter("10/s;burst=1", clock=clock)
        breaker = CircuitBreaker(clock=clock)
        pipeline = Pipeline(Retry(jitter=False, clock=clock), breaker, limiter, Timeout(5, clock=clock))
        called_at = []

        async def ask(number):
            called_at.append(clock.now_ns())
            if number % 10 == 0 and number not in failed:
                failed.add(number)
                raise OSError(number)
            return number

        failed = set()

        async def main():
            return await asyncio.gather(*(pipeline.call(ask, number) for number in range(50)))

        assert asyncio.run(main()) == list(range(50))
        gaps = {later - earlier for earlier, later in itertools.pairwise(called_at)}
        assert gaps == {100_000_000}
        assert (len(called_at), breaker.snapshot().total_failures) == (55, 5)
