"""The `sluicegate` command: what lives in the shared memory of this machine, for operators."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sluicegate import shared
from sluicegate._errors import SluicegateError
from sluicegate._figures import Figures, breaker_of, figures, rates

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    name="sluicegate",
    help="Limiters and breakers that the processes of this machine share.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

Name = Annotated[str, typer.Argument(help="A name, or a path with a separator.")]
Key = Annotated[str | None, typer.Option(help="The key of a keyed limiter or of a registry.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_SUMMARY = (
    "name",
    "kind",
    "state",
    "allowed",
    "denied",
    "remaining",
    "limit",
    "slots_in_use",
    "keys",
    "problem",
)


def _fail(message: object) -> NoReturn:
    typer.echo(f"sluicegate: {message}", err=True)
    raise typer.Exit(1)


def _find(name: str) -> shared.Segment:
    try:
        segment = shared.inspect(name)
    except (SluicegateError, OSError) as error:
        _fail(error)
    if segment is None:
        _fail(f"nothing is shared under {name!r}; `sluicegate list` shows what is")
    return segment


def _read(segment: shared.Segment, key: str | None = None) -> Figures:
    try:
        return figures(segment, key)
    except (SluicegateError, OSError) as error:
        return {"name": segment.name, "kind": segment.kind, "problem": str(error)}


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def _table(rows: list[Figures], columns: tuple[str, ...]) -> Table:
    from rich import box  # noqa: PLC0415 - help does without
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    used = [column for column in columns if any(column in row for row in rows)]
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in used:
        is_text = column in {"name", "kind", "state", "problem"}
        title = column.removesuffix("_per_second").replace("_", " ")
        table.add_column(
            title + "/s" if column.endswith("_per_second") else title, justify="left" if is_text else "right"
        )
    for row in rows:
        table.add_row(*(Text(_shown(row[column])) if column in row else "" for column in used))
    return table


def _print(table: Table) -> None:
    from rich.console import Console  # noqa: PLC0415 - help does without

    console = Console()
    # Into a file or a pipe a line of the table stays a line.
    console.print(table, soft_wrap=not console.is_terminal)


@app.command("list")
def list_segments(*, as_json: AsJson = False) -> None:
    """List what is shared under a name, with its figures."""
    rows = [_read(segment) for segment in shared.list()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        _print(_table(rows, _SUMMARY))
    else:
        typer.echo("nothing is shared")


@app.command()
def show(name: Name, *, key: Key = None, as_json: AsJson = False) -> None:
    """Show all that is known of one limiter or breaker."""
    found = _read(_find(name), key)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        width = max(map(len, found))
        for field, value in found.items():
            text = json.dumps(value) if isinstance(value, dict) else _shown(value)
            typer.echo(f"{field.replace('_', ' '):{width}}  {text}")
    if "problem" in found:
        raise typer.Exit(1)


@app.command()
def watch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or paths; all names where none is given.")
    ] = None,
    *,
    interval: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks.")] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="How many looks; 0 for no end.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Watch live rates, refusals, debts and states until interrupted."""
    from rich.console import Console  # noqa: PLC0415 - help does without
    from rich.live import Live  # noqa: PLC0415

    def look() -> dict[str, Figures]:
        segments = [_find(name) for name in names] if names else shared.list()
        return {str(segment.path): _read(segment) for segment in segments}

    columns = (
        "name",
        "state",
        "allowed_per_second",
        "denied_per_second",
        "successes_per_second",
        "failures_per_second",
        "rejected_per_second",
        *_SUMMARY[3:],
        "reset_after",
    )
    console = Console()
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    before, taken, looks = look(), time.monotonic(), 0
    if live is not None:
        live.start()
    try:
        while not count or looks < count:
            time.sleep(interval)
            looks += 1
            after, now = look(), time.monotonic()
            rows = [{**row, **rates(before.get(path, {}), row, now - taken)} for path, row in after.items()]
            before, taken = after, now
            if as_json:
                typer.echo(json.dumps(rows))
            elif live is not None:
                live.update(_table(rows, columns), refresh=True)
            else:
                _print(_table(rows, columns))
    except KeyboardInterrupt:
        pass
    finally:
        if live is not None:
            live.stop()


def _steer(name: str, key: str | None, verb: str, *, as_json: bool) -> None:
    segment = _find(name)
    try:
        breaker = breaker_of(segment, key)
    except (SluicegateError, OSError) as error:
        _fail(error)
    if verb == "isolate":
        breaker.isolate()
    else:
        breaker.reset()
    if as_json:
        typer.echo(json.dumps({"name": name, "key": key, "state": str(breaker.state)}))
    else:
        typer.echo(f"{breaker.name} is {breaker.state}")


@app.command()
def isolate(name: Name, *, key: Key = None, as_json: AsJson = False) -> None:
    """Have a breaker refuse every call, in all processes, until it is reset."""
    _steer(name, key, "isolate", as_json=as_json)


@app.command()
def reset(name: Name, *, key: Key = None, as_json: AsJson = False) -> None:
    """Close a breaker in all processes, whatever state it is in, and forget its window."""
    _steer(name, key, "reset", as_json=as_json)
