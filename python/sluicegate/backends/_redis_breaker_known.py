"""What a process knows of a breaker in Redis: what it was told, and whom it let in."""

from dataclasses import dataclass

from sluicegate._events import CircuitState
from sluicegate._native import BreakerPermit
from sluicegate.backends._redis_breaker_words import seconds_of

NO_LEASE = "-"


@dataclass(frozen=True, slots=True)
class RedisCircuitBreakerStats:
    """What a breaker in Redis has cost this process since it was built.

    Attributes:
        round_trips: Questions sent to the server.
        errors: Questions that the server did not answer.
        without_server: Calls that were decided without the server, because of an outage.
    """

    round_trips: int = 0
    errors: int = 0
    without_server: int = 0


@dataclass(slots=True)
class Admission:
    """The leave to make one call, as the server knows it, or, in an outage, as it was given here."""

    generation: int
    lease: str
    entered_ns: int
    is_tracked: bool = True
    local: BreakerPermit | None = None
    is_settled: bool = False

    @property
    def is_probe(self) -> bool:
        """Whether it holds a place at the server."""
        return self.lease != NO_LEASE


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was turned away, by which state and for how long."""

    state: CircuitState
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the server said last, and when it was asked."""

    state: CircuitState
    generation: int
    asked_ns: int
    answered_ns: int
    wait_ns: int | None

    def refusal(self, now: int) -> Refused | None:
        """What it refuses with for a while yet, None where it does not."""
        left = self.left(now)
        return Refused(self.state, None if left is None else seconds_of(left)) if left != 0 else None

    def left(self, now: int) -> int | None:
        """Nanoseconds for which it refuses, from before the question, so never too many; None for ever."""
        if self.state is CircuitState.ISOLATED:
            return None
        # Where it waits for nothing, a thread that read the clock before the question would still see a wait.
        return max(0, self.asked_ns + self.wait_ns - now) if self.wait_ns else 0

    def is_before(self, other: "Told") -> bool:
        """Whether `other` is later news: answers to questions that overlapped may come in any order."""
        if self.answered_ns <= other.asked_ns or other.generation > self.generation:
            return True
        return other.generation == self.generation and other.asked_ns >= self.asked_ns
