"""A limit in front of any ASGI application: Starlette, FastAPI, Litestar, Quart, Django and the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, cast

from sluicegate.integrations._admission import Admission, Attempting, Fields
from sluicegate.integrations.keys import ClientAddress, HeaderKey, KeyFunction, UserKey

__all__ = ["ClientAddress", "HeaderKey", "RateLimitMiddleware", "UserKey"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_TRY_AGAIN_LATER = 1013
"""The code with which a WebSocket is closed that is over the limit."""


class RateLimitMiddleware:
    """Lets through what the limiter admits, and answers the rest with 429.

    A refused request costs the application nothing: its body is not read. The answer has `Retry-After`,
    rounded up, and problem details (RFC 9457) as its body; every answer has `RateLimit` and
    `RateLimit-Policy`. A refused WebSocket is closed before it is accepted. Nothing waits, and there is no
    task or lock a request: one costs a few microseconds more.

    Args:
        app: The application.
        limiter: A `RateLimiter` for all requests together, a `KeyedRateLimiter` for each caller, or a limiter
            of a backend whose `attempt` may be awaitable.
        key: Tells callers apart: a function of the scope that returns a key, or None for a request that is
            not limited. By default the address of the connection; behind proxies of your own use
            `ClientAddress(trusted_proxies=...)`.
        cost: Permits a request takes.
        headers: Whether answers tell how things stand.

    Raises:
        TypeError: `limiter` or `key` is none.
        ValueError: `cost` is negative.

    Example:
        >>> from sluicegate import KeyedRateLimiter
        >>> async def app(scope, receive, send):
        ...     await send({"type": "http.response.start", "status": 200, "headers": []})
        ...     await send({"type": "http.response.body", "body": b"hello"})
        >>> app = RateLimitMiddleware(app, KeyedRateLimiter("1/min", name="api"))
        >>> import asyncio
        >>> async def statuses():
        ...     async def send(message):
        ...         if message["type"] == "http.response.start":
        ...             print(message["status"])
        ...     for _ in range(2):
        ...         await app({"type": "http", "client": ("192.0.2.1", 1), "headers": []}, None, send)
        >>> asyncio.run(statuses())
        200
        429
    """

    def __init__(
        self,
        app: App,
        limiter: Attempting,
        *,
        key: KeyFunction | None = None,
        cost: int = 1,
        headers: bool = True,
    ) -> None:
        self._app = app
        self._admission = Admission(limiter, key, cost)
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        result = self._admission.ask(scope)
        if isinstance(result, Awaitable):
            result = await result
        if result is None:
            await self._app(scope, receive, send)
        elif not result.allowed:
            refuse = _refuse if kind == "http" else _refuse_websocket
            await refuse(self._admission, result, receive, send)
        elif self._headers and kind == "http":
            await self._app(scope, receive, _telling(send, self._admission.fields(result)))
        else:
            await self._app(scope, receive, send)


def _telling(send: Send, fields: Fields) -> Send:
    encoded = _encoded(fields)

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *encoded]
        await send(message)

    return tell


async def _refuse(admission: Admission, result: Any, receive: Receive, send: Send) -> None:
    refusal = admission.refusal(result)
    body = refusal.body
    entity = [("content-type", "application/problem+json"), ("content-length", str(len(body)))]
    headers = _encoded([*refusal.fields, *entity])
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_websocket(admission: Admission, result: Any, receive: Receive, send: Send) -> None:
    await receive()
    reason = cast(str, admission.refusal(result).problem["detail"])
    await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": reason})


def _encoded(fields: Fields) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
