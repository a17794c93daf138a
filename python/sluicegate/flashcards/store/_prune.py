"""Old runs, forgotten where nothing needs them any more."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from ._owners import is_alive
from ._tables import ANSWERS, ATTEMPTS, RUNS, WORDS, RunState

_RUNS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of the runs: how many were forgotten, with how many words, and how many stay."""

    runs: int
    words: int
    kept: int


def prune(connection: sa.Connection, before: float, now: float) -> Pruned:
    """Forget runs last heard of before an instant, with their words, attempts and answers.

    Kept whatever their age are the last run of all, which `export` writes and which keeps the numbers of runs
    growing; the last of the same words where it was not completed, since it is gone on with; and one that a
    living process works on. Quarantine is no part of a run, and stays.

    Args:
        connection: in a transaction that writes.
        before: seconds since the epoch.
        now: seconds since the epoch.
    """
    wanted = sa.select(RUNS.c.id, RUNS.c.identity, RUNS.c.state, RUNS.c.owner, RUNS.c.seen_at)
    rows = connection.execute(wanted.order_by(RUNS.c.id)).all()
    last_of = {row.identity: row.id for row in rows}
    old = [
        row.id
        for row in rows[:-1]
        if row.seen_at < before
        and (row.state == RunState.COMPLETED or last_of[row.identity] != row.id)
        and not (row.state == RunState.RUNNING and is_alive(row.owner, now - row.seen_at))
    ]
    words = 0
    for start in range(0, len(old), _RUNS_AT_ONCE):
        some = old[start : start + _RUNS_AT_ONCE]
        for table in (ANSWERS, ATTEMPTS):
            connection.execute(sa.delete(table).where(table.c.run_id.in_(some)))
        words += connection.execute(sa.delete(WORDS).where(WORDS.c.run_id.in_(some))).rowcount
        connection.execute(sa.delete(RUNS).where(RUNS.c.id.in_(some)))
    return Pruned(len(old), words, len(rows) - len(old))
