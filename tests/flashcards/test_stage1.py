"""Stage 1: finding the JSON in a reply."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.flashcards._stage1 import (
    MAX_CONTENT,
    Comparison,
    Homonym,
    WordNuance,
    read_nuance,
)
from sluicegate.flashcards._wire import ReplyError

FULL = {
    "term_number": 3,
    "term": "난",
    "ipa": "nan",
    "pos": "pronoun",
    "primary_meaning": "I (topic)",
    "other_meanings": "orchid",
    "metaphor": "a spotlight",
    "metaphor_noun": "spotlight",
    "metaphor_action": "shines",
    "suggested_location": "a stage",
    "anchor_object": "a lamp",
    "anchor_sensory": "warm light",
    "explanation": "short for 나는",
    "usage_context": "casual",
    "comparison": {"vs": "나는", "nuance": "shorter"},
    "homonyms": [{"hanja": "蘭", "reading": "난", "meaning": "orchid", "differentiator": "a noun"}],
    "korean_keywords": ["나", "는"],
}


def dumped(**changes) -> str:
    return json.dumps(FULL | changes, ensure_ascii=False)


def test_reads_every_field():
    assert read_nuance(dumped()) == WordNuance(
        term="난",
        ipa="nan",
        pos="pronoun",
        primary_meaning="I (topic)",
        other_meanings="orchid",
        metaphor="a spotlight",
        metaphor_noun="spotlight",
        metaphor_action="shines",
        suggested_location="a stage",
        anchor_object="a lamp",
        anchor_sensory="warm light",
        explanation="short for 나는",
        usage_context="casual",
        comparison=Comparison("나는", "shorter"),
        homonyms=(Homonym("蘭", "난", "orchid", "a noun"),),
        korean_keywords=("나", "는"),
    )


def test_tells_stage_2_what_it_read_under_the_number_it_is_given():
    assert read_nuance(dumped()).as_json(900) == FULL | {"term_number": 900}


@pytest.mark.parametrize(
    "reply",
    [
        "```json\n…\n```",
        "Here you are:\n```\n…\n```\nEnjoy {}!",
        "The set {a, b} and {} aside: …",
        '{"note": "a draft"} …',
        "\ufeff…",
    ],
)
def test_finds_the_object_fenced_or_amid_prose(reply):
    assert read_nuance(reply.replace("…", dumped())).term == "난"


def test_accepts_null_comparison_homonyms_and_context():
    nuance = read_nuance(dumped(comparison=None, homonyms=None, usage_context=None))
    assert (nuance.comparison, nuance.homonyms, nuance.usage_context) == (None, None, None)
    told = nuance.as_json(3)
    assert (told["comparison"], told["homonyms"], told["usage_context"]) == (None, None, None)


def test_an_empty_list_of_homonyms_stays_one():
    assert read_nuance(dumped(homonyms=[])).as_json(3)["homonyms"] == []


def test_joins_meanings_that_came_as_a_list():
    assert read_nuance(dumped(other_meanings=["egg", "orchid"])).other_meanings == "egg, orchid"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot help with that.",
        dumped()[:-40],
        json.dumps([FULL["term"]]),
        json.dumps({"term": "난"}),
        dumped(primary_meaning="  "),
        dumped(pos=7),
        dumped(comparison=["나는"]),
        dumped(homonyms="蘭"),
        dumped(homonyms=["蘭"]),
        dumped(korean_keywords="나"),
        dumped(korean_keywords=[1]),
        dumped(explanation=float("nan")),
        json.dumps(FULL | {"explanation": "\ud800"}),
        json.dumps(FULL | {"korean_keywords": ["\ud800"]}),
        '{"term":' * 50_000,
        "{" * MAX_CONTENT,
        "x" * (MAX_CONTENT + 1),
    ],
)
def test_a_reply_without_a_sound_object_is_broken(reply):
    with pytest.raises(ReplyError):
        read_nuance(reply)


@given(
    st.dictionaries(st.sampled_from([*FULL, "x"]), st.none() | st.text() | st.lists(st.text() | st.none()))
)
def test_any_object_is_read_or_broken(changes):
    try:
        nuance = read_nuance("So: " + json.dumps(FULL | changes))
    except ReplyError:
        return
    assert read_nuance(json.dumps(nuance.as_json(1))) == nuance


@given(st.text(alphabet='{}[]",:term0 \\\n`', max_size=200))
def test_any_text_is_read_or_broken(text):
    with pytest.raises(ReplyError):
        read_nuance(text)
