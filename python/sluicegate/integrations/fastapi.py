"""A limit on single routes of FastAPI, as a dependency."""

from __future__ import annotations

from collections.abc import Awaitable

from fastapi import HTTPException, Request, Response
from fastapi.responses import JSONResponse

from sluicegate.integrations._admission import Admission, Attempting
from sluicegate.integrations.keys import ClientAddress, HeaderKey, KeyFunction, UserKey

__all__ = ["ClientAddress", "HeaderKey", "RateLimit", "RateLimited", "UserKey", "problem_response"]


class RateLimited(HTTPException):
    """A request over its limit: 429, with the fields that say when to come back.

    Attributes:
        problem: Its problem details (RFC 9457), which `problem_response` sends as they are.
    """

    def __init__(self, problem: dict[str, object], headers: dict[str, str]) -> None:
        super().__init__(429, detail=problem["detail"], headers=headers)
        self.problem = problem


class RateLimit:
    """A dependency that lets a request through, or raises `RateLimited`.

    FastAPI answers that with its own `{"detail": ...}`; for problem details, register
    `app.add_exception_handler(RateLimited, problem_response)`. For the whole application the ASGI middleware
    is cheaper.

    Args:
        limiter: As of `sluicegate.integrations.asgi.RateLimitMiddleware`.
        key: Tells callers apart, a function of the request's scope.
        cost: Permits a request takes.

    Raises:
        TypeError: `limiter` or `key` is none.
        ValueError: `cost` is negative.

    Example:
        >>> from fastapi import Depends, FastAPI
        >>> from sluicegate import KeyedRateLimiter
        >>> app = FastAPI()
        >>> @app.get("/search", dependencies=[Depends(RateLimit(KeyedRateLimiter("5/s")))])
        ... async def search() -> str:
        ...     return "found"
    """

    def __init__(self, limiter: Attempting, *, key: KeyFunction | None = None, cost: int = 1) -> None:
        self._admission = Admission(limiter, key, cost)

    async def __call__(self, request: Request, response: Response) -> None:
        """Draw for the request, and tell in the response's fields how things stand."""
        result = self._admission.ask(request.scope)
        if isinstance(result, Awaitable):
            result = await result
        if result is None:
            return
        if not result.allowed:
            refusal = self._admission.refusal(result)
            raise RateLimited(refusal.problem, dict(refusal.fields))
        response.headers.update(dict(self._admission.fields(result)))


async def problem_response(request: Request, error: Exception) -> Response:
    """Answer `RateLimited` with problem details; an exception handler for `app.add_exception_handler`."""
    if not isinstance(error, RateLimited):
        raise error
    media_type = "application/problem+json"
    return JSONResponse(error.problem, error.status_code, error.headers, media_type=media_type)
