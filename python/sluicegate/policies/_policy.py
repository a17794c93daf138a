"""What every policy is: something with a name that can make a call for you, or dress a function in itself."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from sluicegate._calls import is_coroutine_function, refuse_generator_function

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
    takes_plain_functions: bool = True
    """Whether functions that are no coroutine functions may be called through it."""

    @abstractmethod
    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` in the policy's manner; a coroutine function gives an awaitable."""

    def __call__(self, func: F) -> F:
        """Return `func` with every call made in the policy's manner; signature and awaitability stay.

        Raises:
            TypeError: `func` is a generator function, which has done nothing yet when its call returns.
        """
        refuse_generator_function(func, type(self).__name__)
        call = self._dress(func)
        if is_coroutine_function(func):

            @functools.wraps(func)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                return await call(*args, **kwargs)

            return cast(F, guarded_async)

        @functools.wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return call(*args, **kwargs)

        return cast(F, guarded)

    def _dress(self, func: Callable[P, R]) -> Callable[P, R]:
        """Return what a decorated `func` calls in its place."""
        return functools.partial(self.call, func)
