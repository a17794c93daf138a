"""What the embedded API does wrong on purpose, so that the library has something to do.

Every call draws its fault from a hash of the seed, of the call itself and of how often it was made before. So
the same job meets the same faults, however its calls interleave, and a call repeated may fare better.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self

from sluicegate import ConfigurationError

MAX_REMEMBERED_CALLS = 65_536
"""Of so many calls it is known how often they were made; the one made longest ago is forgotten first."""

_SCALE = 1 << 64


class Fault(StrEnum):
    """A way for a call to go wrong."""

    ERROR = "error"
    """Answered 408, 500, 502, 503 or 504."""
    HIDDEN = "hidden"
    """Answered 200, with an error 502 in the body."""
    LIMIT = "limit"
    """Answered 429 though the announced limit is kept, as when the provider behind an API is busy."""
    SLOW = "slow"
    """Answered in order, but late."""
    HANG = "hang"
    """Not answered at all, until the client gives up."""
    CUT = "cut"
    """Connection closed in the middle of the answer."""
    GARBLED = "garbled"
    """Answered with content that is broken JSON or no rows."""
    TRUNCATED = "truncated"
    """Answered with the first half, and `finish_reason` set to length."""
    EMPTY = "empty"
    """Answered with no content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """How often which fault strikes: shares of the admitted calls, 0 to 1, together at most 1.

    Attributes:
        in_a_row: how often in a row one call is struck before it is answered in order; None for no bound.
        slow_seconds: how late a slow answer is.

    Raises:
        ConfigurationError: a share is not from 0 to 1, they exceed 1 together, or a bound is negative.

    Examples:
        >>> FaultPlan(error=0.5).error
        0.5
    """

    error: float = 0.0
    hidden: float = 0.0
    limit: float = 0.0
    slow: float = 0.0
    hang: float = 0.0
    cut: float = 0.0
    garbled: float = 0.0
    truncated: float = 0.0
    empty: float = 0.0
    in_a_row: int | None = None
    slow_seconds: float = 1.0

    def __post_init__(self) -> None:
        for fault in Fault:
            share = getattr(self, fault)
            if not 0 <= share <= 1:
                raise ConfigurationError(
                    f"a share of faults is from 0 to 1, not {share}", field=fault.value, value=share
                )
        if self.total > 1 + 1e-9:
            raise ConfigurationError("the shares exceed 1 together", field="faults", value=self.total)
        if self.in_a_row is not None and self.in_a_row < 1:
            raise ConfigurationError("in_a_row must be at least 1", field="in_a_row", value=self.in_a_row)
        if not 0 <= self.slow_seconds < float("inf"):
            raise ConfigurationError(
                "slow_seconds must be finite and not negative", field="slow_seconds", value=self.slow_seconds
            )

    @property
    def total(self) -> float:
        """The share of calls that meets any fault."""
        return float(sum(getattr(self, fault) for fault in Fault))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a plan: ``none``, one number, or names with theirs, such as ``error=0.2,cut=0.05``.

        One number is the share of all faults together, mixed as in `DEFAULT_FAULTS`, never twice in a row for
        one call. Named shares know no such mercy: ``error=1`` fails every call.

        Raises:
            ConfigurationError: a name is unknown, or a number is none.

        Examples:
            >>> FaultPlan.parse("error=0.2, cut=0.05").total
            0.25
            >>> FaultPlan.parse("none") == FaultPlan()
            True
        """
        text = text.strip()
        if text in ("none", "0", ""):
            return cls()
        if "=" not in text:
            return cls._mixed(_number(text, "faults"))
        shares: dict[str, Any] = {}
        known = {field.name for field in fields(cls)} - {"in_a_row"}
        for part in text.split(","):
            name, _, value = (piece.strip() for piece in part.partition("="))
            if name not in known:
                names = ", ".join(sorted(known))
                raise ConfigurationError(f"no fault {name!r}; there are {names}", field="faults", value=text)
            shares[name] = _number(value, name)
        return cls(**shares)

    @classmethod
    def _mixed(cls, total: float) -> Self:
        if not 0 <= total <= 1:
            raise ConfigurationError(f"a share is from 0 to 1, not {total}", field="faults", value=total)
        scale = total / DEFAULT_FAULTS.total
        scaled: dict[str, Any] = {fault.value: getattr(DEFAULT_FAULTS, fault) * scale for fault in Fault}
        return cls(**scaled, in_a_row=1)


DEFAULT_FAULTS = FaultPlan(
    error=0.015,
    hidden=0.005,
    limit=0.005,
    slow=0.005,
    cut=0.005,
    garbled=0.002,
    truncated=0.002,
    empty=0.001,
    in_a_row=1,
)
"""Four calls in a hundred go wrong, each succeeding when it is made again: every word gets its cards."""


class FaultDice:
    """Draws the fault of each call; the same seed and the same calls give the same faults.

    Examples:
        >>> dice = FaultDice(FaultPlan(cut=1.0), seed=1)
        >>> dice.roll(b"a call").value
        'cut'
    """

    def __init__(self, plan: FaultPlan, *, seed: int = 0) -> None:
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self._seed = str(seed).encode()
        self._calls: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def roll(self, call: bytes) -> Fault | None:
        """Return what befalls this call, which counts as made; None where it is to be answered in order."""
        if not self.plan.total:
            return None
        made, struck_in_a_row = self._calls.pop(call, (0, 0))
        fault = self._drawn(call, made)
        if self.plan.in_a_row is not None and struck_in_a_row >= self.plan.in_a_row:
            fault = None
        self._calls[call] = (made + 1, struck_in_a_row + 1 if fault else 0)
        if len(self._calls) > MAX_REMEMBERED_CALLS:
            self._calls.popitem(last=False)
        if fault:
            self.counts[fault.value] += 1
        return fault

    def pick(self, call: bytes, among: tuple[int, ...]) -> int:
        """Return one of `among`, the same for the same call."""
        return among[self._hash(call, b"pick") % len(among)]

    def _drawn(self, call: bytes, made: int) -> Fault | None:
        rest = self._hash(call, str(made).encode()) / _SCALE
        for fault in Fault:
            rest -= getattr(self.plan, fault)
            if rest < 0:
                return fault
        return None

    def _hash(self, call: bytes, salt: bytes) -> int:
        return int.from_bytes(blake2b(b"\0".join((self._seed, salt, call)), digest_size=8).digest())


def _number(text: str, field: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a number", field=field, value=text) from None
