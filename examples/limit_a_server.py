"""Limit an ASGI application by caller, and see what the callers see.

Any server runs `app`: uvicorn, hypercorn, granian. Here a client calls it in the process, so that the example
ends; the limit's clock is a manual one, so that nobody waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx2

from sluicegate import KeyedRateLimiter
from sluicegate.integrations.asgi import HeaderKey, RateLimitMiddleware
from sluicegate.testing import ManualClock

Message = MutableMapping[str, Any]

clock = ManualClock()


async def hello(scope: Message, receive: object, send: Callable[[Message], Awaitable[None]]) -> None:
    """Greet whoever calls."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


app = RateLimitMiddleware(
    hello,
    KeyedRateLimiter("3/min", name="hello", clock=clock),
    key=HeaderKey("x-api-key", otherwise=lambda request: "anonymous"),
)


async def main() -> None:
    """Call it as two users, one of them too often."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for user in ("mina", "mina", "mina", "mina", "jun"):
            response = await client.get("/", headers={"x-api-key": user})
            print(f"{user:5} {response.status_code}  RateLimit: {response.headers['ratelimit']}")
            if response.status_code == 429:
                print(f"      {response.json()['detail']}")
        clock.advance(20.0)
        response = await client.get("/", headers={"x-api-key": "mina"})
        print(f"mina  {response.status_code}  after 20 s")


if __name__ == "__main__":
    asyncio.run(main())
