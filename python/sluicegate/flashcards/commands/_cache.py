"""`flashcards cache`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._flags import with_settings

app = typer.Typer(help="The answers that are kept.", no_args_is_help=True, add_completion=False)

_Config = Annotated[Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")]


@app.command()
@with_settings("Cache")
def stats(*, config: _Config = None, flags: dict[str, object]) -> None:
    """Tell where the answers are kept, how many, and how large they are, as one JSON object."""
    from sluicegate.flashcards._kept import tell_stats  # noqa: PLC0415 - help does without

    raise typer.Exit(tell_stats(flags, config))


@app.command()
@with_settings("Cache")
def clear(*, config: _Config = None, flags: dict[str, object]) -> None:
    """Forget every answer: what is asked again is paid for again."""
    from sluicegate.flashcards._kept import clear  # noqa: PLC0415 - help does without

    raise typer.Exit(clear(flags, config))


@app.command()
@with_settings("Cache")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where they go, as JSON Lines; - for stdout.")],
    *,
    config: _Config = None,
    flags: dict[str, object],
) -> None:
    """Write every answer into FILE, which `flashcards cache warm` reads on another machine."""
    from sluicegate.flashcards import _kept  # noqa: PLC0415 - help does without

    raise typer.Exit(_kept.export(file, flags, config))


@app.command()
@with_settings("Cache")
def warm(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What `flashcards cache export` wrote; - for stdin."),
    ],
    *,
    config: _Config = None,
    flags: dict[str, object],
) -> None:
    """Keep the answers of FILE that are not kept yet, so that nobody pays for them again."""
    from sluicegate.flashcards import _kept  # noqa: PLC0415 - help does without

    raise typer.Exit(_kept.warm(file, flags, config))
