"""Stage 1: what the first model finds out about a word, read from a reply that is meant to be JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._vocabulary import VocabularyItem
from ._wire import ReplyError, is_unicode

MODEL = "@preset/nuance-creator"
"""The preset that is asked."""

MAX_CONTENT = 256 * 1024
"""The longest content that is searched for JSON, in characters."""

_MAX_STARTS = 32
_REQUIRED = ("term", "pos", "primary_meaning")
_OPTIONAL = (
    "ipa",
    "other_meanings",
    "metaphor",
    "metaphor_noun",
    "metaphor_action",
    "suggested_location",
    "anchor_object",
    "anchor_sensory",
    "explanation",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A near synonym and what sets it apart."""

    vs: str
    nuance: str


@dataclass(frozen=True, slots=True)
class Homonym:
    """A word that sounds the same, with the characters it is written in."""

    hanja: str
    reading: str
    meaning: str
    differentiator: str


@dataclass(frozen=True, slots=True)
class WordNuance:
    """What stage 1 found out; texts are empty where the reply had none."""

    term: str
    ipa: str
    pos: str
    primary_meaning: str
    other_meanings: str
    metaphor: str
    metaphor_noun: str
    metaphor_action: str
    suggested_location: str
    anchor_object: str
    anchor_sensory: str
    explanation: str
    usage_context: str | None
    comparison: Comparison | None
    homonyms: tuple[Homonym, ...] | None
    korean_keywords: tuple[str, ...]

    def as_json(self, term_number: int) -> dict[str, Any]:
        """Return the result as stage 2 is told it, under the number of the row it is for."""
        comparison, homonyms = self.comparison, self.homonyms
        return {
            "term_number": term_number,
            **_fields(self, _TEXTS),
            "usage_context": self.usage_context,
            "comparison": None if comparison is None else _fields(comparison, Comparison.__slots__),
            "homonyms": None if homonyms is None else [_fields(word, Homonym.__slots__) for word in homonyms],
            "korean_keywords": list(self.korean_keywords),
        }


_TEXTS = tuple(WordNuance.__slots__[:12])


def _fields(of: WordNuance | Comparison | Homonym, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}


def message(item: VocabularyItem) -> dict[str, Any]:
    """Return what stage 1 is asked.

    Examples:
        >>> message(VocabularyItem(1, "물", "noun"))
        {'position': 1, 'term': '물', 'type': 'noun'}
    """
    return {"position": item.position, "term": item.term, "type": item.type}


def read_nuance(content: str) -> WordNuance:
    r"""Return what a reply says, also where its JSON is fenced or stands amid prose.

    The first JSON object that has the required fields counts. Cost: a bounded number of attempts, each at
    most linear in the reply.

    Raises:
        ReplyError: there is no such object, or a field is of the wrong kind.

    Examples:
        >>> read_nuance('Sure!\n```json\n{"term": "물", "pos": "noun", "primary_meaning": "water"}\n```').pos
        'noun'
    """
    if len(content) > MAX_CONTENT:
        raise ReplyError(f"the reply has {len(content)} characters, more than {MAX_CONTENT}")
    for found in _objects(content):
        if all(name in found for name in _REQUIRED):
            return _nuance(found)
    raise ReplyError(f"the reply holds no JSON object with {', '.join(_REQUIRED)}")


def _objects(content: str) -> Iterator[dict[str, Any]]:
    start = content.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            return
        try:
            found, end = _DECODER.raw_decode(content, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found
        start = content.find("{", end)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refused)


def _nuance(found: Mapping[str, Any]) -> WordNuance:
    texts = {name: _text(found, name) for name in (*_REQUIRED, *_OPTIONAL)}
    for name in _REQUIRED:
        if not texts[name].strip():
            raise ReplyError(f"the reply's {name} is blank")
    comparison, homonyms = found.get("comparison"), _list(found, "homonyms")
    return WordNuance(
        **texts,
        usage_context=_text(found, "usage_context") or None,
        comparison=Comparison(*_texts(comparison, Comparison, "comparison")) if comparison else None,
        homonyms=None if homonyms is None else tuple(map(_homonym, homonyms)),
        korean_keywords=tuple(map(_keyword, _list(found, "korean_keywords") or ())),
    )


def _homonym(found: Any) -> Homonym:
    return Homonym(*_texts(found, Homonym, "homonyms"))


def _text(found: Mapping[str, Any], name: str) -> str:
    """Return a text; null is empty, and a list of texts, which models like to send, is joined."""
    value = found.get(name)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = ", ".join(value)
    if not isinstance(value, str) or not is_unicode(value):
        raise ReplyError(f"the reply's {name} is no text")
    return value


def _texts(found: Any, kind: type[Comparison | Homonym], name: str) -> Iterator[str]:
    if not isinstance(found, dict):
        raise ReplyError(f"the reply's {name} holds no object")
    return (_text(found, field) for field in kind.__slots__)


def _list(found: Mapping[str, Any], name: str) -> list[Any] | None:
    value = found.get(name)
    if value is not None and not isinstance(value, list):
        raise ReplyError(f"the reply's {name} is no list")
    return value


def _keyword(word: Any) -> str:
    if not isinstance(word, str) or not is_unicode(word):
        raise ReplyError("the reply's korean_keywords hold something else than texts")
    return word
