"""`flashcards process`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluicegate.flashcards._format import Format

from ._flags import with_settings, within

_WORDS = "Words"
_DISPLAY = "Display"

app = typer.Typer(add_completion=False)


@app.command()
@with_settings()
def process(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The vocabulary: a .csv file, or - for stdin.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the cards go; beside FILE by default, - for stdout.",
            rich_help_panel=_WORDS,
        ),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="The form of the cards.", rich_help_panel=_WORDS)
    ] = Format.TSV,
    start_from: Annotated[
        int,
        typer.Option(
            metavar="ROW",
            callback=within(1),
            help="The first data row that is taken, from 1.",
            rich_help_panel=_WORDS,
        ),
    ] = 1,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS",
            callback=within(1),
            help="How many data rows are taken.",
            rich_help_panel=_WORDS,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Go on with a run of these words that was not completed, or begin a new one.",
            rich_help_panel=_WORDS,
        ),
    ] = True,
    cache_only: Annotated[
        bool,
        typer.Option(
            "--cache-only",
            help="Make no request; list the words that are not in the cache.",
            rich_help_panel=_WORDS,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Make no request; tell how many calls, tokens and minutes the job would take, and its cost.",
            rich_help_panel=_WORDS,
        ),
    ] = False,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            "-b",
            metavar="WORDS",
            callback=within(1, 100),
            help="Words each worker may run ahead of the oldest unfinished one, 1 to 100.",
            rich_help_panel=_WORDS,
        ),
    ] = 10,
    config: Annotated[
        Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file with settings.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Sum up as one JSON object on stdout.", rich_help_panel=_DISPLAY)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Tell errors only.", rich_help_panel=_DISPLAY)
    ] = False,
    flags: dict[str, object],
) -> None:
    """Make the cards of every word in FILE.

    The key is read from OPENROUTER_API_KEY or FLASHCARDS_API_KEY.

    Every other setting is also read from FLASHCARDS_NAME and from TOML; a flag goes before both.
    """
    from sluicegate.flashcards import _forecast, _job, _process  # noqa: PLC0415 - help does without

    job = _job.Job(
        file=file,
        output=output,
        format=format,
        start_from=start_from,
        limit=limit,
        resume=resume,
        cache_only=cache_only,
        dry_run=dry_run,
        batch_size=batch_size,
        flags=flags,
        config=config,
        as_json=as_json,
        quiet=quiet,
    )
    raise typer.Exit(_forecast.forecast(job) if dry_run else _process.process(job))
