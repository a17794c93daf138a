"""A limit on single views of Flask; for a whole application, `sluicegate.integrations.wsgi` is enough."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from flask import Response, after_this_request, current_app, request

from sluicegate._native import RateLimitResult
from sluicegate.integrations._admission import Admission, Attempting
from sluicegate.integrations.keys import ClientAddress, HeaderKey, KeyFunction, UserKey

__all__ = ["ClientAddress", "HeaderKey", "UserKey", "rate_limit"]

P = ParamSpec("P")
R = TypeVar("R")


def rate_limit(
    limiter: Attempting, *, key: KeyFunction | None = None, cost: int = 1
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a view: what the limiter does not admit is answered with 429 and problem details.

    Put it below `@app.route`. Views that share a limiter share its limit.

    Args:
        limiter: As of `sluicegate.integrations.wsgi.RateLimitMiddleware`.
        key: Tells callers apart, a function of the request's environ.
        cost: Permits a request takes.

    Raises:
        TypeError: `limiter` or `key` is none.
        ValueError: `cost` is negative.

    Example:
        >>> from flask import Flask
        >>> from sluicegate import KeyedRateLimiter
        >>> app = Flask("shop")
        >>> @app.get("/search")
        ... @rate_limit(KeyedRateLimiter("1/min"))
        ... def search():
        ...     return "found"
        >>> client = app.test_client()
        >>> client.get("/search").status_code, client.get("/search").status_code
        (200, 429)
    """
    admission = Admission(limiter, key, cost)

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def limited(*args: P.args, **kwargs: P.kwargs) -> Any:
            result = cast("RateLimitResult | None", admission.ask(request.environ))
            if result is not None and not result.allowed:
                refusal = admission.refusal(result)
                return Response(refusal.body, 429, refusal.fields, content_type="application/problem+json")
            if result is not None:
                fields = admission.fields(result)

                def tell(response: Response) -> Response:
                    response.headers.update(fields)
                    return response

                after_this_request(tell)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast(Callable[P, R], limited)

    return decorate
