"""What Alembic runs: the revisions that are missing, in the transaction of whoever asked for them."""

from __future__ import annotations

from alembic import context

from sluicegate.flashcards.store._schema import VERSION_TABLE
from sluicegate.flashcards.store._tables import METADATA

if hasattr(context, "config"):  # it has its names only while Alembic runs this
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        version_table=VERSION_TABLE,
    )
    context.run_migrations()
