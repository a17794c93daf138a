"""The runs that are kept: begun, gone on with, looked at, and read back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._stage2 import Cards
from sluicegate.flashcards._vocabulary import VocabularyItem

from ._database import Database, StoreError
from ._owners import this_process
from ._prune import Pruned, prune
from ._quarantine import QuarantinedWord, quarantined, release, suspects
from ._schema import HEAD
from ._stored_run import StoredRun
from ._tables import ATTEMPTS, RUNS, WORDS, RunState, WordState
from ._unfinished import stored_answers, unfinished
from ._words import identity_of, unpacked

_ROWS = 1_000  # inserted, or read, at once


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run as it is kept.

    Attributes:
        run: its number.
        state: how it stands.
        source: the vocabulary it was made of.
        words: its words by their state.
    """

    run: int
    state: str
    source: str
    words: Mapping[str, int]


class Store:
    """Runs, words, attempts and quarantine in a database; a context manager that closes it.

    Opening it makes the tables, or brings them to the newest revision.

    Args:
        settings: `database_url` and the settings of its pool.
        environment: where the user's own folder is found.

    Attributes:
        database: the connections.
        migrated: the revision before, None where there was none, and the one after.

    Raises:
        ConfigurationError: the URL makes no sense, or its driver is not installed.
        StoreError: the database cannot be used.

    Examples:
        >>> with Store(Settings(database_url="sqlite://"), {}) as store:
        ...     run = store.begin("words.csv", "embedded", "1", [VocabularyItem(1, "물", "noun")])
        ...     run.finish(RunState.INTERRUPTED, 130)
        ...     store.kept_run().state, store.kept_run().words["pending"]
        ('interrupted', 1)
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self.database = Database(settings, environment)
        try:
            self.migrated = self.database.migrate()
        except BaseException:
            self.database.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def begin(
        self,
        source: str,
        api: str,
        version: str,
        items: Sequence[VocabularyItem],
        *,
        resume: bool = True,
        keep_answers: bool = False,
    ) -> StoredRun:
        """Go on with the last run of these words, where it was not completed and nobody else is at it.

        Args:
            source: the name of the vocabulary.
            api: who is asked.
            version: of the way of asking.
            items: the words, in their order.
            resume: whether a run is gone on with; a new one is begun where not.
            keep_answers: whether answers are kept until it is completed, for want of a cache.

        Raises:
            StoreError: the database cannot be used.
        """
        identity, now = identity_of(api, version, items), time.time()
        with self.database.writing() as connection:
            run_id = unfinished(connection, identity, now) if resume else None
            is_new = run_id is None
            if run_id is None:
                run_id = self._insert(connection, items, now, identity=identity, source=source, api=api)
            else:
                self._take_over(connection, run_id, now)
            done = _count(connection, WORDS, WORDS.c.run_id == run_id, WORDS.c.state == WordState.DONE)
            skipped = {(word.term, word.type): word.reason for word in quarantined(connection, api)}
            failed = suspects(connection, api)
            answers = stored_answers(connection, run_id)
        return StoredRun(
            self.database,
            run_id=run_id,
            api=api,
            items=items,
            resumed=done,
            quarantined=skipped,
            suspects=failed,
            answers=answers,
            keep_answers=keep_answers,
            is_new=is_new,
        )

    def kept_run(self, run_id: int | None = None) -> KeptRun | None:
        """Return a run, the last one by default; None where there is none."""
        wanted = sa.select(RUNS.c.id, RUNS.c.state, RUNS.c.source).order_by(RUNS.c.id.desc()).limit(1)
        if run_id is not None:
            wanted = wanted.where(RUNS.c.id == run_id)
        with self.database.reading() as connection:
            found = connection.execute(wanted).one_or_none()
            if found is None:
                return None
            counts = _by_state(connection, WORDS.c.state, WORDS.c.run_id == found.id)
        words = {state.value: counts.get(state.value, 0) for state in WordState}
        return KeptRun(found.id, found.state, found.source, words)

    def cards(self, run_id: int) -> Iterator[tuple[VocabularyItem, Cards]]:
        """Yield the words of a run that have their cards, in input order; damaged ones are left out."""
        after = -1
        while True:
            wanted = (
                sa.select(WORDS)
                .where(WORDS.c.run_id == run_id, WORDS.c.number > after, WORDS.c.state == WordState.DONE)
                .order_by(WORDS.c.number)
                .limit(_ROWS)
            )
            with self.database.reading() as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            for row in rows:
                cards = unpacked(row.cards)
                if cards is not None:
                    yield VocabularyItem(row.position, row.term, row.type), cards
            after = rows[-1].number

    def quarantined(self) -> list[QuarantinedWord]:
        """Return the words that are skipped, the oldest first."""
        with self.database.reading() as connection:
            return quarantined(connection)

    def release(self, terms: Sequence[str] = ()) -> int:
        """Let words out of quarantine, some terms or all, and return how many they were."""
        with self.database.writing() as connection:
            return release(connection, terms)

    def prune(self, older_than: float) -> Pruned:
        """Forget runs that nothing needs any more and that were last heard of so many seconds ago."""
        now = time.time()
        with self.database.writing() as connection:
            return prune(connection, now - older_than, now)

    def stats(self) -> dict[str, Any]:
        """Return what the database holds, by names that stay: this counts every row."""
        with self.database.reading() as connection:
            runs = _by_state(connection, RUNS.c.state)
            words = _by_state(connection, WORDS.c.state)
            attempts = _count(connection, ATTEMPTS)
            failed = _count(connection, ATTEMPTS, ATTEMPTS.c.error.is_not(None))
            kept_back = len(quarantined(connection))
        return {
            "database": self.database.shown_url,
            "schema": HEAD,
            "runs": {state.value: runs.get(state.value, 0) for state in RunState},
            "words": {state.value: words.get(state.value, 0) for state in WordState},
            "attempts": {"sent": attempts, "failed": failed},
            "quarantine": kept_back,
        }

    def _take_over(self, connection: sa.Connection, run_id: int, now: float) -> None:
        connection.execute(
            sa.update(RUNS)
            .where(RUNS.c.id == run_id)
            .values(state=RunState.RUNNING, owner=this_process(), seen_at=now, ended_at=None, exit_code=None)
        )
        connection.execute(
            sa.update(WORDS)
            .where(WORDS.c.run_id == run_id, WORDS.c.state != WordState.DONE)
            .values(state=WordState.PENDING, reason=None)
        )

    def _insert(
        self, connection: sa.Connection, items: Sequence[VocabularyItem], now: float, **told: str
    ) -> int:
        row = {**told, "state": RunState.RUNNING, "owner": this_process(), "seen_at": now, "started_at": now}
        made = connection.execute(sa.insert(RUNS).values(row)).inserted_primary_key
        if made is None:
            raise StoreError(f"the database {self.database.shown_url}: it gave the run no number")
        run_id = int(made[0])
        for start in range(0, len(items), _ROWS):
            connection.execute(
                sa.insert(WORDS),
                [
                    {
                        "run_id": run_id,
                        "number": start + offset,
                        "position": item.position,
                        "term": item.term,
                        "type": item.type,
                        "state": WordState.PENDING,
                    }
                    for offset, item in enumerate(items[start : start + _ROWS])
                ],
            )
        return run_id


def _count(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    counted = connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions))
    return int(counted.scalar_one())


def _by_state(
    connection: sa.Connection, state: sa.Column[Any], *conditions: sa.ColumnElement[bool]
) -> dict[str, int]:
    counted = connection.execute(sa.select(state, sa.func.count()).where(*conditions).group_by(state))
    return {str(row[0]): int(row[1]) for row in counted}
