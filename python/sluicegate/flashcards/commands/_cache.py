"""`flashcards cache`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._flags import with_settings

app = typer.Typer(help="The answers that are kept.", no_args_is_help=True)

_Config = Annotated[Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")]


@app.command()
@with_settings()
def stats(*, config: _Config = None, flags: dict[str, object]) -> None:
    """Tell where the answers are kept, how many, and how large they are, as one JSON object."""
    from sluicegate.flashcards._kept import tell_stats  # noqa: PLC0415 - help does without

    raise typer.Exit(tell_stats(flags, config))


@app.command()
@with_settings()
def clear(*, config: _Config = None, flags: dict[str, object]) -> None:
    """Forget every answer: what is asked again is paid for again."""
    from sluicegate.flashcards._kept import clear  # noqa: PLC0415 - help does without

    raise typer.Exit(clear(flags, config))
