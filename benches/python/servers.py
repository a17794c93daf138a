"""What the ASGI middleware adds to a request: the same application bare and behind it, measured in turns."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sluicegate import KeyedRateLimiter
from sluicegate.integrations.asgi import App, RateLimitMiddleware

ROUNDS, REQUESTS = 31, 2_000

SCOPE: dict[str, Any] = {"type": "http", "client": ("192.0.2.1", 4000), "headers": [(b"host", b"localhost")]}


async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def receive() -> Any:
    return {"type": "http.request"}


async def send(message: Any) -> None:
    pass


async def seconds(app: App) -> float:
    """Serve so many requests, and return the seconds each took."""
    began = time.perf_counter()
    for _ in range(REQUESTS):
        await app(SCOPE, receive, send)
    return (time.perf_counter() - began) / REQUESTS


async def measure(rounds: int) -> tuple[float, float]:
    """Return the medians of what a request costs bare, and of what the middleware adds."""
    limited = RateLimitMiddleware(application, KeyedRateLimiter("1000000000/s", name="api"))
    pairs = [(await seconds(application), await seconds(limited)) for _ in range(rounds)]
    bare = statistics.median(bare for bare, _ in pairs)
    return bare, statistics.median(whole - bare for bare, whole in pairs)


def main() -> None:
    bare, added = asyncio.run(measure(ROUNDS))
    print(
        f"bare {bare * 1e6:.2f} µs a request; the middleware adds {added * 1e6:.2f} µs (at most 15 aimed at)"
    )


if __name__ == "__main__":
    main()
