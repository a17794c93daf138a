"""The flags of the settings, made of their names, so that a command need not list them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from sluicegate.flashcards._setting_names import SETTINGS, Setting


def with_settings(*panels: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for every setting of some panels, all of them by default.

    The command takes them as one argument, `flags`: values by the name of the setting, None where a flag was
    not given. A value that makes no sense is refused as the command line is read.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        settings = [setting for setting in SETTINGS.values() if not panels or setting.panel in panels]

        @functools.wraps(command)
        def called(**arguments: Any) -> None:
            flags = {setting.name: arguments.pop(setting.name) for setting in settings}
            command(**arguments, flags=flags)

        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "flags"]
        parameters = [*own, *_parameters(settings)]
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del called.__wrapped__  # its annotations are not the flags
        return called

    return decorate


def within(least: int, most: int | None = None) -> Callable[[int | None], int | None]:
    """Return what refuses a number out of its range, and names it and the range."""

    def check(value: int | None) -> int | None:
        if value is not None and (value < least or (most is not None and value > most)):
            wanted = f"above {least - 1}" if most is None else f"from {least} to {most}"
            raise typer.BadParameter(f"a whole number {wanted} is wanted, not {value}")
        return value

    return check


def _parameters(settings: Iterable[Setting]) -> Iterable[inspect.Parameter]:
    for setting in settings:
        kind: Any = str | None if setting.kind else bool | None
        names = (setting.flag,) if setting.kind else (f"{setting.flag}/--no-{setting.flag[2:]}",)
        option = typer.Option(
            *names,
            metavar=setting.kind or None,
            help=setting.help,
            rich_help_panel=setting.panel,
            callback=_checked(setting),
            show_default=False,
        )
        yield inspect.Parameter(
            setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
        )


def _checked(setting: Setting) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is not None:
            try:
                setting.convert(value)
            except (TypeError, ValueError) as error:
                raise typer.BadParameter(str(error)) from error
        return value

    return check
