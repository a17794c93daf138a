"""`flashcards db`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._flags import with_settings

app = typer.Typer(help="The database that runs are kept in.", no_args_is_help=True, add_completion=False)

_Config = Annotated[Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")]
_Json = Annotated[bool, typer.Option("--json", help="As one JSON object on stdout.")]


@app.command()
@with_settings("Database")
def stats(*, config: _Config = None, as_json: _Json = False, flags: dict[str, object]) -> None:
    """Tell where runs are kept, how many, how their words stand, and what the pool of connections does."""
    from sluicegate.flashcards import _runs  # noqa: PLC0415 - help does without

    raise typer.Exit(_runs.tell_stats(flags, config, as_json=as_json))


@app.command()
@with_settings("Database")
def migrate(*, config: _Config = None, as_json: _Json = False, flags: dict[str, object]) -> None:
    """Make the tables, or bring older ones to the newest revision, all or nothing.

    Every other command does so by itself; this one does nothing else.
    """
    from sluicegate.flashcards import _runs  # noqa: PLC0415 - help does without

    raise typer.Exit(_runs.migrate(flags, config, as_json=as_json))


@app.command()
@with_settings("Database")
def prune(
    *,
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            min=0,
            max=100_000,
            help="Days since a run was last worked on.",
        ),
    ] = 30.0,
    config: _Config = None,
    as_json: _Json = False,
    flags: dict[str, object],
) -> None:
    """Forget old runs, with their words and cards.

    Kept are the last run, one that the same command would go on with, and quarantine.
    """
    from sluicegate.flashcards import _runs  # noqa: PLC0415 - help does without

    raise typer.Exit(_runs.prune(flags, config, older_than, as_json=as_json))
