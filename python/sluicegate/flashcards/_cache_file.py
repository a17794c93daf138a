"""Answers that were paid for, as a file to carry elsewhere: JSON Lines, checked as they are read.

The first line says what the file is; each other holds an answer under the key of its call:

```json
{"flashcards_answers": 1}
{"key": "<SHA-256 in 64 hexadecimal digits>", "answer": "the reply as it came"}
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ._wire import is_unicode

VERSION = 1

MAX_LINE = 32 * 1024**2
"""The longest line that is read, in bytes: an answer of 4 MiB whose every character is escaped still fits."""

MAX_ANSWER = 4 * 1024**2
"""The longest answer that is taken, in characters; what the API sends is bounded alike."""

_KIND = "flashcards_answers"
_KEY = re.compile("[0-9a-f]{64}")


class CacheFileError(ValueError):
    """A file that holds no answers at all; the message is one line."""


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """A line that holds no answer, and why."""

    line: int
    reason: str


def write_answers(stream: BinaryIO, answers: Iterable[tuple[bytes, str]]) -> int:
    """Write answers by their keys, and return how many.

    Examples:
        >>> import io
        >>> stream = io.BytesIO()
        >>> write_answers(stream, [(bytes(32), "water")])
        1
        >>> stream.seek(0)
        0
        >>> list(read_answers(stream)) == [(bytes(32), "water")]
        True
    """
    stream.write(_line({_KIND: VERSION}))
    count = 0
    for key, answer in answers:
        stream.write(_line({"key": key.hex(), "answer": answer}))
        count += 1
    return count


def read_answers(stream: BinaryIO) -> Iterator[tuple[bytes, str] | BadAnswer]:
    """Yield the answers of a file by their keys, and a `BadAnswer` for each line that holds none.

    No more than a line is held at once.

    Raises:
        CacheFileError: the first line does not say that the file holds answers, or of a version not known.
    """
    lines = _lines(stream)
    header = _object(next(lines, None))
    if header is None or _KIND not in header:
        raise CacheFileError("it holds no answers; give a file that `flashcards cache export` wrote")
    if header[_KIND] != VERSION or type(header[_KIND]) is not int:
        version = str(header[_KIND])[:20]
        raise CacheFileError(f"its version is {version}, and this flashcards reads {VERSION}; export it anew")
    for number, line in enumerate(lines, start=2):
        if line is None or line.strip():
            found = _answer(line)
            yield BadAnswer(number, found) if isinstance(found, str) else found


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield the lines of a file, None for one that is too long."""
    while line := stream.readline(MAX_LINE + 1):
        if len(line) <= MAX_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE)
        yield None


def _object(line: bytes | None) -> dict[str, Any] | None:
    if line is None:
        return None
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _answer(line: bytes | None) -> tuple[bytes, str] | str:
    """Return the answer of a line by its key, or why it holds none."""
    if line is None:
        return f"it is longer than {MAX_LINE // 1024**2} MiB"
    found = _object(line)
    if found is None:
        return "it is no JSON object"
    key, answer = found.get("key"), found.get("answer")
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        return "its key is not 64 hexadecimal digits"
    if not isinstance(answer, str) or not answer.strip() or not is_unicode(answer):
        return "its answer is no text"
    if len(answer) > MAX_ANSWER:
        return f"its answer is longer than {MAX_ANSWER:,} characters"
    return bytes.fromhex(key), answer
