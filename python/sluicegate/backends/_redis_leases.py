"""What a worker knows of its keys between round trips: permits drawn ahead, and refusals that hold."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

DEFAULT_MAX_KEYS = 65_536
"""Keys that a worker remembers; what is forgotten of the others costs a round trip, or lost permits."""


@dataclass(slots=True)
class Lease:
    """Permits drawn ahead, to be spent before `expires_ns`."""

    ident: str
    permits: int
    expires_ns: int


@dataclass(slots=True)
class Refusal:
    """Nothing of `count` permits or more is granted before `until_ns`."""

    count: int
    until_ns: int
    limit: int
    remaining: int
    reset_ns: int


@dataclass(slots=True)
class _Known:
    leases: list[Lease] = field(default_factory=list)
    refusal: Refusal | None = None


class Leases:
    """The leases and refusals of a worker, by key, for many threads.

    Example:
        >>> leases = Leases()
        >>> leases.keep(b"key", Lease("id", 2, expires_ns=10))
        >>> [leases.spend(b"key", 1, now) for now in (0, 9, 9)]
        [1, 0, None]
    """

    def __init__(self, max_keys: int = DEFAULT_MAX_KEYS) -> None:
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()
        self._max_keys = max_keys
        self.spent = 0
        self.spent_permits = 0

    def spend(self, key: bytes, count: int, now: int) -> int | None:
        """Take `count` permits of one lease: what is left in it, or None where no lease has as many.

        What is taken is counted under the same lock.
        """
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                for lease in known.leases:
                    if lease.permits >= count and now < lease.expires_ns:
                        lease.permits -= count
                        self.spent += 1
                        self.spent_permits += count
                        return lease.permits
        return None

    def keep(self, key: bytes, lease: Lease) -> None:
        """Remember a lease; ones that are over are forgotten."""
        with self._lock:
            known = self._entry(key)
            known.leases.append(lease)

    def give_up(self, key: bytes, now: int) -> Lease | None:
        """Take a lease out, to be settled with the server; what is over is the server's to settle."""
        with self._lock:
            known = self._known.get(key)
            if known is None:
                return None
            known.leases = [lease for lease in known.leases if now < lease.expires_ns]
            return known.leases.pop() if known.leases else None

    def refuse(self, key: bytes, refusal: Refusal) -> None:
        """Remember a refusal."""
        with self._lock:
            self._entry(key).refusal = refusal

    def refused(self, key: bytes, count: int, now: int) -> Refusal | None:
        """Return what still refuses `count` permits, None where the server must be asked."""
        with self._lock:
            known = self._known.get(key)
            refusal = None if known is None else known.refusal
        if refusal is None or count < refusal.count or now >= refusal.until_ns:
            return None
        return refusal

    def forget_refusal(self, key: bytes) -> None:
        """Ask the server again: something was given back."""
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                known.refusal = None

    def forget_refusals(self) -> None:
        """Ask the server again about every key: the quota is another."""
        with self._lock:
            for known in self._known.values():
                known.refusal = None

    def _entry(self, key: bytes) -> _Known:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known()
            if len(self._known) > self._max_keys:
                self._known.popitem(last=False)
        return known
