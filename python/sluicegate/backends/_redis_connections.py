"""Connections with the settings of the user's client, asked directly: one question, one timeout, no retries.

A client of redis-py or valkey-py spends longer on a question than the server does: it looks a connection up,
probes it, and wraps the call for retries and telemetry. These connections are of the client's own kind and
settings (TLS, credentials, protocol), but are asked by themselves.
"""

import asyncio
import importlib
import os
from typing import Any
from weakref import WeakKeyDictionary

from sluicegate._errors import ConfigurationError

DEFAULT_TIMEOUT = 1.0
"""Seconds that a client without a timeout of its own waits for the server."""

_OF_THE_POOL = ("maint_notifications_", "himport_registry", "orig_")
"""What a pool of redis-py puts into the settings of its connections for its own use."""

_opened: "WeakKeyDictionary[Any, Connections | AsyncConnections]" = WeakKeyDictionary()


def packed(words: tuple[bytes | str | int, ...]) -> bytes:
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

    def __init__(self, kind: Any, settings: dict[str, Any], errors: Any) -> None:
        self._kind = kind
        self._settings = settings
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

    def execute_command(self, *words: bytes | str | int) -> Any:
        """Send a command and return the answer, or raise what the client's library would.

        A connection that had been idle and turns out to be closed is opened again, once.
        """
        message = packed(words)
        idle = self._of(os.getpid())
        connection, used = self._take(idle)
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

    async def execute_command(self, *words: bytes | str | int) -> Any:
        """Send a command and return the answer, or raise what the client's library would."""
        message = packed(words)
        idle = self._of(asyncio.get_running_loop())
        connection, used = self._take(idle)
        try:
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


class Nodes:
    """A cluster's client, asked for one node at a time: moved slots are followed, failures are not retried.

    The client would ask a node that does not answer a dozen times. One that is named is asked once, and the
    client learns the cluster's shape anew all the same.
    """

    def __init__(self, client: Any, errors: Any) -> None:
        self._client = client
        self._uncovered: type[Exception] = errors.SlotNotCoveredError

    def execute_command(self, *words: Any) -> Any:
        """Ask the node that has the key of a script, its fourth word."""
        try:
            node = self._client.get_node_from_key(words[3])
        except self._uncovered:  # let the client look for the node
            return self._client.execute_command(*words)
        return self._client.execute_command(*words, target_nodes=node)

    def close(self) -> None:
        """Close nothing: the connections are the client's."""


class AsyncNodes(Nodes):
    """The same for coroutines."""

    async def execute_command(self, *words: Any) -> Any:
        """Ask the node that has the key of a script, its fourth word."""
        await self._client.initialize()
        return await super().execute_command(*words)

    async def aclose(self) -> None:
        """Close nothing: the connections are the client's."""


def connections_of(client: Any) -> Any:
    """Return connections with the settings of `client`, the same ones for the same client.

    A client that finds its server by itself (a sentinel's) or bounds its pool by waiting is returned as it
    is; a cluster's is asked for one node at a time.
    """
    if any(kind.__name__ in ("RedisCluster", "ValkeyCluster") for kind in type(client).__mro__):
        return (AsyncNodes if is_async_client(client) else Nodes)(client, library_of(client))
    pool = getattr(client, "connection_pool", None)
    if pool is None or type(pool).__name__ != "ConnectionPool":
        return client
    if client not in _opened:
        root = type(pool).__module__.partition(".")[0]
        module = f"{root}.asyncio" if is_async_client(client) else root
        settings = {
            name: value for name, value in pool.connection_kwargs.items() if not name.startswith(_OF_THE_POOL)
        }
        for field in ("socket_timeout", "socket_connect_timeout"):
            if settings.get(field) is None:
                settings[field] = settings.get("socket_timeout") or DEFAULT_TIMEOUT
        retry = importlib.import_module(f"{module}.retry").Retry
        settings["retry"] = retry(importlib.import_module(f"{root}.backoff").NoBackoff(), 0)
        settings["retry_on_error"] = []
        settings["retry_on_timeout"] = False
        kind = AsyncConnections if is_async_client(client) else Connections
        _opened[client] = kind(pool.connection_class, settings, library_of(client))
    return _opened[client]


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
