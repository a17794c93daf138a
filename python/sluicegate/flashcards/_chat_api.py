"""The embedded API as a bare ASGI application: one route, its limit and its faults.

It answers ``POST {base}/chat/completions`` from what the card author knows, in the envelope of a
chat-completions API, and every error as ``{"error": {code, message, metadata}}``. A request is
judged in this order: route, method, size, key, rate limit, body, fault.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from sluicegate import RateLimiter, RateLimitResult

from ._author import CardAuthor
from ._chat_messages import Call, Refusal, Response, completion, read_call
from ._faults import Fault, FaultDice

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]

BASE_PATH = "/v1"
"""The path of the base URL."""

MAX_BODY_BYTES = 1024 * 1024
"""The largest request body that is read, in bytes; a larger one is refused with 413."""

HANG_SECONDS = 120.0
"""How long a call that hangs is held at most: longer than a sensible client waits."""

_ERROR_CODES = (500, 502, 503, 504, 408)
_HIDDEN_CODE = 502


class ChatApi:
    """The application. It holds its limiter, its dice and its counts, and nothing of its clients.

    Args:
        author: who writes the replies.
        limiter: admits requests, or refuses them with 429.
        dice: decides which of the admitted calls go wrong.
        api_key: what clients must send as their bearer token; None asks for none.

    Attributes:
        requests: how many requests came, whatever became of them.
        admitted: how many of them the limiter let through.
        limited: how many it refused.
    """

    def __init__(
        self, author: CardAuthor, limiter: RateLimiter, dice: FaultDice, *, api_key: str | None = None
    ) -> None:
        self._author = author
        self._limiter = limiter
        self._dice = dice
        self._authorization = None if api_key is None else f"Bearer {api_key}".encode()
        self._closing = asyncio.Event()
        self.requests = 0
        self.admitted = 0
        self.limited = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; one whose client is gone is dropped."""
        self.requests += 1
        limits: Headers = ()
        try:
            _check_route(scope)
            body = await _body(receive)
            self._check_key(scope)
            limits = self._admit()
            response = await self._answer(read_call(body), receive)
        except Refusal as refusal:
            response = refusal.response
        except _ClientGoneError:
            return
        await _send(send, response, limits)

    def release(self) -> None:
        """Let go of every answer that is held back, since the server is about to close."""
        self._closing.set()

    def _check_key(self, scope: Mapping[str, Any]) -> None:
        if self._authorization is None:
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._authorization):
            raise Refusal(401, "no valid key was sent", headers=(("www-authenticate", "Bearer"),))

    def _admit(self) -> Headers:
        """Return the headers that announce the limit; refuse with 429 where it is reached."""
        result = self._limiter.attempt()
        limits = self._announced(result)
        if result.allowed:
            self.admitted += 1
            return limits
        self.limited += 1
        raise Refusal(429, "rate limit exceeded", headers=(*limits, *_retry_after(result.retry_after)))

    def _announced(self, result: RateLimitResult) -> Headers:
        """Return the burst, the permits left, and the seconds until there are some (or, having some, all)."""
        if result.limit == sys.maxsize:
            return ()
        reset = result.reset_after
        if not result.remaining:
            reset = self._limiter.peek().retry_after
        announced = (
            ("x-ratelimit-limit", str(result.limit)),
            ("x-ratelimit-remaining", str(result.remaining)),
        )
        if not math.isfinite(reset):
            return announced
        return (*announced, ("x-ratelimit-reset", f"{math.ceil(reset * 1000) / 1000:.3f}"))

    async def _answer(self, call: Call, receive: Receive) -> Response:
        fault = self._dice.roll(call.identity)
        if fault is Fault.ERROR:
            raise Refusal(self._dice.pick(call.identity, _ERROR_CODES), "the provider failed, on purpose")
        if fault is Fault.HIDDEN:
            raise Refusal(_HIDDEN_CODE, "the provider failed, on purpose", status=200)
        if fault is Fault.LIMIT:
            raise Refusal(429, "the provider is busy, on purpose", headers=_retry_after(1.0))
        if fault in (Fault.HANG, Fault.SLOW):
            await self._hold(HANG_SECONDS if fault is Fault.HANG else self._dice.plan.slow_seconds, receive)
        return completion(call, self._reply(call), fault)

    def _reply(self, call: Call) -> str:
        if call.analysis is None:
            return self._author.analysis_reply(call.position, call.term, call.type)
        return self._author.cards_reply(call.position, call.term, call.analysis)

    async def _hold(self, seconds: float, receive: Receive) -> None:
        """Wait, but no longer than the client does or the server lives."""
        gone, closing = asyncio.ensure_future(receive()), asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((gone, closing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            closing.cancel()


class _ClientGoneError(Exception):
    """The client closed the connection before it was answered."""


def _check_route(scope: Mapping[str, Any]) -> None:
    if scope["path"] != f"{BASE_PATH}/chat/completions":
        raise Refusal(404, f"there is nothing here but {BASE_PATH}/chat/completions")
    if scope["method"] != "POST":
        raise Refusal(405, "use POST", headers=(("allow", "POST"),))


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise Refusal(413, f"the limit is {MAX_BODY_BYTES} bytes", headers=(("connection", "close"),))
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _retry_after(seconds: float) -> Headers:
    """Return the wait in whole seconds, as HTTP has it, and in milliseconds; nothing where it never ends."""
    if not math.isfinite(seconds):
        return ()
    return ("retry-after", str(math.ceil(seconds))), ("retry-after-ms", str(math.ceil(seconds * 1000)))


async def _send(send: Send, response: Response, limits: Headers) -> None:
    headers = dict((*limits, *response.headers))
    headers["content-type"] = "application/json; charset=utf-8"
    headers["content-length"] = str(len(response.body))
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    # A response that is cut stays short of its announced length: the server can but close the connection.
    body = response.body[: len(response.body) // 2] if response.cut else response.body
    await send({"type": "http.response.body", "body": body, "more_body": response.cut})
