"""One request over the wire: the connections that are held, and an answer read no further than it may go."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx2

from ._one_line import shown
from ._settings import DEFAULT_BASE_URL, Settings
from ._wire import ReplyError, UnansweredError

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""The longest reply that is read; a word's cards take a few kilobytes."""


class Connection:
    """The connections to the API; an asynchronous context manager that closes them.

    Each has a client of its own. A pool of many looks at all of its idle connections for every request, which
    cost a quarter of a job's time; here the one that was used last is taken. There are as many as there were
    requests at once.

    Args:
        settings: where the API is, and as who it is asked.
        base_url: takes the place of `settings.base_url`: that of the embedded server.
        transport: for tests; takes the place of the network.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        base_url: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._key = settings.api_key
        self._url = httpx2.URL((base_url or settings.base_url or DEFAULT_BASE_URL) + "/chat/completions")
        self._options: dict[str, Any] = {
            "headers": _headers(settings),
            "timeout": httpx2.Timeout(settings.timeout, connect=settings.connect_timeout),
            "limits": httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            "transport": transport,
            "trust_env": base_url is None,  # no proxy stands between the job and the server it brings along
        }
        if transport is None:
            self._options["verify"] = httpx2.create_ssl_context(trust_env=base_url is None)
        self._clients: list[httpx2.AsyncClient] = []
        self._idle: list[httpx2.AsyncClient] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.aclose()

    async def post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a body, and return the answer: its status, its headers by their name in lower case, its body.

        Raises:
            UnansweredError: the connection was refused, cut, or silent for too long.
            ReplyError: the answer is longer than `MAX_REPLY_BYTES`.
        """
        client = self._idle.pop() if self._idle else self._another()
        try:
            async with client.stream("POST", self._url, content=body) as response:
                content = await _bounded(response)
        except httpx2.HTTPError as error:
            raise UnansweredError(shown(str(error), self._key) or type(error).__name__) from error
        finally:
            self._idle.append(client)
        return response.status_code, _plain(response.headers), content

    def _another(self) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(**self._options)
        self._clients.append(client)
        return client


async def _bounded(response: httpx2.Response) -> bytes:
    chunks: list[bytes] = []
    room = MAX_REPLY_BYTES
    async for chunk in response.aiter_bytes():
        room -= len(chunk)
        if room < 0:
            raise ReplyError(f"the reply is longer than {MAX_REPLY_BYTES // 1024**2} MiB")
        chunks.append(chunk)
    return b"".join(chunks)


def _plain(headers: httpx2.Headers) -> dict[str, str]:
    """Return headers as a dict by lower case: three look-ups in the client's own cost as much."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.raw}


def _headers(settings: Settings) -> dict[str, str]:
    headers = {"content-type": "application/json", "user-agent": "sluicegate-flashcards"}
    if settings.api_key is not None:
        headers["authorization"] = f"Bearer {settings.api_key.reveal()}"
    if settings.http_referer is not None:
        headers["http-referer"] = settings.http_referer
    if settings.x_title is not None:
        headers["x-title"] = settings.x_title
    return headers
