"""Words that failed, over all runs: counted once a run, and in quarantine from the third on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from sluicegate.flashcards._failures import FailedWord
from sluicegate.flashcards._vocabulary import VocabularyItem

from ._tables import QUARANTINE
from ._words import word_key

MAX_FAILED_RUNS = 3
"""The runs a word may fail in; after them it is skipped until it is released."""

_IS_KEPT = QUARANTINE.c.quarantined_at.is_not(None)
_CHANGING = ("position", "failures", "last_run", "reason", "failed_at", "quarantined_at")


@dataclass(frozen=True, slots=True)
class QuarantinedWord:
    """A word that is skipped.

    Attributes:
        position: where it stood in the input that it failed in last.
        term: the word.
        type: its part of speech.
        api: who was asked.
        failures: in how many runs it failed.
        reason: of the last failure.
        quarantined_at: seconds since the epoch.
    """

    position: int
    term: str
    type: str
    api: str
    failures: int
    reason: str
    quarantined_at: float


def accuse(
    connection: sa.Connection, api: str, run_id: int, failed: Sequence[FailedWord], now: float
) -> None:
    """Count failures, each word once a run; the third, or one of invalid input, puts it in quarantine."""
    words = {word_key(api, word.item.term, word.item.type): word for word in failed if word.was_sent}
    if not words:
        return
    wanted = sa.select(QUARANTINE).where(QUARANTINE.c.key.in_(words))
    known = {row.key: row for row in connection.execute(wanted)}
    new: list[dict[str, object]] = []
    again: list[dict[str, object]] = []
    for key, word in words.items():
        before = known.get(key)
        failures = 1 if before is None else before.failures + (before.last_run != run_id)
        caught = failures >= MAX_FAILED_RUNS or word.is_invalid
        item = word.item
        told = (item.position, failures, run_id, word.reason, now, now if caught else None)
        row: dict[str, object] = dict(zip(_CHANGING, told, strict=True))
        if before is None:
            new.append({**row, "key": key, "api": api, "term": item.term, "type": item.type})
        else:
            again.append({**row, "of": key})
    if new:
        connection.execute(sa.insert(QUARANTINE), new)
    if again:
        update = sa.update(QUARANTINE).where(QUARANTINE.c.key == bindparam("of"))
        connection.execute(update.values({name: bindparam(name) for name in _CHANGING}), again)


def absolve(connection: sa.Connection, api: str, items: Collection[VocabularyItem]) -> None:
    """Forget the failures of words that have their cards now."""
    if items:
        keys = [word_key(api, item.term, item.type) for item in items]
        connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.key.in_(keys)))


def suspects(connection: sa.Connection, api: str) -> set[tuple[str, str]]:
    """Return term and type of each word that failed and was not absolved."""
    wanted = sa.select(QUARANTINE.c.term, QUARANTINE.c.type).where(QUARANTINE.c.api == api)
    return {(term, word_type) for term, word_type in connection.execute(wanted)}


def quarantined(connection: sa.Connection, api: str | None = None) -> list[QuarantinedWord]:
    """Return the words that are skipped, the oldest first; those of one API, or of all."""
    wanted = sa.select(*(QUARANTINE.c[name] for name in QuarantinedWord.__slots__)).where(_IS_KEPT)
    if api is not None:
        wanted = wanted.where(QUARANTINE.c.api == api)
    rows = connection.execute(wanted.order_by(QUARANTINE.c.quarantined_at, QUARANTINE.c.position))
    return [QuarantinedWord(*row) for row in rows]


def release(connection: sa.Connection, terms: Collection[str] = ()) -> int:
    """Forget the failures of words in quarantine, some terms or all, and return how many they were."""
    rows = sa.delete(QUARANTINE).where(_IS_KEPT)
    if terms:
        rows = rows.where(QUARANTINE.c.term.in_(terms))
    return connection.execute(rows).rowcount
