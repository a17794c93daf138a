"""What a limiter does when its server is dead, hangs, restarts or refuses."""

import threading
import time

import pytest
import redis

from sluicegate import BackendError


@pytest.fixture
def down(server):
    """The server, killed."""
    server.kill()
    return server


@pytest.mark.usefixtures("down")
def test_a_process_alone_stays_within_its_share(limiter_of, clock):
    limiter = limiter_of("100/s;burst=50", on_error="local", clock=clock)

    assert [limiter.try_acquire("alice") for _ in range(7)] == [True] * 5 + [False] * 2
    clock.advance(0.1)
    assert limiter.try_acquire("alice")
    assert not limiter.try_acquire("alice")
    assert limiter.stats().without_server == 9


@pytest.mark.usefixtures("down")
def test_the_shares_of_all_sum_to_at_most_the_limit(limiter_of, clock):
    fleet = [limiter_of("100/s;burst=25", on_error="local", clock=clock) for _ in range(10)]

    granted = sum(limiter.try_acquire("alice") for limiter in fleet for _ in range(30))
    assert granted == 20  # a tenth of 25 is 2, rounded down
    clock.advance(10)
    assert sum(limiter.try_acquire("alice") for limiter in fleet for _ in range(30)) == 20


@pytest.mark.usefixtures("down")
def test_what_the_share_cannot_hold_may_be_asked_of_the_server_later(limiter_of, clock):
    limiter = limiter_of("100/s;burst=50", on_error="local", clock=clock)

    refused = limiter.attempt("alice", 40)
    assert not refused
    assert 0 < refused.retry_after <= 1


@pytest.mark.usefixtures("down")
def test_allows_denies_or_raises_as_told(limiter_of):
    assert limiter_of("1/s", on_error="allow").attempt("alice", 1)
    assert not limiter_of("1/s", on_error="deny").attempt("alice", 1)
    with pytest.raises(BackendError, match="does not answer") as caught:
        limiter_of("1/s", on_error="raise").try_acquire("alice")
    assert caught.value.backend == "redis"


@pytest.mark.usefixtures("down")
def test_an_outage_asks_the_server_once_a_second(limiter_of, clock):
    limiter = limiter_of("1/s", on_error="deny", clock=clock)

    for _ in range(50):
        assert not limiter.try_acquire("alice")
    assert limiter.stats().round_trips == 1
    clock.advance(1)
    assert not limiter.try_acquire("alice")
    assert limiter.stats().round_trips == 2


def test_a_reservation_made_in_an_outage_is_settled_here(down, limiter_of, clock):
    limiter = limiter_of("100/s;burst=100", on_error="local", clock=clock)
    booked, later = limiter.reserve("alice", 10), limiter.reserve("alice", 5)

    assert (booked.delay, later.delay) == (0.0, 0.5)
    assert later.cancel() == 5
    assert down.process is None


def test_goes_back_to_the_server_once_it_answers(down, limiter_of, clock):
    limiter = limiter_of("1/h;burst=50", on_error="deny", clock=clock)
    assert not limiter.try_acquire("alice")
    down.start()

    assert not limiter.try_acquire("alice")
    clock.advance(1)
    assert limiter.try_acquire("alice", 50)
    assert not limiter.try_acquire("alice")


def test_no_call_waits_longer_than_one_timeout_under_load(server, limiter_of):
    client = redis.Redis(unix_socket_path=server.path, socket_timeout=1)
    limiter = limiter_of("500/s;burst=100", client=client, on_error="local")
    waited, granted, over = [], [], threading.Event()

    def work():
        while not over.is_set():
            began = time.monotonic()
            allowed = limiter.try_acquire("alice")
            waited.append(time.monotonic() - began)
            if allowed:
                granted.append(began)
            time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    server.pause()
    time.sleep(1.3)
    stopped = time.monotonic()
    time.sleep(2)
    during = [at for at in granted if at >= stopped]
    server.kill()
    time.sleep(0.3)
    server.start()
    time.sleep(0.3)
    over.set()
    for thread in threads:
        thread.join()

    assert 0.9 < max(waited) < 2  # one timeout, and what a busy machine adds
    assert 0 < len(during) <= 10 + 50 * (time.monotonic() - stopped)


def test_a_read_only_server_is_an_outage_too(server, limiter_of):
    limiter = limiter_of("1/h;burst=2", on_error="deny")
    server.client.config_set("maxmemory", 1)
    try:
        assert not limiter.try_acquire("alice")
    finally:
        server.client.config_set("maxmemory", 0)
    assert limiter.stats().errors == 1


def test_an_error_names_no_secret(limiter_of):
    client = redis.Redis(host="localhost", port=1, password="hunter2", socket_timeout=0.1)
    limiter = limiter_of("1/s", client=client)

    with pytest.raises(BackendError) as caught:
        limiter.try_acquire("alice")
    assert "hunter2" not in f"{caught.value!r} {limiter!r} {caught.value}"


def test_a_cluster_without_a_node_for_the_key_is_an_outage(limiter_of):
    class Uncovered(redis.RedisCluster):
        def __init__(self):
            pass

        def get_node_from_key(self, *_key):
            raise redis.exceptions.SlotNotCoveredError('Slot "5" is not covered by the cluster.')

        def execute_command(self, *_asked, **_options):
            raise redis.exceptions.SlotNotCoveredError('Slot "5" is not covered by the cluster.')

    limiter = limiter_of("1/s", client=Uncovered(), on_error="allow")

    assert limiter.try_acquire("alice")
    assert limiter.stats().errors == 1


@pytest.mark.usefixtures("down")
def test_an_update_in_an_outage_changes_the_share_and_keeps_what_it_owes(limiter_of, clock):
    limiter = limiter_of("100/s;burst=50", on_error="local", clock=clock)
    assert limiter.try_acquire("alice", 5)
    assert not limiter.try_acquire("alice")
    limiter.update("100/s;burst=80")
    assert limiter.try_acquire("alice", 3)
    assert not limiter.try_acquire("alice")
    limiter.update("100/s;burst=80", "1000/min;burst=40")
    assert limiter.try_acquire("alice", 4)
    assert not limiter.try_acquire("alice")
