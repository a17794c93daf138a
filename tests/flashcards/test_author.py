"""What the offline author says: everything that is known, and nothing that is not."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.flashcards._author import COLUMNS, UNKNOWN_MEANING, CardAuthor
from sluicegate.flashcards._glossary import glossary, look_up
from sluicegate.flashcards._stage1 import read_nuance
from sluicegate.flashcards._stage2 import read_cards
from sluicegate.flashcards._vocabulary import VocabularyItem, read_vocabulary

EXAMPLES = Path(__file__).parents[2] / "examples" / "vocabulary.csv"
HINTS = {
    "definition": "water",
    "ipa_pronunciation": "mul",
    "topik_level": "1",
    "usage_hint": "Plain word",
    "example_sentence": "물 주세요.",
    "example_sentence_translation": "Water, please.",
}
TABS = {"Scene", "Usage-Comparison", "Hanja", "Grammar", "Formal-Casual", "Example", "Cultural"}

texts = st.text(min_size=1, max_size=20).filter(str.strip)
hints = st.dictionaries(st.sampled_from([*HINTS, "frequency"]), st.text(max_size=30), max_size=7)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def cards_of(author, position, term, word_type):
    return author.cards(position, term, author.analyse(position, term, word_type))


def by_tab(rows):
    return {row[3]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


def test_an_analysis_has_every_field_of_the_api():
    assert list(CardAuthor().analyse(1, "뷁", "noun")) == [
        *("term_number", "term", "ipa", "pos", "primary_meaning", "other_meanings"),
        *("metaphor", "metaphor_noun", "metaphor_action", "suggested_location", "anchor_object"),
        *("anchor_sensory", "explanation", "usage_context", "comparison", "homonyms", "korean_keywords"),
    ]


def test_says_so_where_it_does_not_know_a_meaning():
    author = CardAuthor()
    analysis = author.analyse(1, "뷁", "noun")
    assert analysis["primary_meaning"] == UNKNOWN_MEANING
    assert analysis["homonyms"] is analysis["comparison"] is analysis["usage_context"] is None
    (scene,) = cards_of(author, 1, "뷁", "noun")
    assert UNKNOWN_MEANING in scene[6]


def test_takes_meaning_sound_and_example_from_the_rows_own_hints():
    author = CardAuthor([VocabularyItem(3, "물", "noun", HINTS)])
    analysis = author.analyse(3, "물", "noun")
    assert (analysis["primary_meaning"], analysis["ipa"]) == ("water", "mul")
    cards = by_tab(author.cards(3, "물", analysis))
    assert cards["Example"]["back"] == "Water, please."
    assert "topik-1" in cards["Scene"]["tags"].split()


def test_rows_of_one_spelling_keep_their_own_hints():
    author = CardAuthor(
        [
            VocabularyItem(1, "배", "noun", {"definition": "pear"}),
            VocabularyItem(2, "배", "noun", {"definition": "ship"}),
        ]
    )
    assert author.analyse(1, "배", "noun")["primary_meaning"] == "pear"
    assert author.analyse(2, "배", "noun")["primary_meaning"] == "ship"


def test_hints_go_before_the_glossary_and_the_glossary_before_nothing():
    assert CardAuthor().analyse(1, "친구", "noun")["primary_meaning"] == "friend"
    author = CardAuthor([VocabularyItem(1, "친구", "noun", {"definition": "companion"})])
    assert author.analyse(1, "친구", "noun")["primary_meaning"] == "companion"


def test_the_glossary_does_not_speak_for_another_part_of_speech():
    assert CardAuthor().analyse(1, "친구", "verb")["primary_meaning"] == UNKNOWN_MEANING


def test_a_noun_shows_the_particles_that_its_last_sound_asks_for():
    assert (
        "책은 (topic), 책이 (subject), 책을 (object)"
        in by_tab(cards_of(CardAuthor(), 1, "책", "noun"))["Grammar"]["back"]
    )
    assert "학교를 (object)" in by_tab(cards_of(CardAuthor(), 1, "학교", "noun"))["Grammar"]["back"]


def test_a_custom_around_a_word_has_a_card_where_it_is_known():
    cultural = by_tab(cards_of(CardAuthor(), 1, "빨리", "adverb"))["Cultural"]
    assert cultural["front"] == "What is the custom around 빨리?"
    assert "빨리빨리" in cultural["back"]
    assert "Cultural" not in by_tab(cards_of(CardAuthor(), 1, "책", "noun"))


def test_a_verb_in_its_dictionary_form_shows_its_stem():
    grammar = by_tab(cards_of(CardAuthor(), 1, "가다", "verb"))["Grammar"]
    assert grammar["front"] == "What is the stem of 가다?"
    assert grammar["back"] == "가-, without the ending -다"


@pytest.mark.parametrize(
    ("term", "word_type", "level"),
    [
        ("모릅니다", "verb", "formal"),
        ("예뻐요", "adjective", "polite"),
        ("필요", "noun", ""),
        ("나", "pronoun", "casual"),
    ],
)
def test_tells_how_formal_a_word_is_only_where_its_form_does(term, word_type, level):
    rows = cards_of(CardAuthor(), 1, term, word_type)
    assert {row[8] for row in rows} == {level}
    assert ("Formal-Casual" in by_tab(rows)) is bool(level)


def test_cards_follow_the_analysis_they_are_given():
    analysis = {"pos": "noun", "primary_meaning": "liquid", "comparison": {"vs": "술", "nuance": "alcohol"}}
    cards = by_tab(CardAuthor().cards(1, "물", analysis))
    assert cards["Scene"]["back"].startswith("liquid")
    assert cards["Usage-Comparison"]["back"] == "alcohol"


def test_usage_comparison_and_homonyms_each_get_a_card():
    analysis = CardAuthor([VocabularyItem(1, "못", "adverb", HINTS)]).analyse(1, "못", "adverb")
    backs = [row[6] for row in CardAuthor().cards(1, "못", analysis) if row[3] == "Usage-Comparison"]
    assert backs == [
        "못 is not being able to, 안 is not doing",
        "Plain word",
        "nail (a noun); pond (a noun)",
    ]


def test_a_homonym_shows_its_characters():
    backs = [row[6] for row in cards_of(CardAuthor(), 1, "차", "noun")]
    assert "tea 茶 (차를 마시다, to drink tea)" in backs


def test_replies_come_in_every_form_that_models_give_them_and_all_read_the_same():
    forms = set()
    for seed in range(60):
        author = CardAuthor(seed=seed)
        reply = author.analysis_reply(1, "물", "noun")
        assert read_nuance(reply).primary_meaning == "water"
        rows = author.cards_reply(1, "물", author.analyse(1, "물", "noun"))
        assert len(read_cards(rows).cards) == len(cards_of(author, 1, "물", "noun"))
        forms.add((reply[:1], rows[:4]))
    assert {form for form, _ in forms} == {"{", "`", "H"}
    assert {form for _, form in forms} == {"1\t물\t", "posi", "```t"}


def test_the_same_word_gets_the_same_reply():
    assert CardAuthor(seed=3).analysis_reply(1, "물", "noun") == CardAuthor(seed=3).analysis_reply(
        1, "물", "noun"
    )


@given(st.integers(1, 10**9), texts, texts, hints)
def test_any_word_gets_an_analysis_and_rows_that_parse(position, term, word_type, row_hints):
    author = CardAuthor([VocabularyItem(position, term, word_type, row_hints)])
    analysis = json.loads(json.dumps(author.analyse(position, term, word_type)))
    rows = author.cards(position, term, analysis)
    assert rows[0][3] == "Scene"
    for row in rows:
        assert len(row) == len(COLUMNS)
        assert row[3] in TABS
        assert not any(set(cell) & set("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029") for cell in row)
        assert row[5]
        assert row[6]


@given(texts, texts, hints)
def test_no_meaning_comes_from_anywhere_but_hints_and_glossary(term, word_type, row_hints):
    author = CardAuthor([VocabularyItem(1, term, word_type, row_hints)])
    entry = look_up(term, word_type)
    definition = " ".join(row_hints.get("definition", "").split())
    known = {definition or (entry.meaning if entry else UNKNOWN_MEANING)}
    assert author.analyse(1, term, word_type)["primary_meaning"] in known


@given(
    texts,
    st.dictionaries(
        st.sampled_from(["pos", "primary_meaning", "comparison", "homonyms", "ipa", "term_number"]),
        json_values,
    ),
)
def test_any_analysis_gets_cards(term, analysis):
    assert CardAuthor().cards(1, term, analysis)


def test_every_entry_of_the_glossary_is_whole():
    assert len(glossary()) > 100
    for term, entry in glossary().items():
        assert entry.pos, term
        assert entry.meaning.strip(), term
        assert bool(entry.vs) == bool(entry.nuance), term
        assert entry.level in ("", "formal", "polite", "casual", "humble", "honorific"), term
        assert all(homonym.reading and homonym.meaning for homonym in entry.homonyms), term


def test_every_word_of_the_example_vocabulary_is_known():
    vocabulary = read_vocabulary(io.BytesIO(EXAMPLES.read_bytes()), source="examples/vocabulary.csv")
    assert not vocabulary.bad_rows
    assert len(vocabulary.items) > 30
    for item in vocabulary.items:
        assert look_up(item.term, item.type), item
    with EXAMPLES.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["position", "term", "type"]
