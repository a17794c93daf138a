"""What holds of the waits between attempts, whatever the options."""

import random

from hypothesis import given
from hypothesis import strategies as st

from sluicegate import RetryConfig

INTERVALS = st.floats(0, 1e6)
JITTERS = st.sampled_from([True, False, "full", "equal", "decorrelated"])


@given(
    initial=INTERVALS,
    cap=INTERVALS,
    base=st.floats(1, 100),
    jitter=JITTERS,
    attempt=st.integers(0, 2_000),
    seed=st.integers(),
)
def test_a_delay_lies_between_nothing_and_the_cap(initial, cap, base, jitter, attempt, seed):
    config = RetryConfig(
        initial_interval=initial,
        max_interval=cap,
        exponential_base=base,
        jitter=jitter,
        rng=random.Random(seed),
    )
    assert 0 <= config.get_delay(attempt) <= cap


@given(initial=st.floats(1e-3, 1e3), cap=INTERVALS, base=st.floats(1, 10), attempt=st.integers(0, 50))
def test_without_jitter_a_later_attempt_never_waits_less(initial, cap, base, attempt):
    config = RetryConfig(initial_interval=initial, max_interval=cap, exponential_base=base, jitter=False)
    assert config.get_delay(attempt) <= config.get_delay(attempt + 1)
