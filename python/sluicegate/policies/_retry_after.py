"""How long an exception asks to wait, whichever library it comes from."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

_SECONDS = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)

_LONGEST = 7 * 86_400.0
"""A week: what a header asks for beyond that is taken for nonsense."""


def retry_after_of(error: BaseException | None) -> float:
    """Return the seconds an exception asks to wait, 0 where it asks for nothing that can be understood.

    Its own `retry_after` comes first, a number of seconds or a `timedelta`, infinity for never; then the
    `Retry-After` header of its response (httpx, requests, the SDKs built on them) or of its own (urllib,
    aiohttp), as seconds or as a date, which is read against the response's own `Date` where it has one.

    Example:
        >>> from sluicegate import RateLimitError
        >>> retry_after_of(RateLimitError(7)), retry_after_of(RateLimitError()), retry_after_of(OSError())
        (7.0, 0.0, 0.0)
        >>> error = OSError()
        >>> error.headers = {"Retry-After": "2.5"}
        >>> retry_after_of(error)
        2.5
    """
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, timedelta):
        asked = asked.total_seconds()
    if isinstance(asked, int | float) and not isinstance(asked, bool):
        return float(asked) if asked > 0 else 0.0
    for bearer in (getattr(error, "response", None), error):
        headers = getattr(bearer, "headers", None)
        if headers is not None and hasattr(headers, "get"):
            return _of_headers(cast(Mapping[str, Any], headers))
    return 0.0


def _of_headers(headers: Mapping[str, Any]) -> float:
    text = _header(headers, "Retry-After")
    if _SECONDS.fullmatch(text):
        wait = float(text)
    else:
        moment = _moment(text)
        if moment is None:
            return 0.0
        told = _moment(_header(headers, "Date"))
        wait = moment - (time.time() if told is None else told)
    return wait if 0 < wait <= _LONGEST else 0.0


def _header(headers: Mapping[str, Any], name: str) -> str:
    # Most mappings of headers know a name in any case; a plain dictionary does not.
    value = headers.get(name)
    value = headers.get(name.lower()) if value is None else value
    return value.strip() if isinstance(value, str) else ""


def _moment(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
