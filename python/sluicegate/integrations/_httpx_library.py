"""Which client library a request belongs to, httpx or httpx2, and how to speak in its terms.

Neither is imported: whoever hands over a request has imported its library already.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any, cast

from sluicegate._errors import AttemptTimeoutError, SluicegateError


def library_of(request: Any) -> ModuleType:
    """Return the module that `request` is a `Request` of.

    Raises:
        TypeError: It is of neither library.
    """
    for kind in type(request).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    raise TypeError(f"a request must be one of httpx or httpx2, not {type(request).__name__}")


def in_terms_of(library: ModuleType, error: SluicegateError, request: Any) -> SluicegateError:
    """Return `error` as one that is the client library's as well, so that its callers' handlers fit.

    A refusal is also a `TransportError`, a timeout also a `TimeoutException`, with `request` set.
    """
    base = "TimeoutException" if isinstance(error, AttemptTimeoutError) else "TransportError"
    kind: type[Exception] = getattr(library, base)
    if isinstance(error, kind):
        return error
    dressed: Any = _dress(library.__name__, type(error), base, error.args, dict(error.__dict__))
    dressed._request = request
    return cast(SluicegateError, dressed)


def _dress(
    library: str, kind: type[SluicegateError], base: str, args: tuple[Any, ...], fields: dict[str, Any]
) -> Any:
    both: Any = _both(library, cast(Any, kind), base)
    dressed = both.__new__(both, *args)
    dressed.args = args
    dressed.__dict__.update(fields)
    return dressed


@functools.cache
def _both(library: str, kind: Any, base: str) -> type[SluicegateError]:
    """Make the class that is both, once; pickled by what it is made of, without the request."""

    def reduce(self: SluicegateError) -> tuple[Any, ...]:
        plain = kind.__new__(kind, *self.args)
        plain.args = self.args
        plain.__dict__.update({name: value for name, value in self.__dict__.items() if name != "_request"})
        _, (_, args, fields) = plain.__reduce__()
        return _dress, (library, kind, base, args, fields)

    bases = (kind, getattr(sys.modules[library], base))
    body = {"__reduce__": reduce, "__copy__": lambda self: _dress(*reduce(self)[1]), "_request": None}
    return cast("type[SluicegateError]", type(kind.__name__, bases, {**body, "__module__": kind.__module__}))


def is_replayable(library: ModuleType, request: Any) -> bool:
    """Tell whether the body can be sent once more: one that lies in memory can, a generator cannot."""
    return isinstance(request.stream, library.ByteStream)


def failed_status(library: ModuleType, request: Any, response: Any) -> Exception:
    """Return the exception that a response stands for, as `raise_for_status` would raise it."""
    message = f"{response.status_code} of {request.method} {request.url.host}"
    return cast(Exception, library.HTTPStatusError(message, request=request, response=response))


def held_stream(library: ModuleType, stream: Any, leave: Callable[[], None]) -> Any:
    """Return `stream` as one that calls `leave` once it is closed."""
    return _held(library.__name__)(stream, leave)


@functools.cache
def _held(library: str) -> type:
    module: Any = sys.modules[library]

    class Held(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
        """A stream that somebody's place hangs on until it is closed."""

        def __init__(self, stream: Any, leave: Callable[[], None]) -> None:
            self._stream = stream
            self._leave: Callable[[], None] | None = leave

        def __iter__(self) -> Iterator[bytes]:
            yield from self._stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in self._stream:
                yield part

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                self._left()

        def aclose(self) -> Awaitable[None]:
            return self._aclose()

        async def _aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                self._left()

        def _left(self) -> None:
            leave, self._leave = self._leave, None
            if leave is not None:
                leave()

    return Held
