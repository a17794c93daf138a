"""The outage of the benchmarks, shorter: no call waits for long, and all processes stay within the limit."""

import os

import pytest

from outage import outage

TIMEOUT = 1.0


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_fleet_without_its_server_stays_within_the_limit_and_waits_for_one_timeout(how):
    seen = outage(how, float(os.environ.get("SLUICEGATE_OUTAGE", "2.5")), TIMEOUT)

    assert 0 < seen.granted <= seen.most + seen.under_way, seen
    assert seen.longest < 2 * TIMEOUT, seen  # one timeout, and what a busy machine adds
    # Nothing waits but one call a second of each process's limiter and breaker, and those under way at first.
    assert seen.waited < seen.calls / 10, seen
    assert seen.refused == 0
    assert seen.after > 0
