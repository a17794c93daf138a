"""`flashcards serve`: the embedded API by itself, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sluicegate import ConfigurationError

from ._job import Exit
from ._one_line import os_reason
from ._secrets import ApiKey
from ._setting_names import KEY_VARIABLES
from ._vocabulary import Vocabulary, VocabularyError, read_vocabulary
from .server import EmbeddedServer, ServerStats


def serve_command(
    *,
    host: str,
    port: int,
    rate: str,
    faults: str,
    seed: int,
    vocabulary: Path | None = None,
    require_key: bool = False,
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
        require_key: whether clients must send the key, which is found where the client looks for its own.

    Returns:
        The exit code: 130 after an interrupt, as with every command; 0 after SIGTERM, by which a supervisor
        ends a server in good order; 2 where the vocabulary cannot be read; 3 where an option makes no sense
        or the port is in use.
    """
    try:
        words = Vocabulary((), ()) if vocabulary is None else _read(vocabulary)
        server = EmbeddedServer(
            words.items,
            host=host,
            port=port,
            rate=rate,
            faults=faults,
            seed=seed,
            api_key=_key() if require_key else None,
        )
        for row in words.bad_rows:
            _say(f"{vocabulary}: line {row.line}: {row.reason}")
        return _serve(server, f"{len(words.items):,} words, {rate}, faults: {faults}; Ctrl-C stops it")
    except VocabularyError as error:
        _say(f"flashcards: {error}")
        return Exit.USAGE
    except ConfigurationError as error:
        _say(f"flashcards: {error}")
        return Exit.CONFIGURATION


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
        code = Exit.INTERRUPTED
    except _TerminatedError:
        code = Exit.OK
    finally:
        signal.signal(signal.SIGTERM, previous)
    _say(_summary(server.stats))
    return code


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TerminatedError


def _key() -> str:
    found = (os.environ.get(variable, "").strip() for variable in KEY_VARIABLES)
    text = next(filter(None, found), None)
    if text is None:
        message = f"there is no key to require; set {' or '.join(KEY_VARIABLES)}"
        raise ConfigurationError(message, field="api_key")
    return ApiKey(text).reveal()


def _read(path: Path) -> Vocabulary:
    try:
        with path.open("rb") as stream:
            return read_vocabulary(stream, source=str(path))
    except OSError as error:
        raise VocabularyError(f"cannot read the file: {os_reason(error)}", source=str(path)) from error


def _summary(stats: ServerStats) -> str:
    faults = ", ".join(f"{count:,} {name}" for name, count in sorted(stats.faults.items())) or "none"
    counts = f"{stats.requests:,} requests, {stats.admitted:,} admitted, {stats.limited:,} refused"
    return f"{counts}; faults: {faults}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
