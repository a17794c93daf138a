"""Blocking connections whose waits end together: a client's timeout is one a read, this is one in all."""

import math
import time
from typing import Any


class Budget:
    """Until when a question may wait, on the machine's monotonic clock in seconds."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = math.inf

    def left(self) -> float:
        """Return the seconds left, more than 0.

        Raises:
            TimeoutError: There are none.
        """
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the question is over")
        return left


class BoundedSocket:
    """A socket that waits for nothing longer than a budget lasts; all else is the socket's own."""

    __slots__ = ("_budget", "_socket")

    def __init__(self, socket: Any, budget: Budget) -> None:
        self._socket = socket
        self._budget = budget

    def recv(self, size: int) -> bytes:
        """Receive what there is, or wait for it while the budget lasts."""
        self._socket.settimeout(self._budget.left())
        return self._socket.recv(size)  # type: ignore[no-any-return]  # a socket of any kind

    def recv_into(self, *into: Any) -> int:
        """Receive into a buffer, as hiredis does."""
        self._socket.settimeout(self._budget.left())
        return self._socket.recv_into(*into)  # type: ignore[no-any-return]

    def sendall(self, message: bytes) -> None:
        """Send all of it while the budget lasts."""
        self._socket.settimeout(self._budget.left())
        self._socket.sendall(message)

    def settimeout(self, _timeout: float | None) -> None:
        """Ignore other timeouts."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class _Bounded:
    """What makes a connection of redis-py or valkey-py a bounded one."""

    _connect_timeout: float | None = None

    def __init__(self, **settings: Any) -> None:
        self.budget = Budget()
        super().__init__(**settings)

    @property
    def socket_connect_timeout(self) -> float:
        """What each address may take to connect: the client's timeout for it, if that is sooner."""
        left = self.budget.left()
        return left if self._connect_timeout is None else min(left, self._connect_timeout)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, timeout: float | None) -> None:
        self._connect_timeout = timeout

    @property
    def socket_timeout(self) -> float:
        """What is left once it is connected, for a handshake of TLS."""
        return self.budget.left()

    @socket_timeout.setter
    def socket_timeout(self, timeout: float | None) -> None:
        """Ignore it: the budget comes with each question."""

    def _connect(self) -> BoundedSocket:
        return BoundedSocket(super()._connect(), self.budget)  # type: ignore[misc]  # the connection's own


def bounded(kind: type[Any]) -> type[Any]:
    """Return the connections of a kind, with a `budget` that ends all their waits."""
    return type(kind.__name__, (_Bounded, kind), {})
