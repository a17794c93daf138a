"""What a response announces of the far side's limits, in whichever dialect it speaks.

Read are the fields `RateLimit` and `RateLimit-Policy` of the IETF draft (structured fields, RFC 9651), the
`x-ratelimit-*` of OpenAI, GitHub and OpenRouter, and the `anthropic-ratelimit-*` of Anthropic. A reset is
told as seconds from now, as a duration such as `6m0s` or `12ms`, as seconds or milliseconds since 1970, or as
a date. What makes no sense says nothing, and a field of more than `LONGEST` characters is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 1_024
"""Characters of a field that are read at all; a longer one says nothing."""

MOST = 16
"""Limits that one response may announce; those beyond say nothing."""

LONGEST_WAIT = 86_400.0
"""Seconds that are believed: a day, the longest period that a provider is known to count over."""

_UNITS = ("requests", "tokens", "input-tokens", "output-tokens")
_COUNT = re.compile(r"\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|us|µs|ns|h|m|s|d))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s|d)", re.ASCII)
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_EPOCH_SECONDS = 1e9
_EPOCH_MILLISECONDS = 1e11

_NAME = r'(?:"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){0,128}"|[A-Za-z*][\w:/!#$%&\'*+.^`|~-]{0,128})'
_VALUE = r'(?:"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){0,128}"|:[\w+/=]{0,128}:|\?[01]|[\w*.:/-]{1,128})'
_MEMBER = re.compile(rf"[ \t]*({_NAME})((?:;[ ]*[a-z*][\w.*-]{{0,32}}(?:={_VALUE})?)*)[ \t]*", re.ASCII)
_PARAMETER = re.compile(rf";[ ]*([a-z*][\w.*-]*)(?:=({_VALUE}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Announced:
    """One limit, as the far side announced it.

    Attributes:
        remaining: How many units are left.
        reset_after: Seconds until there are more.
        limit: How many there are in all, None where it did not say.
        unit: What is counted: "requests" or "tokens".
    """

    remaining: int
    reset_after: float
    limit: int | None = None
    unit: str = "requests"


def announced(headers: Mapping[str, str], now: float) -> list[Announced]:
    """Return the limits that the headers announce, those that can be understood.

    Args:
        headers: By their name, in any case where the mapping finds them so, else in lower case.
        now: Seconds since 1970, against which dates are read.

    Example:
        >>> announced({"ratelimit": '"hour";r=0;t=30', "ratelimit-policy": '"hour";q=100;w=3600'}, 0.0)
        [Announced(remaining=0, reset_after=30.0, limit=100, unit='requests')]
        >>> announced({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "1m30s"}, 0.0)
        [Announced(remaining=7, reset_after=90.0, limit=None, unit='tokens')]
        >>> announced({"x-ratelimit-remaining": "many"}, 0.0)
        []
    """
    return [*_of_fields(headers), *_of_dialects(headers, now)][:MOST]


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that `Retry-After` or `retry-after-ms` asks to wait, None where neither does.

    Example:
        >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:30 GMT"}, 60.0)
        30.0
    """
    milliseconds = _text(headers, "retry-after-ms")
    if _NUMBER.fullmatch(milliseconds):
        return _believed(float(milliseconds) / 1000)
    text = _text(headers, "retry-after")
    return _until(text, now) if text else None


def _of_fields(headers: Mapping[str, str]) -> Iterator[Announced]:
    """Read `RateLimit: "name";r=5;t=30`, and the quota from the policy of that name."""
    quotas = dict(_members(_text(headers, "ratelimit-policy")))
    for name, parameters in _members(_text(headers, "ratelimit")):
        remaining, reset = parameters.get("r", ""), parameters.get("t", "")
        if not (_COUNT.fullmatch(remaining) and _COUNT.fullmatch(reset)):
            continue
        policy = quotas.get(name, {})
        seconds, unit = _believed(float(reset)), policy.get("qu", '"requests"').strip('"')
        if seconds is not None and unit in ("requests", "tokens"):
            yield Announced(int(remaining), seconds, _count(policy.get("q", "")), unit)


def _members(text: str) -> list[tuple[str, dict[str, str]]]:
    """Read a list of structured fields; one error in it makes all of it mean nothing (RFC 9651, 4.2)."""
    members: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(text):
        match = _MEMBER.match(text, position)
        if match is None:
            return []
        members.append((match[1], {name: value or "" for name, value in _PARAMETER.findall(match[2])}))
        position = match.end()
        if position == len(text):
            break
        if text[position] != "," or position + 1 == len(text):
            return []
        position += 1
    return members[:MOST]


def _of_dialects(headers: Mapping[str, str], now: float) -> Iterator[Announced]:
    plain = _one(headers, "x-ratelimit-{}", "requests", now) or _one(headers, "ratelimit-{}", "requests", now)
    if plain is not None:
        yield plain
    for unit in _UNITS:
        what = unit.rpartition("-")[2]
        for form in (f"x-ratelimit-{{}}-{unit}", f"anthropic-ratelimit-{unit}-{{}}"):
            if (found := _one(headers, form, what, now)) is not None:
                yield found


def _one(headers: Mapping[str, str], form: str, unit: str, now: float) -> Announced | None:
    remaining = _count(_text(headers, form.format("remaining")))
    reset = _until(_text(headers, form.format("reset")), now)
    if remaining is None or reset is None:
        return None
    return Announced(remaining, reset, _count(_text(headers, form.format("limit"))), unit)


def _text(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    return value.strip() if isinstance(value, str) and len(value) <= LONGEST else ""


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _until(text: str, now: float) -> float | None:
    """Return the seconds until what a reset tells, whichever way it tells it."""
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number < _EPOCH_SECONDS:
            return _believed(number)
        return _believed((number / 1000 if number >= _EPOCH_MILLISECONDS else number) - now)
    if len(text) <= 64 and _DURATION.fullmatch(text):
        return _believed(sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text)))
    moment = _moment(text)
    return None if moment is None else _believed(moment - now)


def _moment(text: str) -> float | None:
    """Return a date of RFC 3339 or of HTTP as seconds since 1970; one without a zone is in UTC."""
    if not 8 <= len(text) <= 64:
        return None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def _believed(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds <= LONGEST_WAIT else None
