"""`flashcards serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sluicegate.flashcards._setting_values import parse_rate

from ._flags import within

app = typer.Typer(add_completion=False)


def _rate(text: str) -> str:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _faults(text: str) -> str:
    from sluicegate.flashcards._faults import FaultPlan  # noqa: PLC0415 - help does without

    try:
        FaultPlan.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(callback=within(0, 65_535), help="The port; 0 takes a free one.")
    ] = 8765,
    rate: Annotated[
        str, typer.Option(callback=_rate, help="The limit that is announced and kept; inf for none.")
    ] = "50/s;burst=50",
    faults: Annotated[
        str,
        typer.Option(
            callback=_faults, help='What goes wrong on purpose: "none", a share, or "error=0.2,cut=0.05".'
        ),
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
    from sluicegate.flashcards._serve import serve_command  # noqa: PLC0415

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
