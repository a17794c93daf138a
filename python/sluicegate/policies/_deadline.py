"""The deadlines a call runs under: what is inside of a timeout does not begin what it cannot finish."""

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


class within:  # noqa: N801 - used like a function; a generator would cost three times as much
    """Have the block, and the tasks started in it, run under a deadline."""

    __slots__ = ("_deadline", "_token")

    def __init__(self, clock: Clock, at_ns: int) -> None:
        self._deadline = Deadline(clock, at_ns, _innermost.get())

    def __enter__(self) -> None:
        self._token = _innermost.set(self._deadline)

    def __exit__(self, *exception: object) -> None:
        self._deadline.over = True
        _innermost.reset(self._token)


def leaves_room_for(wait_ns: int) -> bool:
    """Tell whether a wait that begins now ends before every deadline around it, so that a call can follow."""
    deadline = _innermost.get()
    while deadline is not None:
        if not deadline.over and deadline.clock.now_ns() + wait_ns >= deadline.at_ns:
            return False
        deadline = deadline.outer
    return True
