"""Connections with the settings of the user's client, asked directly: one timeout, no retries.

A client of redis-py or valkey-py spends longer on a question than the server does: it looks a connection up,
probes it, and wraps the call for retries and telemetry. These connections are of the client's own kind and
settings (TLS, credentials, protocol), but are asked by themselves. What holds them has a `timeout`, the
seconds of one decision, and takes the decision's end with each question, on the machine's monotonic clock.
"""

import asyncio
import importlib
import os
import time
from typing import Any
from weakref import WeakKeyDictionary

from sluicegate._errors import ConfigurationError
from sluicegate.backends._redis_bounded import bounded
from sluicegate.backends._redis_clients import AsyncClient, AsyncNodes, Client, Nodes

Words = tuple[bytes | str | int, ...]
"""A command and its arguments."""

DEFAULT_TIMEOUT = 1.0
"""Seconds that a client without a timeout of its own waits for the server."""

_OF_THE_POOL = ("maint_notifications_", "himport_registry", "orig_")
"""What a pool of redis-py puts into the settings of its connections for its own use."""

_opened: "WeakKeyDictionary[Any, Connections | AsyncConnections]" = WeakKeyDictionary()


def packed(words: Words) -> bytes:
    r"""Write a command as the protocol has it.

    Example:
        >>> packed(("GET", b"key"))
        b'*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n'
    """
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        text = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


class _Idle:
    """Connections that wait for a question, and how more are made."""

    def __init__(self, kind: Any, settings: dict[str, Any], errors: Any, timeout: float) -> None:
        self._kind = kind
        self._settings = settings
        self.timeout = timeout
        self._lost: type[Exception] = errors.ConnectionError
        self._answer: type[Exception] = errors.ResponseError
        self._idle: list[Any] = []
        self._owner: object = None

    def _of(self, owner: object) -> list[Any]:
        """Return what is idle; sockets belong to the process, or to the loop, that opened them."""
        if owner != self._owner:
            self._idle, self._owner = [], owner
        return self._idle

    def _take(self, idle: list[Any]) -> tuple[Any, bool]:
        """Return a connection, and whether it was used before."""
        try:
            return idle.pop(), True
        except IndexError:
            return self._kind(**self._settings), False


class Connections(_Idle):
    """Connections for threads; each question has one of them to itself."""

    def ask(self, words: Words, until: float) -> Any:
        """Send a command and return the answer, or raise what the client's library would.

        A connection that had been idle and turns out to be closed is opened again, once. All of it, with
        what a new connection needs, ends `until` a time of the monotonic clock.
        """
        message = packed(words)
        idle = self._of(os.getpid())
        connection, used = self._take(idle)
        connection.budget.until = until
        try:
            try:
                connection.send_packed_command([message])
                return connection.read_response()
            except self._lost:
                if not used:
                    raise
                connection.disconnect()
                connection.send_packed_command([message])
                return connection.read_response()
        except self._answer:
            raise
        except BaseException:  # an answer may still be under way: nobody must take it for the next one
            connection.disconnect()
            raise
        finally:
            idle.append(connection)

    def close(self) -> None:
        """Close what is idle; the next question opens another."""
        idle = self._of(os.getpid())
        while idle:
            idle.pop().disconnect()


class AsyncConnections(_Idle):
    """The same for coroutines of one event loop."""

    async def ask(self, words: Words, until: float) -> Any:
        """Send a command and return the answer, or raise what the client's library would."""
        message = packed(words)
        idle = self._of(asyncio.get_running_loop())
        connection, used = self._take(idle)
        try:
            async with asyncio.timeout(until - time.monotonic()):
                try:
                    await connection.send_packed_command([message])
                    return await connection.read_response()
                except self._lost:
                    if not used:
                        raise
                    await connection.disconnect(nowait=True)
                    await connection.send_packed_command([message])
                    return await connection.read_response()
        except self._answer:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            idle.append(connection)

    async def aclose(self) -> None:
        """Close what is idle; the next question opens another."""
        idle = self._of(asyncio.get_running_loop())
        while idle:
            await idle.pop().disconnect()


def connections_of(client: Any) -> Any:
    """Return connections with the settings of `client`, the same ones for the same client.

    A client that finds its server by itself (a sentinel's) or bounds its pool by waiting is used as it is; a
    cluster's is asked for one node at a time.
    """
    is_async = is_async_client(client)
    if any(kind.__name__ in ("RedisCluster", "ValkeyCluster") for kind in type(client).__mro__):
        # Where the settings lie: the asynchronous client has them itself.
        has_settings = client if is_async else getattr(client, "nodes_manager", None)
        timeout = _timeout_of(getattr(has_settings, "connection_kwargs", {}))
        return (AsyncNodes if is_async else Nodes)(client, timeout, library_of(client))
    pool: Any = getattr(client, "connection_pool", None)
    if type(pool).__name__ != "ConnectionPool":
        timeout = _timeout_of(getattr(pool, "connection_kwargs", {}))
        return (AsyncClient if is_async else Client)(client, timeout)
    if client not in _opened:
        root = type(pool).__module__.partition(".")[0]
        module = f"{root}.asyncio" if is_async else root
        settings = {
            name: value for name, value in pool.connection_kwargs.items() if not name.startswith(_OF_THE_POOL)
        }
        timeout = _timeout_of(settings)
        settings["socket_timeout"] = None  # the time of a question ends it
        retry = importlib.import_module(f"{module}.retry").Retry
        settings["retry"] = retry(importlib.import_module(f"{root}.backoff").NoBackoff(), 0)
        settings["retry_on_error"] = []
        settings["retry_on_timeout"] = False
        connections: Connections | AsyncConnections
        if is_async:
            connections = AsyncConnections(pool.connection_class, settings, library_of(client), timeout)
        else:
            connections = Connections(bounded(pool.connection_class), settings, library_of(client), timeout)
        _opened[client] = connections
    return _opened[client]


def _timeout_of(settings: dict[str, Any]) -> float:
    return settings.get("socket_timeout") or DEFAULT_TIMEOUT


def is_async_client(client: Any) -> bool:
    """Tell whether a client of either library is one of asyncio."""
    return any(".asyncio" in kind.__module__ for kind in type(client).__mro__)


def library_of(client: Any) -> Any:
    """Find the errors of the library that a client is from.

    Raises:
        ConfigurationError: It is from neither redis-py nor valkey-py.
    """
    for kind in type(client).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in ("redis", "valkey"):
            return importlib.import_module(f"{root}.exceptions")
    message = f"client must be one of redis-py or valkey-py, not {type(client).__name__}"
    raise ConfigurationError(message, field="client", value=type(client).__name__)
