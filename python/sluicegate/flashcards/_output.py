r"""Where the cards go: TSV with one header, written aside and moved into place by a completed run only.

There is no quoting: a tab, newline, carriage return or backslash inside a cell is written as ``\t``, ``\n``,
``\r`` or ``\\``, and lines end in LF on every platform.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from ._one_line import os_reason
from ._stage2 import Card
from ._vocabulary import VocabularyItem

COLUMNS = (
    "position",
    "term",
    "term_number",
    "tab_name",
    "primer",
    "front",
    "back",
    "tags",
    "honorific_level",
)
"""The header."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_UNESCAPED = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


class OutputError(Exception):
    """The cards cannot be written; the message is one line and names the file.

    Attributes:
        path: the file, or None for the standard output.
    """

    def __init__(self, path: Path | None, error: OSError) -> None:
        super().__init__(f"cannot write {path or '<stdout>'}: {os_reason(error)}")
        self.path = path


class CardWriter(Protocol):
    """What a run hands its cards to, word after word in the order of the input."""

    def write(self, item: VocabularyItem, cards: Iterable[Card]) -> None:
        """Take the cards of the next word."""
        ...


def escape(cell: str) -> str:
    r"""Return a cell as it is written.

    Examples:
        >>> print(escape("one\ttwo\\three\n"))
        one\ttwo\\three\n
    """
    return cell.translate(_ESCAPES)


def unescape(cell: str) -> str:
    r"""Return a written cell as it was; a backslash that begins no escape stands for itself.

    Examples:
        >>> unescape(escape("a\tb\\n")) == "a\tb\\n"
        True
    """
    parts: list[str] = []
    characters = iter(cell)
    for character in characters:
        if character != "\\":
            parts.append(character)
            continue
        code = next(characters, "")
        parts.append(_UNESCAPED.get(code, "\\" + code))
    return "".join(parts)


class TsvOutput:
    """Cards on their way into a file: a context manager that leaves nothing behind without `complete`.

    The rows go to a hidden file beside the target, which `complete` moves onto it in one step, so that a
    reader sees the old file or the new one whole. What is no plain file (a pipe, a device, the standard
    output) gets the rows at the end instead.

    Args:
        path: the target; None for the standard output.

    Raises:
        OutputError: the target cannot be written, found out when the block is entered.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._aside: Path | None = None
        self._target: Path | None = None
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            self._stream = self._open()
            self._line(COLUMNS)
        except OSError as error:
            self._discard()
            raise OutputError(self._path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._discard()

    def write(self, item: VocabularyItem, cards: Iterable[Card]) -> None:
        """Take the cards of the next word, under the position of its row."""
        number = str(item.position)
        try:
            for card in cards:
                self._line(
                    (
                        number,
                        item.term,
                        number,
                        card.tab_name,
                        card.primer,
                        card.front,
                        card.back,
                        card.tags,
                        card.honorific_level,
                    )
                )
        except OSError as error:
            raise OutputError(self._path, error) from error

    def complete(self) -> None:
        """Put the rows in their place; after that nothing can be written.

        Raises:
            OutputError: that failed, and the target is as it was.
        """
        try:
            self._place()
        except OSError as error:
            raise OutputError(self._path, error) from error
        finally:
            self._discard()

    def _open(self) -> BinaryIO:
        path = self._path
        if path is None or (path.exists() and not path.is_file() and not path.is_dir()):
            return tempfile.TemporaryFile()
        self._target = path.resolve()
        if self._target.is_dir():
            raise IsADirectoryError(0, "it is a directory")
        # A file that may not be written is not replaced either, though its folder would allow it.
        mode = 0o666
        if self._target.exists():
            os.close(os.open(self._target, os.O_WRONLY))
            mode = stat.S_IMODE(self._target.stat().st_mode)
        aside = self._target.with_name(f".flashcards-{secrets.token_hex(6)}.part")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        self._aside = aside
        return os.fdopen(descriptor, "wb")

    def _line(self, cells: Iterable[str]) -> None:
        if self._stream is None:
            raise ValueError("the output is not open")
        self._stream.write(("\t".join(map(escape, cells)) + "\n").encode())

    def _place(self) -> None:
        if self._stream is None:
            raise ValueError("the output is not open")
        self._stream.flush()
        if self._aside is not None and self._target is not None:
            os.fsync(self._stream.fileno())
            self._aside.replace(self._target)
            self._aside = None
            return
        self._stream.seek(0)
        if self._path is None:
            shutil.copyfileobj(self._stream, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with self._path.open("wb") as target:
                shutil.copyfileobj(self._stream, target)

    def _discard(self) -> None:
        # Closing may flush, and so fail, on a full disk: the aside is removed all the same.
        with contextlib.suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        self._stream = None
        if self._aside is not None:
            with contextlib.suppress(OSError):
                self._aside.unlink()
            self._aside = None
