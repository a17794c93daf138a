"""`flashcards config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._flags import with_settings

app = typer.Typer(help="The settings, and where each comes from.", no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Show the settings, and where each comes from."""


@app.command()
@with_settings()
def show(
    *,
    config: Annotated[
        Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object on stdout.")] = False,
    flags: dict[str, object],
) -> None:
    """Show every setting, its value and where it came from; secrets are masked."""
    from sluicegate.flashcards._show import show_settings  # noqa: PLC0415 - help does without

    raise typer.Exit(show_settings(flags, config, as_json=as_json))
