"""A run: so many words at once, their cards in the order of the input, and no word that stops the others."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from sluicegate import APIError, AttemptTimeoutError, CircuitOpenError, ErrorCategory

from ._api import InterruptedCallError, NotKeptError
from ._aside import CardWriter
from ._failures import FailedWord, is_misaddressed, structured
from ._log import LOG
from ._outage import OutageError
from ._run_record import UNRECORDED, RunRecord
from ._stage1 import WordNuance
from ._stage2 import Cards
from ._tally import Tally
from ._telemetry import SILENT, Telemetry
from ._tokens import BudgetError
from ._vocabulary import VocabularyItem
from ._wire import ReplyError, UnansweredError


class End(enum.Enum):
    """How a run ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    """By the far side: 401, 402 or 403."""
    MISADDRESSED = "misaddressed"
    """There is no such address or model: 404, 405, or a 400 that says so."""
    OUTAGE = "outage"
    BUDGET = "budget"
    """The tokens it may spend are spent."""


class AnswerSource(Protocol):
    """Where the answers of the two stages come from: the API, or what stands in front of it.

    Attributes:
        closing: set to begin nothing more.
        sending: the tasks that have a call in flight, and would lose what it costs.
    """

    closing: bool
    sending: set[asyncio.Task[Any] | None]

    async def nuance(self, item: VocabularyItem) -> WordNuance:
        """Return what stage 1 knows of a word."""
        ...

    async def cards(self, item: VocabularyItem, nuance: WordNuance) -> Cards:
        """Return the cards stage 2 makes of it."""
        ...


class Run:
    """The words of a vocabulary on their way to a writer.

    Words are begun in order and finish as they may; the writer gets their cards in order. A word may run
    ahead of the oldest unfinished one by at most `window` words, which bounds what is held back for the sake
    of order.

    Args:
        items: the words.
        source: where the answers come from.
        writer: where the cards go.
        tally: counts what happens.
        concurrency: words in progress at once.
        window: words that may be begun or finished, and not yet written.
        telemetry: told of words and cards.
        record: told of each word, and asked for what it knows of one.
    """

    def __init__(
        self,
        items: Sequence[VocabularyItem],
        source: AnswerSource,
        writer: CardWriter,
        tally: Tally,
        *,
        concurrency: int,
        window: int,
        telemetry: Telemetry = SILENT,
        record: RunRecord = UNRECORDED,
    ) -> None:
        self.end = End.COMPLETED
        self.reason = ""
        self._items = items
        self._source = source
        self._writer = writer
        self._tally = tally
        self._concurrency = min(concurrency, max(1, len(items)))
        self._window = max(window, self._concurrency)
        self._telemetry = telemetry
        self._record = record
        self._held_back: dict[int, Cards | None] = {}
        self._failed: dict[int, FailedWord] = {}
        self._next_to_write = 0
        self._moved = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    async def execute(self) -> End:
        """Run all words to their end, and return how it ended; `failed` and `reason` tell more.

        Raises:
            OutputError: the writer could not write.
        """
        pending = enumerate(self._items)
        self._workers = [
            asyncio.create_task(self._work(pending), name=f"words-{number}")
            for number in range(self._concurrency)
        ]
        try:
            await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in self._workers:
                worker.cancel()
            ends = await asyncio.gather(*self._workers, return_exceptions=True)
        for error in ends:
            if isinstance(error, Exception):
                raise error
        if self._next_to_write == len(self._items):
            # Whoever stopped it came too late: there was nothing left to begin.
            self.end, self.reason = End.COMPLETED, ""
        return self.end

    @property
    def total(self) -> int:
        """How many words there are."""
        return len(self._items)

    @property
    def failed(self) -> list[FailedWord]:
        """The words without cards so far, in input order."""
        return [self._failed[index] for index in sorted(self._failed)]

    @property
    def failed_by_api(self) -> bool:
        """Whether every single word failed, and each because of the far side."""
        asked = [word for word in self._failed.values() if not word.is_skipped]
        none_is_done = len(self._failed) == len(self._items)
        return none_is_done and bool(asked) and all(word.by_api for word in asked)

    def stop(self, end: End, reason: str = "") -> None:
        """Begin nothing more: calls in flight are finished, whatever waits is given up."""
        if self.end is not End.COMPLETED:
            return
        self.end, self.reason = end, reason
        LOG.info("nothing more is begun: %s", reason or end.value)
        self._source.closing = True
        for worker in self._workers:
            if worker not in self._source.sending:
                worker.cancel()

    def abort(self) -> None:
        """Stop now, also what is in flight."""
        self.stop(End.INTERRUPTED)
        for worker in self._workers:
            worker.cancel()

    async def _work(self, pending: Iterator[tuple[int, VocabularyItem]]) -> None:
        for index, item in pending:
            while index - self._next_to_write >= self._window:
                await self._moved.wait()
            known = self._record.known(index)
            if known is not None:
                self._deliver(index, known)
                await asyncio.sleep(0)  # what is known takes no time, and others want their turn
                continue
            await self._record.begin(index)
            try:
                with self._telemetry.word(item):
                    outcome = await self._word(item)
            except InterruptedCallError:
                return
            self._record.end(index, outcome)
            self._deliver(index, outcome)
            if self._source.closing:
                return

    async def _word(self, item: VocabularyItem) -> Cards | FailedWord:
        try:
            return await self._source.cards(item, await self._source.nuance(item))
        except OutageError as error:
            self.stop(End.OUTAGE, str(error))
            raise InterruptedCallError from error
        except BudgetError as error:
            self.stop(End.BUDGET, str(error))
            raise InterruptedCallError from error
        except NotKeptError as error:
            return FailedWord(item, str(error), by_api=False)
        except (APIError, CircuitOpenError, UnansweredError, AttemptTimeoutError, ReplyError) as error:
            return self._failed_word(item, error)

    def _failed_word(self, item: VocabularyItem, error: Exception) -> FailedWord:
        """Give a word up; where the far side refuses us altogether, stop the run instead."""
        if is_misaddressed(error):
            self.stop(End.MISADDRESSED, str(error))
            raise InterruptedCallError from error
        found = structured(error)
        if found.category is ErrorCategory.AUTHENTICATION:
            self.stop(End.REFUSED, str(error))
            raise InterruptedCallError from error
        reason = str(error)
        if isinstance(error, CircuitOpenError):
            reason = f"not sent: {error}"
        elif isinstance(error, UnansweredError | AttemptTimeoutError):
            reason = f"no answer: {error}"
        return FailedWord.of(item, reason, found)

    def _deliver(self, index: int, outcome: Cards | FailedWord) -> None:
        self._tally.words += 1
        if isinstance(outcome, FailedWord):
            self._failed[index] = outcome
            LOG.info("word %d failed: %s", outcome.item.position, outcome.reason)
            self._held_back[index] = None
        else:
            self._tally.rejected_rows += outcome.rejected
            self._held_back[index] = outcome
        while self._next_to_write in self._held_back:
            cards = self._held_back.pop(self._next_to_write)
            if cards is not None:
                self._writer.write(self._items[self._next_to_write], cards.cards)
                self._tally.rows += len(cards.cards)
                self._telemetry.created(len(cards.cards))
            self._next_to_write += 1
        self._moved.set()
        self._moved.clear()
