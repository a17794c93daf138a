"""What a breaker's script is told and answers: a config, a result and a reply as words."""

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Any

from sluicegate._breaker_config import CircuitBreakerConfig, Failures
from sluicegate._circuit_breaker import BreakerSnapshot
from sluicegate._durations import NANOS_PER_SECOND, nanoseconds
from sluicegate._events import STATES, CircuitState
from sluicegate.backends._redis_units import LARGEST, MICROS, integers

NANOS_PER_MICRO = 1_000
STEPS = 64
"""The steps of a time window."""

FIGURES = 11
"""How many figures a snapshot has."""

_LONGEST = 2**48
"""Microseconds that a break lasts at most, 8.9 years: the same as in a process."""


class Outcome(IntEnum):
    """How an admitted call ended."""

    SUCCESS = 0
    FAILURE = 1
    IGNORED = 2


LETTERS = "sfi"
"""The outcomes as the script calls them."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the script answered.

    Attributes:
        granted: Whether the call may go ahead.
        is_probe: Whether it holds a place.
        state: The state after the question.
        generation: The state's generation.
        wait_ns: How long until a call may be admitted; None where only a hand can tell.
        from_state: The state before, None where the question changed nothing.
        to_state: The state that it brought, None where it changed nothing.
        trips: How often in a row it has tripped, where the question tripped it; else 0.
        reason: Why it is isolated.
        figures: What `read` asked for.
    """

    granted: bool
    is_probe: bool
    state: CircuitState
    generation: int
    wait_ns: int | None
    from_state: CircuitState | None
    to_state: CircuitState | None
    trips: int
    reason: str | None
    figures: tuple[int, ...]


def config_words(config: CircuitBreakerConfig) -> str:
    """Write the numbers of a config down as the script reads them.

    Example:
        >>> config_words(CircuitBreakerConfig(failure_ratio=0.25, sampling_count=20, break_duration=5))
        'c 20 1 4 1 1 10 0 5000000 1 0 0'
    """
    if config.sampling_count is not None:
        window = f"c {config.sampling_count}"
    else:
        span = nanoseconds(config.sampling_duration, "sampling_duration")
        window = f"t {max(1, span // STEPS // NANOS_PER_MICRO)}"
    failures, slow = (_ratio(value) for value in (config.failure_ratio, config.slow_call_ratio))
    least, row = (min(count or 0, LARGEST) for count in (config.min_throughput, config.consecutive_failures))
    pause, patience = (
        0 if length is None else micros_up(nanoseconds(length, "break_duration"))
        for length in (config.break_duration, config.probe_timeout)
    )
    measures = int(config.slow_call_duration is not None)
    return (
        f"{window} {failures} {slow} {least} {row} {pause} {config.half_open_max_calls} {patience} {measures}"
    )


def micros_up(nanos: int) -> int:
    """Round a span up to microseconds; what passes the range stops at its end."""
    return min(_LONGEST, -(-nanos // NANOS_PER_MICRO))


def read_reply(answer: Any, figures: int = 0) -> Reply:
    """Read what the script answered, as bytes or as str, with so many `figures`.

    Raises:
        ValueError: No script of ours answers so.
    """
    text, reason = answer if isinstance(answer, list) and len(answer) == 2 else (answer, "")
    reason = reason.decode() if isinstance(reason, bytes) else reason
    text = text.decode() if isinstance(text, bytes) else text
    said, _, rest = text.partition(";")
    numbers, told = integers(said), integers(rest)
    granted, probe, state, generation, wait, before, after, trips = numbers
    in_range = (
        min(granted, probe, state, generation, wait + 1, before + 1, after + 1, trips, *told) >= 0
        and (before < 0) == (after < 0)
        and max(granted, probe) <= 1
        and max(state, before, after) < len(STATES)
        and max(*numbers, *told) <= LARGEST
    )
    if not in_range or len(told) != figures or not isinstance(reason, str):
        raise ValueError(f"no answer of the script: {answer!r}")
    return Reply(
        bool(granted),
        bool(probe),
        STATES[state],
        generation,
        None if wait < 0 else wait * NANOS_PER_MICRO,
        None if before < 0 else STATES[before],
        None if after < 0 else STATES[after],
        trips,
        reason or None,
        tuple(told),
    )


def snapshot_of(reply: Reply) -> BreakerSnapshot:
    """Read the figures that were asked for."""
    age, calls, failures, slow, trips = reply.figures[:5]
    is_over = reply.state is CircuitState.OPEN and reply.wait_ns == 0
    return BreakerSnapshot(
        CircuitState.HALF_OPEN if is_over else reply.state,
        age / MICROS,
        calls,
        failures,
        slow,
        failures / calls if calls else 0.0,
        slow / calls if calls else 0.0,
        trips,
        *reply.figures[5:],
    )


def outcome_of_error(config: CircuitBreakerConfig, error: BaseException) -> Outcome:
    """Say what an exception means; one that is no `Exception` (a cancellation, an exit) means nothing."""
    if not isinstance(error, Exception) or _is_one(error, config.ignore):
        return Outcome.IGNORED
    return Outcome.FAILURE if _is_one(error, config.handle) else Outcome.SUCCESS


def is_slow(config: CircuitBreakerConfig, took_ns: int) -> bool:
    """Tell whether a call of this duration was slow."""
    limit = config.slow_call_duration
    return limit is not None and took_ns > nanoseconds(limit, "slow_call_duration")


def _ratio(value: float) -> str:
    # Its shortest decimal, or the nearest fraction that a double's 53 bits hold; no count is as long.
    part, whole = Fraction(str(value)).limit_denominator(LARGEST).as_integer_ratio()
    return f"{part} {whole}"


def _is_one(error: BaseException, given: Failures) -> bool:
    if isinstance(given, type | tuple):
        return isinstance(error, given)
    return bool(given(error))


def seconds_of(nanos: int) -> float:
    """Give nanoseconds in seconds."""
    return nanos / NANOS_PER_SECOND
