"""The switch by which tests make retries instant: `sluicegate.testing.instant_retries`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instant:
    """How retries are made while the switch is on."""

    attempts: int | None


switch: ContextVar[Instant | None] = ContextVar("sluicegate_instant_retries", default=None)


@contextmanager
def instant_retries(attempts: int | None = None) -> Iterator[None]:
    """Have every retry in the block made at once: no `Retry` waits, whichever clock it has.

    Everything else stays as it is: which exceptions are worth another attempt, budgets, deadlines, hooks, and
    the waits that hooks and events are told of. It holds for the code of the block and for the tasks and
    context copies made in it; other threads and tests that run beside it never notice. Blocks nest.

    Args:
        attempts: At most so many attempts a call, the first included; None for as many as each retry has.

    Raises:
        ValueError: `attempts` is less than 1.

    Example:
        >>> from sluicegate import Retry
        >>> from sluicegate.testing import instant_retries
        >>> answers = iter([OSError("reset"), OSError("reset"), "at last"])
        >>> def ask():
        ...     if isinstance(answer := next(answers), OSError):
        ...         raise answer
        ...     return answer
        >>> with instant_retries():
        ...     Retry(initial_interval=3_600).call(ask)
        'at last'
    """
    if attempts is not None and attempts < 1:
        raise ValueError(f"attempts must be at least 1, not {attempts}")
    token = switch.set(Instant(attempts))
    try:
        yield
    finally:
        switch.reset(token)
