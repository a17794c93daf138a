"""One request over the wire: the connections that are held, and an answer read no further than it may go."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from sluicegate import ConfigurationError

from ._one_line import shown
from ._settings import DEFAULT_BASE_URL, Settings
from ._wire import ReplyError, UnansweredError

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""The longest reply that is read; a word's cards take a few kilobytes."""

MAX_IDLE = 5.0
"""Seconds after which a connection that was not used is taken for closed by the far side."""

_PROXIES = {"http", "https"} | ({"socks5", "socks5h"} if find_spec("socksio") else set())
_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    ssl.SSLError,
)


class Line(Protocol):
    """What carries one request at a time: a connection, or in tests what takes the place of the network."""

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send a request, and return the beginning of its answer."""
        ...

    async def aclose(self) -> None:
        """Close it."""
        ...


class Connection:
    """The connections to the API; an asynchronous context manager that closes them.

    They are those that lie below the client of httpx2: what a client does for cookies, redirects and many
    hosts cost half of a request. The one that was used last is taken, and there are as many as there were
    requests at once.

    Args:
        settings: where the API is, and as who it is asked.
        base_url: takes the place of `settings.base_url`: that of the embedded server.
        line: for tests; makes what takes the place of a connection.

    Raises:
        ConfigurationError: the proxy that the environment names makes no sense.
    """

    def __init__(
        self, settings: Settings, *, base_url: str | None = None, line: Callable[[], Line] | None = None
    ) -> None:
        self._key = settings.api_key
        url = httpx2.URL((base_url or settings.base_url or DEFAULT_BASE_URL) + "/chat/completions")
        self._url = httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        self._headers = [(b"host", url.netloc), *_headers(settings)]
        told = httpx2.Timeout(settings.timeout, connect=settings.connect_timeout)
        self._extensions = {"timeout": told.as_dict()}
        # No proxy stands between the job and the server it brings along.
        self._another = line or _lines(self._url, None if base_url else _proxy(url.scheme, url.host))
        self._lines: list[Line] = []
        self._idle: list[Line] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for line in self._lines:
            await line.aclose()

    async def post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a body, and return the answer: its status, its headers by their name in lower case, its body.

        Raises:
            UnansweredError: the connection was refused, cut, or silent for too long.
            ReplyError: the answer is longer than `MAX_REPLY_BYTES`.
        """
        request = httpcore2.Request(
            b"POST",
            self._url,
            headers=[*self._headers, (b"content-length", b"%d" % len(body))],
            content=body,
            extensions=self._extensions,
        )
        line = self._taken()
        try:
            response = await line.handle_async_request(request)
            try:
                content = await _bounded(response)
            finally:
                await response.aclose()
        except _FAILURES as error:
            raise UnansweredError(shown(str(error), self._key) or type(error).__name__) from error
        finally:
            self._idle.append(line)
        return response.status, _plain(response.headers), content

    def _taken(self) -> Line:
        if self._idle:
            return self._idle.pop()
        line = self._another()
        self._lines.append(line)
        return line


class _Direct:
    """A connection to the API itself, made anew where the one before is gone."""

    def __init__(self, make: Callable[[], httpcore2.AsyncHTTPConnection]) -> None:
        self._make = make
        self._connection = make()

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        if self._connection.is_closed() or self._connection.has_expired():
            await self.aclose()
            self._connection = self._make()
        return await self._connection.handle_async_request(request)

    async def aclose(self) -> None:
        with contextlib.suppress(*_FAILURES):  # one that broke cannot be parted from in form
            await self._connection.aclose()


def _lines(url: httpcore2.URL, proxy: httpcore2.Proxy | None) -> Callable[[], Line]:
    context = httpx2.create_ssl_context() if url.scheme == b"https" else None

    def connection() -> httpcore2.AsyncHTTPConnection:
        return httpcore2.AsyncHTTPConnection(url.origin, ssl_context=context, keepalive_expiry=MAX_IDLE)

    def through_proxy() -> Line:
        return httpcore2.AsyncConnectionPool(
            ssl_context=context, proxy=proxy, max_connections=1, keepalive_expiry=MAX_IDLE
        )

    return through_proxy if proxy is not None else lambda: _Direct(connection)


def _proxy(scheme: str, host: str) -> httpcore2.Proxy | None:
    """Return the proxy that the environment, or the system, names for a host; None for none."""
    named = getproxies()
    told = named.get(scheme) or named.get("all")
    if not told or proxy_bypass(host):
        return None
    try:
        url = httpx2.URL(told if "://" in told else f"http://{told}")
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in _PROXIES or not url.host:
        raise ConfigurationError(  # not shown: it may hold a password
            f"the proxy for {scheme} in the environment is no URL such as http://host:port",
            field="proxy",
            value="***",
        )
    where = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    return httpcore2.Proxy(where, auth=(url.username, url.password) if url.username else None)


async def _bounded(response: httpcore2.Response) -> bytes:
    chunks: list[bytes] = []
    room = MAX_REPLY_BYTES
    async for chunk in response.aiter_stream():
        room -= len(chunk)
        if room < 0:
            raise ReplyError(f"the reply is longer than {MAX_REPLY_BYTES // 1024**2} MiB")
        chunks.append(chunk)
    return b"".join(chunks)


def _plain(headers: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _headers(settings: Settings) -> list[tuple[bytes, bytes]]:
    # An answer that is compressed would have to be unpacked under a limit of its own.
    headers = {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "sluicegate-flashcards",
    }
    if settings.api_key is not None:
        headers["authorization"] = f"Bearer {settings.api_key.reveal()}"
    if settings.http_referer is not None:
        headers["http-referer"] = settings.http_referer
    if settings.x_title is not None:
        headers["x-title"] = settings.x_title
    return [(name.encode(), value.encode()) for name, value in headers.items()]
