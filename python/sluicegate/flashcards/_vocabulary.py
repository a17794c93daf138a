"""The vocabulary: a CSV of Korean words, lean (`position,term,type`) or rich (more columns, kept as hints).

A row that makes no sense is reported by its line and the rest proceed; a file that is no vocabulary at all
is one `VocabularyError`. Everything is bounded, so that a wrong file costs a message and not the memory.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO

MAX_FILE_BYTES = 64 * 1024 * 1024
"""The largest file that is read; ten thousand rich rows take three megabytes."""

MAX_RECORD_LINES = 64
"""The most physical lines a record may span: a quote that is never closed spoils one row, not the file."""

MAX_TERM_LENGTH = 200
"""The longest term, in characters: what is longer is no word, and would be paid for by the token."""

UNKNOWN_TYPE = "unknown"
"""The type of a word whose row names none."""

TYPE_ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        "n": "noun",
        "v": "verb",
        "adj": "adjective",
        "adv": "adverb",
        "int": "interjection",
        "phr": "phrase",
        "part": "particle",
    }
)

_COLUMN_NAMES = {"position": ("position",), "term": ("term", "hangul"), "type": ("type", "word_type")}
_POSITION = re.compile(r"[0-9]{1,15}")


class VocabularyError(ValueError):
    """A file that cannot be read as a vocabulary; the message is one line and names the file.

    Attributes:
        source: the name of the file as it was given, ``<stdin>`` for the standard input.
    """

    def __init__(self, message: str, *, source: str = "") -> None:
        super().__init__(f"{source}: {message}" if source else message)
        self.source = source


@dataclass(frozen=True, slots=True)
class VocabularyItem:
    """A word to make cards of.

    Two items are equal where position, term and type are: hints are what a rich file happens to know besides.

    Attributes:
        position: the number in the file, above 0; neither unique nor dense.
        term: the word, NFC, never blank.
        type: the part of speech in lower case, abbreviations expanded; `UNKNOWN_TYPE` where none was given.
        hints: the other columns that were filled, by their header in lower case, such as ``definition``.
    """

    position: int
    term: str
    type: str
    hints: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out.

    Attributes:
        line: the line of the file on which the row begins, from 1.
        reason: what is wrong with it, in a few words.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of a file in its order, and the rows that were none."""

    items: tuple[VocabularyItem, ...]
    bad_rows: tuple[BadRow, ...]


def read_vocabulary(
    stream: BinaryIO, *, source: str = "", start_from: int = 1, limit: int | None = None
) -> Vocabulary:
    r"""Read the rows `start_from` to `start_from + limit - 1`, data rows counted from 1, good and bad alike.

    Blank lines are no rows. A type missing from the end of a row is as good as an empty one; more cells than
    the header has columns are a bad row, since the comma was most likely meant to be part of a cell.

    Args:
        stream: the bytes of the file: UTF-8, with or without a BOM, lines ended by LF or CRLF.
        source: the name for error messages.
        start_from: the first data row to read.
        limit: how many data rows to read; None for all.

    Raises:
        VocabularyError: the file is too large, not UTF-8, or its header lacks a column.

    Examples:
        >>> import io
        >>> vocabulary = read_vocabulary(io.BytesIO("position,term,type\n1,나무,N\n0,물,n\n".encode()))
        >>> vocabulary.items
        (VocabularyItem(position=1, term='나무', type='noun'),)
        >>> vocabulary.bad_rows
        (BadRow(line=3, reason="position '0' is not an integer above 0"),)
    """
    lines = list(io.StringIO(_decoded(stream, source), newline=""))
    records = _records(lines)
    header = next(records, None)
    if header is None:
        raise VocabularyError("the file is empty; its first line must name the columns", source=source)
    columns = _columns(header[1], source)

    items: list[VocabularyItem] = []
    bad_rows: list[BadRow] = []
    for row, (line, cells) in enumerate(records, start=1):
        if row < start_from:
            continue
        if limit is not None and row >= start_from + limit:
            break
        try:
            items.append(_item(cells, columns))
        except ValueError as error:
            bad_rows.append(BadRow(line, str(error)))
    return Vocabulary(tuple(items), tuple(bad_rows))


def expand_type(text: str) -> str:
    """Return the part of speech in full: lower case, the usual abbreviations expanded, the rest kept.

    Examples:
        >>> [expand_type(text) for text in ("adj", "", "N", "pronoun")]
        ['adjective', 'unknown', 'noun', 'pronoun']
    """
    word = unicodedata.normalize("NFC", text).strip().lower()
    return TYPE_ABBREVIATIONS.get(word, word) or UNKNOWN_TYPE


def _decoded(stream: BinaryIO, source: str) -> str:
    content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise VocabularyError(f"the file is larger than {MAX_FILE_BYTES // 1024**2} MiB", source=source)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise VocabularyError(
            f"the file is not UTF-8: byte 0x{byte:02x} in line {line}; save it as UTF-8", source=source
        ) from error


def _records(lines: Sequence[str]) -> Iterator[tuple[int, Sequence[str] | csv.Error]]:
    """Yield each record with the line it begins on; one that is malformed costs its first line only."""
    start = 0
    while start < len(lines):
        reader = csv.reader(lines[start : start + MAX_RECORD_LINES], strict=True)
        try:
            cells = next(reader)
        except csv.Error as error:
            yield start + 1, error
            start += 1
            continue
        if any(cell.strip() for cell in cells):
            yield start + 1, cells
        start += reader.line_num


def _columns(header: Sequence[str] | csv.Error, source: str) -> tuple[dict[str, int], Sequence[str]]:
    if isinstance(header, csv.Error):
        raise VocabularyError(f"the header is no CSV: {header}", source=source)
    names = [unicodedata.normalize("NFC", cell).strip().lower() for cell in header]
    indices: dict[str, int] = {}
    for column, accepted in _COLUMN_NAMES.items():
        found = [index for index, name in enumerate(names) if name in accepted]
        if not found:
            wanted = " or ".join(repr(name) for name in accepted)
            raise VocabularyError(f"the header has no column {wanted}", source=source)
        if len(found) > 1:
            raise VocabularyError(f"the header names the {column} twice", source=source)
        indices[column] = found[0]
    return indices, names


def _item(cells: Sequence[str] | csv.Error, columns: tuple[dict[str, int], Sequence[str]]) -> VocabularyItem:
    if isinstance(cells, csv.Error):
        raise ValueError(f"malformed CSV: {cells}")  # noqa: TRY004 - a value of the file, not of the program
    indices, names = columns
    if len(cells) > len(names):
        raise ValueError(f"{len(cells)} cells where the header has {len(names)}; is a comma unquoted?")
    row = dict(zip(range(len(names)), cells, strict=False))
    return VocabularyItem(
        position=_position(row.get(indices["position"], "")),
        term=_term(row.get(indices["term"], "")),
        type=expand_type(row.get(indices["type"], "")),
        hints=MappingProxyType(dict(_hints(row, indices.values(), names))),
    )


def _position(text: str) -> int:
    digits = text.strip()
    if _POSITION.fullmatch(digits) is None or int(digits) == 0:
        raise ValueError(f"position {digits[:40]!r} is not an integer above 0")
    return int(digits)


def _term(text: str) -> str:
    term = unicodedata.normalize("NFC", text).strip()
    if not any(character.isprintable() and not character.isspace() for character in term):
        raise ValueError("the term is blank")
    if len(term) > MAX_TERM_LENGTH:
        raise ValueError(f"the term has {len(term)} characters, more than {MAX_TERM_LENGTH}")
    return term


def _hints(row: Mapping[int, str], used: Iterable[int], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    taken = frozenset(used)
    for index, cell in row.items():
        text = unicodedata.normalize("NFC", cell).strip()
        if index not in taken and text and names[index]:
            yield names[index], text
