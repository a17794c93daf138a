"""The cases under pytest-benchmark: a round is a thousand calls, so read µs as ns a call."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from cases import Case, cases

CALLS = 1_000


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.group}: {case.name}")
def test_case(benchmark: BenchmarkFixture, case: Case) -> None:
    benchmark.group = case.group
    benchmark(case.batch, CALLS)
