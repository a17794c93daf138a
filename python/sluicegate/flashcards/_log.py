"""The log of a job: the standard library's, on stderr from `log_level` on, with what is secret cut out."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from typing import TextIO

from ._secrets import ApiKey
from ._settings import Settings

LOG = logging.getLogger("sluicegate.flashcards")
"""Where the application writes what happens on the way."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MASKED = (
    (re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]*@"), "***@"),
    (re.compile(r"(?i)(\bauthorization\b[\"']?\s*[,:=]\s*(?:b?[\"'])?)[^\"'\r\n]+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]+"), r"\1 ***"),
)


class RedactingFormatter(logging.Formatter):
    """Formats a record, tracebacks included, without the key, authorisation headers and passwords of URLs.

    Args:
        key: what is cut out wherever it stands; None for none.

    Examples:
        >>> formatter = RedactingFormatter(ApiKey("sk-secret"))
        >>> formatter.redact("Authorization: Bearer x; key sk-secret; redis://me:hush@host")
        'Authorization: ***'
        >>> formatter.redact("key sk-secret at redis://me:hush@host")
        'key [redacted] at redis://***@host'
    """

    def __init__(self, key: ApiKey | None = None) -> None:
        super().__init__(_FORMAT)
        self._key = key

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as it is written."""
        return self.redact(super().format(record))

    def redact(self, text: str) -> str:
        """Return a text without what is secret in it."""
        if self._key is not None:
            text = self._key.redact(text)
        for pattern, mask in _MASKED:
            text = pattern.sub(mask, text)
        return text


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at the time: the live display puts itself before it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


@contextlib.contextmanager
def logged(settings: Settings, *, quiet: bool = False) -> Iterator[None]:
    """Write the log of this process to stderr for the length of the block.

    Args:
        settings: `log_level` says from where on; the libraries below write what is less than a warning only
            at the level debug.
        quiet: whether only errors are written where `log_level` was not set by anybody.
    """
    level = "error" if quiet and "log_level" not in settings.sources else settings.log_level
    handler = _StderrHandler()
    handler.setFormatter(RedactingFormatter(settings.api_key))
    root, ours = logging.getLogger(), logging.getLogger("sluicegate")
    before = root.level, ours.level
    root.addHandler(handler)
    # At the level info the libraries below would write a line for each request.
    root.setLevel("WARNING" if level == "info" else level.upper())
    ours.setLevel(level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])
