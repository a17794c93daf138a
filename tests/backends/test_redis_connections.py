"""The connections that a limiter asks by: closed, cut off, forked, cancelled."""

import asyncio
import contextlib
import gc
import multiprocessing

import pytest
import redis.asyncio
from patience import eventually

from sluicegate.backends.redis import AsyncRedisRateLimiter


def cut_off(server):
    """Close every other connection from the server's side, as an idle timeout or a proxy would."""
    server.client.client_kill_filter(_type="normal", skipme=True)


def test_a_connection_that_was_closed_meanwhile_is_no_outage(server, limiter_of):
    limiter = limiter_of("1/h;burst=3")
    assert limiter.try_acquire("alice")
    cut_off(server)

    assert limiter.try_acquire("alice")
    assert (limiter.stats().errors, limiter.peek("alice").remaining) == (0, 1)


def test_a_late_answer_is_not_taken_for_the_next(server, limiter_of, clock):
    limiter = limiter_of("1/h;burst=5", on_error="deny", clock=clock)
    assert limiter.try_acquire("alice", 2)
    server.pause()
    assert not limiter.try_acquire("alice", 1)
    server.resume()
    clock.advance(1)

    assert limiter.peek("bob").remaining == 5
    assert limiter.attempt("alice", 4).retry_after > 0


class Interrupted(redis.UnixDomainSocketConnection):
    """A connection whose user is interrupted between a question and its answer, once."""

    armed = False

    def read_response(self, *args, **kwargs):
        if type(self).armed:
            Interrupted.armed = False  # not of a class derived from it: the next server meets it again
            raise KeyboardInterrupt
        return super().read_response(*args, **kwargs)


def test_the_answer_to_an_interrupted_question_is_not_taken_for_the_next(server, limiter_of):
    pool = redis.ConnectionPool(connection_class=Interrupted, path=server.path, socket_timeout=1)
    limiter = limiter_of("1/h;burst=5", client=redis.Redis(connection_pool=pool))
    assert limiter.try_acquire("alice")
    Interrupted.armed = True
    with pytest.raises(KeyboardInterrupt):
        limiter.try_acquire("alice", 3)

    assert limiter.peek("bob").remaining == 5
    assert limiter.peek("alice").remaining == 1


def test_threads_use_one_connection_each_and_leave_them_for_others(server, limiter_of):
    limiter = limiter_of("1000/h")

    def connected(count):
        eventually(lambda: len(server.client.client_list()) == count)  # a closed one stays for a moment

    connected(1)  # those of the test before are gone
    for _ in range(20):
        limiter.try_acquire("alice")
    assert len(server.client.client_list()) == 2
    limiter.close()
    connected(1)
    assert limiter.try_acquire("alice")


def _ask(limiter, sent):
    sent.put([limiter.attempt("child").remaining for _ in range(300)])


def test_a_child_of_a_fork_asks_by_connections_of_its_own(limiter_of):
    limiter = limiter_of("1000/day")
    limiter.try_acquire("parent")
    fork = multiprocessing.get_context("fork")
    sent = fork.SimpleQueue()
    child = fork.Process(target=_ask, args=(limiter, sent))
    child.start()

    ours = [limiter.attempt("parent").remaining for _ in range(300)]
    theirs = sent.get()
    child.join(10)
    assert ours == list(range(998, 698, -1))
    assert theirs == list(range(999, 699, -1))


def test_the_settings_of_the_client_hold(server, limiter_of):
    client = redis.Redis(unix_socket_path=server.path, socket_timeout=1, db=3, decode_responses=True)
    limiter, several = limiter_of("1/h", client=client), limiter_of("1/h", "9/day", client=client, name="two")

    assert limiter.try_acquire("alice")
    assert not limiter.try_acquire("alice")
    assert several.try_acquire("alice")
    assert limiter_of("1/h").try_acquire("alice")
    assert client.dbsize() == 2
    client.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of loops that ended with a connection open
def test_each_event_loop_has_connections_of_its_own(server):
    client = redis.asyncio.Redis(unix_socket_path=server.path, socket_timeout=1)
    limiter = AsyncRedisRateLimiter(client, "1/h;burst=5", name="test", on_error="raise")

    async def ask():
        return await limiter.try_acquire("alice")

    assert [asyncio.run(ask()) for _ in range(3)] == [True] * 3
    assert limiter.stats().errors == 0
    asyncio.run(limiter.aclose())
    gc.collect()


async def test_a_closed_connection_is_no_outage_for_coroutines(server):
    client = redis.asyncio.Redis(unix_socket_path=server.path, socket_timeout=1)
    limiter = AsyncRedisRateLimiter(client, "1/h;burst=5", name="test", on_error="raise")
    assert await limiter.try_acquire("alice")
    cut_off(server)

    assert await limiter.try_acquire("alice")
    assert limiter.stats().errors == 0
    await limiter.aclose()


async def test_the_answer_to_a_cancelled_question_is_not_taken_for_the_next(server):
    client = redis.asyncio.Redis(unix_socket_path=server.path, socket_timeout=2)
    limiter = AsyncRedisRateLimiter(client, "1/h;burst=9", name="test", on_error="raise")
    assert await limiter.try_acquire("alice")
    server.pause()
    question = asyncio.ensure_future(limiter.try_acquire("alice", 3))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(question), 0.05)
    question.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await question
    server.resume()

    assert (await limiter.peek("bob")).remaining == 9
    await limiter.aclose()
