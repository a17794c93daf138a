"""The local limit, pulled down and held."""

import asyncio

import pytest

from sluicegate import RateLimiterConfig
from sluicegate.flashcards._announced import Announcement
from sluicegate.flashcards._hold import Admission, pause
from sluicegate.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


def admission_of(text, clock):
    return Admission(RateLimiterConfig.parse(text), clock)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.25, 3_600.0])
async def test_a_pause_lasts_as_long_as_it_is_told_to(clock, seconds):
    await pause(seconds, clock)
    assert clock.now() == seconds


@pytest.mark.parametrize(
    ("limit", "burst"),
    [
        ("50/s;burst=50", 45),
        ("60/minute;burst=10", 9),
        ("5/s;burst=3", 3),
        ("1/s;burst=1", 1),
        ("900/s;burst=40", 30),
    ],
)
def test_keeps_back_what_may_arrive_early_but_at_most_a_quarter_of_the_burst(clock, limit, burst):
    assert admission_of(limit, clock).burst == burst


def test_knows_its_rate_a_second(clock):
    assert admission_of("90/minute", clock).rate == 1.5


def test_no_limit_stays_none(clock):
    assert admission_of("inf/s", clock).rate == float("inf")


async def test_a_hold_that_lasts_longer_stays(clock):
    admission = admission_of("inf/s", clock)
    admission.hold(9.0)
    admission.hold(3.0)
    assert admission.held_for == 9.0
    await admission.wait(None)
    assert clock.now() == 9.0


async def test_a_request_that_was_granted_before_a_hold_asks_anew_after_it(clock):
    admission = admission_of("1/s;burst=1", clock)
    await admission.wait(None)
    waiting = asyncio.create_task(admission.wait(None))
    await asyncio.sleep(0)
    admission.hold(5.0)
    await waiting
    assert clock.now() == 5.0
    await admission.wait(None)
    assert clock.now() == 6.0


async def test_counts_the_requests_that_waited_for_a_permit(clock):
    admission = admission_of("1/s;burst=1", clock)
    for _ in range(3):
        await admission.wait(None)
    assert admission.waits == 2
    assert admission.limiter.stats().waited == 2.0


def test_adopts_a_smaller_limit_and_keeps_what_was_used(clock):
    admission = admission_of("60/minute;burst=2", clock)
    assert admission.limiter.try_acquire(2)
    admission.heed(Announcement(limit=6, period=60.0))
    assert admission.rate == pytest.approx(0.1)
    assert admission.limiter.peek().retry_after == pytest.approx(10.0)


@pytest.mark.parametrize(
    "announcement",
    [
        Announcement(limit=600, period=60.0),
        Announcement(limit=6),
        Announcement(limit=0, period=60.0),
        Announcement(remaining=0),
        Announcement(remaining=5, reset=9.0),
        Announcement(),
    ],
)
def test_an_announcement_that_asks_for_no_less_changes_nothing(clock, announcement):
    admission = admission_of("60/minute;burst=1", clock)
    admission.heed(announcement)
    assert admission.rate == 1.0
    assert admission.held_for == 0.0
