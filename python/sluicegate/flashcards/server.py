"""The embedded API on a real socket: an ASGI server on loopback, in a thread of its own.

It has its own thread and event loop for three reasons: what the client's thread spends is the client's alone
and can be measured; a client busy with its own work does not slow the answers (nor the other way round, but
for the interpreter lock they share); and an interrupt, which reaches the main thread, leaves the answers in
flight to finish.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import uvicorn

from sluicegate import ConfigurationError, RateLimiter

from ._author import CardAuthor
from ._chat_api import BASE_PATH, ChatApi
from ._faults import DEFAULT_FAULTS, FaultDice, FaultPlan
from ._one_line import os_reason
from ._vocabulary import VocabularyItem

DEFAULT_HOST = "127.0.0.1"
DEFAULT_RATE = "50/s;burst=50"
"""The limit that is announced and kept unless another is asked for."""

GRACE_SECONDS = 5
"""How long answers in flight may take to finish once the server closes."""

_SILENT = logging.CRITICAL + 1
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class ServerStats:
    """What a server has done so far.

    Attributes:
        requests: how many came.
        admitted: how many the rate limit let through.
        limited: how many it refused with 429.
        faults: how many went wrong on purpose, by kind.
    """

    requests: int
    admitted: int
    limited: int
    faults: Mapping[str, int]


class EmbeddedServer:
    """The chat-completions API that needs no key and no network.

    Used as an async context manager, or by `start` and `stop`; it serves once.

    Args:
        vocabulary: rows whose hints the answers may use.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        rate: the limit that is announced and kept, such as ``"60/minute;burst=10"`` or ``"inf/s"``.
        faults: what goes wrong on purpose, as a plan or in the words of `FaultPlan.parse`.
        seed: of the faults and of the form of the answers.
        api_key: the key that clients must send; None asks for none.
        limiter: takes the place of one built from `rate`, for instance on a clock of its own.

    Raises:
        ConfigurationError: an option makes no sense.

    Examples:
        >>> import httpx2
        >>> with EmbeddedServer(faults="none") as server:
        ...     httpx2.get(f"{server.base_url}/models").status_code
        404
    """

    def __init__(
        self,
        vocabulary: Iterable[VocabularyItem] = (),
        *,
        host: str = DEFAULT_HOST,
        port: int = 0,
        rate: str = DEFAULT_RATE,
        faults: FaultPlan | str = DEFAULT_FAULTS,
        seed: int = 0,
        api_key: str | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        if not 0 <= port <= _MAX_PORT:
            raise ConfigurationError(f"port is from 0 to {_MAX_PORT}, not {port}", field="port", value=port)
        self._host = host
        self._port = port
        plan = FaultPlan.parse(faults) if isinstance(faults, str) else faults
        self._dice = FaultDice(plan, seed=seed)
        self._api = ChatApi(
            CardAuthor(vocabulary, seed=seed),
            RateLimiter(rate) if limiter is None else limiter,
            self._dice,
            api_key=api_key,
        )
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The URL to give to a client, once the server has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}{BASE_PATH}"

    @property
    def stats(self) -> ServerStats:
        """What the server has done so far; readable from any thread, also after it stopped."""
        api = self._api
        return ServerStats(api.requests, api.admitted, api.limited, dict(self._dice.counts))

    def start(self) -> None:
        """Listen and answer, from the moment this returns.

        Raises:
            ConfigurationError: the address cannot be listened on, for instance because the port is in use.
        """
        listener = _listener(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = _Server(self._api)
        self._thread = threading.Thread(
            target=self._server.serve_until_told, args=(listener,), name="embedded-api", daemon=True
        )
        self._thread.start()
        self._server.wait_until_ready()

    def stop(self) -> None:
        """Take no more requests, let the answers in flight finish for `GRACE_SECONDS`, and close."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


class _Server(uvicorn.Server):
    """Serves one application on one socket in the calling thread, without a word in any log."""

    def __init__(self, api: ChatApi) -> None:
        super().__init__(
            uvicorn.Config(
                api,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=_SILENT,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._api = api
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def serve_until_told(self, listener: socket.socket) -> None:
        try:
            with listener:
                self.run(sockets=[listener])
        except BaseException as error:  # raised in the thread that waits
            self._failure = error
        finally:
            self._ready.set()

    def wait_until_ready(self) -> None:
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._api.release()
        await super().shutdown(sockets=sockets)


def _listener(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket.

    Its protocol is given in full: asyncio turns off Nagle's algorithm, which would delay answers by 40 ms,
    only for sockets that say they are TCP.
    """
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        if listener is not None:
            listener.close()
        message = f"cannot listen on {host}:{port}: {os_reason(error)}"
        raise ConfigurationError(message, field="port", value=port) from error
    return listener
