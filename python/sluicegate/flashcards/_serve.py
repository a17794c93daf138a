"""`flashcards serve`: the embedded API by itself, until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sluicegate import ConfigurationError

from ._vocabulary import Vocabulary, VocabularyError, read_vocabulary
from .server import EmbeddedServer, ServerStats

_TERMINATED, _USAGE, _CONFIGURATION, _INTERRUPTED = 0, 2, 3, 130


def serve_command(
    *,
    host: str,
    port: int,
    rate: str,
    faults: str,
    seed: int,
    vocabulary: Path | None = None,
    api_key: str | None = None,
) -> int:
    """Serve until Ctrl-C or SIGTERM.

    The base URL stands alone on stdout as soon as requests are answered, so that a script can read it; all
    else goes to stderr.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one.
        rate: the limit that is announced and kept.
        faults: what goes wrong on purpose, in the words of `FaultPlan.parse`.
        seed: of the faults and of the form of the answers.
        vocabulary: a file whose hints the answers may use.
        api_key: the key that clients must send; None asks for none.

    Returns:
        The exit code: 130 after an interrupt, as with every command; 0 after SIGTERM, by which a supervisor
        ends a server in good order; 2 where the vocabulary cannot be read; 3 where an option makes no sense
        or the port is in use.
    """
    try:
        words = Vocabulary((), ()) if vocabulary is None else _read(vocabulary)
        server = EmbeddedServer(
            words.items, host=host, port=port, rate=rate, faults=faults, seed=seed, api_key=api_key
        )
        for row in words.bad_rows:
            _say(f"{vocabulary}: line {row.line}: {row.reason}")
        return _serve(server, f"{len(words.items):,} words, {rate}, faults: {faults}; Ctrl-C stops it")
    except VocabularyError as error:
        _say(f"flashcards: {error}")
        return _USAGE
    except ConfigurationError as error:
        _say(f"flashcards: {error}")
        return _CONFIGURATION


class _TerminatedError(Exception):
    """SIGTERM was received."""


def _serve(server: EmbeddedServer, greeting: str) -> int:
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        with server:
            _say(greeting)
            print(server.base_url, flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except _TerminatedError:
        code = _TERMINATED
    finally:
        signal.signal(signal.SIGTERM, previous)
    _say(_summary(server.stats))
    return code


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TerminatedError


def _read(path: Path) -> Vocabulary:
    try:
        with path.open("rb") as stream:
            return read_vocabulary(stream, source=str(path))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise VocabularyError(f"cannot read the file: {reason}", source=str(path)) from error


def _summary(stats: ServerStats) -> str:
    faults = ", ".join(f"{count:,} {name}" for name, count in sorted(stats.faults.items())) or "none"
    counts = f"{stats.requests:,} requests, {stats.admitted:,} admitted, {stats.limited:,} refused"
    return f"{counts}; faults: {faults}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
