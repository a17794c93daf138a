r"""TSV with one header, and JSON Lines.

There is no quoting in TSV: a tab, newline, carriage return or backslash inside a cell is written as ``\t``,
``\n``, ``\r`` or ``\\``, and lines end in LF on every platform.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ._aside import CardOutput
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


class TsvOutput(CardOutput):
    """Cards as TSV: a header, and a line a card."""

    def begin(self, stream: BinaryIO) -> None:
        """Write the header."""
        stream.write(_line(COLUMNS))

    def add(self, item: VocabularyItem, cards: Iterable[Card]) -> None:
        """Write a line for each card."""
        for row in rows(item, cards):
            self.stream.write(_line(map(str, row)))


class JsonLinesOutput(CardOutput):
    """Cards as JSON Lines: an object a card, with the names of the TSV header, in UTF-8."""

    def add(self, item: VocabularyItem, cards: Iterable[Card]) -> None:
        """Write an object for each card."""
        for row in rows(item, cards):
            line = json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False)
            self.stream.write(line.encode() + b"\n")


def rows(item: VocabularyItem, cards: Iterable[Card]) -> Iterator[tuple[int | str, ...]]:
    """Yield the cells of each card under `COLUMNS`; position and term_number are the word's own."""
    for card in cards:
        yield (
            item.position,
            item.term,
            item.position,
            card.tab_name,
            card.primer,
            card.front,
            card.back,
            card.tags,
            card.honorific_level,
        )


def _line(cells: Iterable[str]) -> bytes:
    return ("\t".join(map(escape, cells)) + "\n").encode()
