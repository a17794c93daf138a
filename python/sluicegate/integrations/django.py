"""A limit on single views of Django; for a whole site, the ASGI or WSGI middleware around it is enough."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse

from sluicegate._calls import is_coroutine_function
from sluicegate._native import RateLimitResult
from sluicegate.integrations._admission import Admission, Attempting
from sluicegate.integrations.keys import ClientAddress, HeaderKey, KeyFunction, UserKey

__all__ = ["ClientAddress", "HeaderKey", "UserKey", "rate_limit"]

V = TypeVar("V", bound=Callable[..., Any])


def rate_limit(limiter: Attempting, *, key: KeyFunction | None = None, cost: int = 1) -> Callable[[V], V]:
    """Decorate a view, a plain or an `async def` one: what is over the limit is answered with 429.

    The answer has problem details as its body, as that of the middleware has. Class-based views take it by
    `method_decorator(rate_limit(limiter), name="dispatch")`.

    Args:
        limiter: As of `sluicegate.integrations.wsgi.RateLimitMiddleware`; an asynchronous one of a backend
            for `async def` views only.
        key: Tells callers apart, a function of the request's `META`, which is what the environ is.
        cost: Permits a request takes.

    Raises:
        TypeError: `limiter` or `key` is none.
        ValueError: `cost` is negative.
    """
    admission = Admission(limiter, key, cost)

    def decorate(view: V) -> V:
        if is_coroutine_function(view):

            @functools.wraps(view)
            async def limited_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                result = admission.ask(_environ(request))
                if isinstance(result, Awaitable):
                    result = await result
                if result is not None and not result.allowed:
                    return _refused(admission, result)
                return _telling(admission, result, await view(request, *args, **kwargs))

            return cast(V, limited_async)

        @functools.wraps(view)
        def limited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            result = cast("RateLimitResult | None", admission.ask(_environ(request)))
            if result is not None and not result.allowed:
                return _refused(admission, result)
            return _telling(admission, result, view(request, *args, **kwargs))

        return cast(V, limited)

    return decorate


def _environ(request: HttpRequest) -> Mapping[str, Any]:
    # Under ASGI there is a META as well, but none of the marks of WSGI.
    return {"wsgi.version": (1, 0), **request.META}


def _telling(admission: Admission, result: RateLimitResult | None, response: Any) -> Any:
    if result is not None:
        for name, value in admission.fields(result):
            response[name] = value
    return response


def _refused(admission: Admission, result: RateLimitResult) -> HttpResponse:
    refusal = admission.refusal(result)
    headers = dict(refusal.fields)
    return HttpResponse(refusal.body, status=429, headers=headers, content_type="application/problem+json")
