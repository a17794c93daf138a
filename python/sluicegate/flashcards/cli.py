"""The `flashcards` command: what may be asked, and nothing of how it is done.

What does the work is imported when a command runs, so that help and completion come at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._format import Format

app = typer.Typer(
    name="flashcards",
    help="Study cards from a Korean vocabulary, through an API that is limited and paid for.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

_WORDS = "Words"
_API = "API"
_DISPLAY = "Display"


def _rate(text: str | None) -> str | None:
    from sluicegate import ConfigurationError  # noqa: PLC0415 - help does without

    from ._settings import parse_rate  # noqa: PLC0415

    try:
        return None if text is None else parse_rate(text)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from error


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


@app.command()
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
        int, typer.Option(min=1, help="The first data row that is taken.", rich_help_panel=_WORDS)
    ] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many data rows are taken.", rich_help_panel=_WORDS)
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            "-b",
            min=1,
            max=100,
            help="Words each worker may run ahead of the oldest unfinished one.",
            rich_help_panel=_WORDS,
        ),
    ] = 10,
    base_url: Annotated[
        str | None,
        typer.Option(help="The API; without it and a key, a server on this machine.", rich_help_panel=_API),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            callback=_rate,
            help='Requests in all, such as "60/minute;burst=10"; inf for no limit.',
            rich_help_panel=_API,
        ),
    ] = None,
    stage1_rate: Annotated[
        str | None, typer.Option(callback=_rate, help="Requests of stage 1 alone.", rich_help_panel=_API)
    ] = None,
    stage2_rate: Annotated[
        str | None, typer.Option(callback=_rate, help="Requests of stage 2 alone.", rich_help_panel=_API)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Words in progress at once.", rich_help_panel=_API)
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds an attempt may take.", rich_help_panel=_API)
    ] = None,
    connect_timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds a connection may take.", rich_help_panel=_API)
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(min=1, max=100, help="How often a call is sent.", rich_help_panel=_API)
    ] = None,
    config: Annotated[
        Path | None, typer.Option(envvar="FLASHCARDS_CONFIG", help="A TOML file.", rich_help_panel=_API)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Sum up as one JSON object on stdout.", rich_help_panel=_DISPLAY)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Tell errors only.", rich_help_panel=_DISPLAY)
    ] = False,
) -> None:
    """Make the cards of every word in FILE.

    The key is read from OPENROUTER_API_KEY or FLASHCARDS_API_KEY. Every other setting is also read from
    FLASHCARDS_NAME and from the TOML file; a flag goes before both.
    """
    from . import _process  # noqa: PLC0415

    flags: dict[str, object] = {
        "base_url": base_url,
        "rate": rate,
        "stage1_rate": stage1_rate,
        "stage2_rate": stage2_rate,
        "concurrency": concurrency,
        "timeout": timeout,
        "connect_timeout": connect_timeout,
        "max_attempts": max_attempts,
    }
    job = _process.Job(
        file=file,
        output=output,
        format=format,
        start_from=start_from,
        limit=limit,
        batch_size=batch_size,
        flags=flags,
        config=config,
        as_json=as_json,
        quiet=quiet,
    )
    raise typer.Exit(_process.process(job))


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")] = 8765,
    rate: Annotated[
        str, typer.Option(callback=_rate, help="The limit that is announced and kept; inf for none.")
    ] = "50/s;burst=50",
    faults: Annotated[
        str, typer.Option(help='What goes wrong on purpose: "none", a share, or "error=0.2,cut=0.05".')
    ] = "0.04",
    seed: Annotated[int, typer.Option(help="Of the faults and of the form of the answers.")] = 0,
    vocabulary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A vocabulary whose hints the answers may use.")
    ] = None,
    require_key: Annotated[
        bool, typer.Option("--require-key", help="Refuse clients without the key.")
    ] = False,
) -> None:
    """Serve the API on this machine, with a true limit and faults on purpose, until told to stop.

    Its base URL is printed on stdout, for --base-url. The key that --require-key asks for is the one that
    the environment holds for clients, OPENROUTER_API_KEY or FLASHCARDS_API_KEY.
    """
    from ._serve import serve_command  # noqa: PLC0415

    raise typer.Exit(
        serve_command(
            host=host,
            port=port,
            rate=rate,
            faults=faults,
            seed=seed,
            vocabulary=vocabulary,
            require_key=require_key,
        )
    )
