"""What kind of function was given: one whose work is done on return, awaited, or taken piece by piece."""

import inspect
from collections.abc import Callable
from typing import Any


def is_coroutine_function(func: Callable[..., Any]) -> bool:
    """Tell whether calling `func` gives a coroutine: an `async def`, or an object whose `__call__` is one.

    Example:
        >>> async def fetch(): ...
        >>> is_coroutine_function(fetch), is_coroutine_function(print)
        (True, False)
    """
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


def refuse_generator_function(func: Callable[..., Any], policy: str) -> None:
    """Raise TypeError for a generator function, since its work begins only when its call has returned."""
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise TypeError(
            f"{policy} cannot decorate a generator function: its call returns before it has begun"
        )
