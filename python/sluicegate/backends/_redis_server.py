"""Asking a Redis or Valkey server as the user's client would: one script, one round trip, one timeout."""

import hashlib
import time
from collections.abc import Callable, Generator
from importlib.resources import files
from typing import Any, Literal, TypeVar

from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._errors import BackendError, ConfigurationError
from sluicegate._time import Clock, sleep_until, sleep_until_blocking
from sluicegate.backends._redis_connections import connections_of, is_async_client, library_of

T = TypeVar("T")
Plan = Generator[tuple[Any, ...], Any, T]
"""Logic without a client: it yields commands or a deadline to wait for, and returns what came of it."""

OnError = Literal["local", "allow", "deny", "raise"]
"""What decides while the server does not answer."""

_MODES = ("local", "allow", "deny", "raise")

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What the libraries' parsers and ours raise where the other side speaks another language."""

BREAK = 1.0
"""Seconds for which nobody asks a server that failed to answer; then one call tries it again."""


class OutageError(Exception):
    """The server cannot be asked, or did not answer.

    Args:
        sent: Whether it may have done what was asked all the same.
    """

    def __init__(self, sent: bool) -> None:
        super().__init__(sent)
        self.sent = sent


class Server:
    """One server or cluster, with a script and a breaker around every question.

    Args:
        client: A client of redis-py or valkey-py.
        script: The name of the script's file.
        clock: What the breaker reads.
    """

    def __init__(self, client: Any, script: str, clock: Clock | None) -> None:
        library = library_of(client)
        family = "Redis" if hasattr(library, "RedisError") else "Valkey"
        # That a cluster has no node for a slot is no error of the libraries' own kind.
        bases = (getattr(library, f"{family}Error"), getattr(library, f"{family}ClusterException"))
        self._errors: tuple[type[BaseException], ...] = (*bases, OSError, *_UNREADABLE)
        self._missing: type[BaseException] = library.NoScriptError
        self._text = files("sluicegate.backends").joinpath("lua", script).read_text("ascii")
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self.breaker = CircuitBreaker(consecutive_failures=1, break_duration=BREAK, clock=clock)
        self.client = connections_of(client)
        self.last_error: BaseException | None = None
        self.round_trips = 0
        self.errors = 0

    def ask(self, read: Callable[[Any], T], keys: tuple[bytes, ...], *arguments: Any) -> Plan[T]:
        """Run the script on `keys`, unless the server failed a moment ago, and `read` its answer.

        Raises:
            OutageError: There is no answer, or none that can be read.
        """
        permit = self.breaker.try_enter()
        if permit is None:
            raise OutageError(sent=False)
        with permit:
            try:
                self.round_trips += 1
                try:
                    reply = yield ("EVALSHA", self._sha, len(keys), *keys, *arguments)
                except self._missing:
                    self.round_trips += 1
                    reply = yield ("EVAL", self._text, len(keys), *keys, *arguments)
                answer = read(reply)
            except self._errors as error:
                self.last_error = error
                self.errors += 1
                permit.failure(error)
                raise OutageError(sent=True) from error
        return answer

    def failure(self, whose: str) -> BackendError:
        """Say what became of the server of `whose`, as in "the limit 'api'"."""
        why = type(self.last_error).__name__ if self.last_error is not None else "a probe is under way"
        return BackendError(f"the server of {whose} does not answer ({why})", backend="redis")

    @property
    def retry_after(self) -> float:
        """Seconds until the server is asked again."""
        return self.breaker.retry_after or BREAK


def run(client: Any, plan: Plan[T], clock: Clock) -> T:
    """Carry a plan out with connections for threads; all questions between two waits share one timeout."""
    left = client.timeout
    try:
        command = next(plan)
        while True:
            try:
                if len(command) == 1:
                    reply = None
                    sleep_until_blocking(clock, command[0])
                    left = client.timeout
                else:
                    until = time.monotonic() + left
                    try:
                        reply = client.ask(command, until)
                    finally:
                        left = until - time.monotonic()
            except BaseException as error:
                command = plan.throw(error)
            else:
                command = plan.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what the plan returns


async def run_async(client: Any, plan: Plan[T], clock: Clock) -> T:
    """Carry a plan out with connections for coroutines; all questions between two waits share one timeout."""
    left = client.timeout
    try:
        command = next(plan)
        while True:
            try:
                if len(command) == 1:
                    reply = None
                    await sleep_until(clock, command[0])
                    left = client.timeout
                else:
                    until = time.monotonic() + left
                    try:
                        reply = await client.ask(command, until)
                    finally:
                        left = until - time.monotonic()
            except BaseException as error:
                command = plan.throw(error)
            else:
                command = plan.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what the plan returns


def check_client(client: Any, owner: str, *, is_async: bool) -> None:
    """Refuse a client of the other kind.

    Raises:
        ConfigurationError: `owner`, the name of a class, waits in another way than `client` does.
    """
    if is_async_client(client) is not is_async:
        kind = "an asyncio" if is_async else "a blocking"
        other = owner.removeprefix("Async") if is_async else f"Async{owner}"
        message = f"{owner} needs {kind} client: give this one to {other}"
        raise ConfigurationError(message, field="client", value=type(client).__name__)


def check_on_error(on_error: str) -> None:
    """Refuse what names no way to decide in an outage.

    Raises:
        ConfigurationError: It is none of "local", "allow", "deny" and "raise".
    """
    if on_error not in _MODES:
        message = f"on_error must be one of {', '.join(_MODES)}, not {on_error!r}"
        raise ConfigurationError(message, field="on_error", value=on_error)
