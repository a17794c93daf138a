"""Runs that are kept in a database, so that they can be gone on with; needs SQLAlchemy and Alembic.

It is imported where a command needs it, and by nothing else.
"""

from ._database import Database, StoreError, default_path
from ._pool import PoolMetrics, PoolStats
from ._prune import Pruned
from ._quarantine import MAX_FAILED_RUNS, QuarantinedWord
from ._schema import revision_of
from ._store import KeptRun, Store
from ._stored_run import StoredRun
from ._tables import RunState, WordState
from ._unfinished import KeptParts, kept_parts

__all__ = [
    "MAX_FAILED_RUNS",
    "Database",
    "KeptParts",
    "KeptRun",
    "PoolMetrics",
    "PoolStats",
    "Pruned",
    "QuarantinedWord",
    "RunState",
    "Store",
    "StoreError",
    "StoredRun",
    "WordState",
    "default_path",
    "kept_parts",
    "revision_of",
]
