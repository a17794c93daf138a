"""The circuit breaker: stops calling what keeps failing, and finds out by itself when it is well again."""

from __future__ import annotations

import functools
import inspect
import logging
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

from sluicegate._breaker_config import CircuitBreakerConfig
from sluicegate._calls import is_coroutine_function, refuse_generator_function
from sluicegate._config import config_of
from sluicegate._errors import CircuitIsolatedError, CircuitOpenError
from sluicegate._events import STATES, BreakerListener, CircuitState, Listeners, breaker_event, notify
from sluicegate._native import BreakerGate, BreakerPermit, BreakerTerms, BreakerTrip, SharedBreakers
from sluicegate._native import CircuitBreaker as NativeCircuitBreaker
from sluicegate._shared import Shared, adopt_config, canonical, prepare
from sluicegate._tailor import Wrapper

if TYPE_CHECKING:
    from sluicegate._time import Clock

_P = ParamSpec("_P")
_R = TypeVar("_R")

# What decorated functions do: as `call` and `_call_later`, by the gate's operators. `try` has no line of its
# own, which would be an instruction of its own.
GUARDED = Wrapper(
    """
def guarded($parameters):
    _s_admitted = +_s_gate
    try: _s_result = _s_func($arguments)
    except _s_BaseException as _s_error:
        _s_breaker._raised(_s_admitted, _s_error)
        raise
    if _s_result is None or _s_type(_s_result) in _s_plain:
        _s_gate[_s_admitted] = _s_result
        return _s_result
    return _s_breaker._conclude(_s_admitted, _s_result)
""",
    "gate",
    "breaker",
)
GUARDED_ASYNC = Wrapper(
    """
async def guarded($parameters):
    _s_admitted = +_s_gate
    try: _s_result = await _s_func($arguments)
    except _s_BaseException as _s_error:
        _s_breaker._raised(_s_admitted, _s_error)
        raise
    _s_gate[_s_admitted] = _s_result
    return _s_result
""",
    "gate",
    "breaker",
)

_log = logging.getLogger("sluicegate")

_blocks: ContextVar[tuple[tuple[CircuitBreaker, BreakerPermit], ...]] = ContextVar("sluicegate_blocks")
"""The `with` blocks around the running code: a breaker is shared, so it cannot keep them itself."""


@dataclass(slots=True)
class _Extras:
    """What few breakers have, and is no field of each: why it was isolated, and who else hears of it."""

    reason: str | None = None
    listeners: Listeners = field(default_factory=Listeners)


_extras: dict[int, _Extras] = {}
"""By the identity of a breaker, as long as it lives."""


def _extras_of(breaker: CircuitBreaker) -> _Extras:
    made = _Extras()
    kept = _extras.setdefault(id(breaker), made)
    if kept is made:
        weakref.finalize(breaker, _extras.pop, id(breaker), None).atexit = False
    return kept


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """A circuit breaker's figures at one moment.

    Attributes:
        state: Its state.
        time_in_state: Seconds it has been in that state; half-open begins with the end of the break.
        throughput: The completed calls in the window. The window holds the probes while half-open, stands
            still while open, and is empty while isolated or disabled.
        failures: The failed ones among them.
        slow_calls: The slow ones among them.
        failure_ratio: Their share of failures, 0.0 where there were no calls.
        slow_call_ratio: Their share of slow calls, 0.0 where there were no calls.
        trips: How often it has tripped since it was built.
        total_successes: The successes since it was built, those that came late included.
        total_failures: The failures since it was built, those that came late included.
        total_slow: The slow calls since it was built, those that came late included.
        total_ignored: The calls since it was built that said nothing about the far side.
        total_rejected: The refusals since it was built.
        consecutive_trips: How often it has tripped without closing in between.
    """

    state: CircuitState
    time_in_state: float
    throughput: int
    failures: int
    slow_calls: int
    failure_ratio: float
    slow_call_ratio: float
    trips: int
    total_successes: int
    total_failures: int
    total_slow: int
    total_ignored: int
    total_rejected: int
    consecutive_trips: int = 0


class CircuitBreaker(NativeCircuitBreaker):
    """Refuses calls to what keeps failing, and probes it after a while.

    Closed, it lets calls through and records how they end; where too many fail (see `CircuitBreakerConfig`)
    it opens and refuses calls with `CircuitOpenError` for the length of a break; then it is half-open, lets a
    few probes through and closes or opens again by their verdict. A call that ends after a change of state
    counts in the totals alone; a cancelled one counts as nothing. A probe that never comes back loses its
    place, so that a breaker cannot get stuck. The semantics follow Polly's; where they leave a choice, the
    breaker trips on a failed or slow completion only, and a break is over at its very end.

    Guard a call with `breaker.call(func, *args)`, `@breaker`, `with breaker:` or `async with breaker:`; or
    ask for a permit with `try_enter` and settle it yourself. Safe for threads and tasks: a decision is a few
    compare-and-swaps, and nothing of the user's runs under a lock. It costs about as much as three calls of a
    Python function, and 700 bytes a breaker, its name apart.

    Args:
        config: The options; a `CircuitBreakerConfig`.
        name: What its errors call it.
        clock: None for the machine's monotonic clock, or a `sluicegate.testing.ManualClock`.
        shared: A name, or a path (a str with a separator, or a `PathLike`): the state is one for all
            processes of this machine that name it, and lives in a mapped file that outlasts them. They trip
            and probe together; predicates, generators and listeners, `last_failure` and the reason of an
            isolation stay in the process that has them.
        adopt: Take the numbers of the shared breaker's config as they are, should there be one already.
        listener: Called with a `BreakerEvent` after each change of state, in the thread that brought it,
            outside any lock; in no other process. What it raises is logged.
        **fields: Fields of the config, in place of it or on top of it.

    Raises:
        ConfigurationError: A field or the listener makes no sense, or the state provider already reads
            another breaker; the shared breaker was made with another config.
        BackendError: The shared file is foreign, damaged, or of before the machine's last start.

    Example:
        >>> from sluicegate import CircuitBreaker, CircuitOpenError
        >>> breaker = CircuitBreaker(consecutive_failures=2, break_duration=5.0, name="search")
        >>> def search():
        ...     raise ConnectionError("no route")
        >>> for _ in range(3):
        ...     try:
        ...         breaker.call(search)
        ...     except (ConnectionError, CircuitOpenError) as error:
        ...         print(error)
        no route
        no route
        circuit breaker 'search' is open
    """

    __slots__ = (
        "__weakref__",
        "_last_failure",
        "_name",
    )

    _last_failure: BaseException | None
    _name: str

    def __new__(
        cls,
        config: CircuitBreakerConfig | None = None,
        *,
        name: str = "",
        clock: Clock | None = None,
        shared: Shared | None = None,
        adopt: bool = False,
        listener: BreakerListener | None = None,
        **fields: Any,
    ) -> Self:
        """Build a closed breaker, or an isolated one where its control is isolated."""
        config = config_of(CircuitBreakerConfig, config, fields)
        path = None if shared is None else prepare(shared)
        found = adopt_config(path, "breaker") if adopt and path is not None else None
        config = config if found is None else config._adopting(found)
        place = None if path is None else (path, canonical(config._written()))
        self = super().__new__(cls, config._terms(clock, listener), place)
        self._set_up(name)
        return self

    @classmethod
    def _under(
        cls,
        place: tuple[Any, SharedBreakers | None],
        terms: BreakerTerms,
        *,
        name: str,
    ) -> Self:
        """Build the breaker of a registry's key."""
        key, breakers = place
        self = super().__new__(cls, terms, None if breakers is None else (breakers, key))
        self._set_up(name)
        return self

    def _set_up(self, name: str) -> None:
        config = self._config
        self._name = name
        self._last_failure = None
        if config.state_provider is not None:
            config.state_provider._attach(self)
        if config.manual_control is not None:
            config.manual_control._attach(self)

    @property
    def config(self) -> CircuitBreakerConfig:
        """The options it was built from."""
        return self._config

    @property
    def name(self) -> str:
        """What its errors call it."""
        return self._name

    @property
    def state(self) -> CircuitState:
        """The state; HALF_OPEN from the end of the break on, though nobody has called yet."""
        return STATES[self._state()]

    @property
    def last_failure(self) -> BaseException | None:
        """The exception of the latest failure; None where that was a result, or since the breaker closed."""
        return self._last_failure

    def snapshot(self) -> BreakerSnapshot:
        """Take its figures; reading changes nothing."""
        state, time_in_state, counts = self._snapshot()
        throughput, failures, slow_calls, trips, *totals = counts
        ratios = (failures / throughput, slow_calls / throughput) if throughput else (0.0, 0.0)
        return BreakerSnapshot(
            STATES[state], time_in_state, throughput, failures, slow_calls, *ratios, trips, *totals
        )

    def isolate(self, reason: str | None = None) -> None:
        """Refuse every call with `CircuitIsolatedError`, which carries `reason`, until `reset`."""
        if reason is not None or id(self) in _extras:
            _extras_of(self).reason = reason
        self._isolate()

    def reset(self) -> None:
        """Close it, whatever state it is in, and forget its window and its last failure; totals stay."""
        self._last_failure = None
        self._reset()

    def __call__(self, func: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate a function or a coroutine function, so that each of its calls goes through the breaker.

        Raises:
            TypeError: `func` is a generator function, whose work begins only when its call has returned.
        """
        refuse_generator_function(func, "a circuit breaker")
        form = GUARDED_ASYNC if is_coroutine_function(func) else GUARDED
        guarded = form.fit(func, BreakerGate(self), self)
        return cast(Callable[_P, _R], functools.update_wrapper(guarded, func))

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Guard a coroutine function for a call or few; for many, decorate it."""
        return GUARDED_ASYNC.wrap(func, BreakerGate(self), self)

    def _conclude(self, admitted: BreakerPermit | int, result: Any) -> Any:
        """Settle a call by its result, or once it was awaited where it is an awaitable."""
        if not inspect.isawaitable(result):
            self._returned(admitted, result)
            return result
        if isinstance(admitted, int) and inspect.iscoroutine(result):
            # What admits freely has kept no place for it, and lets it in when it starts.
            return self._await_later(result)
        return self._await_now(admitted, result)

    def __enter__(self) -> BreakerPermit:
        """Let the block in, or raise; how it ends is what counts. Blocks nest, across threads and tasks.

        Left in another context than it was entered in, a block counts as ignored.
        """
        permit = self._enter()
        _blocks.set((*_blocks.get(()), (self, permit)))
        return permit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take note of how the block ended."""
        blocks = _blocks.get(())
        for index in range(len(blocks) - 1, -1, -1):
            breaker, permit = blocks[index]
            if breaker is self:
                _blocks.set(blocks[:index] + blocks[index + 1 :])
                permit.__exit__(kind, error, traceback)
                return

    async def __aenter__(self) -> BreakerPermit:
        """Let the block in, or raise; how it ends is what counts."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take note of how the block ended."""
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        """Show its name and state."""
        return f"<CircuitBreaker {self._name!r} {self.state}>"

    def _changed(self, from_state: int, to_state: int, at: float, trip: BreakerTrip | None) -> None:
        """Do what a change of state asks for; called by the native part, outside any lock."""
        if trip is not None and self._config.break_duration_generator is not None:
            self._choose_break(trip, self._config.break_duration_generator)
        if STATES[to_state] is CircuitState.CLOSED:
            self._last_failure = None
        extras = _extras.get(id(self))
        if self._listener is not None or extras is not None:
            event = breaker_event(self, STATES[from_state], STATES[to_state], at)
            if self._listener is not None:
                notify(self._listener, event)
            if extras is not None:
                extras.listeners(event)

    def _subscribe(self, listener: BreakerListener) -> Callable[[], None]:
        """Tell `listener` of changes as well, until what is returned is called."""
        return _extras_of(self).listeners.add(listener)

    def _choose_break(self, trip: BreakerTrip, generator: Callable[[int], Any]) -> None:
        try:
            self._set_break(trip, generator(trip.consecutive))
        except Exception:
            _log.exception("the break duration generator of %r failed; break_duration holds", self)

    def _refusal(self, state: int, retry_after: float | None) -> CircuitOpenError:
        """Build the error of a refusal; called by the native part."""
        refused_by = STATES[state]
        if refused_by is CircuitState.ISOLATED:
            extras = _extras.get(id(self))
            reason = None if extras is None else extras.reason
            return CircuitIsolatedError(
                f"circuit breaker {self._name!r} is isolated" + (f": {reason}" if reason else ""),
                policy=self._name,
                state=refused_by,
                last_failure=self._last_failure,
                reason=reason,
            )
        return CircuitOpenError(
            f"circuit breaker {self._name!r} is open",
            policy=self._name,
            retry_after=retry_after,
            state=refused_by,
            last_failure=self._last_failure,
        )

    async def _call_later(
        self, func: Callable[..., Awaitable[_R]], args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> _R:
        """Call a coroutine function once the awaitable that `call` gave is awaited."""
        admitted = self._admit()
        try:
            result = await func(*args, **(kwargs or {}))
        except BaseException as error:
            self._raised(admitted, error)
            raise
        self._returned(admitted, result)
        return result

    async def _await_later(self, coroutine: Any) -> Any:
        """Let a coroutine in when it is first awaited, as if it had been called then."""
        try:
            admitted = self._admit()
        except BaseException:
            coroutine.close()
            raise
        return await self._await_now(admitted, coroutine)

    async def _await_now(self, admitted: BreakerPermit | int, awaitable: Awaitable[_R]) -> _R:
        """Await what is under way, and take note of how it ends."""
        try:
            result = await awaitable
        except BaseException as error:
            self._raised(admitted, error)
            raise
        self._returned(admitted, result)
        return result
