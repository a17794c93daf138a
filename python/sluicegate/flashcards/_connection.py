"""One request over the wire: the connections that are held, and an answer read no further than it may go."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx2

from ._one_line import shown
from ._settings import DEFAULT_BASE_URL, Settings
from ._wire import ReplyError, UnansweredError

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""The longest reply that is read; a word's cards take a few kilobytes."""


class Connection:
    """The connections to the API; an asynchronous context manager that closes them.

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
        self._client = httpx2.AsyncClient(
            headers=_headers(settings),
            timeout=httpx2.Timeout(settings.timeout, connect=settings.connect_timeout),
            limits=httpx2.Limits(
                max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency
            ),
            transport=transport,
            trust_env=base_url is None,  # no proxy stands between the job and the server it brings along
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def post(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a body, and return the answer: its status, its headers by their name in lower case, its body.

        Raises:
            UnansweredError: the connection was refused, cut, or silent for too long.
            ReplyError: the answer is longer than `MAX_REPLY_BYTES`.
        """
        try:
            async with self._client.stream("POST", self._url, content=body) as response:
                content = await _bounded(response)
        except httpx2.HTTPError as error:
            raise UnansweredError(shown(str(error), self._key) or type(error).__name__) from error
        return response.status_code, _plain(response.headers), content


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
