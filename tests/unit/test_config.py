"""What is built from a config says so when it is handed something else."""

import pytest

from sluicegate import CircuitBreaker, CircuitBreakerRegistry, Retry


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (CircuitBreaker, "CircuitBreakerConfig"),
        (CircuitBreakerRegistry, "CircuitBreakerConfig"),
        (Retry, "RetryConfig"),
    ],
)
@pytest.mark.parametrize("config", ["payments", 3, {}, False])
def test_what_is_no_config_is_refused_by_name(build, kind, config):
    with pytest.raises(
        TypeError, match=rf"config must be a {kind}, or left out for its fields, not {config!r}"
    ):
        build(config)
