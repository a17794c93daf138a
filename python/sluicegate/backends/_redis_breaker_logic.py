"""What a breaker in Redis decides, as plans without a client: the sync and the async class carry them out."""

import dataclasses
import functools
import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from sluicegate._breaker_config import CircuitBreakerConfig, check_callable
from sluicegate._circuit_breaker import BreakerSnapshot, CircuitBreaker
from sluicegate._durations import Duration, nanoseconds, seconds
from sluicegate._errors import CircuitIsolatedError, CircuitOpenError, ConfigurationError
from sluicegate._events import STATES, BreakerListener, CircuitState, breaker_event, notify
from sluicegate._native import BreakerPermit
from sluicegate._time import Clock
from sluicegate.backends._redis_breaker_known import (
    NO_LEASE,
    Admission,
    RedisCircuitBreakerStats,
    Refused,
    Told,
)
from sluicegate.backends._redis_breaker_words import (
    FIGURES,
    LETTERS,
    NANOS_PER_MICRO,
    Outcome,
    Reply,
    config_words,
    is_slow,
    micros_up,
    read_reply,
    seconds_of,
    snapshot_of,
)
from sluicegate.backends._redis_server import OnError, OutageError, Plan, Server, check_on_error
from sluicegate.backends._redis_units import key_head

_log = logging.getLogger("sluicegate")

_LONGEST_BATCH = 1_000_000


class BreakerLogic:
    """Decides by what the server said a moment ago, or asks it, or, in an outage, does as `on_error` says.

    Fast successes, refusals and ignored calls may be kept back; whatever is asked next takes them along.
    """

    def __init__(
        self,
        client: Any,
        config: CircuitBreakerConfig,
        *,
        name: str,
        batch: int,
        refresh: Duration,
        on_error: OnError,
        prefix: str,
        clock: Clock,
        listener: BreakerListener | None,
    ) -> None:
        if isinstance(batch, bool) or not isinstance(batch, int):
            raise TypeError(f"batch must be an integer, not {batch!r}")
        if not 0 <= batch <= _LONGEST_BATCH:
            message = f"batch must be from 0 to {_LONGEST_BATCH} successes, not {batch}"
            raise ConfigurationError(message, field="batch", value=batch)
        seconds(refresh, "refresh")
        check_on_error(on_error)
        check_callable("listener", listener)
        self.owner: Any = None
        self.name = name
        self.config = config
        self.clock = clock
        self.on_error = on_error
        self.last_failure: BaseException | None = None
        self.reason: str | None = None
        self._listener = listener
        self._batch = batch
        self._refresh_ns = nanoseconds(refresh, "refresh")
        self._key = key_head(prefix, name) + b"}breaker"
        self._words = config_words(config)
        self.server = Server(client, "breaker.lua", clock)
        self._local: CircuitBreaker | None = None
        if on_error == "local":  # it is told outcomes, and nobody's but ours
            plain = dataclasses.replace(config, state_provider=None, manual_control=None, handle_result=None)
            self._local = CircuitBreaker(plain, name=name, clock=clock)
        self._serial = itertools.count()
        self._without_server = 0
        self._begin()

    def _begin(self) -> None:
        """Know nothing, and keep nothing back."""
        self._lock = threading.Lock()
        self._worker, self._pid = f"w{os.urandom(9).hex()}", os.getpid()
        self._told: Told | None = None
        self._fresh_until = 0
        self._kept, self._kept_by, self._kept_since = 0, 0, 0
        self._late, self._refused, self._ignored = 0, 0, 0
        self._dropped: deque[str] = deque()

    def known(self) -> Admission | Refused | None:
        """Decide by what the server said last, None where it must be asked."""
        if os.getpid() != self._pid:  # a child of a fork is another worker
            self._begin()
        told, now = self._told, self.clock.now_ns()
        if told is None or now >= self._fresh_until or self._dropped:
            return None
        if told.state in (CircuitState.CLOSED, CircuitState.METRICS_ONLY):
            return Admission(told.generation, NO_LEASE, now)
        if told.state is CircuitState.DISABLED:
            return Admission(told.generation, NO_LEASE, now, is_tracked=False)
        refusal = told.refusal(now)
        if refusal is not None:
            with self._lock:
                self._refused += 1
        return refusal

    def enter(self) -> Plan[Admission | Refused]:
        """Ask whether a call may go ahead."""
        known = self.known()
        if known is not None:
            return known
        now = self.clock.now_ns()
        lease = f"{self._worker}.{next(self._serial)}"
        try:
            reply = yield from self._ask("enter", now, lease=lease)
        except OutageError as outage:
            if outage.sent:
                self._dropped.append(lease)
            return self._enter_without_server(now)
        except BaseException:
            self._dropped.append(lease)
            raise
        if not reply.granted:
            return Refused(reply.state, None if reply.wait_ns is None else seconds_of(reply.wait_ns))
        is_tracked = reply.state is not CircuitState.DISABLED
        return Admission(reply.generation, lease if reply.is_probe else NO_LEASE, now, is_tracked)

    def settle(self, admission: Admission, outcome: Outcome, error: BaseException | None) -> Plan[None]:
        """Take note of how a call ended, once; an outage loses it."""
        if admission.is_settled:
            return
        admission.is_settled = True
        if outcome is Outcome.FAILURE:
            self.last_failure = error
        if admission.local is not None:
            _settle_local(admission.local, outcome, error)
            return
        now = self.clock.now_ns()
        slow = is_slow(self.config, now - admission.entered_ns)
        if not admission.is_tracked or self._keeps(admission, outcome, slow, now):
            return
        try:
            letter = LETTERS[outcome]
            yield from self._ask("settle", now, admission.generation, admission.lease, letter, slow=slow)
        except OutageError:
            return
        except BaseException:
            if admission.is_probe:
                self._dropped.append(admission.lease)
            raise

    def drop(self, admission: Admission) -> None:
        """Count as ignored what was never settled; the place of a probe is freed with the next question."""
        if admission.is_settled:
            return
        admission.is_settled = True
        if admission.local is not None:
            admission.local.ignore()
        elif admission.is_tracked:
            self._ignored += 1  # no lock: the collector may come at any time, also to who holds it
            if admission.is_probe:
                self._dropped.append(admission.lease)

    def force(self, state: CircuitState, reason: str | None = None) -> Plan[None]:
        """Bring the breaker of all processes into a state by hand.

        Raises:
            BackendError: The server does not answer; what a hand wants must not get lost.
        """
        try:
            number = STATES.index(state)
            yield from self._ask("force", self.clock.now_ns(), more=(number, reason or ""))
        except OutageError as outage:
            raise self._failure() from outage

    def snapshot(self) -> Plan[BreakerSnapshot]:
        """Ask for every figure.

        Raises:
            BackendError: The server does not answer.
        """
        try:
            reply = yield from self._ask("read", self.clock.now_ns())
        except OutageError as outage:
            raise self._failure() from outage
        return snapshot_of(reply)

    def standing(self) -> Refused:
        """Say which state it is in as far as this process knows, and for how long it refuses."""
        told = self._told
        refusal = None if told is None else told.refusal(self.clock.now_ns())
        if refusal is not None:
            return refusal
        if self._local is not None and self.server.breaker.retry_after is not None:
            return Refused(self._local.state, self._local.retry_after)
        state = CircuitState.CLOSED if told is None else told.state
        if state in (CircuitState.OPEN, CircuitState.HALF_OPEN):
            return Refused(CircuitState.HALF_OPEN, 0.0)
        return Refused(state, None)

    def stats(self) -> RedisCircuitBreakerStats:
        """Read what it cost."""
        return RedisCircuitBreakerStats(self.server.round_trips, self.server.errors, self._without_server)

    def error(self, refused: Refused) -> CircuitOpenError:
        """Build the error of a refusal."""
        if refused.state is CircuitState.ISOLATED:
            because = f": {self.reason}" if self.reason else ""
            return CircuitIsolatedError(
                f"circuit breaker {self.name!r} is isolated{because}",
                policy=self.name,
                state=refused.state,
                last_failure=self.last_failure,
                reason=self.reason,
            )
        return CircuitOpenError(
            f"circuit breaker {self.name!r} is open",
            policy=self.name,
            retry_after=refused.retry_after,
            state=refused.state,
            last_failure=self.last_failure,
        )

    def _keeps(self, admission: Admission, outcome: Outcome, slow: bool, now: int) -> bool:
        """Keep back what can wait: an ignored call, or a fast success where `batch` lets it."""
        if admission.is_probe or slow or outcome is Outcome.FAILURE:
            return False
        with self._lock:
            if outcome is Outcome.IGNORED:
                self._ignored += 1
                return True
            if self._kept + 1 >= self._batch or now >= self._fresh_until:
                return False
            if self._kept and self._kept_by != admission.generation:
                self._late += self._kept
                self._kept = 0
            if not self._kept:
                self._kept_by, self._kept_since = admission.generation, now
            self._kept += 1
            return True

    def _ask(
        self,
        verb: str,
        now: int,
        generation: int = 0,
        lease: str = NO_LEASE,
        outcome: str = "-",
        *,
        slow: bool = False,
        more: tuple[Any, ...] = (),
    ) -> Plan[Reply]:
        """Ask the server, take along what was kept back, and do what a change of state asks for."""
        with self._lock:
            kept, by, since = self._kept, self._kept_by, self._kept_since
            late, refused, ignored = self._late, self._refused, self._ignored
            self._kept = self._late = self._refused = self._ignored = 0
            dropped = [self._dropped.popleft() for _ in range(len(self._dropped))]
        age = (now - since) // NANOS_PER_MICRO if kept else 0
        words = (
            f"{verb} {generation} {lease} {outcome} {slow:d} {','.join(dropped) or '-'} {kept} {by} {age} "
            f"{late} {refused} {ignored} {self._words}"
        )
        try:
            read = functools.partial(read_reply, figures=FIGURES if verb == "read" else 0)
            reply = yield from self.server.ask(read, (self._key,), words, *more)
        except OutageError as outage:
            self._fresh_until = 0
            self._dropped.extend(dropped)
            if not outage.sent:
                with self._lock:
                    self._late, self._refused, self._ignored = (
                        self._late + late + kept,
                        self._refused + refused,
                        self._ignored + ignored,
                    )
            raise
        self._learn(reply, now)
        if reply.from_state is not None and reply.to_state is not None:
            if reply.trips and self.config.break_duration_generator is not None:
                yield from self._stretch(reply, self.config.break_duration_generator)
            if self._listener is not None:
                at = seconds_of(self.clock.now_ns())
                notify(self._listener, breaker_event(self.owner, reply.from_state, reply.to_state, at))
        return reply

    def _stretch(self, reply: Reply, generator: Callable[[int], Any]) -> Plan[None]:
        """Give the break of a trip its true length; until then, and where this fails, the other holds."""
        try:
            length = micros_up(nanoseconds(generator(reply.trips), "break_duration"))
        except Exception:
            _log.exception("the break duration generator of %r failed; break_duration holds", self.owner)
            return
        now = self.clock.now_ns()
        words = f"stretch {reply.generation} - - 0 - 0 0 0 0 0 0 {self._words}"
        try:
            stretched = yield from self.server.ask(read_reply, (self._key,), words, length)
        except OutageError:
            self._fresh_until = 0
            return
        self._learn(stretched, now)

    def _learn(self, reply: Reply, asked: int) -> None:
        """Keep what the server said, unless there is later news."""
        told = Told(reply.state, reply.generation, asked, self.clock.now_ns(), reply.wait_ns)
        with self._lock:
            before = self._told
            if before is not None and not before.is_before(told):
                return
            self._told, self.reason = told, reply.reason
            self._fresh_until = asked + self._refresh_ns
            is_news = before is None or before.generation != told.generation
        if is_news and before is not None and told.state is CircuitState.CLOSED:
            self.last_failure = None

    def _enter_without_server(self, now: int) -> Admission | Refused:
        self._without_server += 1
        if self.on_error == "raise":
            raise self._failure() from self.server.last_error
        # What the server said of the time to come still stands.
        told = self._told
        refusal = None if told is None else told.refusal(now)
        if refusal is not None and refusal.state is not CircuitState.HALF_OPEN:
            return refusal
        always = told is not None and told.state in (CircuitState.METRICS_ONLY, CircuitState.DISABLED)
        if self.on_error == "allow" or always:
            return Admission(0, NO_LEASE, now, is_tracked=False)
        if self._local is None:
            return Refused(CircuitState.OPEN, self.server.retry_after)
        permit = self._local.try_enter()
        if permit is None:
            return Refused(self._local.state, self._local.retry_after)
        return Admission(0, NO_LEASE, now, local=permit)

    def _failure(self) -> Exception:
        return self.server.failure(f"the breaker {self.name!r}")


def _settle_local(permit: BreakerPermit, outcome: Outcome, error: BaseException | None) -> None:
    if outcome is Outcome.SUCCESS:
        permit.success()
    elif outcome is Outcome.FAILURE:
        permit.failure(error)
    else:
        permit.ignore()
