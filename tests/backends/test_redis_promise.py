"""What a fleet is granted, whatever its clocks say and whoever dies: in no window more than the limit."""

import bisect
import multiprocessing
import time
from fractions import Fraction

import hypothesis.strategies as st
import redis
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis_model import EPOCH, PHASES, TimedScript

from sluicegate import RateLimiterConfig
from sluicegate.backends.redis import RedisRateLimiter
from sluicegate.testing import ManualClock

MICROS = 10**6
LEASES = (0, 2, 9)
OFFSETS = (0, 86_400, 12_345_678)
"""Seconds by which the clocks of three machines differ."""

workers = st.sampled_from(range(len(LEASES)))
configs = st.builds(
    RateLimiterConfig, st.integers(1, 40), st.sampled_from([1, 7, 0.5]), burst=st.integers(1, 20)
)


class Distant(redis.UnixDomainSocketConnection):
    """A connection of machines far away: `travel` is called on the way to the server, and on the way back."""

    travel = None

    def send_packed_command(self, command, *options, **named):
        self.carries = Distant.travel is not None and b"EVAL" in b"".join(command)
        if self.carries:
            Distant.travel("there")
        return super().send_packed_command(command, *options, **named)

    def read_response(self, *options, **named):
        answer = super().read_response(*options, **named)
        if self.carries:
            Distant.travel("back")
        return answer


class Fleet(RuleBasedStateMachine):
    """Machines with clocks of their own draw ahead, reserve, settle and die; the server's time counts."""

    server = None
    client = None

    @initialize(chosen=st.lists(configs, min_size=1, max_size=2))
    def begin(self, chosen):
        self.script = TimedScript(self.server.client)
        self.configs = chosen
        self.now = EPOCH
        self.script.set_time(self.now)
        self.clocks = [ManualClock(float(offset)) for offset in OFFSETS]
        self.fleet = [self.start(worker) for worker in range(len(LEASES))]
        self.uses, self.reserved = [], []
        self.term = int(max(config.period for config in chosen) * MICROS)
        self.rest = int(max(config.burst * config.period / config.rate for config in chosen) * MICROS) + 1

    def start(self, worker):
        options = {"name": "test", "on_error": "raise", "clock": self.clocks[worker]}
        limiter = RedisRateLimiter(self.client, *self.configs, lease=LEASES[worker], **options)
        self.script.put_under(limiter)
        return limiter

    @rule(micros=st.integers(1, 4 * MICROS))
    def advance(self, micros):
        self.now += micros
        self.script.set_time(self.now)
        for clock in self.clocks:
            clock.advance_ns(micros * 1_000)

    @rule(worker=workers, count=st.integers(1, 8))
    def draw(self, worker, count):
        self.charged = self.now
        if self.fleet[worker].try_acquire("alice", count):
            self.uses.append([self.charged, count])

    @rule(worker=workers, count=st.integers(1, 8), micros=st.integers(1, MICROS), part=st.integers(0, 8))
    def draw_from_far_away(self, worker, count, micros, part):
        """The question takes a part of the time to the server, and the answer the rest."""

        def travel(where):
            self.advance(1 + micros * (part if where == "there" else 8 - part) // 8)
            if where == "there":
                self.charged = self.now

        Distant.travel = travel
        try:
            self.draw(worker, count)
        finally:
            Distant.travel = None

    @rule(
        worker=workers.filter(lambda worker: LEASES[worker]),
        micros=st.integers(1, MICROS),
        part=st.sampled_from([2, 5, 9, 20]),
    )
    def draw_until_refused_after_the_end_of_a_lease(self, worker, micros, part):
        """The server is asked when it counts the lease as spent; what is spent of it later is too much."""
        self.advance(self.rest)
        self.draw_from_far_away(worker, 1, micros, part=0)
        self.advance(max(1, self.charged + self.term - self.now))
        self.draw(0, 1)
        self.advance(1 + self.term * part // 100)
        for drawer in (0, worker):
            self.draw_until_refused(drawer)

    @rule(worker=workers)
    def draw_until_refused(self, worker):
        while self.fleet[worker].try_acquire("alice"):
            self.uses.append([self.now, 1])

    @rule(worker=workers)
    def die_with_all_that_was_drawn(self, worker):
        self.fleet[worker] = self.start(worker)

    @rule(worker=workers, count=st.integers(1, 8), tenths=st.integers(0, 30))
    def reserve(self, worker, count, tenths):
        reservation = self.fleet[worker].reserve("alice", count, max_wait=tenths / 10)
        if reservation is not None:
            delay = reservation._booked.execute_ns - self.clocks[worker].now_ns()
            self.uses.append([self.now + delay // 1_000, count])
            self.reserved.append((reservation, self.uses[-1]))

    @precondition(lambda self: self.reserved)
    @rule(data=st.data(), used=st.integers(0, 8), cancels=st.booleans())
    def settle(self, data, used, cancels):
        reservation, use = self.reserved.pop(data.draw(st.integers(0, len(self.reserved) - 1)))
        if not cancels:
            used = min(used, reservation.count)
            reservation.commit(used)
            use[1] = used
        elif reservation.delay > 0:
            reservation.cancel()
            use[1] = 0

    @invariant()
    def no_window_holds_more_than_the_limit(self):
        uses = sorted(use for use in getattr(self, "uses", ()) if use[1])
        for config in getattr(self, "configs", ()):
            earn, cost = (Fraction(config.rate) / Fraction(config.period) / MICROS).as_integer_ratio()
            # The most of any window that ends here, beyond what its time allows.
            excess, before = 0, 0
            for at, count in uses:
                excess = max(0, excess - earn * (at - before)) + count * cost
                before = at
                # A time is told in whole microseconds, rounded up, so two may be closer by as much.
                assert excess <= config.burst * cost + earn, (config, at, uses)


def test_no_window_holds_more_than_the_limit(server):
    pool = redis.ConnectionPool(connection_class=Distant, path=server.path, socket_timeout=10)
    client = redis.Redis(connection_pool=pool)
    run_state_machine_as_test(
        type("Machine", (Fleet,), {"server": server, "client": client}),
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None, phases=PHASES),
    )


def test_what_a_dead_machine_had_drawn_is_owed_until_it_is_paid_off(server):
    script, clock = TimedScript(server.client), ManualClock()
    script.set_time(EPOCH)
    options = {"name": "test", "on_error": "raise", "clock": clock}
    dead = RedisRateLimiter(server.client, "1/s;burst=20", lease=10, **options)
    other = RedisRateLimiter(server.client, "1/s;burst=20", **options)
    for limiter in (dead, other):
        script.put_under(limiter)
    assert dead.try_acquire("alice")

    script.set_time(EPOCH + 3_100_000)  # its lease of nine ended after a second, and two are paid off
    assert 11 <= other.peek("alice").remaining <= 13
    script.set_time(EPOCH + 13_000_000)
    assert other.peek("alice").remaining == 20


RATE, PERIOD, BURST = 20, 0.2, 100
SKEWED = ((0.0, 0), (-3_600.0, 40), (86_400.0, 100), (3.0, 7))
"""By how much a machine's clocks are off, in seconds, and how much it draws ahead."""


def _work(path, offset, lease, start, sent):
    wall = time.time
    time.time = lambda: wall() + offset
    client = redis.Redis(unix_socket_path=path, socket_timeout=5)
    config = RateLimiterConfig(RATE, PERIOD, burst=BURST)
    clock = ManualClock()
    options = {"name": "fleet", "lease": lease, "on_error": "raise", "clock": clock}
    limiter = RedisRateLimiter(client, config, **options)
    start.wait(20)
    calls, over = [], time.monotonic() + 1.0
    while time.monotonic() < over:
        began = time.monotonic()
        clock.set(began + offset + 10**6)
        if limiter.try_acquire("alice"):
            calls.append((began, time.monotonic()))
    sent.put(calls)


def test_machines_with_skewed_clocks_stay_within_the_limit_together(server):
    fork = multiprocessing.get_context("fork")
    sent, start = fork.Queue(), fork.Barrier(len(SKEWED))
    machines = [fork.Process(target=_work, args=(server.path, *skew, start, sent)) for skew in SKEWED]
    for machine in machines:
        machine.start()
    granted = [sent.get(timeout=60) for _ in machines]
    for machine in machines:
        machine.join(20)
        assert machine.exitcode == 0

    calls = [call for one in granted for call in one]
    began, ended = sorted(call[0] for call in calls), sorted(call[1] for call in calls)
    marks = [began[0] + (ended[-1] - began[0]) * step / 60 for step in range(61)]
    for first in marks:
        for last in (mark for mark in marks if mark > first):
            inside = bisect.bisect_right(ended, last) - bisect.bisect_left(began, first)
            assert inside <= BURST + RATE / PERIOD * (last - first), (first, last, inside)
    assert len(calls) > BURST
