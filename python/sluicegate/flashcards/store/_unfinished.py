"""Which run is gone on with, and what it has already."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards.cache import unpack

from ._database import Database, is_there
from ._owners import is_alive
from ._quarantine import quarantined
from ._schema import HEAD, revision_of
from ._tables import ANSWERS, RUNS, WORDS, RunState, WordState
from ._words import identity_of


@dataclass(frozen=True, slots=True)
class KeptParts:
    """What need not be asked for again.

    Attributes:
        run: the number of the run that would be gone on with; None for none.
        done: the words of it that have their cards, by their number in the input from 0.
        answers: packed texts of a run without a cache, by their key.
        skipped: term and type of each word in quarantine.
    """

    run: int | None = None
    done: frozenset[int] = frozenset()
    answers: Mapping[str, bytes] = field(default_factory=dict)
    skipped: frozenset[tuple[str, str]] = frozenset()

    def get(self, key: bytes) -> str | None:
        """Return an answer by its key; None where there is none, or it is damaged."""
        return unpack(self.answers.get(key.hex()))


def unfinished(connection: sa.Connection, identity: str, now: float) -> int | None:
    """Return the last run of the same words, where it was not completed and nobody is at it."""
    wanted = (
        sa.select(RUNS.c.id, RUNS.c.state, RUNS.c.owner, RUNS.c.seen_at)
        .where(RUNS.c.identity == identity)
        .order_by(RUNS.c.id.desc())
        .limit(1)
        .with_for_update()  # of two who come at once, the second sees that the first has it
    )
    last = connection.execute(wanted).one_or_none()
    if last is None or last.state == RunState.COMPLETED:
        return None
    if last.state == RunState.RUNNING and is_alive(last.owner, now - last.seen_at):
        return None
    return int(last.id)


def stored_answers(connection: sa.Connection, run_id: int) -> dict[str, bytes]:
    """Return the packed answers of a run by their key."""
    kept = sa.select(ANSWERS.c.key, ANSWERS.c.value).where(ANSWERS.c.run_id == run_id)
    return {row.key: row.value for row in connection.execute(kept)}


def kept_parts(
    settings: Settings,
    environment: Mapping[str, str],
    api: str,
    version: str,
    items: Sequence[VocabularyItem],
    *,
    resume: bool = True,
    clock: Callable[[], float] = time.time,
) -> KeptParts:
    """Return what a run of these words would begin with, and write nothing, not even the tables.

    Args:
        settings: `database_url` and the settings of its pool.
        environment: where the user's own folder is found.
        api: who would be asked.
        version: of the way of asking.
        items: the words, in their order.
        resume: whether a run would be gone on with.
        clock: for tests; seconds since the epoch.

    Raises:
        ConfigurationError: the URL makes no sense, or its driver is not installed.
        StoreError: the database cannot be read.
    """
    if not is_there(settings, environment):
        return KeptParts()
    with Database(settings, environment) as database, database.reading() as connection:
        if revision_of(connection) != HEAD:
            return KeptParts()
        skipped = frozenset((word.term, word.type) for word in quarantined(connection, api))
        run = unfinished(connection, identity_of(api, version, items), clock()) if resume else None
        if run is None:
            return KeptParts(skipped=skipped)
        done = sa.select(WORDS.c.number).where(WORDS.c.run_id == run, WORDS.c.state == WordState.DONE)
        return KeptParts(
            run,
            frozenset(connection.execute(done).scalars()),
            stored_answers(connection, run),
            skipped,
        )
