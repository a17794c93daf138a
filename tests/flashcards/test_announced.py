"""What servers announce, in their dialects."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.flashcards._announced import MAX_WAIT, Announcement, read_announcement, retry_after

NOW = 1_790_000_000.0


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.25 "}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": http_date(NOW + 90)}, 90.0),
        ({"retry-after": http_date(NOW - 90)}, 0.0),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": str(int(MAX_WAIT) + 1)}, None),
        ({"retry-after": "9" * 5_000}, None),
    ],
)
def test_reads_retry_after_in_seconds_or_as_a_date(headers, seconds):
    assert retry_after(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("12ms", 0.012),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("1.5", 1.5),
        (str(int(NOW) + 30), 30.0),
        (str(int(NOW * 1000) + 30_250), 30.25),
        (http_date(NOW + 5), 5.0),
        ("2026-09-21T14:13:30Z", 10.0),
        ("tomorrow", None),
    ],
)
def test_reads_a_reset_as_duration_seconds_epoch_or_date(reset, seconds):
    announcement = read_announcement({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}, now=NOW)
    assert announcement.reset == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "announcement"),
    [
        ({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "59"}, Announcement(60, None, 59, None)),
        ({"x-ratelimit-limit": "60;w=60"}, Announcement(60, 60.0)),
        ({"x-ratelimit-limit": "100, 100;window=3600"}, Announcement(100, 3600.0)),
        ({"x-ratelimit-limit": "5", "x-ratelimit-interval-seconds": "10"}, Announcement(5, 10.0)),
        ({"ratelimit-limit": "5", "ratelimit-policy": "5;w=2"}, Announcement(5, 2.0)),
        (
            {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "120ms",
            },
            Announcement(500, None, 0, 0.12),
        ),
        ({"x-ratelimit-limit": "many"}, Announcement()),
        ({"content-type": "application/json"}, None),
    ],
)
def test_reads_the_dialects_of_rate_limit_headers(headers, announcement):
    assert read_announcement(headers, now=NOW) == announcement


@given(st.text(max_size=80))
def test_any_header_says_something_sane_or_nothing(text):
    headers = dict.fromkeys(
        ("retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"), text
    )
    wait = retry_after(headers, now=NOW)
    assert wait is None or 0.0 <= wait <= MAX_WAIT
    announcement = read_announcement(headers, now=NOW)
    assert announcement.limit is None or announcement.limit >= 0
    assert announcement.reset is None or 0.0 <= announcement.reset <= MAX_WAIT
