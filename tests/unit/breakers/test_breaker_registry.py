"""Breakers by key: one each, made when asked for, dropped when nobody can miss them."""

import enum
import gc
import threading
import weakref

import pytest

from sluicegate import (
    CircuitBreakerConfig,
    CircuitBreakerManualControl,
    CircuitBreakerRegistry,
    CircuitBreakerStateProvider,
    CircuitIsolatedError,
    CircuitOpenError,
    CircuitState,
    ConfigurationError,
)

CONFIG = CircuitBreakerConfig(consecutive_failures=2, sampling_duration=10.0, break_duration=5.0)


@pytest.fixture
def registry(clock):
    """Keeps two breakers, which trip at two failures in a row."""
    return CircuitBreakerRegistry(CONFIG, max_keys=2, clock=clock)


def ask(registry, *keys):
    """Ask for the breakers of the keys, and hold none."""
    for key in keys:
        registry[key]


def fail(breaker):
    with pytest.raises(ZeroDivisionError):
        breaker.call(divmod, 1, 0)


def test_a_key_has_one_breaker(registry):
    assert registry["a"] is registry["a"]
    assert registry["a"] is not registry["b"]


def test_asking_whether_a_key_is_there_makes_no_breaker(registry):
    assert "a" not in registry
    assert len(registry) == 0
    registry["a"]
    assert "a" in registry
    assert list(registry) == ["a"]


@pytest.mark.parametrize("key", ["", "host", b"\xff", 0, -(2**80), (), ("host", 443), ("a", (b"\xfe", 1))])
def test_texts_bytes_integers_and_tuples_of_them_are_keys(registry, key):
    registry[key]
    assert list(registry) == [key]


@pytest.mark.parametrize(
    "key", [1.0, True, None, ["a"], ("a", 1.0), ("a", True), bytearray(b"a"), frozenset()]
)
def test_nothing_else_is_a_key_though_it_may_equal_one(registry, key):
    registry[1], registry["a", 1]
    with pytest.raises(TypeError, match="a key is"):
        registry[key]
    with pytest.raises(TypeError, match="a key is"):
        assert key in registry


def test_a_text_equals_the_bytes_of_its_utf8(registry):
    assert registry["é"] is registry["é".encode()]
    assert registry["é", 1] is registry["é".encode(), 1]
    assert "é".encode() in registry


def test_a_key_of_a_subclass_is_that_of_its_base(registry):
    class Host(enum.StrEnum):
        HERE = "here"

    class Port(enum.IntEnum):
        HTTPS = 443

    registry[Host.HERE], registry[Port.HTTPS]
    assert [(key, type(key)) for key in registry] == [("here", str), (443, int)]


def test_a_breaker_is_called_by_its_key(clock):
    assert CircuitBreakerRegistry()["host"].name == "host"
    named = CircuitBreakerRegistry(name="search", clock=clock)
    named["host"].isolate()
    with pytest.raises(CircuitIsolatedError, match=r"'search\[host\]'") as raised:
        named["host"].call(print)
    assert raised.value.policy == "search[host]"


def test_keys_trip_apart(registry):
    fail(registry["a"])
    fail(registry["a"])
    with pytest.raises(CircuitOpenError):
        registry["a"].call(print)
    assert registry["b"].call(len, "") == 0


def test_listeners_hear_of_every_breaker(clock):
    heard = []
    registry = CircuitBreakerRegistry(CONFIG, clock=clock, listener=heard.append)
    for key in "ab":
        registry[key].isolate()
    assert [(event.kind, event.breaker) for event in heard] == [
        ("isolated", registry["a"]),
        ("isolated", registry["b"]),
    ]


def test_who_subscribes_hears_once_of_every_breaker_until_they_leave(clock):
    heard, others = [], []
    registry = CircuitBreakerRegistry(CONFIG, clock=clock)
    before = registry["before"]
    leave = registry._subscribe(heard.append)
    registry._subscribe(others.append)
    for breaker in (before, registry["after"]):
        breaker.isolate()
    assert [event.breaker.name for event in heard] == ["before", "after"]
    leave()
    for breaker in (before, registry["last"]):
        breaker.reset()
        breaker.isolate()
    assert len(heard) == 2
    assert len(others) == 5


def test_who_subscribes_hears_of_what_happens_while_a_breaker_is_built():
    control, heard = CircuitBreakerManualControl(), []
    registry = CircuitBreakerRegistry(CircuitBreakerConfig(manual_control=control))
    registry._subscribe(heard.append)
    control.isolate()
    assert registry["new"].state is CircuitState.ISOLATED
    assert [event.kind for event in heard] == ["isolated"]


@pytest.mark.parametrize("max_keys", [0, -1, 1.5, True, "many"])
def test_a_number_of_keys_that_makes_no_sense_is_refused(max_keys):
    with pytest.raises(ConfigurationError) as raised:
        CircuitBreakerRegistry(max_keys=max_keys)
    assert (raised.value.field, raised.value.value) == ("max_keys", max_keys)


def test_a_state_provider_is_refused():
    provider = CircuitBreakerStateProvider()
    with pytest.raises(ConfigurationError) as raised:
        CircuitBreakerRegistry(CircuitBreakerConfig(state_provider=provider))
    assert (raised.value.field, raised.value.value) == ("state_provider", provider)


def test_a_manual_control_holds_every_breaker_also_those_made_later(clock):
    control = CircuitBreakerManualControl()
    registry = CircuitBreakerRegistry(CircuitBreakerConfig(manual_control=control), clock=clock)
    registry["before"]
    control.isolate("maintenance")
    assert {registry[key].state for key in ("before", "after")} == {CircuitState.ISOLATED}
    control.reset()
    assert {registry[key].state for key in registry} == {CircuitState.CLOSED}


def test_an_idle_breaker_makes_room_for_a_new_one(registry):
    ask(registry, *"abc")
    assert list(registry) == ["b", "c"]


def test_what_a_dropped_breaker_counted_stays_in_the_stats(registry, clock):
    registry["a"].call(len, "")
    fail(registry["a"])
    fail(registry["a"])
    assert registry["a"].try_enter() is None
    clock.advance(5.0)
    registry["a"].try_enter().ignore()
    registry["a"].call(len, "")
    clock.advance(10.0)
    before = registry.stats()
    ask(registry, *"bcd")
    after = registry.stats()
    assert (before.live, before.created, before.dropped) == (1, 1, 0)
    assert (after.live, after.created, after.dropped, after.over_max_keys) == (2, 4, 2, 0)
    for stats in (before, after):
        assert (stats.trips, stats.total_successes, stats.total_failures) == (1, 2, 2)
        assert (stats.total_slow, stats.total_ignored, stats.total_rejected) == (0, 1, 1)


def busy(breaker):
    breaker.call(len, "")


def failing(breaker):
    fail(breaker)


def opened(breaker):
    fail(breaker)
    fail(breaker)


@pytest.mark.parametrize(
    "occupy",
    [
        busy,
        failing,
        opened,
        *(lambda b, m=m: getattr(b, m)() for m in ("isolate", "disable", "metrics_only")),
    ],
)
def test_a_breaker_that_has_something_to_remember_stays_past_the_cap(registry, occupy):
    for key in "abcd":
        occupy(registry[key])
    assert list(registry) == ["a", "b", "c", "d"]
    assert registry.stats().over_max_keys == 2


def test_a_failure_in_a_row_is_remembered_though_the_window_has_passed_it(registry, clock):
    fail(registry["a"])
    clock.advance(60.0)
    ask(registry, *"bcd")
    assert "a" in registry
    fail(registry["a"])
    assert registry["a"].state is CircuitState.OPEN


def test_a_breaker_is_idle_once_its_window_is_over_and_no_sooner(registry, clock):
    registry["a"].call(len, "")
    registry["b"].call(len, "")
    clock.advance(9.75)
    registry["c"].call(len, "")
    assert len(registry) == 3
    clock.advance(0.25)
    registry["d"]
    assert list(registry) == ["c", "d"]


def test_a_breaker_that_somebody_holds_stays_past_the_cap(registry):
    held = [registry[key] for key in "abcd"]
    assert [registry[key] for key in "abcd"] == held
    assert registry.stats().over_max_keys == 2
    del held
    registry["e"]
    assert registry.stats().over_max_keys == 0


def test_a_breaker_with_a_call_under_way_stays(registry):
    permit = registry["a"].try_enter()

    def meanwhile():
        for key in "cdef":
            registry[key]
        assert "a" in registry
        assert "b" in registry

    registry["b"].call(meanwhile)
    permit.failure()
    assert registry["a"].snapshot().failures == 1


def test_a_count_window_is_never_dropped_once_it_holds_a_call(clock):
    config = CircuitBreakerConfig(sampling_count=10, min_throughput=5)
    registry = CircuitBreakerRegistry(config, max_keys=1, clock=clock)
    busy(registry["a"])
    clock.advance(3600.0)
    ask(registry, "b", "c")
    assert list(registry) == ["a", "c"]
    registry["a"].reset()
    registry["d"]
    assert list(registry) == ["d"]


def test_the_excess_goes_when_its_cause_is_gone(registry, clock):
    for key in range(40):
        busy(registry[key])
    assert registry.stats().over_max_keys == 38
    clock.advance(10.0)
    ask(registry, *range(40, 44))
    assert len(registry) == 2


def test_a_dropped_breaker_dies(registry):
    gone = weakref.ref(registry["a"])
    ask(registry, "b", "c")
    gc.collect()
    assert gone() is None


def test_what_dies_with_a_breaker_may_use_the_registry(registry, clock):
    class DyingError(Exception):
        def __del__(self):
            registry["from the grave"]

    breaker = registry["a"]
    breaker.try_enter().failure(DyingError())
    breaker.try_enter().success()
    del breaker
    clock.advance(60.0)
    ask(registry, "b", "c")
    assert registry.stats().created == 4


@pytest.mark.usefixtures("switch_often")
def test_threads_that_share_keys_lose_no_call_and_no_trip():
    registry = CircuitBreakerRegistry(CircuitBreakerConfig(sampling_duration=1e-3), max_keys=4)
    threads, rounds, keys = 8, 400, 12
    odd = []

    def work(index):
        for number in range(rounds):
            key = (index + number) % keys
            breaker = registry[key]
            breaker.call(len, "")
            if registry[key] is not breaker:
                odd.append(key)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stats = registry.stats()
    assert odd == []
    assert stats.total_successes == threads * rounds
    assert stats.created == stats.live + stats.dropped
    assert sorted(registry._ring) == sorted(registry)


def test_of_two_that_make_the_breaker_of_a_key_at_once_the_first_keeps_it(clock):
    class Meanwhile(CircuitBreakerManualControl):
        """Asks for the breaker while it is made, as another thread might."""

        def _attach(self, breaker):
            super()._attach(breaker)
            if not made:
                made.append(breaker)
                made.append(registry["key"])

    made = []
    registry = CircuitBreakerRegistry(CircuitBreakerConfig(manual_control=Meanwhile()), clock=clock)
    late = registry["key"]
    assert late is made[1]
    assert late is not made[0]
    assert (registry["key"], len(registry)) == (late, 1)
