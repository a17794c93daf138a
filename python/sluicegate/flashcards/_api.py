"""The API of two stages, called as a paid and limited service should be.

Every attempt passes, in this order: retry, the limits, the breaker, a timeout, and the wire. So each attempt
costs a permit, a refusal by the breaker is no attempt, and what the limits make us wait is not held against
the far side's time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from sluicegate import (
    APIError,
    AttemptTimeoutError,
    CircuitOpenError,
    CircuitState,
    Pipeline,
    RateLimiter,
    RateLimiterConfig,
    RateLimitError,
    RecoveryAction,
    Timeout,
)

from . import _stage1, _stage2
from ._announced import read_announcement
from ._cache_keys import cards_key, nuance_key
from ._connection import Connection, Line
from ._failures import recovery, structured
from ._flights import Flights
from ._hold import Admission, Clock
from ._latencies import Latencies
from ._log import LOG
from ._outage import Outages
from ._run_record import UNRECORDED, KeptAnswers, RunRecord
from ._settings import Settings
from ._stage1 import WordNuance
from ._stage2 import Cards
from ._tally import Tally
from ._telemetry import SILENT, Telemetry
from ._tokens import Tokens
from ._vocabulary import VocabularyItem
from ._wire import Answer, ReplyError, UnansweredError, Usage, is_outage, read_answer, request_body
from .cache import CompressedCache

_SHORT_HOLD = 0.5  # shorter ones come and go with every few requests at the limit

T = TypeVar("T")


class InterruptedCallError(Exception):
    """The run is ending, and this call was not sent any more."""


class NotKeptError(Exception):
    """The answer is not in the cache, and no request may be made."""


@dataclass(slots=True)
class _Call:
    """A call on its way: what is sent, under which limit of its own, and whether it was sent before."""

    name: str
    item: VocabularyItem
    body: bytes
    stage: RateLimiter | None
    key: bytes
    sent: bool = False
    began: float | None = None


class Api:
    """The answers of the API itself; an asynchronous context manager that holds its connections.

    Args:
        settings: where the API is, and how hard it may be used.
        base_url: takes the place of `settings.base_url`: that of the embedded server.
        tally: counts what happens.
        cache: where answers are looked for first, and kept; None for nowhere.
        cache_only: whether no request is made: what is not in the cache is missing.
        clock: for tests; limits, breaks and retries wait on it.
        rng: for tests; draws the jitter of retries.
        line: for tests; makes what takes the place of a connection.
        telemetry: told of stages, attempts and tokens.
        record: told of attempts; keeps answers where there is no cache.

    Attributes:
        tally: what happened so far.
        admission: what every request passes before it is sent.
        breaker: what stops the calls while the far side is out of order.
        flights: the calls under way, and how many were shared.
        tokens: what requests may cost, and did.
        latencies: how long answered requests took, by stage.
        sending: the tasks that have a request on the wire.
        closing: set to send nothing more.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        base_url: str | None = None,
        tally: Tally | None = None,
        cache: CompressedCache | None = None,
        cache_only: bool = False,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        line: Callable[[], Line] | None = None,
        telemetry: Telemetry = SILENT,
        record: RunRecord = UNRECORDED,
    ) -> None:
        self.tally = Tally() if tally is None else tally
        self.closing = False
        self.flights = Flights()
        self.sending: set[asyncio.Task[Any] | None] = set()
        self.admission = Admission(RateLimiterConfig.parse(settings.effective_rate), clock)
        self._outages = Outages(waits=settings.wait_for_breaker, clock=clock)
        self.breaker = self._outages.breaker
        self.tokens = Tokens(settings.tokens_rate, settings.token_budget, clock)
        self.latencies = {"stage1": Latencies(), "stage2": Latencies()}
        self._settings, self._cache_only = settings, cache_only
        self._kept = record.answers if cache is None else cache
        self._share_calls = settings.share_calls
        self._telemetry, self._record = telemetry, record
        self._price = settings.price
        telemetry.observe(self._read)
        if cache is not None:
            telemetry.observe(lambda: _cache_served(cache))
            telemetry.watch(lambda: (("flashcards.cache.size", cache.size),))
        self._clock = clock
        self._key = settings.api_key
        self._stage1 = _stage_limiter("stage1", settings.stage1_rate, clock)
        self._stage2 = _stage_limiter("stage2", settings.stage2_rate, clock)
        self._refused_last = False
        self._recovery = recovery(settings.max_attempts, clock, rng)
        self._guarded = Pipeline(self.breaker, Timeout(settings.timeout, clock=clock), name="api")
        self._connection = Connection(settings, base_url=base_url, line=line)

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.__aexit__(kind, error, traceback)

    async def nuance(self, item: VocabularyItem) -> WordNuance:
        """Return what stage 1 knows of a word.

        Raises:
            APIError: the far side's last word on the matter.
            ReplyError: twice in a row its reply was of no use.
            OutageError: it was out of order for too long.
            NotKeptError: it is not in the cache, and only that is asked.
        """
        flight = (_stage1.MODEL, item.term, item.type)
        body = request_body(_stage1.MODEL, _stage1.message(item))
        call = _Call("stage1", item, body, self._stage1, nuance_key(self._settings, item))
        return await self._once(flight, lambda: self._ask(call, _stage1.read_nuance))

    async def cards(self, item: VocabularyItem, nuance: WordNuance) -> Cards:
        """Return the cards stage 2 makes of a word; raises what `nuance` raises."""
        flight = (_stage2.MODEL, item.term, nuance)
        body = request_body(_stage2.MODEL, _stage2.message(item, nuance))
        call = _Call("stage2", item, body, self._stage2, cards_key(self._settings, item, nuance))
        return await self._once(flight, lambda: self._ask(call, _stage2.read_cards))

    @property
    def waiting_for(self) -> tuple[str, float]:
        """What holds every request up and for how many seconds; empty and 0 where nothing does."""
        if self.breaker.state is CircuitState.OPEN:
            return "waiting out a break", self.breaker.retry_after or 0.0
        held = self.admission.held_for
        return ("held by the API", held) if held >= _SHORT_HOLD else ("", 0.0)

    @property
    def cost(self) -> float | None:
        """What the tokens so far cost, in the currency of the prices; None where a price is not known."""
        return self._price(Usage(self.tally.prompt_tokens, self.tally.completion_tokens))

    async def _once(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        return await (self.flights.once(key, call) if self._share_calls else call())

    def _read(self) -> Iterable[tuple[str, float]]:
        limits, breaker = self.admission.limiter.stats(), self.breaker.snapshot()
        return (
            ("sluicegate.limiter.allowed", limits.allowed),
            ("sluicegate.limiter.denied", limits.denied),
            ("sluicegate.limiter.waited", limits.waited),
            ("sluicegate.breaker.trips", breaker.trips),
            ("sluicegate.breaker.rejected", breaker.total_rejected),
        )

    def _spend(self, usage: Usage) -> None:
        self.tally.spend(usage)
        self._telemetry.spent(usage, self._price(usage))

    async def _ask(self, call: _Call, read: Callable[[str], T]) -> T:
        """Read what is kept, or make a call and read its reply; one of no use is asked for once more."""
        kept = None if self._kept is None else await self._found(self._kept, call.key)
        if kept is not None:
            # One that an older reader took and this one does not is asked for anew.
            with contextlib.suppress(ReplyError):
                return read(kept)
        if self._cache_only:
            raise NotKeptError(f"{call.name} is not in the cache")
        with self._telemetry.span(call.name):
            try:
                return await self._reply(call, read)
            except ReplyError:
                return await self._reply(call, read)

    async def _found(self, answers: KeptAnswers, key: bytes) -> str | None:
        """Look an answer up; one that the run had before it had this cache goes into it."""
        kept = answers.get(key)
        if kept is None:
            kept = self._record.answered(key)
            if kept is not None:
                await answers.keep(key, kept)
        return kept

    async def _reply(self, call: _Call, read: Callable[[str], T]) -> T:
        try:
            answer = await self._outages.outlast(lambda: self._attempts(call))
            self._spend(answer.usage)
            found = read(answer.content)
        except ReplyError as error:
            self._spend(error.usage)
            self.tally.broken_replies += 1
            raise
        if self._kept is not None:
            await self._kept.keep(call.key, answer.content)
        return found

    async def _attempts(self, call: _Call) -> Answer:
        """Make the attempts of a call; the category of an error decides what follows one that failed."""
        attempt = 0
        while True:
            try:
                return await self._attempt(call)
            except (CircuitOpenError, ReplyError):
                raise  # of the first there is more to say than that a call failed, the second was answered
            except Exception as error:
                LOG.info("%s, attempt %d: %s", call.name, attempt + 1, error)
                action = await self._recovery.recover(structured(error), attempt)
                if action is not RecoveryAction.RETRY:
                    raise
            attempt += 1

    async def _attempt(self, call: _Call) -> Answer:
        if self.closing:
            raise InterruptedCallError
        taken = await self.tokens.take(call.body)
        sent, used = False, 0
        wrong: BaseException | None = None
        try:
            await self.admission.wait(call.stage)
            sent = True
            with self._telemetry.span("attempt"):
                answer = await self._guarded.call(self._send, call)
            used = answer.usage.tokens
        except ReplyError as error:
            used, wrong = error.usage.tokens, error
            raise
        except (APIError, AttemptTimeoutError, UnansweredError) as error:
            wrong = error
            self._note(error)
            if self.closing:
                raise InterruptedCallError from error
            raise
        except asyncio.CancelledError as error:
            wrong = error
            raise
        finally:
            if sent:
                self.tokens.settle(taken, used)
            else:
                self.tokens.give_back(taken)
            if call.began is not None:
                self._record.attempt(call.name, call.item, time.perf_counter() - call.began, wrong)
                call.began = None
        self._refused_last = False
        return answer

    async def _send(self, call: _Call) -> Answer:
        task = asyncio.current_task()
        self.sending.add(task)
        self.tally.requests += 1
        self.tally.retries += call.sent
        call.sent = True
        started = call.began = time.perf_counter()
        try:
            status, headers, content = await self._connection.post(call.body)
        finally:
            self.sending.discard(task)
        self.latencies[call.name].note(time.perf_counter() - started)
        announcement = read_announcement(headers)
        if announcement is not None:
            self.admission.heed(announcement)
        return read_answer(status, headers, content, self._key)

    def _note(self, error: Exception) -> None:
        if isinstance(error, RateLimitError):
            self.tally.refusals += 1
            # One refusal may be the bad luck of one call, which waits for itself; two in a row are the limit.
            if self._refused_last:
                self.admission.hold(error.retry_after or 0.0)
            self._refused_last = True
        elif isinstance(error, APIError):
            self.tally.server_errors += is_outage(error)
        else:
            self.tally.connection_errors += 1


def _cache_served(cache: CompressedCache) -> Iterable[tuple[str, float]]:
    hits, misses = cache.served
    return ("flashcards.cache.hits", hits), ("flashcards.cache.misses", misses)


def _stage_limiter(name: str, rate: str | None, clock: Clock | None) -> RateLimiter | None:
    return None if rate is None else RateLimiter(RateLimiterConfig.parse(rate), name=name, clock=clock)
