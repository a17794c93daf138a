"""The circuit breaker of a fleet: one state in Redis or Valkey, asked through the client that users have."""

import abc
import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from sluicegate._breaker_config import CircuitBreakerConfig
from sluicegate._calls import is_coroutine_function, refuse_generator_function
from sluicegate._circuit_breaker import BreakerSnapshot
from sluicegate._config import config_of
from sluicegate._durations import Duration
from sluicegate._events import BreakerListener, CircuitState
from sluicegate._time import Clock, resolve_clock
from sluicegate.backends._redis_breaker_known import Admission, RedisCircuitBreakerStats, Refused
from sluicegate.backends._redis_breaker_logic import BreakerLogic
from sluicegate.backends._redis_breaker_words import Outcome, outcome_of_error
from sluicegate.backends._redis_server import OnError, check_client, run

_P = ParamSpec("_P")
_R = TypeVar("_R")

DEFAULT_REFRESH = 0.5
DEFAULT_PREFIX = "sluicegate:"

_blocks: ContextVar[tuple[tuple[object, Any], ...]] = ContextVar("sluicegate_redis_blocks")
"""The `with` blocks around the running code: a breaker is shared, so it cannot keep them itself."""


def enter_block(breaker: object, permit: Any) -> None:
    """Remember the permit of a block that begins."""
    _blocks.set((*_blocks.get(()), (breaker, permit)))


def leave_block(breaker: object) -> Any:
    """Give the permit of the innermost block of `breaker`; None in another context than it began in."""
    blocks = _blocks.get(())
    for index in range(len(blocks) - 1, -1, -1):
        if blocks[index][0] is breaker:
            _blocks.set(blocks[:index] + blocks[index + 1 :])
            return blocks[index][1]
    return None


class Permit:
    """What both kinds of permits are: one call's leave, to be settled once."""

    __slots__ = ("_admission", "_client", "_logic")

    def __init__(self, logic: BreakerLogic, client: Any, admission: Admission) -> None:
        self._logic = logic
        self._client = client
        self._admission = admission

    def _outcome(self, result: Any) -> Outcome:
        """What a result means; where the predicate raises, nothing."""
        predicate = self._logic.config.handle_result
        try:
            failed = predicate is not None and predicate(result)
        except BaseException:
            self._logic.drop(self._admission)
            raise
        return Outcome.FAILURE if failed else Outcome.SUCCESS

    def _outcome_of_error(self, error: BaseException) -> Outcome:
        try:
            return outcome_of_error(self._logic.config, error)
        except BaseException:
            self._logic.drop(self._admission)
            raise

    def __del__(self) -> None:
        """Count as ignored what nobody settled."""
        self._logic.drop(self._admission)


class RedisBreakerPermit(Permit):
    """The permit to make one call; settle it with `success`, `failure` or `ignore`, once.

    As a context manager it is settled by how its block ends. One that is dropped unsettled counts as ignored,
    and frees the place of a probe with this process's next question. Settling it again does nothing, and so
    does settling while the server does not answer.
    """

    __slots__ = ()

    def success(self, result: Any = None) -> None:
        """Count a success; a failure where `handle_result` says so of `result`."""
        self._settle(self._outcome(result), None)

    def failure(self, error: BaseException | None = None) -> None:
        """Count a failure, whatever `handle` and `ignore` would say; `error` becomes `last_failure`."""
        self._settle(Outcome.FAILURE, error)

    def ignore(self) -> None:
        """Count nothing, and free the place where the call was a probe."""
        self._settle(Outcome.IGNORED, None)

    def _raised(self, error: BaseException) -> None:
        self._settle(self._outcome_of_error(error), error)

    def _settle(self, outcome: Outcome, error: BaseException | None) -> None:
        run(self._client, self._logic.settle(self._admission, outcome, error), self._logic.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.success()
        else:
            self._raised(error)


class Breaker(abc.ABC):
    """What both kinds share: how they are built, and what they know without asking."""

    _is_async: bool

    def __init__(
        self,
        client: Any,
        config: CircuitBreakerConfig | None = None,
        *,
        name: str,
        batch: int = 0,
        refresh: Duration = DEFAULT_REFRESH,
        on_error: OnError = "local",
        prefix: str = DEFAULT_PREFIX,
        clock: Clock | None = None,
        listener: BreakerListener | None = None,
        **fields: Any,
    ) -> None:
        check_client(client, type(self).__name__, is_async=self._is_async)
        config = config_of(CircuitBreakerConfig, config, fields)
        self._logic = BreakerLogic(
            client,
            config,
            name=name,
            batch=batch,
            refresh=refresh,
            on_error=on_error,
            prefix=prefix,
            clock=resolve_clock(clock),
            listener=listener,
        )
        self._logic.owner = self
        self._client = self._logic.server.client
        self._attach(config)

    @abc.abstractmethod
    def _attach(self, config: CircuitBreakerConfig) -> None:
        """Give it into the hands of who reads and controls it."""

    @property
    def config(self) -> CircuitBreakerConfig:
        """The options that this process applies."""
        return self._logic.config

    @property
    def name(self) -> str:
        """Which breaker of the server this is, and what its errors call it."""
        return self._logic.name

    @property
    def state(self) -> CircuitState:
        """The state as far as this process knows, without a question: CLOSED before the first."""
        return self._logic.standing().state

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may go ahead, as far as this process knows; None when isolated or closed."""
        return self._logic.standing().retry_after

    @property
    def last_failure(self) -> BaseException | None:
        """The exception of this process's latest failure; None for a result, or since it closed."""
        return self._logic.last_failure

    def stats(self) -> RedisCircuitBreakerStats:
        """Read what it has cost this process in round trips."""
        return self._logic.stats()

    def __repr__(self) -> str:
        """Show its name, and the state as far as this process knows."""
        return f"<{type(self).__name__} {self.name!r} {self.state}>"


class RedisCircuitBreaker(Breaker):
    """One circuit breaker for every process that gives the same server the same name.

    They trip and probe together, by the rules of `sluicegate.CircuitBreaker`: state, window and the leases of
    probes lie under one key, and one script changes them, by the server's clock and in integers. A probe that
    dies with its worker loses its place after the probe timeout. A result from before a change of state, or
    from before the server lost its data, counts in the totals alone.

    For `refresh` seconds a process acts on what the server said last. While closed, a call asks nothing
    before and tells its end in one round trip; while open, a process asks once a `refresh`, and a probe asks
    before and after. So a process learns of a trip of others with the end of its next call, and at most
    `refresh` seconds late. With `batch`, up to so many fast successes are told in one round trip, after
    `refresh` seconds at most; what is not told yet is missing in the window, so that a breaker trips the
    sooner for it, never later.

    A server that fails costs one timeout of the client (see `RedisRateLimiter`), before a call or after it,
    and then one call a second tries again. Meanwhile what the server said of an isolation or of a break that
    still lasts stands, and else `on_error` decides. What cannot be told of a call's end is lost, and is no
    error of the call. A server that lost its data knows a closed breaker.

    Predicates, generators and listeners are this process's own; a listener hears of the changes that this
    process brought. Each process applies its own numbers to the shared state, so that they may be changed one
    process at a time; those with another window see what is told by their like.

    Args:
        client: A blocking client of redis-py or valkey-py, or a cluster's; see `RedisRateLimiter`.
        config: The options; a `CircuitBreakerConfig`. A manual control isolates the breaker of all processes.
        name: Which breaker this is; processes that share it share the breaker.
        batch: How many fast successes are told at once; up to 1 tells every one.
        refresh: Seconds for which a process acts on what the server said last; 0 asks before every call.
        on_error: What decides in an outage: "local" (a breaker of this process alone, with the same options),
            "allow", "deny" or "raise" (`BackendError`, also from `try_enter`).
        prefix: What all keys begin with.
        clock: What slowness, refreshing and outages go by here; None for the machine's monotonic clock.
        listener: Called with a `BreakerEvent` after each change of state that this process brought.
        **fields: Fields of the config, in place of it or on top of it.

    Raises:
        ConfigurationError: A field or an option makes no sense.

    Example:
        >>> import redis
        >>> client = redis.Redis(port=1, socket_timeout=0.1)  # nobody listens there
        >>> breaker = RedisCircuitBreaker(client, name="search", consecutive_failures=1)
        >>> breaker.try_enter().failure()
        >>> breaker.state
        <CircuitState.OPEN: 'open'>
    """

    _is_async = False

    def _attach(self, config: CircuitBreakerConfig) -> None:
        itself: Any = self  # it has what they ask of a CircuitBreaker
        if config.state_provider is not None:
            config.state_provider._attach(itself)
        if config.manual_control is not None:
            config.manual_control._attach(itself)

    def try_enter(self) -> RedisBreakerPermit | None:
        """Ask for a permit; None where the call is refused.

        Raises:
            BackendError: The server does not answer, and `on_error` is "raise".
        """
        admitted = self._admit()
        return (
            RedisBreakerPermit(self._logic, self._client, admitted)
            if isinstance(admitted, Admission)
            else None
        )

    def call(self, func: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call a function, or raise `CircuitOpenError`; how it ends is what counts.

        Raises:
            CircuitOpenError: The breaker is open; `CircuitIsolatedError` where by hand.
            TypeError: `func` is a coroutine function, or gave an awaitable: a blocking client would hold up
                the event loop.
        """
        if is_coroutine_function(func):
            raise TypeError(_FOR_COROUTINES)
        permit = self._enter()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            permit._raised(error)
            raise
        if inspect.isawaitable(result):
            permit.ignore()
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError(_FOR_COROUTINES)
        permit.success(result)
        return result

    def __call__(self, func: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate a function, so that each of its calls goes through the breaker.

        Raises:
            TypeError: `func` is a coroutine function or a generator function.
        """
        refuse_generator_function(func, "a circuit breaker")
        if is_coroutine_function(func):
            raise TypeError(_FOR_COROUTINES)

        @functools.wraps(func)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            return self.call(func, *args, **kwargs)

        return guarded

    def snapshot(self) -> BreakerSnapshot:
        """Ask the server for the figures, one round trip; others' successes that were kept back are missing.

        Raises:
            BackendError: The server does not answer.
        """
        return run(self._client, self._logic.snapshot(), self._logic.clock)

    def isolate(self, reason: str | None = None) -> None:
        """Refuse every call of every process, `refresh` seconds later at most, until `reset`.

        Raises:
            BackendError: The server does not answer.
        """
        self._force(CircuitState.ISOLATED, reason)

    def reset(self) -> None:
        """Close it for every process, and forget its window; totals stay.

        Raises:
            BackendError: The server does not answer.
        """
        self._logic.last_failure = None
        self._force(CircuitState.CLOSED)

    def metrics_only(self) -> None:
        """Let every call through and record it, but never trip.

        Raises:
            BackendError: The server does not answer.
        """
        self._force(CircuitState.METRICS_ONLY)

    def disable(self) -> None:
        """Let every call through and record nothing.

        Raises:
            BackendError: The server does not answer.
        """
        self._force(CircuitState.DISABLED)

    def close(self) -> None:
        """Close the connections that were opened beside those of the client; the next call opens others."""
        self._client.close()

    def __enter__(self) -> RedisBreakerPermit:
        """Let the block in, or raise; how it ends is what counts. Blocks nest, across threads and tasks."""
        permit = self._enter()
        enter_block(self, permit)
        return permit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take note of how the block ended."""
        permit = leave_block(self)
        if permit is not None:
            permit.__exit__(kind, error, trace)

    def _admit(self) -> Admission | Refused:
        logic = self._logic
        return logic.known() or run(self._client, logic.enter(), logic.clock)

    def _enter(self) -> RedisBreakerPermit:
        admitted = self._admit()
        if isinstance(admitted, Refused):
            raise self._logic.error(admitted)
        return RedisBreakerPermit(self._logic, self._client, admitted)

    def _force(self, state: CircuitState, reason: str | None = None) -> None:
        run(self._client, self._logic.force(state, reason), self._logic.clock)


_FOR_COROUTINES = "RedisCircuitBreaker blocks: use AsyncRedisCircuitBreaker for coroutines"
