"""The outputs, by the name of their form."""

from __future__ import annotations

from pathlib import Path

from ._aside import CardOutput
from ._format import Format
from ._output import JsonLinesOutput, TsvOutput


def open_output(form: Format, path: Path | None) -> CardOutput:
    """Return the output that writes cards in a form to `path`, None for the standard output.

    Raises:
        ConfigurationError: the library that writes the form is not installed.
    """
    if form is Format.APKG:
        from ._apkg import ApkgOutput  # noqa: PLC0415 - its library is needed by this path alone

        return ApkgOutput(path)
    return JsonLinesOutput(path) if form is Format.JSONL else TsvOutput(path)
