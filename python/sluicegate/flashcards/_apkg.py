"""An Anki package: a note a card, whose ids stay, so that importing it again updates what is there.

Notes are kept until the end, about a kilobyte each, since the package is a database in an archive.
"""

from __future__ import annotations

import contextlib
import html
import itertools
import re
import sqlite3
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import genanki

from ._aside import CardOutput
from ._stage2 import Card
from ._vocabulary import VocabularyItem

DECK_ID = 1_724_610_388
"""Of the deck; it stays for ever, or an import would make a second one."""

MODEL_ID = 1_541_082_617
"""Of the note type; the same is true of it, and of the names and order of its fields."""

FIELDS = ("Front", "Back", "Primer", "Term", "Type", "Tab", "Honorific")

_QUESTION = '<div class="primer">{{Primer}}</div><div class="front">{{Front}}</div>'
_ANSWER = (
    '{{FrontSide}}<hr id="answer"><div class="back">{{Back}}</div><div class="term">{{Term}} · {{Tab}}</div>'
)
_CSS = (
    ".card { font-family: sans-serif; font-size: 20px; text-align: center; } .primer, .term { color: gray; }"
)
_BETWEEN_TAGS = re.compile(r"[\s,;]+")


class ApkgOutput(CardOutput):
    """Cards as an Anki package. The same word twice in a vocabulary is one set of notes."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        templates = [{"name": "Card", "qfmt": _QUESTION, "afmt": _ANSWER}]
        fields = [{"name": name} for name in FIELDS]
        self._model = genanki.Model(
            MODEL_ID, "Nuance flashcard", fields=fields, templates=templates, css=_CSS
        )
        self._deck = genanki.Deck(DECK_ID, "Korean vocabulary")
        self._guids: set[str] = set()

    def add(self, item: VocabularyItem, cards: Iterable[Card]) -> None:
        """Keep a note for each card."""
        seen: Counter[str] = Counter()
        for card in cards:
            guid = note_guid(item.term, item.type, card.tab_name, seen[card.tab_name])
            seen[card.tab_name] += 1
            if guid in self._guids:
                continue
            self._guids.add(guid)
            texts = (
                card.front,
                card.back,
                card.primer,
                item.term,
                item.type,
                card.tab_name,
                card.honorific_level,
            )
            tags = [tag for tag in _BETWEEN_TAGS.split(card.tags) if tag]
            self._deck.add_note(
                genanki.Note(model=self._model, fields=[*map(_as_html, texts)], tags=tags, guid=guid)
            )

    def finish(self, stream: BinaryIO) -> None:
        """Write the package: not by the library's own way, which leaves its temporary file behind."""
        now = time.time()
        with tempfile.TemporaryDirectory(prefix="flashcards-") as folder:
            database = Path(folder) / "collection.anki2"
            try:
                with contextlib.closing(sqlite3.connect(database)) as connection, connection:
                    ids = itertools.count(int(now * 1_000))
                    genanki.Package(self._deck).write_to_db(connection.cursor(), now, ids)
            except sqlite3.Error as error:
                raise OSError(str(error)) from error
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(database, database.name)
                archive.writestr("media", "{}")


def note_guid(term: str, kind: str, tab: str, index: int) -> str:
    """Return the id of a note, by which Anki knows it again.

    Args:
        term: of the word.
        kind: its type.
        tab: of the card.
        index: how many cards of the word under the same tab stand before it.

    Examples:
        >>> note_guid("물", "noun", "Scene", 0) == note_guid("물", "noun", "Scene", 0)
        True
        >>> note_guid("물", "noun", "Scene", 0) == note_guid("물", "noun", "Scene", 1)
        False
    """
    return str(genanki.guid_for(term, kind, tab, index))


def _as_html(text: str) -> str:
    return html.escape(text, quote=False).replace("\r\n", "\n").replace("\r", "\n").replace("\n", "<br>")
