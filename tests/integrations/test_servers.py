"""Limits in front of real frameworks: who is let through, who is told to come back, and how."""

import json
import math
import threading
from contextlib import contextmanager
from datetime import timedelta

import django
import django.conf
import flask
import httpx2
import pytest
import redis.asyncio
import uvicorn
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from fastapi import Depends, FastAPI

from sluicegate import KeyedRateLimiter, RateLimiter, RateLimiterConfig
from sluicegate.backends.redis import AsyncRedisRateLimiter
from sluicegate.integrations import asgi, fastapi, wsgi
from sluicegate.integrations import django as in_django
from sluicegate.integrations import flask as in_flask
from sluicegate.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def check(responses: list[httpx2.Response]) -> None:
    """Two of "2/min" are let through, the third is told when to come back."""
    assert [response.status_code for response in responses] == [200, 200, 429]
    first, _, refused = responses
    assert first.headers["ratelimit"] == '"api";r=1;t=30'
    assert first.headers["ratelimit-policy"] == '"api";q=2;w=60'
    assert refused.headers["retry-after"] == "30"
    assert refused.headers["ratelimit"] == '"api";r=0;t=60'
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["status"], problem["retry_after"], problem["violated-policies"]) == (429, 30, ["api"])
    assert problem["type"].endswith("#quota-exceeded")


async def hello(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b"hello"})


def in_process(app) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, client=("192.0.2.1", 4000))
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost")


async def thrice(app, **options) -> list[httpx2.Response]:
    async with in_process(app) as client:
        return [await client.get("/", **options) for _ in range(3)]


async def test_asgi_lets_the_burst_through_and_tells_the_rest_when_to_come_back(clock):
    responses = await thrice(asgi.RateLimitMiddleware(hello, RateLimiter("2/min", name="api", clock=clock)))
    check(responses)
    assert responses[0].headers["x-own"] == "1"


async def test_one_limit_for_all_may_spare_some(clock):
    def key(scope):
        return None if dict(scope["headers"]).get(b"x-health") else "anybody"

    app = asgi.RateLimitMiddleware(hello, RateLimiter("2/min", name="api", clock=clock), key=key)
    assert {one.status_code for one in await thrice(app, headers={"x-health": "1"})} == {200}
    check(await thrice(app))


async def test_a_caller_has_a_limit_of_its_own(clock):
    limiter = KeyedRateLimiter("2/min", name="api", clock=clock)
    app = asgi.RateLimitMiddleware(hello, limiter, key=asgi.HeaderKey("x-api-key"))
    check(await thrice(app, headers={"x-api-key": "mina"}))
    check(await thrice(app, headers={"x-api-key": "jun"}))
    assert {response.status_code for response in await thrice(app)} == {200}  # None: not limited


async def test_come_back_when_told_and_be_served(clock):
    app = asgi.RateLimitMiddleware(hello, KeyedRateLimiter("2/s", clock=clock))
    refused = (await thrice(app))[-1]
    clock.advance(float(refused.headers["retry-after"]))
    assert (await thrice(app))[0].status_code == 200


async def test_what_can_never_be_granted_is_refused_without_a_time(clock):
    app = asgi.RateLimitMiddleware(hello, RateLimiter("2/s", clock=clock), cost=3)
    refused = (await thrice(app))[0]
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    assert "retry_after" not in refused.json()


@pytest.mark.parametrize(
    ("quota", "policy"),
    [
        ("5/2s", '"default";q=5;w=2'),
        ("0/s;burst=3", '"default";q=3'),
        ("1/day", '"default";q=1;w=86400'),
        ("inf/s", None),
        (RateLimiterConfig(6, timedelta(minutes=1), burst=3), '"default";q=3;w=30'),
    ],
)
async def test_the_policy_says_the_burst_and_how_long_it_takes_to_earn(clock, quota, policy):
    app = asgi.RateLimitMiddleware(hello, RateLimiter(quota, clock=clock))
    assert (await thrice(app))[0].headers.get("ratelimit-policy") == policy


async def test_a_change_of_the_limit_is_told_at_once(clock):
    limiter = RateLimiter("2/s", clock=clock)
    app = asgi.RateLimitMiddleware(hello, limiter)
    await thrice(app)
    limiter.update("9/s")
    assert (await thrice(app))[0].headers["ratelimit-policy"] == '"default";q=9;w=1'


async def test_a_name_is_quoted_for_the_wire(clock):
    app = asgi.RateLimitMiddleware(hello, RateLimiter("2/s", name='a"b\\c단어\n', clock=clock))
    assert (await thrice(app))[0].headers["ratelimit"].startswith('"a\\"b\\\\c";r=')


async def test_headers_can_be_left_out(clock):
    app = asgi.RateLimitMiddleware(hello, RateLimiter("2/s", clock=clock), headers=False)
    assert "ratelimit" not in (await thrice(app))[0].headers


async def test_an_answer_that_must_be_awaited_is(clock):
    class Remote:
        name = "remote"
        limiter = KeyedRateLimiter("2/min", clock=clock)

        async def attempt(self, key, count):
            return self.limiter.attempt(key, count)

    responses = await thrice(asgi.RateLimitMiddleware(hello, Remote()))
    assert [response.status_code for response in responses] == [200, 200, 429]


async def test_a_websocket_over_the_limit_is_closed_before_it_is_accepted(clock):
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    async def accept(scope, receive, send):
        await send({"type": "websocket.accept"})

    app = asgi.RateLimitMiddleware(accept, RateLimiter("1/min", clock=clock))
    for _ in range(2):
        await app({"type": "websocket", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == 1013


async def test_the_lifespan_is_none_of_its_business(clock):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    await asgi.RateLimitMiddleware(app, RateLimiter("0/s;burst=0", clock=clock))(
        {"type": "lifespan"}, None, None
    )
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    ("limiter", "options", "error"),
    [
        ("100/s", {}, TypeError),
        (RateLimiter("1/s"), {"key": "address"}, TypeError),
        (RateLimiter("1/s"), {"cost": -1}, ValueError),
    ],
)
@pytest.mark.parametrize("middleware", [asgi.RateLimitMiddleware, wsgi.RateLimitMiddleware])
def test_nonsense_is_refused_when_it_is_built(middleware, limiter, options, error):
    with pytest.raises(error):
        middleware(None, limiter, **options)


@contextmanager
def served(app):
    """Serve an ASGI application over loopback, in a thread."""
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        socket.close()


def test_a_real_server_behind_a_real_client(clock):
    app = asgi.RateLimitMiddleware(hello, KeyedRateLimiter("2/min", name="api", clock=clock))
    with served(app) as url, httpx2.Client() as client:
        check([client.get(url) for _ in range(3)])


def searching(clock: ManualClock) -> FastAPI:
    app = FastAPI()
    limit = fastapi.RateLimit(KeyedRateLimiter("2/min", name="api", clock=clock))
    nobody = fastapi.RateLimit(KeyedRateLimiter("0/s;burst=0"), key=lambda scope: None)

    @app.get("/", dependencies=[Depends(limit)])
    async def search() -> str:
        return "found"

    @app.get("/free", dependencies=[Depends(nobody)])
    async def free() -> str:
        return "free"

    return app


async def test_fastapi_limits_a_route_by_a_dependency(clock):
    app = searching(clock)
    responses = await thrice(app)
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert "try again in 30 s" in responses[2].json()["detail"]
    async with in_process(app) as client:
        assert (await client.get("/free")).status_code == 200


async def test_fastapi_sends_problem_details_once_it_has_the_handler(clock):
    app = searching(clock)
    app.add_exception_handler(fastapi.RateLimited, fastapi.problem_response)
    check(await thrice(app))


async def test_a_stranger_to_the_handler_goes_on():
    with pytest.raises(KeyError):
        await fastapi.problem_response(None, KeyError("word"))


def greet(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"hello"]


def test_wsgi_does_as_asgi_does(clock):
    app = wsgi.RateLimitMiddleware(greet, KeyedRateLimiter("2/min", name="api", clock=clock))
    with httpx2.Client(transport=httpx2.WSGITransport(app), base_url="http://localhost") as client:
        check([client.get("/") for _ in range(3)])
    exempt = wsgi.RateLimitMiddleware(greet, KeyedRateLimiter("0/s;burst=0"), key=lambda environ: None)
    quiet = wsgi.RateLimitMiddleware(greet, RateLimiter("2/s"), headers=False)
    for app in (exempt, quiet):
        with httpx2.Client(transport=httpx2.WSGITransport(app), base_url="http://localhost") as client:
            response = client.get("/")
        assert response.status_code == 200
        assert "ratelimit" not in response.headers


def test_flask_limits_a_view_and_a_whole_application(clock):
    app = flask.Flask("shop")

    @app.get("/")
    @in_flask.rate_limit(KeyedRateLimiter("2/min", name="api", clock=clock))
    def search():
        return "found"

    @app.get("/free")
    @in_flask.rate_limit(KeyedRateLimiter("0/s;burst=0"), key=lambda environ: None)
    def free():
        return "free"

    transport = httpx2.WSGITransport(app)
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        check([client.get("/") for _ in range(3)])
        assert client.get("/free").status_code == 200
    app.wsgi_app = wsgi.RateLimitMiddleware(app.wsgi_app, RateLimiter("1/min"))
    assert [app.test_client().get("/free").status_code for _ in range(2)] == [200, 429]


@pytest.fixture(scope="module", autouse=True)
def _django():
    django.conf.settings.configure(SECRET_KEY="for tests only", ALLOWED_HOSTS=["*"], DEFAULT_CHARSET="utf-8")
    django.setup()


def as_response(response: HttpResponse) -> httpx2.Response:
    return httpx2.Response(response.status_code, headers=dict(response.headers), content=response.content)


def test_django_limits_a_view(clock):
    @in_django.rate_limit(KeyedRateLimiter("2/min", name="api", clock=clock))
    def search(request):
        return HttpResponse("found")

    check([as_response(search(RequestFactory().get("/"))) for _ in range(3)])


async def test_django_limits_a_view_that_is_awaited(clock):
    @in_django.rate_limit(KeyedRateLimiter("2/min", name="api", clock=clock))
    async def search(request):
        return HttpResponse("found")

    check([as_response(await search(AsyncRequestFactory().get("/"))) for _ in range(3)])


def far_limiter(clock):
    """An asynchronous limiter whose server is away, so that a tenth of the limit is let through: two."""
    client = redis.asyncio.Redis(port=1, socket_timeout=0.1)
    return AsyncRedisRateLimiter(client, "20/min", name="api", clock=clock)


async def test_django_awaits_an_asynchronous_limiter(clock):
    @in_django.rate_limit(far_limiter(clock))
    async def search(request):
        return HttpResponse("found")

    responses = [await search(AsyncRequestFactory().get("/")) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]


async def test_fastapi_awaits_an_asynchronous_limiter(clock):
    app = FastAPI(dependencies=[Depends(fastapi.RateLimit(far_limiter(clock)))])
    app.get("/")(lambda: "found")
    assert [response.status_code for response in await thrice(app)] == [200, 200, 429]


async def test_asgi_awaits_an_asynchronous_limiter(clock):
    app = asgi.RateLimitMiddleware(hello, far_limiter(clock))
    assert [response.status_code for response in await thrice(app)] == [200, 200, 429]


def test_django_leaves_alone_whom_the_key_does():
    @in_django.rate_limit(KeyedRateLimiter("0/s;burst=0"), key=lambda environ: None)
    def search(request):
        return HttpResponse("found")

    response = search(RequestFactory().get("/"))
    assert response.status_code == 200
    assert "ratelimit" not in response.headers


def test_a_refusal_is_json_whatever_it_says(clock):
    limiter = RateLimiter("1/s", clock=clock)
    answers = []
    app = wsgi.RateLimitMiddleware(greet, limiter)
    for _ in range(2):
        answers.append(b"".join(app({"wsgi.version": (1, 0)}, lambda *_: None)))
    assert not math.isnan(json.loads(answers[1])["retry_after"])
