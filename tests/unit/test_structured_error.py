"""Errors as data: what each exception comes to, and what the wire and a log may see of it."""

import copy
import email.message
import json
import math
import pickle
import socket
import ssl
import urllib.error
from datetime import UTC

import httpx2
import pytest

from sluicegate import (
    APIError,
    AttemptTimeoutError,
    AuthenticationError,
    BackendError,
    BulkheadFullError,
    CircuitIsolatedError,
    CircuitOpenError,
    ConfigurationError,
    ErrorCategory,
    InvalidRequestError,
    LimitExceededError,
    RateLimitError,
    ServerError,
    StructuredError,
)

REQUEST = httpx2.Request("POST", "https://api.example.org/v1/chat?key=hush")


def answered(status: int, **headers: str) -> httpx2.HTTPStatusError:
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    return httpx2.HTTPStatusError(f"{status} for {REQUEST.url}", request=REQUEST, response=response)


class OpenAIError(Exception):
    """In the manner of OpenAI's client: a status, a code of the API's own, and a response."""

    def __init__(self, status_code: int, code: str | None) -> None:
        super().__init__("the account is spent")
        self.status_code = status_code
        self.code = code
        self.response = httpx2.Response(status_code, headers={"retry-after": "3"})


KNOWN = [
    (ConfigurationError("no"), "validation", "invalid_configuration", None),
    (LimitExceededError("no", retry_after=0.5), "rate_limit", "rate_limited", 0.5),
    (CircuitOpenError("no", retry_after=30.0), "external_service", "circuit_open", 30.0),
    (CircuitIsolatedError("no"), "external_service", "circuit_isolated", None),
    (BulkheadFullError("no"), "rate_limit", "bulkhead_full", None),
    (AttemptTimeoutError("slow", timeout=1.0), "external_service", "timeout", None),
    (BackendError("gone", backend="redis"), "external_service", "backend_unavailable", None),
    (RateLimitError(7.0), "rate_limit", "rate_limited", 7.0),
    (AuthenticationError(401, "who?"), "authentication", "unauthenticated", None),
    (AuthenticationError(403, "you?"), "authentication", "forbidden", None),
    (InvalidRequestError(422, "what?"), "validation", "invalid_request", None),
    (ServerError(503, "later", retry_after=2.0), "external_service", "service_failed", 2.0),
    (APIError(404, "where?"), "validation", "not_found", None),
    (answered(408), "external_service", "timeout", None),
    (answered(429, **{"Retry-After": "12"}), "rate_limit", "rate_limited", 12.0),
    (answered(504), "external_service", "timeout", None),
    (httpx2.ConnectTimeout("slow"), "external_service", "timeout", None),
    (httpx2.ConnectError("refused"), "external_service", "connection_failed", None),
    (httpx2.UnsupportedProtocol("ftp"), "validation", "invalid_request", None),
    (httpx2.InvalidURL("no host"), "validation", "invalid_request", None),
    (OpenAIError(429, None), "rate_limit", "rate_limited", 3.0),
    (OpenAIError(429, "insufficient_quota"), "rate_limit", "insufficient_quota", math.inf),
    (OpenAIError(400, "context_length_exceeded"), "validation", "context_length_exceeded", 3.0),
    (TimeoutError(), "external_service", "timeout", None),
    (ConnectionResetError("reset"), "external_service", "connection_failed", None),
    (socket.gaierror("no name"), "external_service", "connection_failed", None),
    (ssl.SSLError("no trust"), "external_service", "connection_failed", None),
    (ValueError("seven"), "validation", "invalid_value", None),
    (FileNotFoundError("cards.tsv"), "internal", "internal_error", None),
    (KeyError("word"), "internal", "internal_error", None),
]


@pytest.mark.parametrize(
    ("error", "category", "code", "retry_after"), KNOWN, ids=lambda value: repr(value)[:40]
)
def test_an_exception_comes_to_its_category_code_and_wait(error, category, code, retry_after):
    structured = StructuredError.from_exception(error)
    assert (structured.category, structured.code, structured.retry_after) == (category, code, retry_after)
    assert structured.__cause__ is error
    json.dumps(structured.to_dict(), allow_nan=False)
    json.dumps(structured.to_problem(), allow_nan=False)


def test_the_standard_librarys_http_error_is_known_by_its_code():
    headers = email.message.Message()
    headers["Retry-After"] = "4"
    with urllib.error.HTTPError("http://localhost", 503, "later", headers, None) as error:
        structured = StructuredError.from_exception(error)
    assert (structured.category, structured.retry_after) == (ErrorCategory.EXTERNAL_SERVICE, 4.0)


def test_a_structured_error_comes_back_as_it_is():
    error = StructuredError("internal", "lost", "lost the plot")
    assert StructuredError.from_exception(error) is error


@pytest.mark.parametrize(
    "message",
    [
        "401 for https://api.example.org/v1?key=hush",
        "no route to redis://user:hush@localhost:6379",
        "sent Authorization: Bearer hush.hush-hush",
        "Incorrect API key provided: sk-hush12345678.",
    ],
)
def test_a_secret_in_a_message_is_masked(message):
    shown = StructuredError.from_exception(OSError(message))
    assert "hush" not in f"{shown} {shown!r} {shown.to_dict()} {shown.to_problem()}"


def test_a_page_is_cut_to_a_message():
    assert len(StructuredError.from_exception(OSError("<p>" * 100_000)).message) == 500


def test_the_dictionary_has_the_shape_of_the_contract():
    error = StructuredError(ErrorCategory.RATE_LIMIT, "rate_limited", "slow", {"word": "물"}, retry_after=1.5)
    assert error.timestamp.tzinfo is UTC
    assert error.to_dict() == {
        "error": {
            "category": "rate_limit",
            "code": "rate_limited",
            "message": "slow",
            "details": {"word": "물"},
            "timestamp": error.timestamp.isoformat(),
        },
        "retry_after": 1.5,
    }


def test_a_problem_has_the_members_of_rfc_9457():
    problem = StructuredError(
        "rate_limit", "rate_limited", "slow", {"word": "물"}, retry_after=1.5
    ).to_problem()
    assert problem == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "slow",
        "category": "rate_limit",
        "code": "rate_limited",
        "details": {"word": "물"},
        "retry_after": 1.5,
    }


def test_an_unknown_category_is_refused_by_name():
    with pytest.raises(ValueError, match="weather"):
        StructuredError("weather", "rain", "it rains")


@pytest.mark.parametrize("travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_structured_error_keeps_its_fields_when_it_travels(travel):
    error = travel(StructuredError("internal", "lost", "lost it", {"at": 3}, retry_after=2.0))
    assert (error.category, error.code, str(error)) == (ErrorCategory.INTERNAL, "lost", "lost it")
    assert (error.details, error.retry_after) == ({"at": 3}, 2.0)


@pytest.mark.parametrize("status", [0, 7, 200, 302, 600])
def test_a_number_that_is_no_status_of_a_failure_is_not_taken_for_one(status):
    class OddError(Exception):
        code = status

    assert StructuredError.from_exception(OddError("odd")).category is ErrorCategory.INTERNAL


def test_a_problem_has_no_empty_details():
    assert "details" not in StructuredError("internal", "bug", "ours").to_problem()
    assert StructuredError("internal", "bug", "ours", {"at": 1}).to_problem()["details"] == {"at": 1}
