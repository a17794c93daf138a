"""`flashcards export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluicegate.flashcards._format import Format

from ._flags import with_settings

app = typer.Typer(add_completion=False)


@app.command()
@with_settings("Database")
def export(
    format: Annotated[Format, typer.Argument(metavar="tsv|jsonl|apkg", help="The form of the cards.")],
    *,
    run: Annotated[
        int | None, typer.Option(min=1, help="The number of the run; the last by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the cards go; stdout by default.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Sum up as one JSON object on stdout.")] = False,
    flags: dict[str, object],
) -> None:
    """Write the cards of a run that is kept, without asking for anything.

    Exits 1 where the run has words without cards.
    """
    from sluicegate.flashcards import _runs  # noqa: PLC0415 - help does without

    raise typer.Exit(_runs.export(flags, config, format, run=run, output=output, as_json=as_json))
