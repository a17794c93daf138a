"""A table of keys that many processes share."""

import multiprocessing
import os
import pickle
import random
import signal
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_workers import draw_keys, work_on_keys

from sluicegate import BackendError, ConfigurationError, KeyedRateLimiter, RateLimiter
from sluicegate.testing import ManualClock


def test_a_key_is_the_same_for_all(clock):
    first, second = (KeyedRateLimiter("2/s", max_keys=100, shared="users", clock=clock) for _ in range(2))
    assert first.try_acquire("alice", 2)
    assert not second.try_acquire(b"alice")
    assert second.try_acquire("bob", 2)
    assert first.stats() == second.stats()
    assert first.stats().slots_in_use == 2


def test_another_size_is_another_configuration():
    KeyedRateLimiter("2/s", max_keys=100, shared="users")
    with pytest.raises(ConfigurationError):
        KeyedRateLimiter("2/s", max_keys=200, shared="users")
    adopted = KeyedRateLimiter(shared="users", adopt=True)
    assert adopted.stats().slots < 200


def test_another_kind_is_another_configuration():
    KeyedRateLimiter("2/s", max_keys=100, shared="users")
    with pytest.raises(ConfigurationError, match="keyed limiter"):
        RateLimiter("2/s", shared="users")
    with pytest.raises(ConfigurationError, match="keyed limiter"):
        RateLimiter("2/s", shared="users", adopt=True)


def test_a_file_that_was_cut_off_is_refused(segments):
    KeyedRateLimiter("2/s", max_keys=100, shared="users")
    os.truncate(segments / "users", 8192)
    with pytest.raises(BackendError, match="8192 bytes long"):
        KeyedRateLimiter("2/s", max_keys=100, shared="users")


def test_an_update_is_for_all(clock):
    first, second = (KeyedRateLimiter("2/s", max_keys=100, shared="users", clock=clock) for _ in range(2))
    first.update("4/s;burst=5")
    assert second.peek("alice").limit == 5


def test_a_pickled_limiter_is_the_same_limiter():
    limiter = KeyedRateLimiter("0/s;burst=2", max_keys=100, shared="users")
    assert pickle.loads(pickle.dumps(limiter)).try_acquire("alice", 2)
    assert not limiter.try_acquire("alice")


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 10**9)),
        max_size=60,
    )
)
def test_a_shared_table_decides_as_one_on_the_heap(steps):
    clock = ManualClock()
    name = uuid.uuid4().hex
    shared = [KeyedRateLimiter("3/2s;burst=4", max_keys=64, shared=name, clock=clock) for _ in range(2)]
    heap = KeyedRateLimiter("3/2s;burst=4", max_keys=64, clock=clock)
    for second, key, count, passed in steps:
        clock.advance_ns(passed)
        assert shared[second].attempt(key, count) == heap.attempt(key, count)


@pytest.mark.parametrize("kind", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_processes_share_every_key(kind):
    context = multiprocessing.get_context(kind)
    granted = context.Queue()
    workers = [context.Process(target=draw_keys, args=(granted,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert sum(granted.get(timeout=60) for _ in workers) == 20 * 5
    for worker in workers:
        worker.join(60)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_killed_processes_break_neither_a_limit_nor_the_table():
    limiter = KeyedRateLimiter("0/s;burst=50", max_keys=100, shared="users")
    context = multiprocessing.get_context("fork")
    chance = random.Random(3)
    for seed in range(int(os.environ.get("SLUICEGATE_KILLS", "20"))):
        worker = context.Process(target=work_on_keys, args=(limiter, seed))
        worker.start()
        time.sleep(chance.uniform(0.0005, 0.01))
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(60)
    # Every key is still decided on, and none is ever given more than its burst.
    for key in range(40):
        while limiter.try_acquire(key):
            pass
    assert all(limiter.peek(key).remaining == 0 for key in range(40))
    assert limiter.stats().allowed_permits <= 40 * 50
