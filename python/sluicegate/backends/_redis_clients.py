"""Clients that find their server by themselves, a cluster's or a sentinel's, asked by their own methods."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any


class Client:
    """A client used as it is, with the waits and retries it was built with: no budget ends them.

    Args:
        client: The client.
        timeout: Seconds that a question may take, where something can be done about it.
    """

    def __init__(self, client: Any, timeout: float) -> None:
        self._client = client
        self.timeout = timeout

    def ask(self, words: tuple[Any, ...], _until: float) -> Any:
        """Send a command and return the answer, or raise what the client's library would."""
        return self._client.execute_command(*words)

    def close(self) -> None:
        """Close nothing: the connections are the client's."""


class Nodes(Client):
    """A cluster's client, asked for one node at a time: moved slots are followed, failures are not retried.

    The client would ask a node that does not answer a dozen times. One that is named is asked once, and the
    client learns the cluster's shape anew all the same.
    """

    def __init__(self, client: Any, timeout: float, errors: Any) -> None:
        super().__init__(client, timeout)
        self._uncovered: type[Exception] = errors.SlotNotCoveredError

    def ask(self, words: tuple[Any, ...], until: float) -> Any:
        """Ask the node that has the key of a script, its fourth word."""
        try:
            node = self._client.get_node_from_key(words[3])
        except self._uncovered:  # let the client look for the node
            return super().ask(words, until)
        return self._client.execute_command(*words, target_nodes=node)


class AsyncClient(Client):
    """The same for coroutines, with an end: what is still under way then ends behind the question's back.

    To cancel it instead would keep the client from what it does about a failure: from asking another
    sentinel, or from learning the cluster's shape anew.
    """

    def __init__(self, client: Any, timeout: float) -> None:
        super().__init__(client, timeout)
        self._late: set[asyncio.Task[Any]] = set()

    async def ask(self, words: tuple[Any, ...], until: float) -> Any:
        """Send a command and return the answer, or raise what the client's library would."""
        task = asyncio.create_task(self._ask(words))
        try:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
        except BaseException:
            task.cancel()
            raise
        if not done:
            self._late.add(task)
            task.add_done_callback(self._forget)
            raise TimeoutError("the time of the question is over")
        return task.result()

    def _ask(self, words: tuple[Any, ...]) -> Coroutine[Any, Any, Any]:
        return self._client.execute_command(*words)  # type: ignore[no-any-return]  # a client of any kind

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()

    async def aclose(self) -> None:
        """Close nothing: the connections are the client's."""


class AsyncNodes(AsyncClient):
    """A cluster's client for coroutines, asked for one node at a time."""

    def __init__(self, client: Any, timeout: float, errors: Any) -> None:
        super().__init__(client, timeout)
        self._uncovered: type[Exception] = errors.SlotNotCoveredError

    async def _ask(self, words: tuple[Any, ...]) -> Any:
        await self._client.initialize()
        try:
            node = self._client.get_node_from_key(words[3])
        except self._uncovered:
            return await self._client.execute_command(*words)
        return await self._client.execute_command(*words, target_nodes=node)
