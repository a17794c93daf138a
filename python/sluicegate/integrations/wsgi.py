"""A limit in front of any WSGI application: Flask, Django, Pyramid, Bottle and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

from sluicegate._native import RateLimitResult
from sluicegate.integrations._admission import Admission, Attempting
from sluicegate.integrations.keys import ClientAddress, HeaderKey, KeyFunction, UserKey

__all__ = ["ClientAddress", "HeaderKey", "RateLimitMiddleware", "UserKey"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class RateLimitMiddleware:
    """Lets through what the limiter admits, and answers the rest with 429.

    As `sluicegate.integrations.asgi.RateLimitMiddleware`, in the manner of WSGI: for Flask
    `app.wsgi_app = RateLimitMiddleware(app.wsgi_app, limiter)`.

    Args:
        app: The application.
        limiter: A `RateLimiter` for all requests together, a `KeyedRateLimiter` for each caller, or a limiter
            of a backend.
        key: Tells callers apart: a function of the environ that returns a key, or None for a request that is
            not limited. By default the address of the connection; behind proxies of your own use
            `ClientAddress(trusted_proxies=...)`.
        cost: Permits a request takes.
        headers: Whether answers tell how things stand.

    Raises:
        TypeError: `limiter` or `key` is none.
        ValueError: `cost` is negative.

    Example:
        >>> from sluicegate import RateLimiter
        >>> def app(environ, start_response):
        ...     start_response("200 OK", [])
        ...     return [b"hello"]
        >>> app = RateLimitMiddleware(app, RateLimiter("1/min"))
        >>> for _ in range(2):
        ...     _ = app({"wsgi.version": (1, 0)}, lambda status, headers, *rest: print(status))
        200 OK
        429 Too Many Requests
    """

    def __init__(
        self,
        app: App,
        limiter: Attempting,
        *,
        key: KeyFunction | None = None,
        cost: int = 1,
        headers: bool = True,
    ) -> None:
        self._app = app
        self._admission = Admission(limiter, key, cost)
        self._headers = headers

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        result = cast("RateLimitResult | None", self._admission.ask(environ))
        if result is None:
            return self._app(environ, start_response)
        if not result.allowed:
            refusal = self._admission.refusal(result)
            body = refusal.body
            entity = [("content-type", "application/problem+json"), ("content-length", str(len(body)))]
            start_response("429 Too Many Requests", [*refusal.fields, *entity])
            return [body]
        if not self._headers:
            return self._app(environ, start_response)
        fields = self._admission.fields(result)

        def tell(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *fields], *rest)

        return self._app(environ, tell)
