"""The connections to the API: as many as there were requests at once, and each used again."""

import asyncio
import base64
import contextlib
from dataclasses import replace

import pytest

from sluicegate import ConfigurationError
from sluicegate.flashcards import _connection as module
from sluicegate.flashcards._connection import Connection
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._wire import ReplyError, UnansweredError


@contextlib.asynccontextmanager
async def listening(at_once):
    """A server that answers once so many requests are there; its URL, its connections, and who waits."""
    taken, together = [], asyncio.Barrier(at_once)

    async def answer(reader, writer):
        taken.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(4)
                await together.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nX-Kind: test\r\nContent-Length: 2\r\n\r\n{}")

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}/v1", taken, together
        finally:
            for writer in taken:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()


async def test_requests_one_after_another_share_a_connection():
    async with listening(1) as (url, taken, _), Connection(Settings(), base_url=url) as connection:
        for _ in range(3):
            status, headers, body = await connection.post(b"body")
            assert (status, headers["x-kind"], body) == (200, "test", b"{}")
        assert len(taken) == 1


async def test_there_are_as_many_connections_as_there_were_requests_at_once():
    async with listening(3) as (url, taken, _), Connection(Settings(), base_url=url) as connection:
        for _ in range(4):
            await asyncio.gather(*(connection.post(b"body") for _ in range(3)))
        assert len(taken) == 3


async def test_a_connection_that_was_given_up_while_it_waited_is_replaced():
    async with listening(3) as (url, _, together), Connection(Settings(), base_url=url) as connection:
        alone = asyncio.create_task(connection.post(b"body"))
        while not together.n_waiting:
            await asyncio.sleep(0)
        alone.cancel()
        await asyncio.wait([alone])
        answers = await asyncio.gather(connection.post(b"body"), connection.post(b"body"))
        assert [status for status, _, _ in answers] == [200, 200]


async def test_a_refused_connection_is_no_answer_and_the_next_request_tries_anew():
    async with listening(1) as (url, _, _):
        pass
    async with Connection(Settings(), base_url=url) as connection:
        for _ in range(2):
            with pytest.raises(UnansweredError):
                await connection.post(b"body")


async def test_a_connection_that_the_far_side_closed_is_made_anew():
    async with listening(1) as (url, taken, _), Connection(Settings(), base_url=url) as connection:
        await connection.post(b"body")
        taken[0].close()
        await taken[0].wait_closed()
        await asyncio.sleep(0)
        assert (await connection.post(b"body"))[0] == 200
        assert len(taken) == 2


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(module, "MAX_REPLY_BYTES", 1)
    async with listening(1) as (url, _, _), Connection(Settings(), base_url=url) as connection:
        with pytest.raises(ReplyError):
            await connection.post(b"body")


@pytest.fixture
def proxied(monkeypatch):
    """Set the proxy of the environment, and name an API that can only be reached by it."""

    def settings(proxy):
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("http_proxy", proxy)
        return Settings(base_url="http://api.invalid/v1")

    return settings


async def test_the_proxy_of_the_environment_is_asked_with_its_password(proxied):
    asked = []

    async def answer(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Connection(proxied(f"http://me:p%40ss@127.0.0.1:{port}")) as connection:
            for _ in range(2):
                assert await connection.post(b"body") == (200, {"content-length": "2"}, b"{}")
    first, second = asked
    assert first.startswith(b"POST http://api.invalid/v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\nhost: api.invalid\r\n" in first
    assert b"Basic " + base64.b64encode(b"me:p@ss") in first
    assert second == first


async def test_a_host_that_is_to_have_no_proxy_has_none(proxied, monkeypatch):
    settings = proxied("http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with listening(1) as (url, _, _), Connection(replace(settings, base_url=url)) as connection:
        assert (await connection.post(b"body"))[0] == 200


@pytest.mark.parametrize("proxy", ["http://", "ftp://host", "http://host:port"])
def test_a_proxy_that_makes_no_sense_is_refused_before_anything_is_sent(proxied, proxy):
    with pytest.raises(ConfigurationError, match="no URL such as"):
        Connection(proxied(proxy))


async def test_who_calls_is_told_in_the_headers_of_the_api_where_that_is_set():
    heard = []

    async def answer(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        told = Settings(http_referer="https://cards.test", x_title="Cards")
        for settings in (told, Settings()):
            async with Connection(settings, base_url=url) as connection:
                await connection.post(b"body")
    first, second = (head.lower() for head in heard)
    assert b"\r\nhttp-referer: https://cards.test\r\n" in first
    assert b"\r\nx-title: cards\r\n" in first
    assert b"referer" not in second
    assert b"x-title" not in second
