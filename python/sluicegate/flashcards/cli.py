"""The `flashcards` command: its commands and groups, of which each has a module in `commands`.

A command is built when it is run, and what does its work is imported then, so that help and completion come
at once.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

_CARDS = "Cards"
_STATE = "Settings and state"
_COMMANDS = {
    "process": (_CARDS, "Make the cards of every word in FILE."),
    "export": (_CARDS, "Write the cards of a run that is kept, without asking for anything."),
    "serve": (
        _CARDS,
        "Serve the API on this machine, with a true limit and faults on purpose, until told to stop.",
    ),
    "doctor": (
        _STATE,
        "Check the native core, the settings, the key, the network, the cache and the database.",
    ),
    "cache": (_STATE, "The answers that are kept."),
    "db": (_STATE, "The database that runs are kept in."),
    "quarantine": (_STATE, "The words that failed too often, and are skipped."),
    "config": (_STATE, "The settings, and where each comes from."),
}


class _Command(TyperCommand):
    """Stands for a command until it is run or asked for its own help: its name, and its help in a line."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        module = importlib.import_module(f".commands._{self.name}", __package__)
        return typer.main.get_command(module.app).make_context(info_name, args, parent=parent, **extra)


class _Commands(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (panel, text) in _COMMANDS.items():
            self.add_command(_Command(name, help=text, rich_help_panel=panel))


app = typer.Typer(
    name="flashcards",
    cls=_Commands,
    help="Study cards from a Korean vocabulary, through an API that is limited and paid for.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


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
