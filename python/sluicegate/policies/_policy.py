"""What every policy is: something with a name that can make a call for you, or dress a function in itself."""

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from sluicegate._calls import is_coroutine_function, refuse_generator_function
from sluicegate._time import Clock
from sluicegate.policies._policy_events import (
    PolicyEvent,
    PolicyEventFields,
    PolicyEventKind,
    PolicyListener,
    tell,
)

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_subscribing = threading.Lock()


class Policy(ABC):
    """Makes calls in its own manner; as a decorator it makes every call of a function so.

    A policy holds no state of any single call: one instance serves all threads, tasks and functions at once.

    Attributes:
        name: What errors and statistics call it.
        clock: What its times are measured on.
    """

    name: str
    clock: Clock
    _listeners: tuple[PolicyListener, ...] = ()
    takes_plain_functions: bool = True
    """Whether functions that are no coroutine functions may be called through it."""

    def subscribe(self, listener: PolicyListener) -> Callable[[], None]:
        """Have `listener` called with a `PolicyEvent` for everything of note that the policy does.

        It is called in the thread or task of the call, outside any lock, so it should be quick and must not
        block. What it raises is logged and goes no further. Listeners are called in the order in which they
        subscribed; one that subscribed twice is called twice. Without a listener no event is made, and a
        call costs what it would cost if there were none of this. A pipeline tells of its own calls only:
        subscribe to its `policies` for theirs.

        Args:
            listener: Called with each event.

        Returns:
            What takes the subscription back; calling it again does nothing.

        Raises:
            TypeError: `listener` cannot be called.

        Example:
            >>> from sluicegate import Retry
            >>> from sluicegate.testing import ManualClock
            >>> retry = Retry(jitter=False, clock=ManualClock(autojump=True))
            >>> unsubscribe = retry.subscribe(lambda event: print(event.kind, event.delay))
            >>> answers = iter([OSError("reset"), "here"])
            >>> for attempt in retry:
            ...     with attempt:
            ...         if isinstance(answer := next(answers), OSError):
            ...             raise answer
            retrying 1.0
            >>> unsubscribe()
        """
        if not callable(listener):
            raise TypeError(f"a listener is called with each event, and {listener!r} cannot be")

        # Equal listeners are told apart by an entry of their own.
        def entry(event: PolicyEvent) -> object:
            return listener(event)

        with _subscribing:
            self._listeners = (*self._listeners, entry)

        def unsubscribe() -> None:
            with _subscribing:
                self._listeners = tuple(other for other in self._listeners if other is not entry)

        return unsubscribe

    def _tell(self, kind: PolicyEventKind, **fields: Unpack[PolicyEventFields]) -> None:
        """Tell the listeners, where there are any, of something that happens now."""
        if listeners := self._listeners:
            tell(listeners, PolicyEvent(kind=kind, policy=self, at=self.clock.now(), **fields))

    @abstractmethod
    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` in the policy's manner; a coroutine function gives an awaitable."""

    def __call__(self, func: F) -> F:
        """Return `func` with every call made in the policy's manner; signature and awaitability stay.

        Raises:
            TypeError: `func` is a generator function, which has done nothing yet when its call returns.
        """
        refuse_generator_function(func, type(self).__name__)
        dress = self._dress_async if is_coroutine_function(func) else self._dress
        return cast(F, functools.update_wrapper(dress(func), func))

    def _dress(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of its own that makes each call of `func`."""
        call = self.call

        def called(*args: Any, **kwargs: Any) -> Any:
            # An empty dictionary handed on has its price.
            return call(func, *args, **kwargs) if kwargs else call(func, *args)

        return called

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a coroutine function of its own that makes each call of the coroutine function `func`."""
        call = self.call

        async def called(*args: Any, **kwargs: Any) -> Any:
            return await call(func, *args, **kwargs)

        return called


class Dressing(Policy):
    """A policy that says what dressed functions do; a call is that of a function dressed for it."""

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` in the policy's manner; a coroutine function gives an awaitable."""
        dress = self._dress_async if is_coroutine_function(func) else self._dress
        return cast(R, dress(func)(*args, **kwargs))

    @abstractmethod
    def _dress(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of its own that makes each call of `func`."""

    @abstractmethod
    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a coroutine function of its own that makes each call of the coroutine function `func`."""
