"""A slow and obvious breaker, for the others to be compared with.

Time is a number of ticks of 0.1 s, one step of the window of 6.4 s, so that it need not know of steps: a
result is forgotten once it is 64 ticks old.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import strategies as st

from sluicegate import CircuitState

TICKS_PER_SECOND = 10
WINDOW_TICKS = 64
LEAST_LEASE_TICKS = 30 * TICKS_PER_SECOND

TOTALS = ("ok", "failed", "slow", "none", "refused")
CLOSED, OPEN, HALF_OPEN, ISOLATED, METRICS_ONLY, DISABLED = CircuitState


@dataclass(eq=False)
class Ticket:
    """A permit of the obvious breaker."""

    generation: int
    entered: int
    tracked: bool


@dataclass(eq=False)
class Lease:
    """A place of the obvious breaker that a probe holds."""

    ticket: Ticket
    until: int


def is_overdue(probe, now):
    return isinstance(probe, Lease) and now >= probe.until


@dataclass
class Obvious:
    """Lists and counts; no two things kept in one place."""

    ratio: Fraction
    slow_ratio: Fraction
    minimum: int
    count: int | None
    in_a_row: int | None
    slow_ticks: int | None
    places: int
    lease_ticks: int | None
    state: CircuitState = CLOSED
    generation: int = 0
    since: int = 0
    until: int = 0
    lease: int = 0
    trips: int = 0
    consecutive: int = 0
    row: int = 0
    exceeded: bool = False
    window: list = field(default_factory=list)
    probes: list = field(default_factory=list)
    frozen: list = field(default_factory=list)
    events: list = field(default_factory=list)
    totals: dict = field(
        default_factory=lambda: dict.fromkeys(("ok", "failed", "slow", "none", "refused"), 0)
    )

    def turn(self, to, kind, since):
        self.state, self.since = to, since
        self.generation += 1
        self.row, self.exceeded = 0, False
        self.window, self.probes = [], [None] * self.places
        if to not in (OPEN, HALF_OPEN):
            self.consecutive = 0
        if kind:
            self.events.append(kind)

    def seen_state(self, now):
        return HALF_OPEN if self.state is OPEN and now >= self.until else self.state

    def results(self):
        return [probe for probe in self.probes if isinstance(probe, tuple)]

    def calls(self, now):
        if self.state is HALF_OPEN:
            return self.results()
        if self.state is OPEN:
            return self.frozen
        if self.count:
            return self.window[-self.count :]
        return [call for call in self.window if now - call[2] < WINDOW_TICKS]

    def enter(self, now):
        if self.state is OPEN and now >= self.until:
            broken = self.until - self.since
            self.turn(HALF_OPEN, "half_opened", self.until)
            self.lease = self.lease_ticks or max(broken, LEAST_LEASE_TICKS)
        ticket = Ticket(self.generation, now, self.state is not DISABLED)
        if self.state is HALF_OPEN:
            free = [place for place, probe in enumerate(self.probes) if probe is None]
            overdue = [place for place, probe in enumerate(self.probes) if is_overdue(probe, now)]
            if free or overdue:
                self.probes[(free or overdue)[0]] = Lease(ticket, now + self.lease)
                return ticket
        if self.state in (OPEN, HALF_OPEN, ISOLATED):
            self.totals["refused"] += 1
            return None
        return ticket

    def settle(self, ticket, failed, now):
        if not ticket.tracked:
            return
        if failed is None:
            self.totals["none"] += 1
            self.replace(ticket, None)
            return
        slow = self.slow_ticks is not None and now - ticket.entered > self.slow_ticks
        self.totals["failed" if failed else "ok"] += 1
        self.totals["slow"] += slow
        if ticket.generation != self.generation:
            return
        if self.state is HALF_OPEN:
            if self.replace(ticket, (failed, slow, now)):
                self.judge(now)
            return
        self.window.append((failed, slow, now))
        self.row = self.row + 1 if failed else 0
        if (failed or slow) and self.is_bad(self.calls(now)):
            if self.state is CLOSED:
                self.trip(now)
            elif not self.exceeded:
                self.exceeded = True
                self.events.append("exceeded")

    def replace(self, ticket, outcome):
        """Put the outcome of a probe where its lease was, if that still is there."""
        for place, probe in enumerate(self.probes):
            if isinstance(probe, Lease) and probe.ticket is ticket:
                self.probes[place] = outcome
                return True
        return False

    def is_bad(self, calls):
        if self.in_a_row and self.row >= self.in_a_row:
            return True
        return len(calls) >= self.minimum and self.reaches(calls, len(calls))

    def reaches(self, calls, of, worst=0):
        failures = sum(failed for failed, _, _ in calls) + worst
        slow = sum(slow for _, slow, _ in calls) + (worst if self.slow_ticks is not None else 0)
        return any(
            part and Fraction(part, of) >= ratio
            for part, ratio in ((failures, self.ratio), (slow, self.slow_ratio))
        )

    def judge(self, now):
        results = self.results()
        if self.reaches(results, self.places):
            self.trip(now)
        elif not self.reaches(results, self.places, worst=self.places - len(results)):
            self.turn(CLOSED, "closed", now)

    def trip(self, now):
        self.frozen = list(self.calls(now))
        self.turn(OPEN, "opened", now)
        self.trips += 1
        self.consecutive += 1
        self.until = now + self.consecutive * TICKS_PER_SECOND


options = st.fixed_dictionaries(
    {
        "tenths": st.integers(0, 10),
        "slow_tenths": st.integers(0, 10),
        "minimum": st.integers(1, 4),
        "count": st.none() | st.integers(4, 40),
        "in_a_row": st.none() | st.integers(1, 4),
        "slow_ticks": st.none() | st.integers(0, 20),
        "places": st.integers(1, 4),
        "lease_ticks": st.none() | st.integers(1, 40),
    }
)


def obvious_of(options):
    return Obvious(
        Fraction(options["tenths"], 10),
        Fraction(options["slow_tenths"], 10),
        *(options[name] for name in ("minimum", "count", "in_a_row", "slow_ticks", "places", "lease_ticks")),
    )


def fields_of(options):
    """The same as the fields of a config; the break lasts as many seconds as it has tripped in a row."""
    slow, lease = options["slow_ticks"], options["lease_ticks"]
    return {
        "failure_ratio": options["tenths"] / 10,
        "slow_call_ratio": options["slow_tenths"] / 10,
        "min_throughput": options["minimum"],
        "sampling_duration": WINDOW_TICKS / TICKS_PER_SECOND,
        "sampling_count": options["count"],
        "consecutive_failures": options["in_a_row"],
        "slow_call_duration": None if slow is None else slow / TICKS_PER_SECOND,
        "half_open_max_calls": options["places"],
        "probe_timeout": lease and lease / TICKS_PER_SECOND,
        "break_duration": 0.0,
        "break_duration_generator": float,
    }


def assert_same(seen, obvious, now, *, with_totals=True):
    """Compare a snapshot with the obvious breaker."""
    calls = [] if obvious.state in (ISOLATED, DISABLED) else obvious.calls(now)
    assert seen.state is obvious.seen_state(now)
    assert (seen.throughput, seen.failures, seen.slow_calls) == (
        len(calls),
        sum(failed for failed, _, _ in calls),
        sum(slow for _, slow, _ in calls),
    )
    assert (seen.trips, seen.consecutive_trips) == (obvious.trips, obvious.consecutive)
    totals = (
        seen.total_successes,
        seen.total_failures,
        seen.total_slow,
        seen.total_ignored,
        seen.total_rejected,
    )
    assert not with_totals or totals == tuple(obvious.totals.values())
    since = obvious.until if obvious.state is not seen.state else obvious.since
    assert round(seen.time_in_state * TICKS_PER_SECOND) == now - since
