"""The few words that the embedded API knows by itself, from `glossary.toml`.

The file is the project's own work. A word stands in it only where its meaning is beyond doubt.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ._vocabulary import UNKNOWN_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Homonym:
    """A word spelt like another."""

    hanja: str
    reading: str
    meaning: str
    differentiator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a word; an empty string or tuple where nothing is."""

    pos: tuple[str, ...]
    meaning: str
    hanja: str = ""
    level: str = ""
    note: str = ""
    culture: str = ""
    vs: str = ""
    nuance: str = ""
    homonyms: tuple[Homonym, ...] = ()


@cache
def glossary() -> Mapping[str, Entry]:
    """Return the glossary by term, read once."""
    text = files(__package__).joinpath("glossary.toml").read_text(encoding="utf-8")
    return {term: _entry(fields) for term, fields in tomllib.loads(text).items()}


def look_up(term: str, word_type: str) -> Entry | None:
    """Return what is known of `term` as that part of speech, or None: the same spelling may be another word.

    Examples:
        >>> look_up("친구", "noun").meaning
        'friend'
        >>> look_up("친구", "verb") is None
        True
    """
    entry = glossary().get(term)
    if entry is None or (word_type != UNKNOWN_TYPE and word_type not in entry.pos):
        return None
    return entry


def _entry(fields: dict[str, object]) -> Entry:
    pos, homonyms = fields.pop("pos"), fields.pop("homonyms", [])
    if not isinstance(pos, list) or not isinstance(homonyms, list):
        raise TypeError("pos and homonyms are lists")
    texts = {name: str(value) for name, value in fields.items()}
    return Entry(pos=tuple(pos), homonyms=tuple(Homonym(**each) for each in homonyms), **texts)
