"""Study cards without a model: what is really known offline, and nothing invented.

Known are the row's own hints (a rich vocabulary brings definitions, examples and usage), the project's small
glossary, and what follows from the spelling by rule: romanisation, IPA, which shape a particle takes. Where
the meaning of a word is not among these, the card says so. The same word always gets the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import blake2b

from ._glossary import Entry, look_up
from ._pronunciation import ends_in_vowel, ipa, romanise
from ._vocabulary import VocabularyItem, expand_type

UNKNOWN_MEANING = "meaning not known offline"
"""What stands where a meaning would, for a word of which none is known."""

COLUMNS = (
    *("position", "term", "term_number", "tab_name", "primer"),
    *("front", "back", "tags", "honorific_level"),
)
"""The cells of a card row, in their order."""

_LEVELS = {
    "formal": "formal and polite",
    "polite": "polite",
    "casual": "casual, for friends and younger people",
    "humble": "humble: it lowers the speaker, and so is polite",
    "honorific": "honorific: it raises the person spoken of",
}
_PREDICATES = frozenset(("verb", "adjective", "interjection", "phrase"))
_PLACES = {
    "noun": "a shelf in the hall",
    "pronoun": "the mirror by the door",
    "verb": "the front steps",
    "adjective": "the window",
    "adverb": "the stairs",
}
_ANY_PLACE = "the kitchen table"


class CardAuthor:
    """Answers both stages from what is known of a word.

    Args:
        vocabulary: rows whose hints the answers may use; a word that is not among them is answered without.
        seed: which answers come fenced, amid prose or under a header, as those of models do.

    Examples:
        >>> author = CardAuthor()
        >>> author.analyse(1, "친구", "noun")["primary_meaning"]
        'friend'
        >>> author.analyse(2, "뷁", "noun")["primary_meaning"]
        'meaning not known offline'
    """

    def __init__(self, vocabulary: Iterable[VocabularyItem] = (), *, seed: int = 0) -> None:
        self._hints: dict[tuple[int, str] | str, Mapping[str, str]] = {}
        for item in vocabulary:
            if hints := {name: text for name, hint in item.hints.items() if (text := _cell(hint))}:
                self._hints.setdefault((item.position, item.term), hints)
                self._hints.setdefault(item.term, hints)
        self._seed = seed

    def analyse(self, position: int, term: str, word_type: str) -> dict[str, object]:
        """Return the first stage's analysis: every field of the API, null or empty where nothing is known."""
        hints = self._hints_of(position, term)
        word_type = expand_type(word_type)
        entry = look_up(term, word_type)
        sound = romanise(term)
        meaning, source = _meaning(hints, entry)
        return {
            "term_number": position,
            "term": term,
            "ipa": hints.get("ipa_pronunciation") or ipa(term),
            "pos": word_type,
            "primary_meaning": meaning,
            "other_meanings": "",
            "metaphor": f"{term} as a row of {len(term)} building blocks",
            "metaphor_noun": "blocks",
            "metaphor_action": "read aloud from left to right",
            "suggested_location": _PLACES.get(word_type, _ANY_PLACE),
            "anchor_object": f"a tile with {term[:1]} on it",
            "anchor_sensory": f"the sound of {sound}",
            "explanation": f"{term} is read {sound}. {source}",
            "usage_context": hints.get("usage_hint") or (entry.note if entry else "") or None,
            "comparison": {"vs": entry.vs, "nuance": entry.nuance} if entry and entry.vs else None,
            "homonyms": [asdict(each) for each in entry.homonyms] if entry and entry.homonyms else None,
            "korean_keywords": [term],
        }

    def cards(self, position: int, term: str, analysis: Mapping[str, object]) -> list[tuple[str, ...]]:
        """Return the second stage's rows, `COLUMNS` wide: a scene always, other tabs as far as known.

        Meaning, usage and comparison are those of `analysis`, the first stage's answer, whoever gave it; a
        field that is missing or of another kind counts as unknown. Cells hold no tabs and no line breaks.
        """
        word_type = expand_type(_text(analysis, "pos"))
        hints, entry = self._hints_of(position, term), look_up(term, word_type)
        level = _level(term, word_type, entry)
        number = analysis.get("term_number")
        head = (str(position), _cell(term), str(number if isinstance(number, int) else position))
        tags = _cell(" ".join(("korean", word_type.replace(" ", "-"), *_topik(hints), "offline")))
        primer = _cell(f"{term} [{_text(analysis, 'ipa') or romanise(term)}]")
        return [
            (*head, tab, primer, _cell(front), _cell(back), tags, level)
            for tab, front, back in (
                _scene(term, analysis),
                *_usage(term, analysis),
                *_hanja(term, entry),
                *_grammar(term, word_type, entry),
                *_formality(term, level),
                *_example(term, hints),
                *_culture(term, entry),
            )
        ]

    def analysis_reply(self, position: int, term: str, word_type: str) -> str:
        """Return `analyse` as a model would write it: bare JSON mostly, at times fenced or amid prose."""
        content = json.dumps(self.analyse(position, term, word_type), ensure_ascii=False)
        match self._dice("analysis", term) % 8:
            case 0:
                return f"```json\n{content}\n```"
            case 1:
                return f"Here is the analysis of {term}:\n\n```json\n{content}\n```\n\nAsk for more."
            case 2:
                return f"Here is the analysis of {term}.\n{content}"
            case _:
                return content

    def cards_reply(self, position: int, term: str, analysis: Mapping[str, object]) -> str:
        """Return `cards` as a model would write them: TSV, at times with a header, a fence or both."""
        rows = ["\t".join(row) for row in self.cards(position, term, analysis)]
        dice = self._dice("cards", term) % 8
        if dice in (0, 1, 2):
            rows.insert(0, "\t".join(COLUMNS))
        content = "\n".join(rows)
        return f"```tsv\n{content}\n```" if dice in (2, 3) else content

    def _hints_of(self, position: int, term: str) -> Mapping[str, str]:
        return self._hints.get((position, term)) or self._hints.get(term) or {}

    def _dice(self, stage: str, term: str) -> int:
        roll = f"{self._seed}\0{stage}\0{term}".encode(errors="replace")
        return int.from_bytes(blake2b(roll, digest_size=8).digest())


def _meaning(hints: Mapping[str, str], entry: Entry | None) -> tuple[str, str]:
    """Return the meaning and a sentence that says where it comes from."""
    if definition := hints.get("definition"):
        return definition, "The meaning is the vocabulary's own."
    if entry is not None:
        return entry.meaning, "The meaning is the glossary's."
    return UNKNOWN_MEANING, "Its meaning is not known offline."


def _level(term: str, word_type: str, entry: Entry | None) -> str:
    if entry is not None and entry.level:
        return entry.level
    if word_type in _PREDICATES and term.endswith("니다"):
        return "formal"
    if word_type in _PREDICATES and term.endswith("요"):
        return "polite"
    return ""


def _scene(term: str, analysis: Mapping[str, object]) -> tuple[str, str, str]:
    place, anchor = _text(analysis, "suggested_location"), _text(analysis, "anchor_object")
    scene = f"Picture {anchor} at {place}. " if place and anchor else ""
    meaning = _text(analysis, "primary_meaning") or UNKNOWN_MEANING
    return "Scene", f"{scene}What does {term} mean?", f"{meaning} ({romanise(term)})"


def _usage(term: str, analysis: Mapping[str, object]) -> Iterable[tuple[str, str, str]]:
    comparison = analysis.get("comparison")
    if isinstance(comparison, Mapping) and (other := _text(comparison, "vs")):
        yield "Usage-Comparison", f"{term} or {other}?", _text(comparison, "nuance") or UNKNOWN_MEANING
    if usage := _text(analysis, "usage_context"):
        yield "Usage-Comparison", f"How is {term} used?", usage
    homonyms = analysis.get("homonyms")
    others = [_homonym(each) for each in homonyms] if isinstance(homonyms, list) else []
    if back := "; ".join(filter(None, others)):
        yield "Usage-Comparison", f"What else is spelt {term}?", back


def _homonym(homonym: object) -> str:
    if not isinstance(homonym, Mapping) or not (meaning := _text(homonym, "meaning")):
        return ""
    hanja, differentiator = _text(homonym, "hanja"), _text(homonym, "differentiator")
    return meaning + (f" {hanja}" if hanja else "") + (f" ({differentiator})" if differentiator else "")


def _hanja(term: str, entry: Entry | None) -> Iterable[tuple[str, str, str]]:
    if entry is not None and entry.hanja:
        yield "Hanja", f"Which Chinese characters is {term} written with?", entry.hanja


def _grammar(term: str, word_type: str, entry: Entry | None) -> Iterable[tuple[str, str, str]]:
    """Yield what follows from the shape of a dictionary form; nothing of a word that may be inflected."""
    if entry is None or " " in term:
        return
    if word_type == "noun":
        topic, subject, direct = ("는", "가", "를") if ends_in_vowel(term) else ("은", "이", "을")
        back = f"{term}{topic} (topic), {term}{subject} (subject), {term}{direct} (object)"
        yield "Grammar", f"Which particles follow {term}?", back
    elif word_type in ("verb", "adjective") and term.endswith("다") and not entry.level:
        yield "Grammar", f"What is the stem of {term}?", f"{term[:-1]}-, without the ending -다"


def _formality(term: str, level: str) -> Iterable[tuple[str, str, str]]:
    if level:
        yield "Formal-Casual", f"How formal is {term}?", _LEVELS[level]


def _example(term: str, hints: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    if sentence := hints.get("example_sentence"):
        translation = hints.get("example_sentence_translation") or UNKNOWN_MEANING
        yield "Example", f"What does this say, with {term} in it? {sentence}", translation


def _culture(term: str, entry: Entry | None) -> Iterable[tuple[str, str, str]]:
    if entry is not None and entry.culture:
        yield "Cultural", f"What is the custom around {term}?", entry.culture


def _topik(hints: Mapping[str, str]) -> Iterable[str]:
    if level := hints.get("topik_level"):
        yield f"topik-{level}"


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return _cell(value) if isinstance(value, str) else ""


def _cell(text: str) -> str:
    """Return `text` on one line, its runs of blanks as one: a tab or a line break would end the cell."""
    return " ".join(text.split())
