"""What a limiter in Redis decides, as plans without a client: the sync and the async class carry them out."""

import itertools
import math
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Any

from sluicegate._durations import FOREVER_NS, NANOS_PER_SECOND, nanoseconds
from sluicegate._errors import ConfigurationError
from sluicegate._keyed_rate_limiter import Key, KeyedRateLimiter
from sluicegate._native import RateLimitResult
from sluicegate._rate_limiter_config import RateLimiterConfig, exact_period, read_configs
from sluicegate._reservation import TokenReservation
from sluicegate._time import Clock, resolve_clock
from sluicegate.backends._redis_leases import Lease, Leases, Refusal
from sluicegate.backends._redis_server import OnError, OutageError, Plan, Server, check_on_error
from sluicegate.backends._redis_units import (
    LARGEST,
    MICROS,
    Units,
    decoded,
    key_bytes,
    key_head,
    share_of,
    units,
)

_NANOS_PER_MICRO = 1_000


@dataclass(frozen=True, slots=True)
class RedisRateLimiterStats:
    """What a limiter in Redis has done in this process since it was built.

    Attributes:
        allowed: Calls that were granted.
        denied: Calls that were refused.
        allowed_permits: Permits granted.
        denied_permits: Permits refused.
        round_trips: Questions sent to the server.
        errors: Questions that the server did not answer.
        without_server: Calls that were decided without the server, because of an outage.
    """

    allowed: int = 0
    denied: int = 0
    allowed_permits: int = 0
    denied_permits: int = 0
    round_trips: int = 0
    errors: int = 0
    without_server: int = 0


@dataclass(slots=True)
class Booked:
    """A reservation as the server knows it, or, in an outage, the one that was made here instead."""

    key: Key
    count: int
    ident: str
    reserved_ns: int
    execute_ns: int
    local: TokenReservation | None = None
    server: bool = True
    settled: bool = False


class Logic:
    """Decides by the server's word, by what was drawn ahead of it, or, in an outage, as `on_error` says."""

    def __init__(
        self,
        client: Any,
        configs: tuple[RateLimiterConfig | str, ...],
        *,
        name: str,
        lease: int,
        on_error: OnError,
        local_share: float,
        prefix: str,
        clock: Clock | None,
    ) -> None:
        if isinstance(lease, bool) or not isinstance(lease, int):
            raise TypeError(f"lease must be an integer, not {lease!r}")
        if not 0 <= lease <= LARGEST:
            message = f"lease must be from 0 to 2^53 permits, not {lease}"
            raise ConfigurationError(message, field="lease", value=lease)
        check_on_error(on_error)
        if not 0 <= local_share <= 1:
            message = f"local_share must be from 0 to 1, not {local_share}"
            raise ConfigurationError(message, field="local_share", value=local_share)
        self.name = name
        self.clock = resolve_clock(clock)
        self.lease = lease
        self._on_error = on_error
        self._share = Fraction(repr(local_share)) if isinstance(local_share, float) else Fraction(local_share)
        self._head = key_head(prefix, name)
        self._local: KeyedRateLimiter | None = None
        self.update(configs)
        self.server = Server(client, "limit.lua", self.clock)
        self.leases = Leases()
        self._tally = [0, 0, 0, 0, 0]
        self._tally_lock = threading.Lock()
        self._worker = os.urandom(12).hex()
        self._pid = os.getpid()
        self._serial = itertools.count()

    def update(self, configs: tuple[RateLimiterConfig | str, ...]) -> None:
        """Apply other quotas from now on; where one makes no sense, nothing changes."""
        read = read_configs(configs)
        finite = [config for config in read if config.rate != math.inf]
        counted = [units(config) for config in finite]
        shares = [share_of(config, self._share) for config in finite] if self._on_error == "local" else []
        local = self._local
        if shares and local is not None and len(local.configs) == len(shares):
            local.update(*shares)
        elif shares:
            local = KeyedRateLimiter(*shares, name=self.name, clock=self.clock)
        self.configs = read
        self._local = local
        self._bursts = [quota.burst for quota in counted]
        self._quotas = " ".join(f"{quota.cost},{quota.earn},{quota.burst}" for quota in counted)
        # One quota that fills again is decided in few steps, and its answer is worked out here.
        self._alone = counted[0] if len(counted) == 1 and counted[0].earn and not self.lease else None
        self._term = max((int(exact_period(config.period) * MICROS) for config in finite), default=0)
        if hasattr(self, "leases"):
            self.leases.forget_refusals()

    def spends(self, key: Key, count: int) -> bool:
        """Spend what was drawn ahead, where there is as much: no plan, no question, no result."""
        if not self.lease or type(count) is not int or count <= 0:
            return False
        self._own_what_is_drawn()
        full = self._head + key_bytes(key) + b"}"
        return self.leases.spend(full, count, self.clock.now_ns()) is not None

    def attempt(self, key: Key, count: int) -> Plan[RateLimitResult]:
        """Draw permits, or say why not."""
        _check_count(count)
        full = self._head + key_bytes(key) + b"}"
        self._own_what_is_drawn()
        now = self.clock.now_ns()
        known = self._known(full, count, now)
        if known is not None:
            return known
        lease = (
            self.leases.give_up(full, now) if self.lease and self.server.breaker.retry_after is None else None
        )
        ident = self._ident() if self.lease else "-"
        old, unspent = (lease.ident, lease.permits) if lease is not None else ("-", 0)
        want = max(0, self.lease - count)
        words = f"take {count} {want} {self._term} {old} {unspent} {ident} {self._quotas}"
        alone = self._alone
        try:
            read = self._reader(count, alone, want)
            if alone is None:
                reply = yield from self.server.ask(read, (full,), words)
            else:
                burst, asked = alone.burst * alone.cost, count * alone.cost
                reply = yield from self.server.ask(read, (full,), words, alone.cost, alone.earn, burst, asked)
        except OutageError as outage:
            if lease is not None and not outage.sent:
                self.leases.keep(full, lease)
            return self._without_server(key, count)
        if reply[5] > 0:
            expires = now + self._term * _NANOS_PER_MICRO
            self.leases.keep(full, Lease(ident, reply[5], expires))
        return self._read(full, count, now, reply)

    def peek(self, key: Key, count: int) -> Plan[RateLimitResult]:
        """Say what `attempt` would."""
        _check_count(count)
        full = self._head + key_bytes(key) + b"}"
        if not self._quotas or count > min(self._bursts):
            return self._at_once(count)
        try:
            words = f"peek {count} 0 0 - 0 - {self._quotas}"
            reply = yield from self.server.ask(self._reader(count), (full,), words)
        except OutageError:
            if self._on_error == "local" and self._local is not None:
                return self._bounded(self._local.peek(key, count))
            return self._fallback(count)
        return self._result(reply)

    def reserve(
        self, key: Key, count: int, max_wait: float | timedelta | None
    ) -> Plan[Booked | RateLimitResult]:
        """Charge now, and say when; or why not."""
        _check_count(count)
        longest = -1 if max_wait is None else nanoseconds(max_wait, "max_wait") // _NANOS_PER_MICRO
        full = self._head + key_bytes(key) + b"}"
        self._own_what_is_drawn()
        now = self.clock.now_ns()
        ident = self._ident()
        if not self._quotas or count > min(self._bursts):
            result = self._at_once(count)
            return Booked(key, count, ident, now, now, server=False) if result.allowed else result
        if self.lease and self.leases.spend(full, count, now) is not None:
            return Booked(key, count, ident, now, now, server=False)
        longest = min(longest, LARGEST)
        try:
            keys = (full, full + b":r:" + ident.encode())
            words = f"reserve {count} {longest} 0 - 0 - {self._quotas}"
            reply = yield from self.server.ask(self._reader(count), keys, words)
        except OutageError:
            return self._reserve_without_server(key, count, ident, max_wait)
        if not reply[0]:
            return self._read(full, count, now, reply)
        self._count(True, count)
        # Counted from the answer, so never earlier than the server meant.
        answered = self.clock.now_ns()
        return Booked(key, count, ident, answered, answered + reply[1] * _NANOS_PER_MICRO)

    def settle(self, booked: Booked, actual: int | None) -> Plan[int]:
        """Settle a reservation at `actual` permits; None cancels it."""
        if actual is not None:
            _check_count(actual)
        if booked.settled:
            return 0
        booked.settled = True
        used = actual if actual is not None else 0
        if booked.local is not None:
            return booked.local.cancel() if actual is None else booked.local.commit(actual)
        if not booked.server or not self._quotas or used == booked.count:
            return 0
        full = self._head + key_bytes(booked.key) + b"}"
        self.leases.forget_refusal(full)
        try:
            keys = (full, full + b":r:" + booked.ident.encode())
            words = f"settle {used} {booked.count} {int(actual is None)} - 0 - {self._quotas}"
            return (yield from self.server.ask(_settled(used, booked.count), keys, words))
        except OutageError as outage:
            booked.settled = outage.sent and self._on_error != "raise"
            if self._on_error == "raise":
                raise self.server.failure(f"the limit {self.name!r}") from outage
            return 0

    def waits(
        self, key: Key, count: int, timeout: float | timedelta | None
    ) -> Plan[tuple[Booked | None, RateLimitResult]]:
        """Charge with a time to wait for, or refuse what would take longer than `timeout`.

        Yields a deadline, an int, where the wait is for a lease of another worker to end; it is sent nothing.

        Raises:
            ValueError: There is no timeout, and `count` can never be granted.
        """
        began = self.clock.now_ns()
        patience = FOREVER_NS if timeout is None else nanoseconds(timeout, "timeout")
        if timeout is None and self._bursts and count > min(self._bursts):
            raise ValueError(f"{count} permits can never be granted, the burst is {min(self._bursts)}")
        while True:
            if self.lease:
                result = yield from self.attempt(key, count)
                if result.allowed or result.retry_after == math.inf:
                    return None, result
            now = self.clock.now_ns()
            left = max(0, patience - (now - began))
            booked = yield from self.reserve(key, count, None if timeout is None else left / NANOS_PER_SECOND)
            if isinstance(booked, Booked):
                burst = min(self._bursts, default=sys.maxsize)
                return booked, RateLimitResult(True, burst, 0, 0.0, 0.0)
            wait = booked.retry_after
            if wait == math.inf or wait * NANOS_PER_SECOND > left or left == 0:
                return None, booked
            yield (self.clock.now_ns() + max(1, math.ceil(wait * NANOS_PER_SECOND)),)

    def stats(self) -> RedisRateLimiterStats:
        """Read the counts."""
        allowed, denied, allowed_permits, denied_permits, alone = self._tally
        return RedisRateLimiterStats(
            allowed + self.leases.spent,
            denied,
            allowed_permits + self.leases.spent_permits,
            denied_permits,
            self.server.round_trips,
            self.server.errors,
            alone,
        )

    def _reader(self, count: int, alone: Units | None = None, ahead: int = 0) -> Callable[[Any], list[int]]:
        """Read a decision about quotas of ours that leases no more than `ahead`."""
        bursts = self._bursts

        def read(answer: Any) -> list[int]:
            reply = decoded(alone, count, answer)
            if reply[2] > len(bursts) or reply[3] > bursts[reply[2] - 1] or reply[5] > ahead:
                raise ValueError(f"no answer of the script: {answer!r}")
            return reply

        return read

    def _known(self, full: bytes, count: int, now: int) -> RateLimitResult | None:
        """Decide without a round trip, where that can be done."""
        if not self._quotas or count > min(self._bursts):
            return self._at_once(count)
        if self.lease and count:
            left = self.leases.spend(full, count, now)
            if left is not None:
                return RateLimitResult(True, min(self._bursts), left, 0.0, 0.0)
        refusal = self.leases.refused(full, count, now)
        if refusal is None:
            return None
        self._count(False, count)
        wait = (refusal.until_ns - now) / NANOS_PER_SECOND
        reset = math.inf if refusal.reset_ns == FOREVER_NS else (refusal.reset_ns - now) / NANOS_PER_SECOND
        return RateLimitResult(False, refusal.limit, refusal.remaining, wait, max(wait, reset))

    def _at_once(self, count: int) -> RateLimitResult:
        """Decide what no state has a say in: no limit at all, or more than it can ever grant."""
        if not self._quotas:
            self._count(True, count)
            return RateLimitResult(True, sys.maxsize, sys.maxsize, 0.0, 0.0)
        self._count(False, count)
        return RateLimitResult(False, min(self._bursts), 0, math.inf, 0.0)

    def _read(self, full: bytes, count: int, now: int, reply: list[int]) -> RateLimitResult:
        """Take the script's answer, and remember a refusal for as long as it stands."""
        self._count(bool(reply[0]), count)
        result = self._result(reply)
        if not result.allowed:
            # From before the question on: at the end the server is asked, never too late.
            until = FOREVER_NS if reply[1] < 0 else now + reply[1] * _NANOS_PER_MICRO
            reset = FOREVER_NS if reply[4] < 0 else now + reply[4] * _NANOS_PER_MICRO
            if reply[1] >= 0:
                self.leases.refuse(full, Refusal(count, until, result.limit, result.remaining, reset))
        return result

    def _result(self, reply: list[int]) -> RateLimitResult:
        wait = math.inf if reply[1] < 0 else reply[1] / MICROS
        reset = math.inf if reply[4] < 0 else reply[4] / MICROS
        granted = bool(reply[0])
        return RateLimitResult(granted, self._bursts[reply[2] - 1], reply[3], 0.0 if granted else wait, reset)

    def _without_server(self, key: Key, count: int) -> RateLimitResult:
        self._tally[4] += 1
        if self._on_error == "local" and self._local is not None:
            result = self._bounded(self._local.attempt(key, count))
        else:
            result = self._fallback(count)
        self._count(result.allowed, count)
        return result

    def _fallback(self, count: int) -> RateLimitResult:
        if self._on_error == "raise":
            raise self.server.failure(f"the limit {self.name!r}") from self.server.last_error
        burst = min(self._bursts)
        if self._on_error == "allow":
            return RateLimitResult(True, burst, burst, 0.0, 0.0)
        return RateLimitResult(False, burst, 0, self.server.retry_after, self.server.retry_after)

    def _bounded(self, result: RateLimitResult) -> RateLimitResult:
        """What the local share can never grant, the server may once it is back."""
        if result.allowed or result.retry_after != math.inf:
            return result
        return RateLimitResult(
            False, result.limit, result.remaining, self.server.retry_after, result.reset_after
        )

    def _reserve_without_server(
        self, key: Key, count: int, ident: str, max_wait: float | timedelta | None
    ) -> Booked | RateLimitResult:
        now = self.clock.now_ns()
        if self._on_error != "local" or self._local is None:
            result = self._without_server(key, count)
            return Booked(key, count, ident, now, now, server=False) if result.allowed else result
        self._tally[4] += 1
        local = self._local.reserve(key, count, max_wait)
        self._count(local is not None, count)
        if local is None:
            return self._bounded(self._local.peek(key, count))
        return Booked(key, count, ident, now, local.execute_at_ns, local)

    def _count(self, allowed: bool, count: int) -> None:
        tally = self._tally
        with self._tally_lock:
            if allowed:
                tally[0] += 1
                tally[2] += count
            else:
                tally[1] += 1
                tally[3] += count

    def _own_what_is_drawn(self) -> None:
        if os.getpid() != self._pid:  # a child of a fork is another worker, with nothing drawn yet
            self._worker, self._pid = os.urandom(12).hex(), os.getpid()
            self.leases = Leases()

    def _ident(self) -> str:
        return f"{self._worker}.{next(self._serial)}"


def _settled(used: int, reserved: int) -> Callable[[Any], int]:
    """Read how many of the `reserved` permits were given back, or, negative, how many more were charged."""

    def read(answer: Any) -> int:
        if type(answer) is not int or not -used <= answer <= reserved:
            raise ValueError(f"no answer of the script: {answer!r}")
        return answer

    return read


def _check_count(count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count must be an integer, not {type(count).__name__}")
    if count < 0:
        raise ValueError(f"count must be at least 0, not {count}")
