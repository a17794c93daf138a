"""The `flashcards` command: its groups, of which each has a module in `commands`.

What does the work is imported when a command runs, so that help and completion come at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .commands import _cache, _config, _db, _doctor, _export, _process, _quarantine, _serve

app = typer.Typer(
    name="flashcards",
    help="Study cards from a Korean vocabulary, through an API that is limited and paid for.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

_CARDS = "Cards"
_STATE = "Settings and state"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"flashcards {version('sluicegate')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Study cards from a Korean vocabulary, through an API that is limited and paid for."""


app.command(rich_help_panel=_CARDS)(_process.process)
app.command(rich_help_panel=_CARDS)(_export.export)
app.command(rich_help_panel=_CARDS)(_serve.serve)
app.command(rich_help_panel=_STATE)(_doctor.doctor)
app.add_typer(_cache.app, name="cache", rich_help_panel=_STATE)
app.add_typer(_db.app, name="db", rich_help_panel=_STATE)
app.add_typer(_quarantine.app, name="quarantine", rich_help_panel=_STATE)
app.add_typer(_config.app, name="config", rich_help_panel=_STATE)
