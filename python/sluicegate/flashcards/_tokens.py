"""Tokens: reserved by estimate before a request is sent, and settled at what the answer says it used."""

from __future__ import annotations

from dataclasses import dataclass

from sluicegate import RateLimiter, TokenReservation

from ._hold import Clock

FIRST_ESTIMATE = 600
"""Tokens an answer is taken to have before one was seen."""

BYTES_PER_TOKEN = 3
"""Of a question: JSON with Hangul in it."""


def asked(body: bytes) -> int:
    """Return how many tokens a question is taken to have, by its length.

    Examples:
        >>> asked(b"x" * 300)
        100
    """
    return len(body) // BYTES_PER_TOKEN


class BudgetError(Exception):
    """The next request might cost more than is left of the budget: the run ends."""


@dataclass(slots=True)
class Taken:
    """Tokens that are held for a request under way."""

    count: int
    reservation: TokenReservation | None


class Tokens:
    """What requests may cost: so many tokens in a time, and so many altogether.

    Args:
        rate: tokens in a time, such as ``100000/minute``; None for no limit.
        budget: tokens altogether; None for no end.
        clock: for tests; the machine's by default.

    Attributes:
        spent: tokens that answers said they used.
        reserved: tokens held for requests under way.
    """

    def __init__(self, rate: str | None, budget: int | None, clock: Clock | None = None) -> None:
        self.spent = 0
        self.reserved = 0
        self._budget = budget
        self._limiter = None if rate is None else RateLimiter(rate, name="tokens", clock=clock)
        self._answers = 0

    def estimate(self, body: bytes) -> int:
        """Return what a request may cost: by its length, and by what the answers so far used."""
        answer = self.spent // self._answers if self._answers else FIRST_ESTIMATE
        return max(1, asked(body) + answer)

    async def take(self, body: bytes) -> Taken:
        """Hold the estimate for a request, waiting until the rate allows it.

        Raises:
            BudgetError: less than that is left, counting what is held for others.
        """
        count = self.estimate(body)
        if self._budget is not None and self.spent + self.reserved + count > self._budget:
            raise BudgetError(
                f"the budget of {self._budget:,} tokens is spent: {self.spent:,} used, "
                f"{self.reserved:,} held for requests under way, "
                f"about {count:,} wanted; raise token_budget to go on"
            )
        reservation = None
        if self._limiter is not None:
            # Dearer than the burst: it takes the whole of it, and owes the rest once it is settled.
            reservation = self._limiter.reserve(min(count, self._limiter.configs[0].burst))
        self.reserved += count
        taken = Taken(count, reservation)
        try:
            if reservation is not None:
                await reservation
        except BaseException:
            self.give_back(taken)
            raise
        return taken

    def settle(self, taken: Taken, used: int) -> None:
        """Pay what a request used, 0 where it failed."""
        self.reserved -= taken.count
        self.spent += used
        self._answers += used > 0
        if taken.reservation is not None:
            taken.reservation.commit(used)

    def give_back(self, taken: Taken) -> None:
        """Let go of what was held for a request that was not sent."""
        self.reserved -= taken.count
        if taken.reservation is not None:
            taken.reservation.commit(0)
