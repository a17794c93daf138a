"""The tables of the database, as its newest revision has them; `migrations` says how they came about.

Times are seconds since the epoch.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa

METADATA = sa.MetaData()


class RunState(enum.StrEnum):
    """How a run stands; all but the first are also how runs end."""

    RUNNING = "running"
    """Or killed: then nobody moves it on any more."""
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    MISADDRESSED = "misaddressed"
    OUTAGE = "outage"
    BUDGET = "budget"


class WordState(enum.StrEnum):
    """How a word of a run stands."""

    PENDING = "pending"
    IN_PROGRESS = "in progress"
    DONE = "done"
    FAILED = "failed"
    QUARANTINED = "quarantined"


RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("identity", sa.String(64), nullable=False, index=True),  # of its words, and who is asked
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("api", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("seen_at", sa.Float(53), nullable=False),
    sa.Column("started_at", sa.Float(53), nullable=False),
    sa.Column("ended_at", sa.Float(53)),
    sa.Column("exit_code", sa.Integer),
)

WORDS = sa.Table(
    "words",
    METADATA,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # in the input, from 0
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("term", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("cards", sa.LargeBinary),
)

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.ForeignKey("runs.id"), nullable=False, index=True),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("term", sa.Text, nullable=False),  # equal words share their calls
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("at", sa.Float(53), nullable=False),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("error", sa.Text),
)

ANSWERS = sa.Table(  # of runs without a cache, until they are completed
    "answers",
    METADATA,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

QUARANTINE = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("api", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("term", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_run", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("failed_at", sa.Float(53), nullable=False),
    sa.Column("quarantined_at", sa.Float(53)),  # NULL where it may still be tried
)
