"""Wrappers cut to measure: a function around another, with the same parameters under the same names.

What takes `*args, **kwargs` and hands them on makes a tuple and a dictionary for every call, and keeps the
interpreter from its shortest way into a function: more than what a policy has to do. So a wrapper is compiled
from its text with the parameters of what it wraps, as `dataclasses` does with its methods.
"""

import functools
import inspect
import keyword
import types
from collections.abc import Callable, Collection
from typing import Any, Final

_PRIVATE = "_s_"

PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})
"""Types whose objects are no awaitables, which is then no question of a look at their attributes."""

# No builtins: a parameter that is called `type` or `list` would hide them.
_SPACE: dict[str, Any] = {
    "__builtins__": {},
    "_s_BaseException": BaseException,
    "_s_Exception": Exception,
    "_s_plain": PLAIN,
    "_s_type": type,
}
_ANY = ("*_s_args, **_s_kwargs", "*_s_args, **_s_kwargs", "_s_args, _s_kwargs")


class Wrapper:
    """The text of a wrapper, to be put around one function or another.

    Every name in the text begins with `_s_`, so that no parameter hides it. `_s_func` is what it is around,
    and `_s_Exception`, `_s_BaseException`, `_s_type` and `_s_plain` (`PLAIN`) are known. In place of
    `$parameters` stand the parameters, in place of `$arguments` what hands them on, in place of `$packed` the
    same as a tuple and a dictionary.

    Args:
        text: One definition.
        *names: The other names in it, without the `_s_`; each costs every call a little.

    Example:
        >>> loud = Wrapper("def called($parameters): return _s_func($arguments) + _s_end", "end")
        >>> def shout(text, *, times=1):
        ...     return text.upper() * times
        >>> loud.fit(shout, "!")("hey", times=2), str(inspect.signature(loud.fit(shout, "!")))
        ('HEYHEY!', '(text, *, times=1)')
        >>> loud.wrap(str.upper, "?")("what")
        'WHAT?'
    """

    def __init__(self, text: str, *names: str) -> None:
        self._text = text.strip()
        self._names = tuple(_PRIVATE + name for name in ("func", *names))
        self._make_any = self._make()
        # A program knows few lists of parameters; bounded for one that makes functions for ever.
        self._cut = functools.lru_cache(maxsize=1024)(self._compile)

    def wrap(self, func: Callable[..., Any], /, *values: object) -> types.FunctionType:
        """Put it around `func` for any arguments, as fast as a closure; `values` are those of the names."""
        return self._make_any(func, *values)

    def fit(self, func: Callable[..., Any], /, *values: object) -> types.FunctionType:
        """Put it around `func` with the parameters of `func`; for any where that is no Python function.

        The first for a list of parameters takes some 200 µs to compile. Each takes about a kilobyte, for its
        names are globals of its own: they are read faster than those of a closure, by code that has learnt
        where they lie, and so cannot be shared.
        """
        parts = _parts(func) if isinstance(func, types.FunctionType) else None
        if parts is None or not isinstance(func, types.FunctionType):
            return self.wrap(func, *values)
        space = _SPACE | dict(zip(self._names, (func, *values), strict=True))
        wrapper = types.FunctionType(self._cut(*parts).replace(), space, argdefs=func.__defaults__)
        wrapper.__kwdefaults__ = func.__kwdefaults__
        return wrapper

    def _compile(self, parameters: str, arguments: str, packed: str) -> types.CodeType:
        """Compile the definition for these parameters; gives its code."""
        (wrapper,) = _defined(self._written(parameters, arguments, packed))
        return wrapper.__code__

    def _make(self) -> Callable[..., types.FunctionType]:
        """Compile the definition for any arguments, within a function of what its names stand for."""
        text = self._written(*_ANY)
        name = text.partition("def ")[2].partition("(")[0]
        text = text.replace("\n", "\n    ")
        (make,) = _defined(f"def make({', '.join(self._names)}):\n    {text}\n    return {name}\n")
        return make

    def _written(self, parameters: str, arguments: str, packed: str) -> str:
        text = self._text.replace("$parameters", parameters)
        return text.replace("$arguments", arguments).replace("$packed", packed)


def _defined(source: str) -> Collection[types.FunctionType]:
    found: dict[str, types.FunctionType] = {}
    exec(compile(source, "<sluicegate: a wrapper>", "exec"), _SPACE, found)  # noqa: S102 - names, checked below
    return found.values()


def _parts(func: types.FunctionType) -> tuple[str, str, str] | None:
    """Write the parameters, what hands them on, and it as a tuple and a dictionary; None where it cannot."""
    code = func.__code__
    names = list(code.co_varnames)
    named, names = names[: code.co_argcount], names[code.co_argcount :]
    by_name, names = names[: code.co_kwonlyargcount], names[code.co_kwonlyargcount :]
    args = [names.pop(0)] if code.co_flags & inspect.CO_VARARGS else []
    kwargs = [names.pop(0)] if code.co_flags & inspect.CO_VARKEYWORDS else []
    if not all(map(_is_fit, [*named, *by_name, *args, *kwargs])):
        return None
    split = code.co_posonlyargcount
    slash = ["/"] if split else []
    starred = [f"*{name}" for name in args]
    rest = [f"**{name}" for name in kwargs]
    star = starred or (["*"] if by_name else [])
    parameters = [*named[:split], *slash, *named[split:], *star, *by_name, *rest]
    arguments = [*named, *starred, *(f"{name}={name}" for name in by_name), *rest]
    positional = "".join(f"{part}, " for part in (*named, *starred))
    keywords = ", ".join([*(f"{name!r}: {name}" for name in by_name), *rest])
    return ", ".join(parameters), ", ".join(arguments), f"({positional}), {{{keywords}}}"


def _is_fit(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith(_PRIVATE)
