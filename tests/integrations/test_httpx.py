"""Requests through limiter, breaker and retries, of both client libraries, blocking and not."""

import asyncio
import copy
import pickle
import socket
import sys
import threading
from contextlib import contextmanager

import httpx
import httpx2
import pytest
import trio
import uvicorn

from sluicegate import (
    AttemptTimeoutError,
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerRegistry,
    CircuitOpenError,
    CircuitState,
    CompositeRateLimiter,
    ConfigurationError,
    KeyedRateLimiter,
    LimitExceededError,
    RateLimiter,
    Retry,
    RetryConfig,
)
from sluicegate.integrations._heeding import heed
from sluicegate.integrations.httpx import AsyncResilientTransport, ResilientTransport
from sluicegate.testing import ManualClock

URL = "http://api.example.org/words"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(autojump=True)


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request):
    return request.param


class Far:
    """The far side: answers with what it is told to, and notes when it was asked and what was closed."""

    def __init__(self, library, clock, *answers) -> None:
        self.library = library
        self.clock = clock
        self.answers = list(answers)
        self.asked: list[float] = []
        self.bodies: list[bytes] = []
        self.streams: list[Stream] = []

    def answer(self, request):
        self.asked.append(self.clock.now())
        self.bodies.append(b"".join(request.stream))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        stream = stream_of(self.library)
        self.streams.append(stream)
        return self.library.Response(status, headers=headers, stream=stream)

    def handle_request(self, request):
        return self.answer(request)

    async def handle_async_request(self, request):
        return self.answer(request)

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception) -> None:
        pass


class Stream:
    closed = False

    def __iter__(self):
        yield b"ok"

    async def __aiter__(self):
        yield b"ok"

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def stream_of(library):
    return type("Both", (Stream, library.SyncByteStream, library.AsyncByteStream), {})()


@pytest.fixture(params=["threads", "asyncio", "trio"])
def send(request):
    """Send requests one after the other; return each response, or what was raised in its place."""

    def blocking(far, requests, **options):
        with far.library.Client(transport=ResilientTransport(far, **options)) as client:
            return [outcome(client, ask) for ask in requests]

    async def awaiting(far, requests, options):
        transport = AsyncResilientTransport(far, **options)
        async with far.library.AsyncClient(transport=transport) as client:
            outcomes = []
            for ask in requests:
                try:
                    outcomes.append(await client.request(**ask))
                except Exception as error:
                    outcomes.append(error)
            return outcomes

    runners = {
        "threads": blocking,
        "asyncio": lambda far, requests, **options: asyncio.run(awaiting(far, requests, options)),
        "trio": lambda far, requests, **options: trio.run(awaiting, far, requests, options),
    }
    return runners[request.param]


def outcome(client, ask):
    try:
        return client.request(**ask)
    except Exception as error:
        return error


GET = {"method": "GET", "url": URL}
POST = {"method": "POST", "url": URL, "content": b"a word"}


def steady(clock, **fields) -> Retry:
    return Retry(max_attempts=3, jitter=False, clock=clock, **fields)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_idempotent_request_is_tried_again(library, clock, send, status):
    far = Far(library, clock, status, status, 200)
    retry = steady(clock)
    [response] = send(far, [GET], retry=retry)
    assert (response.status_code, response.content) == (200, b"ok")
    assert far.asked == [0.0, 1.0, 3.0]
    assert (retry.stats().calls, retry.stats().retries, retry.stats().failures) == (1, 2, 0)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 501])
def test_an_answer_that_will_not_change_is_not_asked_for_again(library, clock, send, status):
    far = Far(library, clock, status)
    [response] = send(far, [GET], retry=steady(clock))
    assert response.status_code == status
    assert len(far.asked) == 1


def test_the_last_response_is_returned_open_and_the_ones_before_are_closed(library, clock):
    far = Far(library, clock, 503)
    retry = steady(clock)
    client = library.Client(transport=ResilientTransport(far, retry=retry))
    with client, client.stream("GET", URL) as response:
        assert [stream.closed for stream in far.streams] == [True, True, False]
        assert response.status_code == 503
        assert response.read() == b"ok"
    assert far.streams[-1].closed
    assert retry.stats().failures == 1


def test_a_retry_after_is_waited_in_full(library, clock, send):
    far = Far(library, clock, (429, {"Retry-After": "7"}), 200)
    [response] = send(far, [GET], retry=steady(clock))
    assert response.status_code == 200
    assert far.asked == [0.0, 7.0]


def test_a_connection_error_is_tried_again_and_the_last_one_raised(library, clock, send):
    errors = [library.ConnectError(str(number)) for number in range(3)]
    far = Far(library, clock, *errors)
    [raised] = send(far, [GET], retry=steady(clock))
    assert raised is errors[2]


def test_a_misuse_is_not_tried_again(library, clock, send):
    far = Far(library, clock, library.UnsupportedProtocol("ftp"))
    [raised] = send(far, [GET], retry=steady(clock))
    assert isinstance(raised, library.UnsupportedProtocol)
    assert len(far.asked) == 1


def test_a_post_is_sent_once_unless_it_may_be_repeated(library, clock, send):
    far = Far(library, clock, 503, 200)
    [response] = send(far, [POST], retry=steady(clock))
    assert (response.status_code, len(far.asked)) == (503, 1)
    far = Far(library, clock, 503, 200)
    [response] = send(far, [POST], retry=steady(clock), retry_methods=["post"])
    assert response.status_code == 200
    assert far.bodies == [b"a word", b"a word"]


def test_a_body_that_can_be_sent_only_once_is(library, clock):
    far = Far(library, clock, 503, 200)
    with library.Client(transport=ResilientTransport(far, retry=steady(clock))) as client:
        assert client.put(URL, content=iter([b"a", b"b"])).status_code == 503
    assert far.bodies == [b"ab"]


def test_a_config_of_retries_will_do_as_well(library, clock, send):
    [response] = send(Far(library, clock, 503, 200), [POST], retry=RetryConfig())
    assert response.status_code == 503


def test_each_attempt_takes_a_permit_of_its_host(library, clock, send):
    limiter = KeyedRateLimiter("1/10s", clock=clock)
    other = {**GET, "url": "http://other.example.org/"}
    far = Far(library, clock, 503, 200)
    responses = send(far, [GET, other], limiter=limiter, retry=steady(clock))
    assert [response.status_code for response in responses] == [200, 200]
    assert far.asked == [0.0, 10.0, 10.0]
    keys = [f"http://{name}.example.org:80" for name in ("api", "other", "none")]
    assert [limiter.peek(key, 0).remaining for key in keys] == [0, 0, 1]


def test_one_limiter_for_all_hosts_waits_too(library, clock, send):
    far = Far(library, clock, 200)
    send(far, [GET, GET], limiter=RateLimiter("1/10s", clock=clock))
    assert far.asked == [0.0, 10.0]


def test_a_refusal_is_the_librarys_own_exception_too(library, clock, send):
    far = Far(library, clock, 200)
    _, refused = send(far, [GET, GET], limiter=RateLimiter("1/min", name="words", clock=clock), max_wait=1)
    assert isinstance(refused, LimitExceededError)
    assert isinstance(refused, library.TransportError)
    assert (refused.policy, refused.retry_after, refused.limit) == ("words", 60.0, 1)
    assert refused.request.url == URL
    assert "words lets no request through" in str(refused)
    for travelled in (copy.copy(refused), pickle.loads(pickle.dumps(refused))):
        assert isinstance(travelled, LimitExceededError)
        assert isinstance(travelled, library.TransportError)
        assert (str(travelled), travelled.retry_after) == (str(refused), 60.0)


def test_a_breaker_for_each_host_counts_5xx_and_connection_errors(library, clock, send):
    breakers = CircuitBreakerRegistry(CircuitBreakerConfig(consecutive_failures=2), clock=clock)
    far = Far(library, clock, 500, library.ConnectError("refused"))
    other = {**GET, "url": "http://other.example.org:8080/"}
    first, second, third = send(far, [GET, GET, GET], breaker=breakers)
    assert first.status_code == 500
    assert isinstance(second, library.ConnectError)
    assert isinstance(third, CircuitOpenError)
    assert isinstance(third, library.TransportError)
    assert len(far.asked) == 2
    [fourth] = send(Far(library, clock, 200), [other], breaker=breakers)
    assert fourth.status_code == 200
    assert breakers["http://other.example.org:8080"].state is CircuitState.CLOSED


def test_429_and_4xx_are_no_failures_of_the_far_side(library, clock, send):
    breaker = CircuitBreaker(consecutive_failures=1, clock=clock)
    send(Far(library, clock, 429, 404), [GET, GET], breaker=breaker)
    assert breaker.state is CircuitState.CLOSED
    assert breaker.snapshot().total_successes == 2


def test_an_open_breaker_is_not_asked_again(library, clock, send):
    breaker = CircuitBreaker(clock=clock)
    breaker.isolate("maintenance")
    far = Far(library, clock, 200)
    [raised] = send(far, [GET], breaker=breaker, retry=steady(clock))
    assert isinstance(raised, CircuitOpenError)
    assert (far.asked, clock.now()) == ([], 0.0)


def test_a_stream_holds_its_place_until_it_is_closed(library, clock):
    bulkhead = Bulkhead(1, clock=clock)
    far = Far(library, clock, 200)
    with library.Client(transport=ResilientTransport(far, bulkhead=bulkhead)) as client:
        with client.stream("GET", URL) as response:
            assert bulkhead.in_use == 1
            with pytest.raises(BulkheadFullError) as caught:
                client.get(URL)
            assert isinstance(caught.value, library.TransportError)
            assert list(response.iter_raw()) == [b"ok"]
        assert bulkhead.in_use == 0
        assert client.get(URL).status_code == 200
    assert bulkhead.in_use == 0


def test_a_failed_attempt_and_one_tried_again_give_their_places_up(library, clock, send):
    bulkhead = Bulkhead(1, clock=clock)
    far = Far(library, clock, 503, library.ReadError("reset"), 200)
    [response] = send(far, [GET], bulkhead=bulkhead, retry=steady(clock))
    assert response.status_code == 200
    assert bulkhead.in_use == 0


async def test_an_attempt_is_cut_short_and_tried_again(library, clock):
    class Slow(Far):
        async def handle_async_request(self, request):
            response = self.answer(request)
            if response.status_code == 202:
                await self.clock.sleep_until(self.clock.now_ns() + 10**11)
            return response

    far = Slow(library, clock, 202, 200)
    transport = AsyncResilientTransport(far, retry=steady(clock), timeout=2.0)
    async with library.AsyncClient(transport=transport) as client:
        assert (await client.get(URL)).status_code == 200
    assert far.asked == [0.0, 3.0]
    far = Slow(library, clock, 202)
    transport = AsyncResilientTransport(far, retry=Retry(max_attempts=1, clock=clock), timeout=2.0)
    async with library.AsyncClient(transport=transport) as client:
        with pytest.raises(AttemptTimeoutError) as caught:
            await client.get(URL)
    assert isinstance(caught.value, library.TimeoutException)


def test_a_blocking_attempt_has_its_steps_bounded(library, clock):
    far = Far(library, clock, 200)
    seen = []
    far.handle_request = lambda request: (seen.append(request.extensions["timeout"]), far.answer(request))[1]
    with library.Client(transport=ResilientTransport(far, timeout=2.0), timeout=5.0) as client:
        client.get(URL)
        client.get(URL, timeout=1.0)
    assert seen == [dict.fromkeys(("connect", "read", "write", "pool"), most) for most in (2.0, 1.0)]


def test_what_a_response_announces_pulls_the_limiter_down_and_never_up(library, clock, send):
    limiter = RateLimiter("10/s", clock=clock)
    told = [
        (200, {"x-ratelimit-remaining-requests": left, "x-ratelimit-reset-requests": "1s"}) for left in "49"
    ]
    send(Far(library, clock, *told), [GET], limiter=limiter)
    assert limiter.peek(0).remaining == 4
    send(Far(library, clock, told[1]), [GET], limiter=limiter)
    assert limiter.peek(0).remaining == 3


def test_where_nothing_is_left_the_next_request_waits_for_the_reset(library, clock, send):
    limiter = KeyedRateLimiter("10/s;burst=100", clock=clock)
    spent = (200, {"RateLimit": '"default";r=0;t=5'})
    far = Far(library, clock, spent, spent, 200)
    send(far, [GET, {**GET, "url": "http://other.example.org/"}, GET], limiter=limiter)
    assert far.asked[:2] == [0.0, 0.0]
    assert far.asked[2] == pytest.approx(5.0, abs=0.1)


def test_an_announcement_that_is_heard_often_pulls_once(library, clock):
    limiter = RateLimiter("10/s;burst=100", clock=clock)
    response = library.Response(429, headers={"Retry-After": "5"})
    for _ in range(50):
        heed(limiter, (), response)
    assert limiter.peek().retry_after == pytest.approx(5.0, abs=0.1)


def test_one_permit_too_many_is_drawn_as_well(library, clock):
    limiter = RateLimiter("10/s", clock=clock)
    told = {"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "1s"}
    heed(limiter, (), library.Response(200, headers=told))
    assert limiter.peek(0).remaining == 9


def test_a_refusal_of_a_transport_underneath_is_not_tried_again(library, clock):
    far = Far(library, clock, 200)
    spent = RateLimiter("1/day", clock=clock)
    assert spent.try_acquire()
    inner = ResilientTransport(far, limiter=spent, max_wait=0)
    with pytest.raises(LimitExceededError) as caught:
        ResilientTransport(inner, retry=steady(clock)).handle_request(library.Request(**GET))
    assert caught.value.request.url == URL
    assert clock.now() == 0.0


def test_a_stream_that_is_closed_twice_gives_its_place_up_once(library, clock):
    bulkhead = Bulkhead(2)
    transport = ResilientTransport(Far(library, clock, 200), bulkhead=bulkhead)
    first, _ = (transport.handle_request(library.Request(**GET)) for _ in range(2))
    first.stream.close()
    first.stream.close()
    assert bulkhead.in_use == 1


def tokens_of(request):
    return {"tokens": len(request.content) * 100}


def test_a_request_draws_its_counts_of_a_composite_limiter(library, clock, send):
    limiter = CompositeRateLimiter(requests="10/s", tokens="1000/s", clock=clock)
    far = Far(library, clock, 200)
    send(far, [POST, POST], limiter=limiter, counts=tokens_of)
    assert far.asked == pytest.approx([0.0, 0.2])


def test_announced_tokens_pull_the_unit_of_tokens_down_and_no_other(library, clock, send):
    limiter = CompositeRateLimiter(requests="10/s", tokens="1000/s", clock=clock)
    told = {"x-ratelimit-remaining-tokens": "70", "x-ratelimit-reset-tokens": "1s"}
    send(Far(library, clock, (200, told)), [GET], limiter=limiter)
    assert {unit: one.peek(0).remaining for unit, one in limiter.limiters.items()} == {
        "requests": 9,
        "tokens": 70,
    }


@pytest.mark.parametrize("units", [("requests", "tokens"), ("calls",)])
def test_a_refusal_with_retry_after_holds_a_composite_limiter_up(library, clock, units):
    limiter = CompositeRateLimiter(**dict.fromkeys(units, "10/s;burst=100"), clock=clock)
    heed(limiter, (), library.Response(429, headers={"Retry-After": "5"}))
    assert limiter.peek().retry_after == pytest.approx(5.0, abs=0.1)
    assert [one.peek().allowed for one in limiter.limiters.values()] == [False, True][: len(units)]


def test_an_announced_unit_that_the_limiter_does_not_count_pulls_nothing_down(library, clock):
    limiter = CompositeRateLimiter(requests="10/s", clock=clock)
    told = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1s"}
    heed(limiter, (), library.Response(200, headers=told))
    assert limiter.peek(requests=10)


def test_a_limiter_without_a_burst_owes_nothing_for_a_refusal(library, clock):
    limiter = RateLimiter("10/s;burst=0", clock=clock)
    heed(limiter, (), library.Response(429, headers={"Retry-After": "5"}))
    limiter.update("10/s;burst=1")
    assert limiter.try_acquire()


def test_who_waits_already_keeps_its_turn_when_nothing_is_left_any_more(library, clock):
    limiter = RateLimiter("10/s;burst=100", clock=clock)
    admitted = []

    async def ask(count):
        await limiter.acquire(count)
        admitted.append(clock.now())

    async def main():
        limiter.try_acquire(100)
        before = asyncio.create_task(ask(5))
        await asyncio.sleep(0)
        heed(limiter, (), library.Response(200, headers={"RateLimit": '"default";r=0;t=5'}))
        await asyncio.gather(before, ask(1))

    asyncio.run(main())
    assert admitted == pytest.approx([0.5, 5.0], abs=0.1)


@pytest.mark.parametrize("quota", ["inf/s", "0/s;burst=0", "1/day"])
def test_no_announcement_fails_at_an_odd_quota(library, clock, quota):
    limiter = RateLimiter(quota, clock=clock)
    heed(limiter, (), library.Response(429, headers={"Retry-After": "5", "x-ratelimit-remaining": "0"}))
    assert limiter.peek(0).remaining in (0, sys.maxsize)


def test_announcements_can_be_left_unheeded(library, clock, send):
    limiter = RateLimiter("10/s", clock=clock)
    send(Far(library, clock, (429, {"Retry-After": "5"})), [GET], limiter=limiter, heed=False)
    assert limiter.peek(0).remaining == 9


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"limiter": "1/s"}, TypeError),
        ({"breaker": "open"}, TypeError),
        ({"bulkhead": 3}, TypeError),
        ({"key": "host"}, TypeError),
        ({"counts": tokens_of, "limiter": RateLimiter("1/s")}, TypeError),
        ({"timeout": -1}, ConfigurationError),
    ],
)
@pytest.mark.parametrize("transport", [ResilientTransport, AsyncResilientTransport])
def test_nonsense_is_refused_when_it_is_built(transport, options, error):
    with pytest.raises(error):
        transport(None, **options)


def test_a_request_of_neither_library_is_refused():
    with pytest.raises(TypeError, match="httpx"):
        ResilientTransport(None).handle_request(object())


@contextmanager
def served(statuses):
    """Serve statuses, one after the other, over loopback."""

    async def app(scope, receive, send):
        status = statuses.pop(0)
        await send({"type": "http.response.start", "status": status, "headers": [(b"retry-after", b"0")]})
        await send({"type": "http.response.body", "body": b"hello"})

    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    listening: socket.socket = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def test_a_real_client_meets_a_real_server(library, clock):
    options = {"retry": steady(clock), "bulkhead": Bulkhead(1)}
    with served([503, 200, 503, 200]) as url:
        with library.Client(transport=ResilientTransport(library.HTTPTransport(), **options)) as client:
            assert client.get(url).text == "hello"

        async def get() -> str:
            transport = AsyncResilientTransport(library.AsyncHTTPTransport(), **options)
            async with library.AsyncClient(transport=transport) as client:
                return (await client.get(url)).text

        assert asyncio.run(get()) == "hello"
    assert options["bulkhead"].in_use == 0
