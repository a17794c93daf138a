"""One shape for whatever may go wrong: a category that says what to do, a code, and what may be shown."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Self

from sluicegate._categorise import categorise
from sluicegate._errors import SluicegateError


class ErrorCategory(enum.StrEnum):
    """What kind of trouble an error is, and so what is worth doing about it.

    Example:
        >>> ErrorCategory("rate_limit") is ErrorCategory.RATE_LIMIT
        True
    """

    VALIDATION = "validation"
    """The request makes no sense as it stands: trying again will not help."""
    AUTHENTICATION = "authentication"
    """The far side does not accept who asks: new credentials may help."""
    RATE_LIMIT = "rate_limit"
    """Too much was asked in too little time: waiting helps."""
    EXTERNAL_SERVICE = "external_service"
    """Somebody else's service or network failed: trying again may help."""
    INTERNAL = "internal"
    """A mistake of our own, or something unknown: a person should look."""


_STATUS = {
    ErrorCategory.VALIDATION: HTTPStatus.BAD_REQUEST,
    ErrorCategory.AUTHENTICATION: HTTPStatus.UNAUTHORIZED,
    ErrorCategory.RATE_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCategory.EXTERNAL_SERVICE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCategory.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class StructuredError(SluicegateError):
    """An error as data: its category, a code for machines, a message for people.

    It can be raised like any other. `from_exception` makes one of whatever was caught, and keeps passwords,
    queries and bearer tokens out of its message.

    Args:
        category: An `ErrorCategory`, or its value as a string.
        code: What programs compare, such as "rate_limited".
        message: What people read.
        details: More of it, fit for JSON; None for nothing.
        retry_after: Seconds after which trying again makes sense; infinity where it never will, None where
            nobody can say.

    Attributes:
        timestamp: When it was made: a `datetime` in UTC.

    Raises:
        ValueError: `category` is none.

    Example:
        >>> error = StructuredError(ErrorCategory.RATE_LIMIT, "rate_limited", "too fast", retry_after=7.0)
        >>> error.to_dict()["error"]["category"], error.to_dict()["retry_after"]
        ('rate_limit', 7.0)
    """

    def __init__(
        self,
        category: ErrorCategory | str,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.category = ErrorCategory(category)
        self.code = code
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after = retry_after
        self.timestamp = datetime.now(UTC)

    def __repr__(self) -> str:
        return f"StructuredError({self.category.name}, {self.code!r}, {self.message!r})"

    @classmethod
    def from_exception(cls, error: BaseException) -> Self:
        """Make one of `error`, or return `error` where it is one.

        Knows the exceptions of this package, of the standard library, of httpx and httpx2, and of clients in
        the manner of OpenAI's, by their shape: none of them is imported. What it does not know is INTERNAL.
        The exception is kept as `__cause__`.

        Example:
            >>> StructuredError.from_exception(TimeoutError("no answer")).category.name
            'EXTERNAL_SERVICE'
        """
        if isinstance(error, cls):
            return error
        found = categorise(error)
        structured = cls(found.category, found.code, found.message, found.details, found.retry_after)
        structured.__cause__ = error
        return structured

    def to_dict(self) -> dict[str, Any]:
        """Return what the wire carries, fit for JSON: `retry_after` is None where waiting will not help."""
        return {
            "error": {
                "category": self.category.value,
                "code": self.code,
                "message": self.message,
                "details": self.details,
                "timestamp": self.timestamp.isoformat(),
            },
            "retry_after": self._wait(),
        }

    def to_problem(self) -> dict[str, Any]:
        """Return it as problem details (RFC 9457), for the media type `application/problem+json`.

        The type is `about:blank`, whose title is the phrase of the status; category, code, details and
        retry_after are members of our own. The status is the one that the category stands for: 400, 401, 429,
        503 or 500, whatever the far side's was.

        Example:
            >>> StructuredError("rate_limit", "rate_limited", "slow down").to_problem()["status"]
            429
        """
        status = HTTPStatus(_STATUS[self.category])
        problem: dict[str, Any] = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": self.message,
            "category": self.category.value,
            "code": self.code,
        }
        if self.details:
            problem["details"] = self.details
        if (wait := self._wait()) is not None:
            problem["retry_after"] = wait
        return problem

    def _wait(self) -> float | None:
        return None if self.retry_after is None or math.isinf(self.retry_after) else self.retry_after
