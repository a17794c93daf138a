"""The exceptions, one tree: whatever the package raises on its own account can be caught at its root.

```text
SluicegateError
├── ConfigurationError (ValueError)     field, value
├── RejectedError                       policy, retry_after
│   ├── LimitExceededError                limit, remaining
│   ├── CircuitOpenError                  state, last_failure
│   │   └── CircuitIsolatedError            reason
│   └── BulkheadFullError
├── AttemptTimeoutError (TimeoutError)  timeout
├── BackendError                        backend
└── APIError                            status_code, message, response, retry_after
    ├── RateLimitError
    ├── AuthenticationError
    ├── InvalidRequestError
    └── ServerError
```

All are built as `(message, *, fields)`; `APIError` and `RateLimitError` alone have a shape of their own. All
are copied and pickled with every field: one that cannot make the journey arrives as its `repr`.
`RejectedError` is our own refusal, made before anything was sent; `APIError` is what the far side answered.
The two that a busy service raises by the thousand set their fields themselves: a chain of `super()` calls
would double their price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from sluicegate._events import CircuitState


class SluicegateError(Exception):
    """The root of everything the package raises on its own account.

    Example:
        >>> issubclass(LimitExceededError, SluicegateError)
        True
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __copy__(self) -> Self:
        return rebuilt(type(self), self.args, dict(self.__dict__))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: _portable(value) for name, value in self.__dict__.items()}
        return rebuilt, (type(self), tuple(map(_portable, self.args)), fields)


class ConfigurationError(SluicegateError, ValueError):
    """A configuration that makes no sense, found when it was built.

    Attributes:
        field: The name of the option at fault.
        value: What it was given.

    Example:
        >>> error = ConfigurationError("burst must be at least 0, not -1", field="burst", value=-1)
        >>> error.field, error.value
        ('burst', -1)
    """

    def __init__(self, message: str = "", *, field: str = "", value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class RejectedError(SluicegateError):
    """A call that a policy of ours refused before it was made.

    Attributes:
        policy: The name of the policy that refused, empty where it has none.
        retry_after: Seconds after which asking again makes sense, infinity where it never will,
            None where nobody can say.

    Example:
        >>> RejectedError("no", policy="search", retry_after=0.5).retry_after
        0.5
    """

    def __init__(self, message: str = "", *, policy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.policy = policy
        self.retry_after = retry_after


class LimitExceededError(RejectedError):
    """A rate limit of ours is spent; the far side's own refusal is `RateLimitError`.

    Attributes:
        limit: The burst of the limit that refused, in permits.
        remaining: How many whole permits it has left, 0 in debt.

    Example:
        >>> error = LimitExceededError("quota spent", policy="search", retry_after=0.5, limit=10)
        >>> error.policy, error.limit, error.remaining
        ('search', 10, 0)
    """

    def __init__(
        self,
        message: str = "",
        *,
        policy: str = "",
        retry_after: float | None = None,
        limit: int = 0,
        remaining: int = 0,
    ) -> None:
        self.args = (message,)
        self.policy = policy
        self.retry_after = retry_after
        self.limit = limit
        self.remaining = remaining


class CircuitOpenError(RejectedError):
    """A circuit breaker is open, or half-open with all its probes out.

    Attributes:
        state: The `CircuitState` the breaker was in.
        last_failure: The exception that the latest counted failure ended with, None where it ended with a
            result, or where there was none.

    Example:
        >>> error = CircuitOpenError("circuit open", retry_after=30.0, last_failure=OSError("reset"))
        >>> error.last_failure
        OSError('reset')
    """

    def __init__(
        self,
        message: str = "",
        *,
        policy: str = "",
        retry_after: float | None = None,
        state: CircuitState | None = None,
        last_failure: BaseException | None = None,
    ) -> None:
        self.args = (message,)
        self.policy = policy
        self.retry_after = retry_after
        self.state = state
        self.last_failure = last_failure


class CircuitIsolatedError(CircuitOpenError):
    """A circuit breaker is held open by hand; `retry_after` is None, since only a hand will close it.

    Attributes:
        reason: What was given to `isolate`, None where nothing was.

    Example:
        >>> CircuitIsolatedError("isolated", reason="maintenance").reason
        'maintenance'
    """

    def __init__(
        self,
        message: str = "",
        *,
        policy: str = "",
        retry_after: float | None = None,
        state: CircuitState | None = None,
        last_failure: BaseException | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(
            message, policy=policy, retry_after=retry_after, state=state, last_failure=last_failure
        )
        self.reason = reason


class BulkheadFullError(RejectedError):
    """As many calls as a bulkhead admits are running, and its queue is full or its wait was too long."""


class AttemptTimeoutError(SluicegateError, TimeoutError):
    """A `Timeout` cut a call short.

    Attributes:
        timeout: The seconds the call was given.

    Example:
        >>> isinstance(AttemptTimeoutError("too slow", timeout=2.0), TimeoutError)
        True
    """

    def __init__(self, message: str = "", *, timeout: float | None = None) -> None:
        super().__init__(message)
        self.timeout = timeout


class BackendError(SluicegateError):
    """A place that keeps state for us (a mapped file, a Redis server) failed or holds something foreign.

    Attributes:
        backend: Which one.

    Example:
        >>> BackendError("no answer", backend="redis").backend
        'redis'
    """

    def __init__(self, message: str = "", *, backend: str = "") -> None:
        super().__init__(message)
        self.backend = backend


class APIError(SluicegateError):
    """A remote API answered with an error.

    Args:
        status_code: The HTTP status, or the API's own code where an error travels inside a 200.
        message: What the far side said.
        response: The response itself, of whatever client was used.
        retry_after: Seconds the far side asked to wait, None unless it told; a `Retry` waits them in full.

    Example:
        >>> error = APIError(418, "I'm a teapot")
        >>> error.status_code, str(error), error.retry_after
        (418, "I'm a teapot", None)
    """

    def __init__(
        self,
        status_code: int,
        message: str,
        response: Any = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message
        self.response = response
        self.retry_after = retry_after


class RateLimitError(APIError):
    """The far side's refusal, a 429 as a rule; our own is `LimitExceededError`.

    Args:
        retry_after: Seconds the far side asked to wait, None where it did not say.
        status_code: The status it came with.
        message: What the far side said.
        response: The response itself, of whatever client was used.

    Example:
        >>> error = RateLimitError(7.0)
        >>> error.status_code, error.retry_after
        (429, 7.0)
    """

    def __init__(
        self,
        retry_after: float | None = None,
        *,
        status_code: int = 429,
        message: str = "too many requests",
        response: Any = None,
    ) -> None:
        super().__init__(status_code, message, response, retry_after=retry_after)


class AuthenticationError(APIError):
    """The far side does not accept our credentials (401, 403): trying again will not help."""


class InvalidRequestError(APIError):
    """The far side does not accept the request as it stands (400, 404, 422): trying again will not help."""


class ServerError(APIError):
    """The far side failed (5xx): trying again may help."""


_E = TypeVar("_E", bound=SluicegateError)


def rebuilt(kind: type[_E], args: tuple[Any, ...], fields: dict[str, Any]) -> _E:
    """Make an error of its fields, which it keeps, without an `__init__`, whose shape subclasses choose."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__ = fields
    return error


def _portable(value: Any) -> Any:
    """Return `value`, or its `repr` where pickling it would fail, here or on arrival."""
    if value is None or type(value) in (str, int, float):
        return value
    import pickle  # noqa: PLC0415 - who calls this is pickling already

    try:
        # Many an exception is pickled without complaint and fails only when it is read back.
        pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes
    except Exception:
        return repr(value)
    return value
