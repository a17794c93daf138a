"""What an exception asks to wait, whichever library it comes from."""

import email.message
import time
import urllib.error
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from sluicegate import Retry
from sluicegate.policies._retry_after import retry_after_of
from sluicegate.testing import ManualClock


def answered(**headers):
    """An exception of a client library, as httpx and requests raise it."""
    error = OSError()
    error.response = SimpleNamespace(headers={name.replace("_", "-"): text for name, text in headers.items()})
    return error


@pytest.mark.parametrize("name", ["Retry_After", "retry_after"])
def test_is_read_from_the_response_of_an_exception(name):
    assert retry_after_of(answered(**{name: " 7 "})) == 7.0


def test_is_read_from_the_headers_of_an_exception_itself():
    headers = email.message.Message()
    headers["retry-after"] = "3"
    with urllib.error.HTTPError("http://localhost", 429, "slow down", headers, None) as error:
        assert retry_after_of(error) == 3.0


def test_the_exceptions_own_word_comes_first():
    error = answered(Retry_After="7")
    error.retry_after = timedelta(seconds=2)
    assert retry_after_of(error) == 2.0


def test_a_date_is_read_against_that_of_the_response():
    date = datetime(2001, 1, 1, tzinfo=UTC)
    later = date + timedelta(seconds=90)
    error = answered(Date=format_datetime(date, usegmt=True), Retry_After=format_datetime(later, usegmt=True))
    assert retry_after_of(error) == 90.0


def test_a_date_without_another_is_read_against_the_system_clock(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    later = datetime.fromtimestamp(1_000_000_030, UTC)
    assert retry_after_of(answered(Retry_After=format_datetime(later, usegmt=True))) == 30.0


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "nan", "inf", "1e3", "99999999999999", "Mon, 01 Jan 2001 00:00:00 GMT", "٣"]
)
def test_what_makes_no_sense_asks_for_nothing(text):
    assert retry_after_of(answered(Retry_After=text)) == 0.0


@pytest.mark.parametrize("headers", [None, 3, {}, {"Retry-After": 7}, {"Retry-After": None}])
def test_headers_of_another_kind_ask_for_nothing(headers):
    error = OSError()
    error.headers = headers
    assert retry_after_of(error) == 0.0


def test_a_retry_waits_it_in_full():
    clock = ManualClock(autojump=True)
    answers = [answered(Retry_After="120"), "here"]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert Retry(clock=clock).call(ask) == "here"
    assert clock.now() == 120.0
