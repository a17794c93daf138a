"""Many threads on one breaker: nothing is lost, and nothing happens twice."""

import threading

import pytest

from sluicegate import CircuitOpenError, CircuitState

THREADS = 8

pytestmark = pytest.mark.usefixtures("switch_often")


def at_once(work):
    """Run `work(index)` in all threads at once; gives what they returned."""
    barrier, answers = threading.Barrier(THREADS), []

    def run(index):
        barrier.wait()
        answers.append(work(index))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_every_outcome_is_counted_once(build):
    breaker = build(min_throughput=2**40)

    def work(index):
        for number in range(1_000):
            permit = breaker.try_enter()
            (permit.success, permit.failure, permit.ignore)[(index + number) % 3]()

    at_once(work)
    snapshot = breaker.snapshot()
    total = snapshot.total_successes + snapshot.total_failures + snapshot.total_ignored
    assert total == THREADS * 1_000
    assert snapshot.throughput == snapshot.total_successes + snapshot.total_failures
    assert snapshot.failures == snapshot.total_failures


def test_failures_of_all_threads_trip_it_once(build, events):
    breaker = build(min_throughput=THREADS)
    permits = [breaker.try_enter() for _ in range(THREADS)]
    at_once(lambda index: permits[index].failure())
    assert events == ["opened"]
    assert breaker.snapshot().trips == 1


def test_one_thread_gets_the_probe(half_open, events):
    breaker = half_open()
    done = threading.Barrier(THREADS)

    def work(index):
        permit = breaker.try_enter()
        done.wait()
        return permit

    permits = [permit for permit in at_once(work) if permit is not None]
    assert len(permits) == 1
    assert events == ["opened", "half_opened"]


def test_trips_and_recoveries_of_all_threads_leave_it_sound(build, clock):
    breaker = build(min_throughput=2, break_duration=0.001, half_open_max_calls=3)

    def work(index):
        for number in range(500):
            try:
                with breaker:
                    if (index * number) % 7 < 4:
                        raise ConnectionError
            except (ConnectionError, CircuitOpenError):
                clock.advance_ns(100_000)

    at_once(work)
    snapshot = breaker.snapshot()
    calls = snapshot.total_successes + snapshot.total_failures + snapshot.total_rejected
    assert (calls, snapshot.total_ignored) == (THREADS * 500, 0)
    clock.advance(60.0)
    breaker.succeed(3)
    assert breaker.state is CircuitState.CLOSED
