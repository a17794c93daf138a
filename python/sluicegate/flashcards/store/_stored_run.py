"""A run that is kept: what is known of its words, and the thread that writes down how they go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from sluicegate.flashcards._failures import QUARANTINED, FailedWord
from sluicegate.flashcards._run_record import RunRecord
from sluicegate.flashcards._stage2 import Cards
from sluicegate.flashcards._vocabulary import VocabularyItem

from ._answers import RunAnswers
from ._database import Database, StoreError
from ._quarantine import absolve, accuse
from ._tables import ANSWERS, ATTEMPTS, RUNS, WORDS, RunState, WordState
from ._words import packed, unpacked
from ._writer import Writer

MAX_BACKLOG = 4_000
"""Entries that may wait to be written; beyond them no word is begun, which bounds the memory."""

_BLOCK = 256  # words whose cards are read at once
_LOOK_AGAIN = 0.05

_UPDATE = (
    sa.update(WORDS)
    .where(WORDS.c.run_id == bindparam("in_run"), WORDS.c.number == bindparam("at"))
    .values(state=bindparam("state"), reason=bindparam("reason"), cards=bindparam("cards"))
)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A request that was sent."""

    stage: str
    item: VocabularyItem
    at: float
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """A text that somebody waits to have on the disk."""

    key: str
    value: bytes
    tell: Callable[[], None]


_Entry = tuple[int, Cards | FailedWord | None] | _Attempt | _Answer


class StoredRun(RunRecord):
    """A run in the database, on which this process works; made by `Store.begin`.

    Args:
        database: where it is.
        run_id: its number.
        api: who is asked.
        items: its words.
        resumed: how many of them have their cards already.
        quarantined: why words are skipped, by term and type.
        suspects: term and type of each word that failed before.
        answers: packed texts by their key, kept while the run had no cache.
        keep_answers: whether it has none now.
        is_new: whether no other process has worked on it before.

    Attributes:
        answers: stands in for the cache, where the run has none.
        pool: what the pool of connections does.
    """

    is_kept = True

    def __init__(
        self,
        database: Database,
        *,
        run_id: int,
        api: str,
        items: Sequence[VocabularyItem],
        resumed: int,
        quarantined: Mapping[tuple[str, str], str],
        suspects: set[tuple[str, str]],
        answers: Mapping[str, bytes],
        keep_answers: bool,
        is_new: bool,
    ) -> None:
        self.run_id, self.resumed, self.is_new = run_id, resumed, is_new
        self._database, self._api, self._items = database, api, items
        self.pool = database.pool
        self._answered = RunAnswers(answers, self._keep)
        self.answers = self._answered if keep_answers else None
        self._quarantined, self._suspects = quarantined, suspects
        self._known: dict[int, object] = {}
        self._known_to = 0 if resumed else len(items)
        self._reading_fault = ""
        self._writer: Writer[_Entry] = Writer(self._commit, StoreError, _tell)

    @property
    def greeting(self) -> str:
        """What it goes on with, in one line."""
        words = len(self._items)
        return f"going on with run {self.run_id}: {self.resumed:,} of {words:,} words have their cards"

    @property
    def fault(self) -> str:  # type: ignore[override]
        """Why nothing is kept any more, in one line; empty while all is well."""
        return self._writer.fault or self._reading_fault

    def known(self, number: int) -> Cards | FailedWord | None:
        """Return what need not be asked: the cards it has, or why the word is skipped."""
        if number >= self._known_to:
            self._read_block(number)
        cards = unpacked(self._known.pop(number, None))
        if cards is not None:
            return cards
        item = self._items[number]
        reason = self._quarantined.get((item.term, item.type)) if self._quarantined else None
        if reason is None:
            return None
        skipped = FailedWord(item, f"in quarantine: {reason}", by_api=False, code=QUARANTINED)
        self.end(number, skipped)
        return skipped

    def answered(self, key: bytes) -> str | None:
        """Return what this run was answered before, while it had no cache."""
        return self._answered.get(key)

    async def begin(self, number: int) -> None:
        """Take down that a word is in progress; this waits while too much is on its way to the disk."""
        self._writer.put((number, None))
        while self._writer.backlog > MAX_BACKLOG and not self._writer.fault:  # noqa: ASYNC110 - a thread, and rare
            await asyncio.sleep(_LOOK_AGAIN)

    def end(self, number: int, outcome: Cards | FailedWord) -> None:
        """Take down what came of a word; it is on its way to the disk."""
        self._writer.put((number, outcome))

    def attempt(self, stage: str, item: VocabularyItem, seconds: float, error: BaseException | None) -> None:
        """Take down a request that was sent, and what became of it."""
        told = None if error is None else f"{type(error).__name__}: {error}"
        self._writer.put(_Attempt(stage, item, time.time(), seconds, told))

    def finish(self, state: str, exit_code: int) -> None:
        """Write down what is left, and how the run ended: by one of the values of `RunState`."""
        self._writer.close()
        if self.fault:
            return
        try:
            with self._database.writing() as connection:
                connection.execute(
                    sa.update(RUNS)
                    .where(RUNS.c.id == self.run_id)
                    .values(
                        state=RunState(state),
                        exit_code=int(exit_code),
                        ended_at=time.time(),
                        seen_at=time.time(),
                    )
                )
                if state == RunState.COMPLETED:
                    connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.run_id == self.run_id))
                connection.execute(
                    sa.update(WORDS)
                    .where(WORDS.c.run_id == self.run_id, WORDS.c.state == WordState.IN_PROGRESS)
                    .values(state=WordState.PENDING)
                )
        except StoreError as error:
            self._writer.fault = str(error)

    def close(self) -> None:
        """Write down what is left; the run stays one to go on with, where it was not finished."""
        self._writer.close()

    def _keep(self, key: str, value: bytes, tell: Callable[[], None]) -> None:
        self._writer.put(_Answer(key, value, tell), at_once=True)
        if self._writer.fault:  # whoever commits no more tells nobody
            tell()

    def _read_block(self, number: int) -> None:
        """Read the stored cards of the next words: they are asked for in their order."""
        self._known_to = number + _BLOCK
        wanted = sa.select(WORDS.c.number, WORDS.c.cards).where(
            WORDS.c.run_id == self.run_id,
            WORDS.c.number.between(number, self._known_to - 1),
            WORDS.c.state == WordState.DONE,
        )
        try:
            with self._database.reading() as connection:
                self._known.update({row.number: row.cards for row in connection.execute(wanted)})
        except StoreError as error:
            self._known_to = len(self._items)
            self._reading_fault = str(error)

    def _commit(self, entries: Sequence[_Entry]) -> None:
        now = time.time()
        words: dict[int, Cards | FailedWord | None] = {}
        attempts: list[dict[str, object]] = []
        answers: dict[str, _Answer] = {}
        for entry in entries:
            if isinstance(entry, _Answer):
                answers[entry.key] = entry
            elif isinstance(entry, _Attempt):
                attempts.append(self._attempt_row(entry))
            else:
                words[entry[0]] = entry[1]  # what is begun and ended at once was never in progress
        rows = [self._word_row(number, outcome) for number, outcome in words.items()]
        with self._database.writing() as connection:
            connection.execute(sa.update(RUNS).where(RUNS.c.id == self.run_id).values(seen_at=now))
            if rows:
                _execute_many(connection, rows)
            if attempts:
                connection.execute(sa.insert(ATTEMPTS), attempts)
            if answers:
                self._insert_answers(connection, answers)
            self._judge(connection, words, now)

    def _insert_answers(self, connection: sa.Connection, answers: Mapping[str, _Answer]) -> None:
        """Put answers in the place of those that could not be read, or were asked for twice."""
        old = sa.delete(ANSWERS).where(ANSWERS.c.run_id == self.run_id, ANSWERS.c.key.in_(answers))
        connection.execute(old)
        rows = [{"run_id": self.run_id, "key": key, "value": answer.value} for key, answer in answers.items()]
        connection.execute(sa.insert(ANSWERS), rows)

    def _judge(
        self, connection: sa.Connection, words: Mapping[int, Cards | FailedWord | None], now: float
    ) -> None:
        """Count the failures, and forget those of words that are done."""
        failed = [word for word in words.values() if isinstance(word, FailedWord)]
        accuse(connection, self._api, self.run_id, failed, now)
        self._suspects.update((word.item.term, word.item.type) for word in failed)
        if self._suspects:
            done = [self._items[number] for number, word in words.items() if isinstance(word, Cards)]
            absolve(
                connection, self._api, [item for item in done if (item.term, item.type) in self._suspects]
            )

    def _word_row(self, number: int, outcome: Cards | FailedWord | None) -> dict[str, object]:
        state, reason, cards = WordState.IN_PROGRESS, None, None
        if isinstance(outcome, FailedWord):
            state = WordState.QUARANTINED if outcome.is_skipped else WordState.FAILED
            reason = outcome.reason
        elif outcome is not None:
            state, cards = WordState.DONE, packed(outcome)
        return {"in_run": self.run_id, "at": number, "state": state, "reason": reason, "cards": cards}

    def _attempt_row(self, entry: _Attempt) -> dict[str, object]:
        return {
            "run_id": self.run_id,
            "stage": entry.stage,
            "term": entry.item.term,
            "type": entry.item.type,
            "at": entry.at,
            "seconds": entry.seconds,
            "error": entry.error,
        }


def _execute_many(connection: sa.Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Update words by the driver itself: to have each row looked at on its way costs as much again."""
    compiled = _UPDATE.compile(dialect=connection.dialect)
    order = getattr(compiled, "positiontup", None)
    told: Any = rows if order is None else [tuple(row[name] for name in order) for row in rows]
    connection.exec_driver_sql(str(compiled), told)


def _tell(entry: _Entry) -> None:
    if isinstance(entry, _Answer):
        entry.tell()
