"""How words and their cards are written down, and told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from sluicegate.flashcards._stage2 import Card, Cards
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards.cache import pack, unpack

_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def packed(cards: Cards) -> bytes:
    """Return cards as they are stored: JSON, checked and compressed as the cache does it."""
    return pack(
        _encoded(
            [
                cards.rejected,
                [
                    (card.tab_name, card.primer, card.front, card.back, card.tags, card.honorific_level)
                    for card in cards.cards
                ],
            ]
        ),
        level=1,
    )


def unpacked(value: object) -> Cards | None:
    """Return stored cards; None where they are damaged.

    Examples:
        >>> cards = Cards((Card("Scene", "primer", "front", "back", "tag", ""),), 2)
        >>> unpacked(packed(cards)) == cards, unpacked(b"damaged")
        (True, None)
    """
    text = unpack(value)
    if text is None:
        return None
    try:
        rejected, rows = json.loads(text)
        return Cards(tuple(Card(*row) for row in rows), rejected)
    except (TypeError, ValueError):
        return None


def identity_of(api: str, version: str, items: Iterable[VocabularyItem]) -> str:
    """Return what two runs share that may go on with each other: who is asked, how, and every word."""
    digest = hashlib.sha256(json.dumps([api, version]).encode())
    for item in items:
        told = [item.position, item.term, item.type, sorted(item.hints.items())]
        digest.update(_encoded(told).encode() + b"\n")
    return digest.hexdigest()


def word_key(api: str, term: str, word_type: str) -> str:
    """Return what a word is known by over all runs."""
    return hashlib.sha256(_encoded([api, term, word_type]).encode()).hexdigest()
