"""Whatever is read from outside, of any text and any bytes, is understood or refused in our own words."""

import json
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluicegate import ConfigurationError, RateLimiterConfig
from sluicegate._durations import FOREVER_NS, nanoseconds, seconds
from sluicegate._native import ManualClock
from sluicegate.flashcards._chat_messages import ANALYSIS_MODEL, CARDS_MODEL, Refusal, read_call
from sluicegate.flashcards._setting_names import SETTINGS
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards.cache import pack, unpack
from sluicegate.integrations import keys
from sluicegate.policies._retry_after import retry_after_of

WEEK = 7 * 86_400.0
UNITS = {
    1: ("s", "sec", "secs", "second", "seconds"),
    60: ("m", "min", "mins", "minute", "minutes"),
    3_600: ("h", "hour", "hours"),
    86_400: ("d", "day", "days"),
    0.001: ("ms",),
}

numbers = st.integers() | st.floats() | st.timedeltas()
instants = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
blanks = st.text(" \t", max_size=2)


def refusal(read, *arguments):
    """The configuration error that reading ends with, None where it does not."""
    try:
        read(*arguments)
    except ConfigurationError as error:
        return error
    return None


def http(moment):
    """A moment as HTTP writes it, in whole seconds."""
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("settings") / "config.toml"


def refused_of(headers):
    """An exception as urllib raises it, with these headers."""
    error = OSError()
    error.headers = headers
    return error


class TestDurations:
    @given(numbers)
    def test_whatever_is_a_number_is_seconds_or_is_refused_by_name(self, value):
        error = refusal(seconds, value, "wait")
        if error is None:
            assert seconds(value, "wait") >= 0
        else:
            assert (error.field, error.value) == ("wait", value)

    @given(st.integers(0, 2**64) | st.floats(0, 2e10) | st.timedeltas(timedelta(0), timedelta(days=200_000)))
    @example(1.7392578125)  # half a nanosecond between two: the even one
    def test_both_languages_round_any_number_alike(self, value):
        try:
            there = ManualClock(value).now_ns()
        except (OverflowError, ValueError):
            there = FOREVER_NS
        assert nanoseconds(value, "wait") == there

    @given(st.floats(0, 1e7))
    def test_a_float_is_rounded_to_the_nearest_nanosecond(self, value):
        assert abs(Fraction(value) * 10**9 - nanoseconds(value, "wait")) <= Fraction(1, 2)


class TestRates:
    @given(
        permits=st.integers(0, 10**9),
        many=st.integers(1, 500),
        unit=st.sampled_from([(length, name) for length, names in UNITS.items() for name in names]),
        burst=st.none() | st.integers(0, 10**6),
        blank=blanks,
    )
    def test_what_is_written_by_the_rule_means_what_it_says(self, permits, many, unit, burst, blank):
        length, name = unit
        written = f"{permits}{blank}/{blank}{many}{name}" + (
            "" if burst is None else f";{blank}burst={burst}"
        )
        period = float(Fraction(str(length)) * many)
        error = refusal(RateLimiterConfig, permits, period, burst)
        if error is None:
            assert RateLimiterConfig.parse(written) == RateLimiterConfig(permits, period, burst)
        else:
            assert refusal(RateLimiterConfig.parse, written).field == error.field


class TestRetryAfter:
    @given(
        st.dictionaries(
            st.sampled_from(["Retry-After", "retry-after", "Date"]),
            st.text(max_size=40)
            | st.text("0123456789 :,-+.GMTZJanFebMonWed\t", max_size=40)
            | instants.map(http),
        )
    )
    def test_any_header_asks_for_a_sane_wait_or_for_none(self, headers):
        assert 0 <= retry_after_of(refused_of(headers)) <= WEEK

    @given(instants, st.integers(-10, 1_000_000))
    def test_a_date_is_as_far_off_as_the_response_dates_it(self, now, later):
        headers = {"Date": http(now), "Retry-After": http(now + timedelta(seconds=later))}
        assert retry_after_of(refused_of(headers)) == (later if 0 < later <= WEEK else 0)


class TestForwarded:
    @given(st.lists(st.ip_addresses(), min_size=1, max_size=5), blanks)
    def test_the_last_stranger_of_any_chain_is_the_client(self, chain, blank):
        addresses = keys.ClientAddress(["10.0.0.0/8"], ipv6_prefix=128)
        header = f"{blank},{blank}".join(str(hop) for hop in chain).encode("latin-1")
        request = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", header)]}
        plain = [getattr(hop, "ipv4_mapped", None) or hop for hop in chain]
        strangers = [hop for hop in plain if not (hop.version == 4 and str(hop).startswith("10."))]
        client = strangers[-1] if strangers else plain[0]
        assert addresses(request) == (f"{client}/128" if client.version == 6 else str(client))


class TestSettings:
    scalars = st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    anything = (
        scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars, max_size=1)
    )

    @given(st.dictionaries(st.sampled_from(list(SETTINGS)), anything, max_size=3))
    @example({"timeout": 10**400})
    @example({"concurrency": "9" * 5_000})
    def test_any_value_is_taken_or_refused_with_its_source(self, flags):
        error = refusal(Settings.load, flags, {})
        if error is not None:
            named = [name for name in flags if SETTINGS[name].flag in str(error)]
            assert error.field in {*named, "api_key"}

    @given(st.dictionaries(st.sampled_from([s.variable for s in SETTINGS.values()]), st.text(max_size=30)))
    def test_any_environment_is_taken_or_refused_with_its_variable(self, environment):
        error = refusal(Settings.load, {}, environment)
        if error is not None:
            assert error.field == "api_key" or any(name in str(error) for name in environment)

    @given(st.binary(max_size=200) | st.text("[]{}=\"'.\n ab1-:T#", max_size=80).map(str.encode))
    @example(b"rate = " + b"[" * 100_000)
    @example(b"concurrency = " + b"9" * 5_000)
    @settings(max_examples=300)
    def test_any_file_is_taken_or_refused_by_its_name(self, path, content):
        path.write_bytes(content)
        error = refusal(Settings.load, {}, {}, path)
        assert error is None or str(path) in str(error)


class TestCacheEntries:
    stored = st.binary(max_size=60)

    @given(
        stored
        | st.tuples(st.sampled_from([b"\0", b"\1", b"\2"]), stored).map(
            lambda parts: parts[0] + zlib.crc32(parts[1]).to_bytes(4) + parts[1]
        )
        | stored.map(lambda raw: b"\1" + zlib.crc32(raw).to_bytes(4) + zlib.compress(raw))
    )
    def test_any_bytes_are_a_text_that_they_vouch_for_or_a_miss(self, value):
        text = unpack(value)
        assert text is None or zlib.crc32(text.encode()) == int.from_bytes(value[1:5])

    @given(st.text(st.characters(codec="utf-8"), max_size=3_000))
    def test_any_text_comes_back(self, text):
        assert unpack(pack(text)) == text


class TestCalls:
    parts = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    asked = st.fixed_dictionaries(
        {}, optional={"position": parts, "term": parts, "type": parts, "stage1_result": parts | st.just({})}
    )

    @given(
        st.binary(max_size=60)
        | st.builds(
            lambda model, content: json.dumps(
                {"model": model, "messages": [{"role": "user", "content": json.dumps(content)}]}
            ).encode(),
            st.sampled_from([ANALYSIS_MODEL, CARDS_MODEL, "other", 1]),
            asked | parts,
        )
    )
    def test_any_body_is_a_call_or_refused_as_one(self, body):
        try:
            call = read_call(body)
        except Refusal as refused:
            status = refused.response.status
        else:
            status = 200
            assert call.position >= 1
            assert call.term.strip()
            assert len(call.identity) == 16
        assert status in (200, 400)
