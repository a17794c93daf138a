"""A registry that drops decides as breakers that were never dropped."""

from hypothesis import given
from hypothesis import strategies as st

from sluicegate import CircuitBreaker, CircuitBreakerConfig, CircuitBreakerRegistry
from sluicegate.testing import ManualClock

# A cell of the window spans a second and time moves in seconds, so that cells begin alike for all breakers.
WINDOW = 64

configs = st.builds(
    CircuitBreakerConfig,
    failure_ratio=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    min_throughput=st.integers(1, 4),
    sampling_duration=st.just(WINDOW),
    break_duration=st.sampled_from([0, 5, 100]),
    consecutive_failures=st.none() | st.integers(1, 4),
    half_open_max_calls=st.integers(1, 2),
    slow_call_duration=st.none() | st.just(0.5),
)
steps = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["succeed", "fail", "fail", "ignore", "hold", "settle", "look", "reset"]),
        st.sampled_from([0, 0, 1, 5, WINDOW - 1, WINDOW, 10 * WINDOW]),
    ),
    max_size=60,
)


@given(configs, steps, st.integers(1, 3))
def test_a_registry_decides_as_breakers_that_are_never_dropped(config, steps, max_keys):
    clock = ManualClock()
    registry = CircuitBreakerRegistry(config, max_keys=max_keys, clock=clock)
    kept = {}
    held = []
    for key, step, seconds in steps:
        clock.advance(seconds)
        ours, theirs = registry[key], kept.setdefault(key, CircuitBreaker(config, clock=clock))
        assert (ours.state, ours.retry_after) == (theirs.state, theirs.retry_after)
        if step == "reset":
            ours.reset()
            theirs.reset()
        elif step == "settle" and held:
            for permit in held.pop():
                permit.failure()
        elif step != "look":
            permits = [breaker.try_enter() for breaker in (ours, theirs)]
            assert [permit is None for permit in permits] in ([True, True], [False, False])
            if None not in permits:
                if step == "hold":
                    held.append(permits)
                else:
                    for permit in permits:
                        getattr(permit, {"succeed": "success", "fail": "failure"}.get(step, "ignore"))()
        assert (ours.state, ours.retry_after) == (theirs.state, theirs.retry_after)
        del ours
    stats, totals = registry.stats(), [breaker.snapshot() for breaker in kept.values()]
    for name in (
        "trips",
        "total_successes",
        "total_failures",
        "total_slow",
        "total_ignored",
        "total_rejected",
    ):
        assert getattr(stats, name) == sum(getattr(total, name) for total in totals)
    assert stats.over_max_keys == max(0, len(registry) - max_keys)
