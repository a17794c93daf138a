"""What every policy is: something with a name that can make a call for you, or dress a function in itself."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class Policy(ABC):
    """Makes calls in its own manner; as a decorator it makes every call of a function so.

    A policy holds no state of any single call: one instance serves all threads, tasks and functions at once.

    Attributes:
        name: What errors and statistics call it.
    """

    name: str

    @abstractmethod
    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` in the policy's manner; a coroutine function gives an awaitable."""

    def __call__(self, func: F) -> F:
        """Return `func` with every call made in the policy's manner; signature and awaitability stay.

        Raises:
            TypeError: `func` is a generator function, which has done nothing yet when its call returns.
        """
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(f"{type(self).__name__} cannot decorate a generator function: {func!r}")
        call = self.call
        if is_coroutine_function(func):

            @functools.wraps(func)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                return await call(func, *args, **kwargs)

            return cast(F, guarded_async)

        @functools.wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return call(func, *args, **kwargs)

        return cast(F, guarded)


def is_coroutine_function(func: Callable[..., Any]) -> bool:
    """Tell whether a call of `func` gives a coroutine: a function, a partial or an object with `__call__`."""
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(type(func).__call__)
