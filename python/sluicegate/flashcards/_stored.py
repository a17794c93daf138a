"""The run in the database: opened where it can be, and the job goes on without where it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ._cache_keys import PROMPT_VERSION
from ._degraded import Degradations, DegradedError
from ._settings import DEFAULT_BASE_URL, Settings
from ._telemetry import Telemetry
from ._vocabulary import Vocabulary

if TYPE_CHECKING:
    from .store import KeptParts, PoolMetrics, StoredRun


EMBEDDED = "embedded"
"""What stands for the server that a job brings along, where a run says who was asked."""


def asked_of(settings: Settings) -> str:
    """Return who is asked, as it stands in the database."""
    return EMBEDDED if settings.embedded else settings.base_url or DEFAULT_BASE_URL


@contextlib.contextmanager
def stored_run(
    source: str,
    settings: Settings,
    vocabulary: Vocabulary,
    environment: Mapping[str, str],
    degradations: Degradations,
    *,
    resume: bool,
    has_cache: bool,
) -> Iterator[StoredRun | None]:
    """Begin a run in the database or go on with one; yield None, and note it, where there is no database.

    Args:
        source: the name of the vocabulary.
        settings: where the database is, and who is asked.
        vocabulary: the words.
        environment: where the user's own folder is found.
        degradations: what the job goes on without; the cache, where it is among them.
        resume: whether a run is gone on with.
        has_cache: whether answers are kept elsewhere.

    Raises:
        ConfigurationError: the URL of the database makes no sense, or its driver is not installed.
        DegradedError: there is no database, and the job is not to go on without, or has no cache either.
    """
    from .store import Store, StoreError  # noqa: PLC0415 - SQLAlchemy, needed by this path alone

    with contextlib.ExitStack() as stack:
        run = None
        try:
            store = stack.enter_context(Store(settings, environment))
            run = store.begin(
                source,
                asked_of(settings),
                PROMPT_VERSION,
                vocabulary.items,
                resume=resume,
                keep_answers=not (has_cache or settings.embedded),
            )
        except StoreError as error:
            problem = f"{error}; name another by --database-url"
            if any(degraded.part == "cache" for degraded in degradations.told):
                nothing = f"{problem}; without it and the cache, nothing that is paid for could be kept"
                raise DegradedError(nothing, part="database") from error
            degradations.note("database", problem, "the run is not kept")
        else:
            stack.callback(run.close)
        yield run


def looked_into(
    settings: Settings,
    vocabulary: Vocabulary,
    environment: Mapping[str, str],
    degradations: Degradations,
    *,
    resume: bool,
) -> KeptParts:
    """Return what the database has of these words, and write nothing; nothing where it cannot be read.

    Raises:
        ConfigurationError: the URL of the database makes no sense, or its driver is not installed.
        DegradedError: it cannot be read, and the job is not to go on without.
    """
    from .store import KeptParts, StoreError, kept_parts  # noqa: PLC0415 - as above

    api = asked_of(settings)
    try:
        return kept_parts(settings, environment, api, PROMPT_VERSION, vocabulary.items, resume=resume)
    except StoreError as error:
        problem = f"{error}; name another by --database-url"
        degradations.note("database", problem, "what a run has already is not counted")
        return KeptParts()


def observe_pool(telemetry: Telemetry, pool: PoolMetrics) -> None:
    """Have the pool's numbers told whenever they are asked for."""

    def counts() -> tuple[tuple[str, float], ...]:
        stats = pool.stats()
        return (
            ("flashcards.pool.checkouts", stats.checkouts),
            ("flashcards.pool.waits", stats.waits),
            ("flashcards.pool.waited", stats.waited_seconds),
            ("flashcards.pool.recycled", stats.recycled),
        )

    def levels() -> tuple[tuple[str, float], ...]:
        stats = pool.stats()
        return (
            ("flashcards.pool.open", stats.open),
            ("flashcards.pool.checked_out", stats.checked_out),
            ("flashcards.pool.age", stats.oldest_seconds),
        )

    telemetry.observe(counts)
    telemetry.watch(levels)
