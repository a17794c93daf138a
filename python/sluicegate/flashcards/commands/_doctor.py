"""`flashcards doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._flags import with_settings

app = typer.Typer(add_completion=False)


@app.command()
@with_settings("API", "Cache", "Database")
def doctor(
    *,
    config: Annotated[
        Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object on stdout.")] = False,
    flags: dict[str, object],
) -> None:
    """Check the native core, the settings, the key, the network, the cache and the database.

    Sends no request that is paid for. Where something is wrong it says what to do, and exits 1.
    """
    from sluicegate.flashcards._doctor import doctor as examine  # noqa: PLC0415 - help does without

    raise typer.Exit(examine(flags, config, as_json=as_json))
