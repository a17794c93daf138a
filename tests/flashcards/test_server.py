"""The embedded API over real loopback sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from sluicegate import ConfigurationError, RateLimiter
from sluicegate.flashcards._chat_api import MAX_BODY_BYTES
from sluicegate.flashcards._chat_messages import ANALYSIS_MODEL, CARDS_MODEL
from sluicegate.flashcards._faults import FaultPlan
from sluicegate.flashcards._stage1 import read_nuance
from sluicegate.flashcards._stage2 import read_cards
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards.server import EmbeddedServer

PATH = "/chat/completions"
WATER = {"position": 1, "term": "물", "type": "noun"}


def body(content=WATER, model=ANALYSIS_MODEL):
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def word(number):
    return body({"position": number, "term": "물", "type": "noun"})


def error_of(response):
    error = response.json()["error"]
    assert set(error) == {"code", "message", "metadata"}
    return error


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    """A client of a server that does nothing wrong and limits nobody."""
    with (
        EmbeddedServer(
            [VocabularyItem(9, "뷁", "noun", {"definition": "a hint"})], rate="inf/s", faults="none"
        ) as server,
        httpx2.Client(base_url=server.base_url) as client,
    ):
        yield client


def test_answers_stage_1_in_the_envelope_of_the_api(client):
    response = client.post(PATH, json=body())
    assert response.status_code == 200
    envelope = response.json()
    (choice,) = envelope["choices"]
    assert envelope["id"].startswith("gen-")
    assert envelope["model"] == ANALYSIS_MODEL
    assert choice["finish_reason"] == "stop"
    assert read_nuance(choice["message"]["content"]).primary_meaning == "water"
    assert all(envelope["usage"].values())
    assert envelope["usage"]["total_tokens"] == (
        envelope["usage"]["prompt_tokens"] + envelope["usage"]["completion_tokens"]
    )


def test_answers_stage_2_from_the_analysis_it_is_given(client):
    analysis = {"term_number": 1, "term": "물", "pos": "noun", "primary_meaning": "the wet stuff"}
    content = {"position": 1, "term": "물", "stage1_result": analysis}
    response = client.post(PATH, json=body(content, CARDS_MODEL))
    cards = read_cards(response.json()["choices"][0]["message"]["content"])
    assert cards.rejected == 0
    assert cards.cards[0].tab_name == "Scene"
    assert cards.cards[0].back.startswith("the wet stuff")


def test_answers_from_the_hints_of_its_vocabulary(client):
    response = client.post(PATH, json=body({"position": 9, "term": "뷁", "type": "noun"}))
    assert read_nuance(response.json()["choices"][0]["message"]["content"]).primary_meaning == "a hint"


def test_sends_hangul_as_it_is(client):
    assert "물".encode() in client.post(PATH, json=body()).content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"null",
        json.dumps(body(model="gpt")).encode(),
        json.dumps({"model": ANALYSIS_MODEL}).encode(),
        json.dumps({"model": ANALYSIS_MODEL, "messages": []}).encode(),
        json.dumps({"model": ANALYSIS_MODEL, "messages": [{"role": "system", "content": "{}"}]}).encode(),
        json.dumps({"model": ANALYSIS_MODEL, "messages": [{"role": "user", "content": [1]}]}).encode(),
        *(
            json.dumps(body(content)).encode()
            for content in (
                "no JSON",
                "[]",
                WATER | {"position": 0},
                WATER | {"position": True},
                WATER | {"position": "1"},
                WATER | {"term": ""},
                WATER | {"term": "물" * 201},
                WATER | {"term": None},
                WATER | {"type": 1},
            )
        ),
        json.dumps(body(WATER | {"stage1_result": "x"}, CARDS_MODEL)).encode(),
        json.dumps(body(WATER, CARDS_MODEL)).encode(),
    ],
)
def test_refuses_a_request_that_makes_no_sense_with_400(client, content):
    response = client.post(PATH, content=content)
    assert response.status_code == error_of(response)["code"] == 400


def test_answers_a_term_that_is_no_valid_unicode(client):
    response = client.post(
        PATH, content=json.dumps(body(json.dumps({"position": 1, "term": "\ud800"}))).encode()
    )
    assert response.status_code == 200
    assert response.json()["choices"]


def test_refuses_a_body_that_is_too_large_with_413(client):
    response = client.post(PATH, content=b" " * (MAX_BODY_BYTES + 1))
    assert response.status_code == error_of(response)["code"] == 413


def test_knows_one_route_and_one_method(client):
    assert error_of(client.get("/models"))["code"] == 404
    response = client.get(PATH)
    assert error_of(response)["code"] == response.status_code == 405
    assert response.headers["allow"] == "POST"


def test_asks_for_its_key_where_it_has_one():
    with (
        EmbeddedServer(api_key="secret", faults="none") as server,
        httpx2.Client(base_url=server.base_url) as client,
    ):
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
            response = client.post(PATH, json=body(), headers=headers)
            assert response.status_code == error_of(response)["code"] == 401
            assert "secret" not in response.text
        assert client.post(PATH, json=body(), headers={"authorization": "Bearer secret"}).status_code == 200
        assert server.stats.admitted == 1


def test_refuses_what_is_over_the_limit_and_says_for_how_long(clock):
    limiter = RateLimiter("5/s;burst=2", clock=clock)
    with (
        EmbeddedServer(faults="none", limiter=limiter) as server,
        httpx2.Client(base_url=server.base_url) as client,
    ):
        remaining = [client.post(PATH, json=body()).headers["x-ratelimit-remaining"] for _ in range(2)]
        assert remaining == ["1", "0"]
        refused = client.post(PATH, json=body())
        assert refused.status_code == error_of(refused)["code"] == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["retry-after-ms"] == "200"
        assert refused.headers["x-ratelimit-limit"] == "2"
        assert refused.headers["x-ratelimit-reset"] == "0.200"
        clock.advance(0.199)
        assert client.post(PATH, json=body()).status_code == 429
        clock.advance(0.001)
        assert client.post(PATH, json=body()).status_code == 200
        assert (server.stats.admitted, server.stats.limited) == (3, 2)


def test_a_limit_that_never_fills_again_announces_no_time(clock):
    limiter = RateLimiter("0/s;burst=1", clock=clock)
    with (
        EmbeddedServer(faults="none", limiter=limiter) as server,
        httpx2.Client(base_url=server.base_url) as client,
    ):
        admitted, refused = (client.post(PATH, json=body()) for _ in range(2))
    assert (admitted.status_code, refused.status_code) == (200, 429)
    assert admitted.headers["x-ratelimit-remaining"] == "0"
    for response in (admitted, refused):
        assert not {"x-ratelimit-reset", "retry-after", "retry-after-ms"} & response.headers.keys()


def test_never_admits_more_than_the_limit_however_many_ask_at_once(clock):
    limiter = RateLimiter("50/s;burst=20", clock=clock)
    with (
        EmbeddedServer(faults="none", limiter=limiter) as server,
        httpx2.Client(base_url=server.base_url) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        for second, expected in ((0.0, 20), (0.1, 5), (0.5, 20)):
            clock.advance(second)
            answers = pool.map(lambda number: client.post(PATH, json=word(number)).status_code, range(1, 41))
            assert sorted(answers) == [200] * expected + [429] * (40 - expected)


def test_a_server_without_a_limit_announces_none(client):
    headers = client.post(PATH, json=body()).headers
    assert not [name for name in headers if "ratelimit" in name]


def strike(faults, calls=1, seed=0, timeout=5.0):
    """Return what a client sees of `calls` different calls to a server with these faults."""
    with (
        EmbeddedServer(rate="inf/s", faults=faults, seed=seed) as server,
        httpx2.Client(base_url=server.base_url, timeout=timeout) as client,
    ):
        return [client.post(PATH, json=word(number)) for number in range(1, calls + 1)]


def test_an_error_is_a_passing_one():
    responses = strike(FaultPlan(error=1.0), calls=30)
    assert {response.status_code for response in responses} == {408, 500, 502, 503, 504}
    assert all(error_of(response)["code"] == response.status_code for response in responses)


def test_a_hidden_error_comes_under_http_200():
    (response,) = strike(FaultPlan(hidden=1.0))
    assert response.status_code == 200
    assert error_of(response)["code"] == 502


def test_a_busy_provider_is_a_429_that_says_how_long():
    (response,) = strike(FaultPlan(limit=1.0))
    assert error_of(response)["code"] == response.status_code == 429
    assert response.headers["retry-after"] == "1"


def test_a_cut_connection_ends_amid_the_answer():
    with pytest.raises(httpx2.RemoteProtocolError):
        strike(FaultPlan(cut=1.0))


def test_a_call_that_hangs_is_never_answered_and_holds_up_nobody():
    with pytest.raises(httpx2.ReadTimeout):
        strike(FaultPlan(hang=1.0), timeout=0.05)


def test_a_slow_answer_is_right_once_it_comes():
    (response,) = strike(FaultPlan(slow=1.0, slow_seconds=0.0))
    assert read_nuance(response.json()["choices"][0]["message"]["content"]).term == "물"


def test_garbled_truncated_and_empty_content_come_in_an_envelope_in_order():
    (garbled,), (truncated,), (empty,) = (
        strike(plan) for plan in (FaultPlan(garbled=1.0), FaultPlan(truncated=1.0), FaultPlan(empty=1.0))
    )
    choices = [response.json()["choices"][0] for response in (garbled, truncated, empty)]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "length", "stop"]
    assert choices[0]["message"]["content"]
    assert choices[2]["message"]["content"] == ""


def test_the_same_calls_meet_the_same_faults_in_another_order():
    plan = FaultPlan(error=0.3, hidden=0.2)
    numbers = list(range(1, 61))

    def outcomes(order):
        with (
            EmbeddedServer(rate="inf/s", faults=plan, seed=5) as server,
            httpx2.Client(base_url=server.base_url) as client,
            ThreadPoolExecutor(4) as pool,
        ):
            answers = pool.map(lambda number: client.post(PATH, json=word(number)), order)
            return {
                number: (answer.status_code, answer.content)
                for number, answer in zip(order, answers, strict=True)
            }

    assert outcomes(numbers) == outcomes(numbers[::-1])


def test_counts_what_it_did():
    with (
        EmbeddedServer(rate="1/day;burst=1", faults=FaultPlan(empty=1.0)) as server,
        httpx2.Client(base_url=server.base_url) as client,
    ):
        client.post(PATH, json=body())
        client.post(PATH, json=body())
        client.get("/")
    stats = server.stats
    assert (stats.requests, stats.admitted, stats.limited, stats.faults) == (3, 1, 1, {"empty": 1})


async def test_serves_a_client_in_the_callers_event_loop():
    async with EmbeddedServer() as server, httpx2.AsyncClient(base_url=server.base_url) as client:
        responses = await asyncio.gather(*(client.post(PATH, json=word(number)) for number in range(1, 11)))
    assert len(responses) == 10


async def test_answers_in_flight_are_finished_before_it_stops():
    plan = FaultPlan(slow=1.0, slow_seconds=60.0)
    async with httpx2.AsyncClient() as client:
        async with EmbeddedServer(faults=plan) as server:
            pending = asyncio.create_task(client.post(server.base_url + PATH, json=body(), timeout=30))
            while not server.stats.faults:
                await asyncio.sleep(0)
        assert (await pending).status_code == 200


def test_leaves_no_socket_no_thread_and_no_word_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    server = EmbeddedServer(faults=FaultPlan(cut=1.0))
    server.start()
    with httpx2.Client(base_url=server.base_url) as client, pytest.raises(httpx2.RemoteProtocolError):
        client.post(PATH, json=body())
    server.stop()
    server.stop()
    gc.collect()  # a socket left open would warn, and a warning is an error
    assert not [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    with pytest.raises(httpx2.ConnectError):
        httpx2.post(server.base_url + PATH)


def test_a_port_in_use_is_one_line_that_names_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: .+$"
        ) as caught:
            EmbeddedServer(port=port).start()
    assert (caught.value.field, caught.value.value) == ("port", port)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"port": -1}, "port"),
        ({"port": 65_536}, "port"),
        ({"host": "no.such.host.invalid"}, "port"),
        ({"faults": "explode"}, "faults"),
        ({"rate": "many"}, "rate"),
    ],
)
def test_an_option_that_makes_no_sense_is_a_configuration_error(options, field):
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedServer(**options).start()
    assert caught.value.field == field
