"""What an exception is: ours, the standard library's, or one of an HTTP client's, known by its shape."""

from __future__ import annotations

import math
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from sluicegate import _errors
from sluicegate.policies._retry_after import retry_after_of

_LONGEST_MESSAGE = 500
"""Characters: a page of HTML is no message."""

_SECRETS = (
    (re.compile(r"(\w+://)[^\s/@]+@"), r"\1***@"),
    (re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\"]*"), r"\1?***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"\b(sk|pk|rk|ghp|xox[abp])[-_][\w-]{8,}"), r"\1-***"),
)

_HTTP_CLIENTS = frozenset(
    {"httpx", "httpx2", "httpcore", "httpcore2", "openai", "anthropic", "aiohttp", "requests"}
)
_MISUSED = frozenset(
    {"InvalidURL", "UnsupportedProtocol", "LocalProtocolError", "CookieConflict", "StreamError"}
)
_TIMED_OUT = frozenset({"TimeoutException", "APITimeoutError", "ServerTimeoutError", "Timeout"})
_UNREACHED = frozenset(
    {"TransportError", "RequestError", "APIConnectionError", "ClientConnectionError", "ConnectionError"}
)

_FAR_SIDE = frozenset({408, 425})
"""Statuses below 500 that say nothing about the request."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What an exception comes to, category as a plain string."""

    category: str
    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    retry_after: float | None = None


def categorise(error: BaseException) -> Finding:
    """Say what `error` is; what nobody knows is internal."""
    status = _status_of(error)
    if status is not None:
        return _answered(error, status)
    category, code = _own(error) or _client(error) or _standard(error) or ("internal", "internal_error")
    return Finding(
        category, code, message_of(error), {"type": type(error).__name__}, retry_after_of(error) or None
    )


def message_of(error: BaseException) -> str:
    """Return what the exception says, cut short, with what looks like a secret masked."""
    message = str(error) or type(error).__name__
    for pattern, mask in _SECRETS:
        message = pattern.sub(mask, message[: 4 * _LONGEST_MESSAGE])
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"


def _own(error: BaseException) -> tuple[str, str] | None:
    kinds: tuple[tuple[type[BaseException], str, str], ...] = (
        (_errors.ConfigurationError, "validation", "invalid_configuration"),
        (_errors.LimitExceededError, "rate_limit", "rate_limited"),
        (_errors.CircuitIsolatedError, "external_service", "circuit_isolated"),
        (_errors.CircuitOpenError, "external_service", "circuit_open"),
        (_errors.BulkheadFullError, "rate_limit", "bulkhead_full"),
        (_errors.AttemptTimeoutError, "external_service", "timeout"),
        (_errors.BackendError, "external_service", "backend_unavailable"),
    )
    return next(((category, code) for kind, category, code in kinds if isinstance(error, kind)), None)


def _client(error: BaseException) -> tuple[str, str] | None:
    """Say what an exception of an HTTP client is that came without a response."""
    names = {
        kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in _HTTP_CLIENTS
    }
    if names & _MISUSED:
        return "validation", "invalid_request"
    if names & _TIMED_OUT:
        return "external_service", "timeout"
    return ("external_service", "connection_failed") if names & _UNREACHED else None


def _standard(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, TimeoutError):
        return "external_service", "timeout"
    if isinstance(error, ConnectionError | socket.gaierror | socket.herror | ssl.SSLError | EOFError):
        return "external_service", "connection_failed"
    return ("validation", "invalid_value") if isinstance(error, ValueError) else None


def _status_of(error: BaseException) -> int | None:
    """Return the status of the response that an exception stands for, under any of its usual names."""
    response = getattr(error, "response", None)
    for holder, name in (
        (error, "status_code"),
        (response, "status_code"),
        (error, "status"),
        (error, "code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 400 <= status <= 599:
            return status
    return None


def _answered(error: BaseException, status: int) -> Finding:
    told = retry_after_of(error) or None
    code = getattr(error, "code", None)
    if status in (401, 403):
        category, usual = "authentication", "unauthenticated" if status == 401 else "forbidden"
    elif status == 429:
        category, usual = "rate_limit", "rate_limited"
        # What OpenAI calls a spent account: no wait will fill it.
        told = math.inf if code == "insufficient_quota" else told
    elif status >= 500 or status in _FAR_SIDE:
        category, usual = "external_service", "timeout" if status in (408, 504) else "service_failed"
    else:
        category, usual = "validation", "not_found" if status == 404 else "invalid_request"
    code = code if isinstance(code, str) and code else usual
    return Finding(category, code, message_of(error), {"status": status, "type": type(error).__name__}, told)
