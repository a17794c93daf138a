"""Permits drawn ahead: fewer round trips, and never more than the limit."""

import math
import multiprocessing
import random
import time

import pytest
import redis

from sluicegate.backends._redis_leases import Lease, Leases
from sluicegate.backends.redis import RedisRateLimiter


def test_a_lease_is_spent_without_a_round_trip(limiter_of, clock):
    limiter = limiter_of("1/h;burst=1000", lease=100, clock=clock)
    assert limiter.try_acquire("bob")  # the server knows the script from now on
    asked = limiter.stats().round_trips

    assert all(limiter.try_acquire("alice") for _ in range(100))
    assert limiter.stats().round_trips == asked + 1
    assert limiter.try_acquire("alice")
    assert limiter.stats().round_trips == asked + 2


@pytest.mark.parametrize("seed", range(8))
def test_a_fleet_never_spends_more_than_the_burst(limiter_of, clock, seed):
    dice = random.Random(seed)
    fleet = [
        limiter_of("1/h;burst=200", lease=lease, clock=clock, on_error="raise") for lease in (0, 7, 30, 100)
    ]
    granted = 0
    for _ in range(400):
        count = dice.choice((1, 1, 1, 2, 5))
        if dice.choice(fleet).try_acquire("alice", count):
            granted += count
    assert 150 <= granted <= 200


def test_what_was_spent_of_a_lease_is_owed_from_then_on(limiter_of, clock):
    one, two = limiter_of("1/h;burst=100", lease=50, clock=clock), limiter_of("1/h;burst=100", clock=clock)
    assert one.try_acquire("alice", 1)

    # 49 are out, and owed to nobody but the first.
    assert not two.try_acquire("alice", 51)
    assert two.try_acquire("alice", 50)
    assert all(one.try_acquire("alice") for _ in range(49))
    assert not one.try_acquire("alice")


def test_a_lease_that_its_owner_lost_counts_as_spent(limiter_of):
    gone, other = limiter_of("20/0.2s;burst=20", lease=20), limiter_of("20/0.2s;burst=20")
    assert gone.try_acquire("alice")
    left = other.peek("alice").remaining
    time.sleep(0.3)  # the server's clock goes on by itself

    assert left <= 11
    assert other.peek("alice").remaining <= 11


def test_a_lease_ends_after_one_period_here(limiter_of, clock):
    limiter = limiter_of("100/s", lease=50, clock=clock)
    assert limiter.try_acquire("alice")
    asked = limiter.stats().round_trips
    assert limiter.try_acquire("alice")
    assert limiter.stats().round_trips == asked
    clock.advance(1.0)

    assert limiter.try_acquire("alice")
    assert limiter.stats().round_trips == asked + 1


def _work(path, lease, start, sent):
    client = redis.Redis(unix_socket_path=path, socket_timeout=5)
    limiter = RedisRateLimiter(client, "20000/s;burst=2000", name="fleet", lease=lease, on_error="raise")
    start.wait(10)
    began, granted, calls = time.monotonic(), 0, 0
    while time.monotonic() < began + 0.5:
        granted += limiter.try_acquire("alice")
        calls += 1
    sent.put((granted, calls, began, time.monotonic()))


@pytest.mark.parametrize("lease", [0, 100])
def test_four_processes_stay_within_the_limit(server, lease):
    fork = multiprocessing.get_context("fork")  # a fresh interpreter takes seconds to import the client
    sent, start = fork.SimpleQueue(), fork.Barrier(4)
    workers = [fork.Process(target=_work, args=(server.path, lease, start, sent)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
        assert worker.exitcode == 0
    said = [sent.get() for _ in workers]
    granted = sum(one[0] for one in said)
    took = max(one[3] for one in said) - min(one[2] for one in said)
    assert 0 < granted <= 2_000 + 20_000 * took


def test_waiting_spends_what_was_drawn_ahead_first(limiter_of):
    limiter = limiter_of("10/min;burst=10", lease=5)
    assert limiter.acquire_blocking("alice")
    asked = limiter.stats().round_trips
    assert [bool(limiter.acquire_blocking("alice", timeout=0)) for _ in range(4)] == [True] * 4
    assert limiter.stats().round_trips == asked
    assert limiter.acquire_blocking("alice", 11, timeout=9).retry_after == math.inf


def test_of_too_many_keys_the_one_seen_first_loses_what_was_drawn_ahead():
    leases = Leases(max_keys=2)
    for key in (b"a", b"b", b"c"):
        leases.keep(key, Lease(key.decode(), 3, expires_ns=10))
    assert [leases.spend(key, 1, 0) for key in (b"a", b"b", b"c")] == [None, 2, 2]
