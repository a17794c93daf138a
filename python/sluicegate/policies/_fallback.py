"""The fallback: an answer for when there is none."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from sluicegate._errors import ConfigurationError
from sluicegate._time import Clock, resolve_clock
from sluicegate.policies._policy import Dressing
from sluicegate.policies._retry_config import Errors, is_meant, says_which_errors


class Fallback(Dressing):
    """Answers in the place of a call that fails, with a value or with what a function makes of the error.

    Args:
        value_or_function: What is returned in the call's place. A function, or anything that can be called,
            is called with the exception; for a coroutine function it may return an awaitable. What it raises
            reaches the caller.
        on: Which exceptions it answers for: types or a predicate. Only an `Exception` ever is; cancellation,
            `KeyboardInterrupt` and `SystemExit` pass through untouched.
        name: What telemetry calls it.
        clock: What the times of its events are read from; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: `on` is neither exception types nor a predicate.

    Example:
        >>> @Fallback([], on=ConnectionError)
        ... def recommend(user):
        ...     raise ConnectionError("no route")
        >>> recommend("ada")
        []
        >>> Fallback(lambda error: f"sorry, {error}").call(recommend.__wrapped__, "ada")
        'sorry, no route'
    """

    def __init__(
        self,
        value_or_function: object,
        *,
        on: Errors = Exception,
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        if not says_which_errors(on):
            message = f"on must be an exception type, a tuple of them or a predicate, not {on!r}"
            raise ConfigurationError(message, field="on", value=on)
        self.value_or_function = value_or_function
        self.on = on
        self.name = name
        self.clock = resolve_clock(clock)

    def __repr__(self) -> str:
        return f"Fallback({self.value_or_function!r}, on={self.on!r}, name={self.name!r})"

    def _dress(self, func: Callable[..., Any]) -> Callable[..., Any]:
        def answered(*args: Any, **kwargs: Any) -> Any:
            try:
                result = func(*args, **kwargs)
            except Exception as error:
                if not is_meant(self.on, error):
                    raise
                return self._answer(error)
            return self._await(result) if hasattr(result, "__await__") else result

        return answered

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        async def answered(*args: Any, **kwargs: Any) -> Any:
            return await self._await(func(*args, **kwargs))

        return answered

    async def _await(self, awaitable: Awaitable[Any]) -> Any:
        try:
            return await awaitable
        except Exception as error:
            if not is_meant(self.on, error):
                raise
            answer = self._answer(error)
            return await answer if inspect.isawaitable(answer) else answer

    def _answer(self, error: Exception) -> Any:
        self._tell("fell_back", error=error)
        answer = self.value_or_function
        return answer(error) if callable(answer) else answer
