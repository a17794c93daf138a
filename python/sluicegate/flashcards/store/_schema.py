"""The revision of a database's tables, and how an older one is brought to the newest.

Alembic is imported only where there is something to do.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from ._tables import METADATA

HEAD = "0003"
"""The newest revision, the one that `_tables` describes."""

VERSION_TABLE = "flashcards_version"
"""Where the revision stands; a name of our own, since others may keep theirs in the same database."""

_MIGRATIONS = Path(__file__).with_name("migrations")


class WrongSchemaError(Exception):
    """The tables are not ours, or of a later version."""


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision of the tables; None where there are none.

    Raises:
        WrongSchemaError: there are tables of the same names, and no word of their revision.
    """
    names = set(sa.inspect(connection).get_table_names())
    if VERSION_TABLE in names:
        found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
        if found is not None:
            return str(found)
    taken = names & set(METADATA.tables)
    if taken:
        raise WrongSchemaError(f"it holds tables of another application, such as {min(taken)!r}")
    return None


def migrate(connection: sa.Connection) -> tuple[str | None, str]:
    """Bring the tables to the newest revision, within the transaction of `connection`.

    Returns:
        The revision before, None where there was none, and the one after.

    Raises:
        WrongSchemaError: they are not ours, or of a later version; nothing is changed.
    """
    before = revision_of(connection)
    if before == HEAD:
        return before, HEAD
    from alembic import command  # noqa: PLC0415 - an eighth of a second, which no other start should pay
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise WrongSchemaError(f"its tables are of a later version ({before}); install a newer sluicegate")
    command.upgrade(config, "head")
    return before, HEAD
