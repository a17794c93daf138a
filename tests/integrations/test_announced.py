"""Announced limits: every dialect is read, and nothing that a server sends can do harm."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.integrations._announced import LONGEST, LONGEST_WAIT, MOST, Announced, announced, retry_after

NOW = 1_764_000_000.0  # 2025-11-24T16:00:00Z


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ratelimit": '"a";r=5;t=30'}, [Announced(5, 30.0)]),
        (
            {"ratelimit": '"a";r=5;t=30, b;r=0;t=9', "ratelimit-policy": '"a";q=100;w=60,b;q=7;qu="tokens"'},
            [Announced(5, 30.0, 100), Announced(0, 9.0, 7, "tokens")],
        ),
        ({"ratelimit": '"a\\"b";r=1;t=2;pk=:aGk=:'}, [Announced(1, 2.0)]),
        ({"ratelimit": '"bytes";r=1;t=2', "ratelimit-policy": '"bytes";q=9;qu="content-bytes"'}, []),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "12ms",
            },
            [Announced(59, 360.0, 60), Announced(0, 0.012, None, "tokens")],
        ),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2025-11-24T16:00:30Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2025-11-24T16:01:00+00:00",
            },
            [Announced(49, 30.0, 50), Announced(0, 60.0, None, "tokens")],
        ),
        (  # GitHub
            {
                "x-ratelimit-limit": "5000",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "1764003600",
            },
            [Announced(0, 3600.0, 5000)],
        ),
        (  # OpenRouter
            {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "1764000007500"},
            [Announced(3, 7.5)],
        ),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "1763999999"}, [Announced(3, 0.0)]),
    ],
)
def test_each_dialect_is_read(headers, expected):
    assert announced(headers, NOW) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit": '"a";r=5'},
        {"ratelimit": '"a";r=-5;t=30'},
        {"ratelimit": '"a";r=5;t=30,'},
        {"ratelimit": '"a";r=5;t=30 nonsense'},
        {"ratelimit": '"a;r=5;t=30'},
        {"ratelimit": '"a";r=5;t=99999999'},
        {"x-ratelimit-remaining": "many", "x-ratelimit-reset": "1"},
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999999999"},
        {"x-ratelimit-remaining": "0" * LONGEST + "1", "x-ratelimit-reset": "1"},
    ],
)
def test_what_makes_no_sense_says_nothing(headers):
    assert announced(headers, NOW) == []


def test_no_more_limits_are_read_than_a_server_can_have():
    assert len(announced({"ratelimit": ",".join(["a;r=1;t=1"] * 60)}, NOW)) == MOST


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "6500"}, 6.5),
        ({"retry-after": "Mon, 24 Nov 2025 16:00:30 GMT"}, 30.0),
        ({"retry-after": "later"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_read_as_seconds_milliseconds_or_a_date(headers, expected):
    assert retry_after(headers, NOW) == expected


NAMES = st.sampled_from(
    ["ratelimit", "ratelimit-policy", "retry-after", "retry-after-ms"]
    + [f"x-ratelimit-{field}{unit}" for field in ("limit", "remaining", "reset") for unit in ("", "-tokens")]
    + [f"anthropic-ratelimit-requests-{field}" for field in ("limit", "remaining", "reset")]
)
VALUES = st.text(max_size=80) | st.text(string.digits + string.punctuation + "hmsZTrtq ", max_size=80)


@given(st.dictionaries(NAMES, VALUES | st.integers().map(str)), st.floats(0, 4e9))
def test_whatever_is_sent_is_read_within_bounds_or_not_at_all(headers, now):
    for found in announced(headers, now):
        assert found.remaining >= 0
        assert 0 <= found.reset_after <= LONGEST_WAIT
        assert found.unit in ("requests", "tokens")
    wait = retry_after(headers, now)
    assert wait is None or 0 <= wait <= LONGEST_WAIT
