"""The connections to the API: as many as there were requests at once, and each used again."""

import asyncio
import contextlib

import pytest

from sluicegate.flashcards._connection import Connection
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._wire import UnansweredError


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
