"""Where the sleepers of a manual clock live: threads, asyncio loops, runs of trio.

A home says how to call something in it from outside, and watches for the moment when everyone in it sleeps.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

HASTE = 0.001
"""Real seconds of quiet that must do where nobody can be asked whether something is left to run."""


class Jumper(Protocol):
    """What a watch needs of its clock."""

    changes: int
    """Grows with every alarm that is set, rung or cancelled."""

    def is_awaited(self, home: "Home") -> bool:
        """Tell whether any alarm is set in `home`."""
        ...

    def jump(self) -> bool:
        """Move to the next deadline; False where there is none to reach."""
        ...

    def leave(self, home: "Home") -> None:
        """Note that `home` is watched no longer."""
        ...


class Home(Protocol):
    """Where an alarm was set, and is to ring."""

    shuffles: ClassVar[bool]
    """Whether tasks that are woken together run in any order."""

    def __hash__(self) -> int: ...

    def call(self, ring: Callable[[], object]) -> None:
        """Call `ring` in the home, from wherever we are."""
        ...

    def watch(self, clock: Jumper, quiet: float) -> None:
        """While the clock is awaited here, let it jump once all have slept for `quiet` real seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Thread:
    """Any thread: whoever sleeps there is woken by an event, and watches for itself."""

    shuffles: ClassVar[bool] = False

    def call(self, ring: Callable[[], object]) -> None:
        """Call `ring` at once."""
        ring()

    def watch(self, clock: Jumper, quiet: float) -> None:
        """Leave it to the sleeper."""
        clock.leave(self)


@dataclass(frozen=True, slots=True)
class Loop:
    """An asyncio event loop."""

    loop: asyncio.AbstractEventLoop
    shuffles: ClassVar[bool] = False

    @classmethod
    def current(cls) -> Self:
        """Return the running one; RuntimeError where none is."""
        return cls(asyncio.get_running_loop())

    def call(self, ring: Callable[[], object]) -> None:
        """Call `ring` at once inside the loop, else soon."""
        if asyncio._get_running_loop() is self.loop:
            ring()
        else:
            self.loop.call_soon_threadsafe(ring)

    def watch(self, clock: Jumper, quiet: float) -> None:
        """Look in every pass of the loop whether it is the only thing left to run."""
        # Asyncio has no word for "nothing left to run"; its own loops have had this queue from the beginning.
        # What has arrived by socket or timer is put there before a pass begins.
        ready = getattr(self.loop, "_ready", None)
        if ready is None:
            quiet = max(quiet, HASTE)

        def look(seen: int) -> None:
            changes = clock.changes
            asleep = not ready and (seen == changes or not quiet)
            if not clock.is_awaited(self) or (asleep and not clock.jump()):
                clock.leave(self)
            elif quiet:
                self.loop.call_later(quiet, look, changes)
            else:
                self.loop.call_soon(look, changes)

        self.loop.call_soon(look, -1)


@dataclass(frozen=True, slots=True)
class TrioRun:
    """One run of trio."""

    trio: Any
    token: Any
    shuffles: ClassVar[bool] = True

    @classmethod
    def current(cls, trio: Any) -> Self:
        """Return the running one."""
        return cls(trio, trio.lowlevel.current_trio_token())

    def call(self, ring: Callable[[], object]) -> None:
        """Call `ring` at once inside the run, else soon."""
        lowlevel = self.trio.lowlevel
        if lowlevel.in_trio_run() and lowlevel.current_trio_token() is self.token:
            ring()
        else:
            self.token.run_sync_soon(ring)

    def watch(self, clock: Jumper, quiet: float) -> None:
        """Have a task of the system's wait until all others are blocked."""
        self.trio.lowlevel.spawn_system_task(self._watch, clock, quiet)

    async def _watch(self, clock: Jumper, quiet: float) -> None:
        from trio.testing import wait_all_tasks_blocked  # noqa: PLC0415 - an optional dependency

        try:
            while clock.is_awaited(self):
                changes = clock.changes
                await wait_all_tasks_blocked(quiet)
                if changes == clock.changes and not clock.jump():
                    return
        finally:
            clock.leave(self)
