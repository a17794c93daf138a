"""`flashcards quarantine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._flags import with_settings

app = typer.Typer(
    help="The words that failed too often, and are skipped.", no_args_is_help=True, add_completion=False
)

_Config = Annotated[Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


@app.command("list")
@with_settings("Database")
def list_(*, config: _Config = None, as_json: _Json = False, flags: dict[str, object]) -> None:
    """List the words in quarantine: position, term, type, runs they failed in, and the last reason."""
    from sluicegate.flashcards import _runs  # noqa: PLC0415 - help does without

    raise typer.Exit(_runs.list_quarantine(flags, config, as_json=as_json))


@app.command()
@with_settings("Database")
def retry(
    terms: Annotated[
        list[str] | None, typer.Argument(metavar="[TERM]...", help="The words to let out; all by default.")
    ] = None,
    *,
    config: _Config = None,
    as_json: _Json = False,
    flags: dict[str, object],
) -> None:
    """Let words out of quarantine: the next run asks for them again."""
    from sluicegate.flashcards import _runs  # noqa: PLC0415 - help does without

    raise typer.Exit(_runs.release_quarantine(flags, config, terms or [], as_json=as_json))
