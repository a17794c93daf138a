"""A run over answers made up here: order, failures, and how it is stopped."""

import asyncio

import pytest

from sluicegate import (
    APIError,
    AttemptTimeoutError,
    CircuitOpenError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
)
from sluicegate.flashcards._api import InterruptedCallError, NotKeptError
from sluicegate.flashcards._aside import OutputError
from sluicegate.flashcards._outage import OutageError
from sluicegate.flashcards._run import End, Run
from sluicegate.flashcards._stage1 import read_nuance
from sluicegate.flashcards._stage2 import Card, Cards
from sluicegate.flashcards._tally import Tally
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards._wire import ReplyError, UnansweredError

NUANCE = read_nuance('{"term": "x", "pos": "noun", "primary_meaning": "x"}')


class Answers:
    """Answers at once, or as told for a term; calls in flight stay so until `arrive` is set."""

    def __init__(self, behaviour=None):
        self.behaviour = behaviour or {}
        self.closing = False
        self.sending = set()
        self.arrive = asyncio.Event()
        self.begun = []
        self.most_at_once = 0

    async def nuance(self, item):
        if self.closing:
            raise InterruptedCallError
        self.begun.append(item.position)
        task = asyncio.current_task()
        self.sending.add(task)
        self.most_at_once = max(self.most_at_once, len(self.sending))
        try:
            behaviour = self.behaviour.get(item.term)
            if behaviour == "wait":
                await self.arrive.wait()
            elif isinstance(behaviour, int):
                for _ in range(behaviour):
                    await asyncio.sleep(0)
            elif behaviour is not None:
                raise behaviour
            else:
                await asyncio.sleep(0)
        finally:
            self.sending.discard(task)
        return NUANCE

    async def cards(self, item, nuance):
        if self.closing:
            raise InterruptedCallError
        await asyncio.sleep(0)
        return Cards((Card("Scene", "", item.term, "back", "", ""),), 1)


class Written(list):
    def write(self, item, cards):
        self.append((item.position, [card.front for card in cards]))


def words(*terms):
    return [VocabularyItem(position, term, "noun") for position, term in enumerate(terms, start=1)]


def run_of(items, answers, written, concurrency=4, window=40):
    return Run(items, answers, written, Tally(), concurrency=concurrency, window=window)


@pytest.mark.parametrize("concurrency", [1, 3, 20])
async def test_cards_are_written_in_input_order_whatever_finishes_first(concurrency):
    items = words(*"abcdefghij")
    answers, written = Answers({"a": 9, "d": 5, "h": 3}), Written()
    run = run_of(items, answers, written, concurrency)
    assert await run.execute() is End.COMPLETED
    assert written == [(item.position, [item.term]) for item in items]
    assert answers.most_at_once <= concurrency


async def test_positions_that_repeat_or_leave_gaps_give_a_result_each():
    items = [VocabularyItem(position, "x", "noun") for position in (5, 5, 900)]
    written = Written()
    run = run_of(items, Answers(), written)
    assert await run.execute() is End.COMPLETED
    assert [position for position, _ in written] == [5, 5, 900]


@pytest.mark.parametrize(
    ("error", "reason", "by_api", "category", "invalid"),
    [
        (InvalidRequestError(400, "400: no"), "400: no", True, "validation", True),
        (RateLimitError(7.0), "too many requests", True, "rate_limit", False),
        (ServerError(503, "503: busy"), "503: busy", True, "external_service", False),
        (
            AttemptTimeoutError("no end within 30 s", timeout=30.0),
            "no answer: no end within 30 s",
            True,
            "external_service",
            False,
        ),
        (CircuitOpenError("circuit open"), "not sent: circuit open", True, "external_service", False),
        (UnansweredError("refused"), "no answer: refused", True, "external_service", False),
        (ReplyError("the reply is empty"), "the reply is empty", False, "external_service", False),
        (NotKeptError("stage1 is not in the cache"), "stage1 is not in the cache", False, None, False),
    ],
)
async def test_a_word_that_fails_is_told_with_its_category_and_stops_no_other(
    error, reason, by_api, category, invalid
):
    items, written = words("a", "b", "c"), Written()
    run = run_of(items, Answers({"b": error}), written)
    assert await run.execute() is End.COMPLETED
    assert [position for position, _ in written] == [1, 3]
    (failed,) = run.failed
    assert (failed.item, failed.reason, failed.by_api) == (items[1], reason, by_api)
    assert (failed.category, failed.is_invalid) == (category, invalid)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (APIError(401, "401: who?"), End.REFUSED),
        (APIError(402, "402: pay"), End.REFUSED),
        (APIError(403, "403: no"), End.REFUSED),
        (InvalidRequestError(404, "404: no endpoints found"), End.MISADDRESSED),
        (InvalidRequestError(405, "405: use GET"), End.MISADDRESSED),
        (InvalidRequestError(400, "400: no such model"), End.MISADDRESSED),
        (OutageError("still out of order"), End.OUTAGE),
    ],
)
async def test_a_refusal_of_us_all_ends_the_run_and_begins_nothing_more(error, end):
    answers = Answers({"b": error})
    run = run_of(words(*"abcdefgh"), answers, Written(), concurrency=1)
    assert await run.execute() is end
    assert run.reason == str(error)
    assert answers.begun == [1, 2]


async def test_stopping_finishes_the_calls_in_flight_and_begins_nothing_more():
    answers, written = Answers(dict.fromkeys("abcd", "wait")), Written()
    run = run_of(words(*"abcdefgh"), answers, written, concurrency=2)
    running = asyncio.create_task(run.execute())
    while len(answers.sending) < 2:
        await asyncio.sleep(0)
    run.stop(End.INTERRUPTED, "interrupted")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done()
    answers.arrive.set()
    assert await running is End.INTERRUPTED
    assert answers.begun == [1, 2]


async def test_a_run_whose_last_call_was_in_flight_when_stopped_is_complete():
    class LastCall(Answers):
        async def cards(self, item, nuance):
            self.sending.add(asyncio.current_task())
            await self.arrive.wait()
            self.sending.discard(asyncio.current_task())
            return Cards((Card("Scene", "", item.term, "back", "", ""),), 0)

    answers, written = LastCall(), Written()
    run = run_of(words("a"), answers, written)
    running = asyncio.create_task(run.execute())
    for _ in range(10):
        await asyncio.sleep(0)
    run.stop(End.INTERRUPTED, "interrupted")
    answers.arrive.set()
    assert await running is End.COMPLETED
    assert written == [(1, ["a"])]


async def test_aborting_ends_the_calls_in_flight_too():
    answers = Answers({"a": "wait"})
    run = run_of(words("a"), answers, Written())
    running = asyncio.create_task(run.execute())
    while not answers.sending:
        await asyncio.sleep(0)
    run.stop(End.INTERRUPTED)
    run.abort()
    assert await running is End.INTERRUPTED


async def test_a_writer_that_fails_ends_the_run_with_its_error(tmp_path):
    class Full(Written):
        def write(self, item, cards):
            raise OutputError(tmp_path, OSError(28, "No space left on device"))

    run = run_of(words(*"abcdefgh"), Answers({"c": "wait"}), Full())
    with pytest.raises(OutputError):
        await run.execute()


async def test_no_word_runs_further_ahead_of_the_oldest_unfinished_one_than_the_window():
    answers = Answers({"a": "wait"})
    run = run_of(words(*"abcdefgh"), answers, Written(), concurrency=2, window=3)
    running = asyncio.create_task(run.execute())
    for _ in range(50):
        await asyncio.sleep(0)
    assert answers.begun == [1, 2, 3]
    answers.arrive.set()
    assert await running is End.COMPLETED
    assert sorted(answers.begun) == list(range(1, 9))


async def test_an_error_nobody_foresaw_is_raised_and_leaves_no_task_behind():
    run = run_of(words(*"abc"), Answers({"a": "wait", "b": RuntimeError("bug")}), Written())
    with pytest.raises(RuntimeError, match="bug"):
        await run.execute()
    assert len(asyncio.all_tasks()) == 1


async def test_a_run_over_no_words_completes():
    run = run_of([], Answers(), Written())
    assert await run.execute() is End.COMPLETED
    assert not run.failed_by_api


async def test_knows_when_every_word_failed_by_the_api():
    run = run_of(words("a", "b"), Answers(dict.fromkeys("ab", ServerError(500, "500"))), Written())
    await run.execute()
    assert run.failed_by_api
