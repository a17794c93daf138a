import copy
import math
import pickle
import sys
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import ConfigurationError, RateLimiter, RateLimiterConfig
from sluicegate.testing import ManualClock


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("100/s", RateLimiterConfig(100)),
        ("5/minute", RateLimiterConfig(5, 60)),
        ("1000/hour;burst=50", RateLimiterConfig(1000, 3600, 50)),
        ("3/2s", RateLimiterConfig(3, 2)),
        ("0.5/s", RateLimiterConfig(0.5)),
        (" 7 / 10 Minutes ; burst = 2 ", RateLimiterConfig(7, 600, 2)),
        ("1/250ms", RateLimiterConfig(1, 0.25)),
        ("1/1.5h", RateLimiterConfig(1, 5400)),
        ("2/days", RateLimiterConfig(2, 86_400)),
        ("inf/s", RateLimiterConfig(math.inf)),
        ("0/s", RateLimiterConfig(0)),
    ],
)
def test_a_string_reads_as_the_config_it_names(text, config):
    assert RateLimiterConfig.parse(text) == config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100",
        "100/",
        "/s",
        "-1/s",
        "1/fortnight",
        "1/s;burst",
        "1/s;burst=-1",
        "1/s;burst=1.5",
        "nan/s",
        "1e3/s",
    ],
)
def test_a_string_that_cannot_be_read_is_shown_with_the_remedy(text):
    with pytest.raises(ConfigurationError, match="write it like '100/s'") as caught:
        RateLimiterConfig.parse(text)
    assert caught.value.value == text


def test_an_endless_string_is_refused_without_being_read_or_repeated():
    with pytest.raises(ConfigurationError) as caught:
        RateLimiterConfig.parse("1" * 10_000_000 + "/s")
    assert len(str(caught.value)) < 400


@given(st.text(max_size=40))
def test_any_text_is_either_a_quota_or_a_configuration_error(text):
    try:
        config = RateLimiterConfig.parse(text)
    except ConfigurationError:
        return
    assert config.burst >= 0


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("rate", {"rate": -1}),
        ("rate", {"rate": math.nan}),
        ("rate", {"rate": -math.inf}),
        ("rate", {"rate": 4_000_000_000}),
        ("period", {"rate": 1, "period": 0}),
        ("period", {"rate": 1, "period": -1}),
        ("period", {"rate": 1, "period": math.nan}),
        ("period", {"rate": 1, "period": math.inf}),
        ("period", {"rate": 1, "period": timedelta(0)}),
        ("burst", {"rate": 1, "burst": -1}),
        ("burst", {"rate": 1, "burst": 2**62 + 1}),
        ("burst", {"rate": 1, "burst": 2**80}),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_field(field, fields):
    with pytest.raises(ConfigurationError) as caught:
        RateLimiterConfig(**fields)
    assert isinstance(caught.value, ValueError)
    assert caught.value.field == field
    assert caught.value.value is fields[field]
    assert field in str(caught.value)


@pytest.mark.parametrize(
    "fields", [{"rate": "1"}, {"rate": True}, {"rate": 1, "burst": 1.5}, {"rate": 1, "period": "s"}]
)
def test_what_is_no_number_is_a_type_error(fields):
    with pytest.raises(TypeError):
        RateLimiterConfig(**fields)


@pytest.mark.parametrize(
    ("rate", "burst"),
    [(0, 1), (0.1, 1), (1, 1), (1.5, 2), (Fraction(7, 2), 4), (Decimal("2.01"), 3), (math.inf, sys.maxsize)],
)
def test_the_burst_is_the_rate_rounded_up_and_at_least_one_by_default(rate, burst):
    assert RateLimiterConfig(rate).burst == burst


def test_a_float_is_its_shortest_decimal():
    clock = ManualClock()
    tenth = RateLimiter(RateLimiterConfig(0.1), clock=clock)
    assert tenth.try_acquire()
    assert tenth.attempt().retry_after == 10.0


@pytest.mark.parametrize("config", [RateLimiterConfig(5, 60), RateLimiterConfig.at_most(60, 60.0)])
def test_a_config_survives_copying_and_pickling(config):
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config


def test_a_config_is_frozen_and_hashable():
    config = RateLimiterConfig(5)
    with pytest.raises(AttributeError):
        config.rate = 6
    assert {config: 1}[RateLimiterConfig(5)] == 1


def test_rates_far_below_and_above_any_use_are_either_exact_or_refused():
    assert RateLimiterConfig(5e-324).burst == 1
    assert RateLimiterConfig(Fraction(1, 3**300)).burst == 1
    with pytest.raises(ConfigurationError):
        RateLimiterConfig(10**400)


@given(
    limit=st.integers(1, 30),
    burst=st.integers(1, 30),
    period=st.sampled_from([1, 0.1, 60, 7]),
    gaps=st.lists(st.floats(0, 0.3), max_size=80),
)
def test_at_most_holds_in_any_window_ends_included(limit, burst, period, gaps):
    clock = ManualClock()
    limiter = RateLimiter(RateLimiterConfig.at_most(limit, period, min(limit, burst)), clock=clock)
    uses = []
    for gap in gaps:
        clock.advance(gap * period)
        while limiter.try_acquire():
            uses.append(clock.now_ns())
    length = round(period * 1e9)
    assert all(sum(start <= use <= start + length for use in uses) <= limit for start in uses)


def test_at_most_takes_a_tenth_of_the_limit_at_once_by_default():
    assert RateLimiterConfig.at_most(60, 60.0).burst == 6
    assert RateLimiterConfig.at_most(3, 60.0).burst == 1


@pytest.mark.parametrize(("limit", "burst"), [(0, None), (-1, None), (5, 6), (5, 0)])
def test_at_most_refuses_a_limit_or_burst_that_makes_no_sense(limit, burst):
    with pytest.raises(ConfigurationError):
        RateLimiterConfig.at_most(limit, 60.0, burst)


@pytest.mark.parametrize("text", [5, b"5/s", None])
def test_what_is_no_text_is_not_read(text):
    with pytest.raises(TypeError, match="a rate limit is read from a str such as '100/s'"):
        RateLimiterConfig.parse(text)


@pytest.mark.parametrize("limit", [1.5, "60", True, None])
def test_at_most_is_a_whole_number(limit):
    with pytest.raises(TypeError, match="limit must be an integer"):
        RateLimiterConfig.at_most(limit, 60.0)
