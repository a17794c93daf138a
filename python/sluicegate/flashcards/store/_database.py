"""A database by its URL: SQLite in WAL by default, any that SQLAlchemy knows by setting."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool

from sluicegate import ConfigurationError
from sluicegate.flashcards._one_line import os_reason, shown
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._show import MASKED, masked_url

from ._pool import PoolMetrics
from ._schema import WrongSchemaError, migrate

FILE_NAME = "runs.db"

_POOL_LOG = logging.getLogger("sqlalchemy.pool")
_WRITES = "flashcards_writes"


class StoreError(Exception):
    """The database cannot be used; the message is one line and names it without its password."""


class Database:
    """The connections to a database; a context manager that closes them.

    Args:
        settings: `database_url` and the settings of the pool.
        environment: where the user's own folder is found.

    Attributes:
        shown_url: where it is, fit to be shown.
        pool: what its pool of connections does.

    Raises:
        ConfigurationError: the URL makes no sense, or its driver is not installed.
        StoreError: the folder of its file cannot be made.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        url = _url(settings, environment)
        self._password = str(url.password or "")
        self.shown_url = masked_url(url.render_as_string(hide_password=False))
        sqlite = url.get_backend_name() == "sqlite"
        in_memory = sqlite and url.database in {None, "", ":memory:"}
        size, overflow = (1, 0) if in_memory else (settings.pool_size, settings.pool_overflow)
        self._engine = self._made(
            url,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=-1 if in_memory else settings.pool_recycle,
            pool_pre_ping=settings.pool_pre_ping,
            hide_parameters=True,
            connect_args={"timeout": settings.pool_timeout, "check_same_thread": False} if sqlite else {},
        )
        self._level = _POOL_LOG.level
        if settings.pool_logging:  # not `echo_pool`, which writes on stdout
            _POOL_LOG.setLevel(logging.DEBUG)
        self.pool = PoolMetrics(self._engine, size=size, overflow=overflow)
        if sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
            if not in_memory and not str(url.database).startswith("file:"):
                self._make_folder(Path(str(url.database)).parent)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()
        _POOL_LOG.setLevel(self._level)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that reads.

        Raises:
            StoreError: the database cannot be used.
        """
        with self._transaction({}) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes, committed at the end of the block; raises as `reading` does.

        In SQLite it has the lock for writing from its beginning, so that no two who read first and write then
        can stand in each other's way.
        """
        with self._transaction({_WRITES: True}) as connection:
            yield connection

    def migrate(self) -> tuple[str | None, str]:
        """Bring the tables to the newest revision, all or nothing; return the one before and the one after.

        Raises:
            StoreError: the tables are not ours, or of a later version, or cannot be written.
        """
        with self.writing() as connection:
            return migrate(connection)

    def _made(self, url: sa.URL, **options: Any) -> sa.Engine:
        try:
            engine = sa.create_engine(url, **options)
        except (exc.NoSuchModuleError, ImportError) as error:
            missing = getattr(error, "name", None) or url.drivername
            raise ConfigurationError(
                f"database_url {self.shown_url}: the driver {missing!r} is not installed; "
                "install it beside sluicegate, or name another behind the + of the URL",
                field="database_url",
                value=self.shown_url,
            ) from error
        except (exc.SQLAlchemyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"database_url {self.shown_url}: {self._reason(error)}",
                field="database_url",
                value=self.shown_url,
            ) from error
        if engine.dialect.is_async:
            raise ConfigurationError(
                f"database_url {self.shown_url}: {url.drivername} is asynchronous; name a blocking driver",
                field="database_url",
                value=self.shown_url,
            )
        return engine

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the database {self.shown_url}: cannot make the folder {folder}: {os_reason(error)}"
            ) from error

    @contextlib.contextmanager
    def _transaction(self, options: Mapping[str, Any]) -> Iterator[sa.Connection]:
        try:
            with self.pool.taking():
                connection = self._engine.connect()
        except Exception as error:  # whatever a driver raises where it cannot connect
            raise StoreError(f"the database {self.shown_url}: {self._reason(error)}") from error
        try:
            with connection.execution_options(**options), connection.begin():
                yield connection
        except (exc.SQLAlchemyError, WrongSchemaError) as error:
            raise StoreError(f"the database {self.shown_url}: {self._reason(error)}") from error

    def _reason(self, error: BaseException) -> str:
        told = str(getattr(error, "orig", None) or error).partition("\n")[0]
        return shown(told.replace(self._password, MASKED) if self._password else told)


def default_path(environment: Mapping[str, str]) -> Path:
    """Return the file that is used where `database_url` is not set, in the user's folder for data."""
    folder = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(folder).expanduser() / "flashcards" / FILE_NAME


def is_there(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Whether there is a database to look into; of a file, without making it.

    Raises:
        ConfigurationError: the URL makes no sense.
    """
    url = _url(settings, environment)
    if url.get_backend_name() != "sqlite":
        return True
    return bool(url.database) and (str(url.database).startswith("file:") or Path(str(url.database)).exists())


def _url(settings: Settings, environment: Mapping[str, str]) -> sa.URL:
    if settings.database_url is None:
        return sa.URL.create("sqlite", database=str(default_path(environment)))
    try:
        return sa.make_url(settings.database_url)
    except (exc.ArgumentError, ValueError) as error:
        raise ConfigurationError(  # not shown: what cannot be read may be a password
            "database_url is no URL of a database", field="database_url", value=MASKED
        ) from error


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says so, tables included
    connection.execute("PRAGMA journal_mode = WAL")
    # With WAL a killed process loses nothing; a machine that loses power may lose the last words.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
