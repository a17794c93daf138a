r"""Stage 2: the cards of a word, read from a reply that is meant to be TSV.

A row has nine columns: position, term, term_number, tab_name, primer, front, back, tags, honorific_level;
where the last is missing it is empty. Cells are taken literally: a backslash is a backslash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._stage1 import MAX_CONTENT, WordNuance
from ._vocabulary import VocabularyItem
from ._wire import ReplyError

MODEL = "@preset/nuance-flashcard-generator"
"""The preset that is asked."""

MAX_CARDS = 200
"""The most cards that are taken from one reply; a word has about seven."""

_COLUMNS = 9


@dataclass(frozen=True, slots=True)
class Card:
    """One card of a word, under the tab of the note type it belongs to."""

    tab_name: str
    primer: str
    front: str
    back: str
    tags: str
    honorific_level: str


@dataclass(frozen=True, slots=True)
class Cards:
    """The cards of a reply, and how many of its rows were none."""

    cards: tuple[Card, ...]
    rejected: int


def message(item: VocabularyItem, nuance: WordNuance) -> dict[str, Any]:
    """Return what stage 2 is asked."""
    return {"position": item.position, "term": item.term, "stage1_result": nuance.as_json(item.position)}


def read_cards(content: str) -> Cards:
    r"""Return the cards a reply holds, with or without a header, a code fence or prose around them.

    Position, term and term_number of a row are not read: they are the input's.

    Raises:
        ReplyError: no row of it is a card.

    Examples:
        >>> reply = "```tsv\n1\t물\t1\tScene\tprimer\tfront\tback\ttag\n```"
        >>> read_cards(reply).cards
        (Card(tab_name='Scene', primer='primer', front='front', back='back', tags='tag', honorific_level=''),)
    """
    if len(content) > MAX_CONTENT:
        raise ReplyError(f"the reply has {len(content)} characters, more than {MAX_CONTENT}")
    cards: list[Card] = []
    rejected = 0
    for line in content.split("\n"):
        cells = line.removesuffix("\r").split("\t")
        if len(cells) == 1 or _is_header(cells):
            continue
        card = _card(cells)
        if card is None or len(cards) == MAX_CARDS:
            rejected += 1
        else:
            cards.append(card)
    if not cards:
        raise ReplyError(f"the reply holds no card; rows rejected: {rejected}")
    return Cards(tuple(cards), rejected)


def _is_header(cells: list[str]) -> bool:
    return cells[0].strip().lower() == "position"


def _card(cells: list[str]) -> Card | None:
    if len(cells) == _COLUMNS - 1:
        cells = [*cells, ""]
    if len(cells) != _COLUMNS or not all(cells[column].strip() for column in (3, 5, 6)):
        return None
    return Card(*cells[3:])
