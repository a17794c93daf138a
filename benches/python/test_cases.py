"""The cases under pytest-benchmark: a round is a thousand calls, so read µs as ns a call."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from cases import Case, cases
from peers import peer_cases

CALLS = 1_000
THEIRS, MISSING = peer_cases()


@pytest.mark.parametrize("case", [*cases(), *THEIRS], ids=lambda case: f"{case.group}: {case.name}")
def test_case(benchmark: BenchmarkFixture, case: Case) -> None:
    benchmark.group = case.group
    benchmark(case.batch, CALLS)


@pytest.mark.parametrize("peer", MISSING)
def test_peer(peer: str) -> None:
    pytest.skip(f"{peer} is not measured: {MISSING[peer]}")
