"""Call an API that is limited and fails at times, through any httpx client.

The far side here is a mock that answers 429 and 503 now and then; everything runs on a manual clock, so that
the waits take no time. In earnest the inner transport is `httpx2.HTTPTransport()`, and there is no clock.
"""

import random

import httpx2

from sluicegate import CircuitBreakerRegistry, KeyedRateLimiter, Retry
from sluicegate.integrations.httpx import ResilientTransport
from sluicegate.testing import ManualClock

clock = ManualClock(autojump=True)
dice = random.Random(3)


def answer(request: httpx2.Request) -> httpx2.Response:
    """Answer as an API does on a bad day."""
    status = dice.choices([200, 429, 503], [6, 1, 1])[0]
    print(f"{clock.now():6.2f} s  {request.method} {request.url.path}: {status}")
    return httpx2.Response(status, headers={"Retry-After": "2"} if status == 429 else {})


transport = ResilientTransport(
    httpx2.MockTransport(answer),
    limiter=KeyedRateLimiter("2/s", name="api", clock=clock),  # for each host
    breaker=CircuitBreakerRegistry(name="api", clock=clock),
    retry=Retry(max_attempts=5, initial_interval=0.5, rng=dice, clock=clock),
)


def main() -> None:
    """Ask for ten words."""
    with httpx2.Client(transport=transport, base_url="https://api.example.org") as client:
        responses = [client.get(f"/words/{number}") for number in range(10)]
    print(f"{clock.now():6.2f} s  {sum(response.is_success for response in responses)} of 10 answered")


if __name__ == "__main__":
    main()
