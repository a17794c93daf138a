"""What a job goes on without because it cannot be had: told once, and listed in the summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class DegradedError(Exception):
    """Something cannot be had, and the job was told not to go on without it.

    Attributes:
        part: which one.
    """

    def __init__(self, message: str, *, part: str) -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True, slots=True)
class Degraded:
    """A part that a job goes on without.

    Attributes:
        part: ``cache``, ``database`` or ``telemetry``.
        reason: why it cannot be had, and what to do about it.
        effect: what that costs.
    """

    part: str
    reason: str
    effect: str


class Degradations:
    """The parts a job goes on without.

    Args:
        say: tells a line to people.
        allowed: whether the job goes on at all: the setting `degrade`.

    Examples:
        >>> degradations = Degradations(print)
        >>> degradations.note("telemetry", "OpenTelemetry is not installed", "nothing is measured")
        OpenTelemetry is not installed; the job goes on, and nothing is measured
        >>> degradations.told[0].part
        'telemetry'
    """

    def __init__(self, say: Callable[[str], None], *, allowed: bool = True) -> None:
        self.told: list[Degraded] = []
        self._say = say
        self._allowed = allowed

    def note(self, part: str, reason: str, effect: str) -> None:
        """Go on without a part, and say so.

        Raises:
            DegradedError: the job is not to.
        """
        if not self._allowed:
            raise DegradedError(f"{reason}; or let the job go on without by --degrade", part=part)
        self.told.append(Degraded(part, reason, effect))
        self._say(f"{reason}; the job goes on, and {effect}")

    def found(self, part: str, reason: str, effect: str) -> None:
        """Note at the end that a part failed on the way, and say so."""
        self.told.append(Degraded(part, reason, effect))
        self._say(f"{reason}; {effect}")
