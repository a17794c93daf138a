"""The deadlines a call runs under: what is inside of a timeout does not begin what it cannot finish."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sluicegate._time import Clock


@dataclass(slots=True)
class Deadline:
    """A moment on a clock at which the calls within will be cut short, and the one around it."""

    clock: Clock
    at_ns: int
    outer: "Deadline | None"
    over: bool = False
    """Whether the call it was set for has ended: a task that the call left behind is bound no more."""


_innermost: ContextVar[Deadline | None] = ContextVar("sluicegate_deadline", default=None)


@contextmanager
def within(clock: Clock, at_ns: int) -> Iterator[None]:
    """Have the block, and the tasks started in it, run under a deadline."""
    deadline = Deadline(clock, at_ns, _innermost.get())
    token = _innermost.set(deadline)
    try:
        yield
    finally:
        deadline.over = True
        _innermost.reset(token)


def leaves_room_for(wait_ns: int) -> bool:
    """Tell whether a wait that begins now ends before every deadline around it, so that a call can follow."""
    deadline = _innermost.get()
    while deadline is not None:
        if not deadline.over and deadline.clock.now_ns() + wait_ns >= deadline.at_ns:
            return False
        deadline = deadline.outer
    return True
