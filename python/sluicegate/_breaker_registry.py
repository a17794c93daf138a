"""A circuit breaker for each key: made when first asked for, dropped when it has nothing to remember."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sluicegate._breaker_config import CircuitBreakerConfig, check_callable
from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._config import config_of
from sluicegate._errors import ConfigurationError
from sluicegate._events import Listeners
from sluicegate._native import DroppedBreakers, SharedBreakers
from sluicegate._shared import Shared, adopt_config, canonical, prepare

if TYPE_CHECKING:
    from sluicegate._events import BreakerListener
    from sluicegate._time import Clock

Key: TypeAlias = "str | bytes | int | tuple[Key, ...]"

DEFAULT_MAX_KEYS = 65_536

_LOOKS = 16
"""How many breakers a key that is added past `max_keys` looks at for those to drop."""

_PLAIN = frozenset({str, int})
"""The types of most keys, which are what they equal."""


@dataclass(frozen=True, slots=True)
class BreakerRegistryStats:
    """What a registry's breakers have done, those it dropped included.

    Attributes:
        live: The breakers it holds.
        over_max_keys: How many of them are more than `max_keys`, because none that it met could be dropped.
        created: The breakers it has made.
        dropped: The breakers it has dropped.
        trips: How often its breakers have tripped.
        total_successes: Their successes.
        total_failures: Their failures.
        total_slow: Their slow calls.
        total_ignored: Their calls that said nothing about the far side.
        total_rejected: Their refusals.
    """

    live: int
    over_max_keys: int
    created: int
    dropped: int
    trips: int
    total_successes: int
    total_failures: int
    total_slow: int
    total_ignored: int
    total_rejected: int


class CircuitBreakerRegistry:
    """Keeps a circuit breaker for each key, such as a host, all of one config: `registry[key]`.

    A breaker is made when its key is first asked for. Beyond `max_keys`, each key added has up to sixteen
    others looked at in turn, and those dropped that no one can miss: closed, with an empty window and no
    failure at the end of a row, and referenced by nobody else. One that is dropped and asked for again
    decides as if it had never gone, and what it had counted stays in `stats`; only its `last_failure` is
    gone. Every other breaker stays, even past `max_keys`: with `sampling_count`, whose window empties by
    `reset` alone, each one that has completed a call.

    A key is a str, bytes, an int, or a tuple of these; a str equals the bytes of its UTF-8. Safe for threads:
    no lock is held at all, each step is one. A lookup costs about three calls of a Python function, and a
    breaker some 800 bytes, its place in the registry included. The eviction follows the CLOCK algorithm
    (Corbató, 1968), where an empty window stands for the mark of disuse.

    Args:
        config: The options of every breaker; a `CircuitBreakerConfig`. Its manual control holds all of them.
        max_keys: How many breakers to keep before looking for those to drop, at least 1.
        name: What errors call the breakers, together with the key: `search[example.org]`; the key alone where
            it is empty.
        clock: None for the machine's monotonic clock, or a `sluicegate.testing.ManualClock`.
        shared: A name, or a path (a str with a separator, or a `PathLike`): the breaker of a key is one for
            all processes of this machine that name it. Its state has a place in a mapped file for as long as
            that lasts, 1 kB a key; keys that find none left have breakers of this process alone.
        adopt: Take the numbers of the config and the size of the shared file as they are, should there be
            one already.
        listener: Called with a `BreakerEvent` after each change of any breaker's state, outside any lock.

    Raises:
        ConfigurationError: `max_keys` is no whole number from 1, the listener cannot be called, or the config
            has a state provider, which reads one breaker only; the shared file was made with another config
            or size.
        BackendError: The shared file is foreign, damaged, or of before the machine's last start.

    Example:
        >>> from sluicegate import CircuitBreakerConfig, CircuitBreakerRegistry
        >>> registry = CircuitBreakerRegistry(CircuitBreakerConfig(consecutive_failures=5), name="search")
        >>> registry["example.org"].call(len, "four")
        4
        >>> registry["example.org"] is registry[b"example.org"]
        True
        >>> "example.com" in registry, list(registry)
        (False, ['example.org'])
        >>> registry.stats().total_successes
        1
    """

    __slots__ = (
        "__weakref__",
        "_config",
        "_dropped",
        "_listeners",
        "_live",
        "_max_keys",
        "_name",
        "_ring",
        "_shared",
        "_terms",
    )

    def __init__(
        self,
        config: CircuitBreakerConfig | None = None,
        *,
        max_keys: int = DEFAULT_MAX_KEYS,
        name: str = "",
        clock: Clock | None = None,
        shared: Shared | None = None,
        adopt: bool = False,
        listener: BreakerListener | None = None,
    ) -> None:
        if isinstance(max_keys, bool) or not isinstance(max_keys, int) or max_keys < 1:
            message = f"max_keys must be a whole number from 1, not {max_keys!r}"
            raise ConfigurationError(message, field="max_keys", value=max_keys)
        check_callable("listener", listener)
        config = config_of(CircuitBreakerConfig, config, {})
        if config.state_provider is not None:
            message = "a state provider reads one breaker, and a registry has many"
            raise ConfigurationError(message, field="state_provider", value=config.state_provider)
        self._shared: SharedBreakers | None = None
        if shared is not None:
            path = prepare(shared)
            found = adopt_config(path, "breaker registry") if adopt else None
            if found is not None:
                config, max_keys = config._adopting(found), found["max_keys"]
            place = path, canonical({**config._written(), "max_keys": max_keys})
            self._shared = SharedBreakers(place, max_keys, clock)
        self._config = config
        self._max_keys = max_keys
        self._name = name
        self._listeners = Listeners() if listener is None else Listeners(listener)
        self._terms = config._terms(clock, self._listeners)
        self._live: dict[Key, CircuitBreaker] = {}
        # Every live key once, but for one that a thread is looking at; the left end is the clock's hand.
        self._ring: deque[Key] = deque()
        self._dropped = DroppedBreakers()

    @property
    def config(self) -> CircuitBreakerConfig:
        """The options its breakers are built from."""
        return self._config

    @property
    def max_keys(self) -> int:
        """How many breakers it keeps before it looks for those to drop."""
        return self._max_keys

    @property
    def name(self) -> str:
        """What errors call its breakers, together with their keys."""
        return self._name

    def __getitem__(self, key: Key) -> CircuitBreaker:
        """Give the breaker of `key`, made now where there is none; the same one for as long as it is live.

        Raises:
            TypeError: `key` is no str, bytes, int or tuple of these; a float and a bool are not.
        """
        if type(key) is not str:
            key = _canonical(key)
        breaker = self._live.get(key)
        return self._add(key) if breaker is None else breaker

    def __contains__(self, key: Key) -> bool:
        """Tell whether `key` has a live breaker; asking makes none."""
        return _canonical(key) in self._live

    def __iter__(self) -> Iterator[Key]:
        """Go over the keys that are live now, the oldest first; bytes of UTF-8 come as the str."""
        return iter(list(self._live))

    def __len__(self) -> int:
        """Count the live breakers."""
        return len(self._live)

    def stats(self) -> BreakerRegistryStats:
        """Add up what all its breakers have done, in a few nanoseconds for each live one."""
        live, dropped, totals = self._dropped.figures(self._live)
        return BreakerRegistryStats(live, max(0, live - self._max_keys), live + dropped, dropped, *totals)

    def _shared_keys(self) -> int:
        """Count the keys that have a place in the shared file."""
        return 0 if self._shared is None else len(self._shared)

    def __repr__(self) -> str:
        """Show its name and how many breakers it holds."""
        return f"<CircuitBreakerRegistry {self._name!r} of {len(self)}>"

    def _add(self, key: Key) -> CircuitBreaker:
        shown = key if isinstance(key, str) else repr(key)
        name = f"{self._name}[{shown}]" if self._name else shown
        made = CircuitBreaker._under((key, self._shared), self._terms, name=name)
        # Where two threads make one, the first to come here keeps it: the other's has admitted nothing.
        breaker = self._live.setdefault(key, made)
        if breaker is made:
            self._ring.append(key)
            self._drop_idle()
        return breaker

    def _subscribe(self, listener: BreakerListener) -> Callable[[], None]:
        """Tell `listener` of the changes of all breakers as well, until what is returned is called."""
        return self._listeners.add(listener)

    def _drop_idle(self) -> None:
        for _ in range(_LOOKS):
            if len(self._live) <= self._max_keys:
                return
            try:
                key = self._ring.popleft()
            except IndexError:  # other threads are looking at all of them
                return
            if self._dropped.take(self._live, key) is None:
                self._ring.append(key)


def _canonical(key: Key) -> Key:
    """Reduce equal keys to one of a built-in type, which hashes and compares without anybody's code."""
    if type(key) in _PLAIN or (type(key) is tuple and _PLAIN.issuperset(map(type, key))):
        return key
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bytes):
        try:
            return bytes.decode(key)
        except UnicodeDecodeError:
            return bytes.__getitem__(key, slice(None))
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__index__(key)
    if isinstance(key, tuple):
        return tuple(map(_canonical, tuple.__iter__(key)))
    raise TypeError(f"a key is a str, bytes, an int or a tuple of these, not {type(key).__name__}")
