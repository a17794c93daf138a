"""Where the cards go, and what else is exported: a file written aside, and moved into place when whole."""

from __future__ import annotations

import abc
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


class OutputError(Exception):
    """A file cannot be written; the message is one line and names the file.

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


class Aside:
    """Bytes on their way into a file: a context manager that leaves nothing behind without `complete`.

    They go to a hidden file beside the target, which `complete` moves onto it in one step, so that a
    reader sees the old file or the new one whole. What is no plain file (a pipe, a device, the standard
    output) gets them at the end instead.

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
            self.begin(self._stream)
        except OSError as error:
            self._discard()
            raise OutputError(self._path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._discard()

    @property
    def stream(self) -> BinaryIO:
        """What is written into."""
        if self._stream is None:
            raise ValueError("the output is not open")
        return self._stream

    def begin(self, stream: BinaryIO) -> None:
        """Write what stands before all else; by default nothing."""

    def finish(self, stream: BinaryIO) -> None:
        """Write what is only known at the end; by default nothing."""

    def complete(self) -> None:
        """Put the bytes in their place; after that nothing can be written.

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

    def _place(self) -> None:
        stream = self.stream
        self.finish(stream)
        stream.flush()
        if self._aside is not None and self._target is not None:
            os.fsync(stream.fileno())
            self._aside.replace(self._target)
            self._aside = None
            return
        stream.seek(0)
        if self._path is None:
            shutil.copyfileobj(stream, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with self._path.open("wb") as target:
                shutil.copyfileobj(stream, target)

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


class CardOutput(Aside, abc.ABC):
    """Cards on their way into a file, in one of their forms."""

    def write(self, item: VocabularyItem, cards: Iterable[Card]) -> None:
        """Take the cards of the next word, under the position of its row."""
        try:
            self.add(item, cards)
        except OSError as error:
            raise OutputError(self._path, error) from error

    @abc.abstractmethod
    def add(self, item: VocabularyItem, cards: Iterable[Card]) -> None:
        """Write, or keep, the cards of the next word."""
