from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.flashcards._pronunciation import ends_in_vowel, ipa, romanise

HANGUL = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("안녕하세요", "an.njʌŋ.ha.se.jo"),
        ("한국어", "han.ɡu.ɡʌ"),  # a final moves over to a syllable that begins with a vowel
        ("없어요", "ʌp̚.s͈ʌ.jo"),  # and the second of a cluster, tensed where it is ㅅ
        ("같이", "ka.tɕʰi"),  # palatalised before ㅣ
        ("굳이", "ku.dʑi"),
        ("닫히다", "ta.tɕʰi.da"),
        ("좋아요", "tɕo.a.jo"),  # ㅎ is silent before a vowel
        ("좋고", "tɕo.kʰo"),  # and aspirates what follows
        ("축하", "tɕʰu.kʰa"),  # as it does what precedes
        ("못해", "mo.tʰɛ"),
        ("많은", "ma.nɯn"),
        ("학교", "hak̚.k͈jo"),  # an obstruent tenses
        ("앉다", "an.t͈a"),
        ("입니다", "im.ni.da"),  # becomes a nasal before one
        ("독립", "toŋ.nip̚"),
        ("신라", "ɕil.la"),  # and ㄴ a liquid beside one
        ("닳는", "tal.lɯn"),
        ("읽다", "ik̚.t͈a"),  # of a cluster one consonant is left
        ("삶", "sam"),
        ("희망", "hi.maŋ"),  # 의 is 이 after a consonant
        ("가져", "ka.dʑʌ"),
        ("강아지", "kaŋ.a.dʑi"),  # ㅇ stays where it ends a syllable
        ("좋은 아침", "tɕo.ɯn a.tɕʰim"),
    ],
)
def test_transcribes_by_the_standard_pronunciation(word, expected):
    assert ipa(word) == expected


@pytest.mark.parametrize("text", ["K팝", "9시", "ㅋㅋ", "漢字", "-"])
def test_gives_no_ipa_where_a_part_is_not_hangul(text):
    assert ipa(text) == ""


@pytest.mark.parametrize(
    ("word", "expected"), [("한국어", "hangugeo"), ("신라", "silla"), ("감사합니다", "gamsahamnida")]
)
def test_romanises_by_the_revised_system(word, expected):
    assert romanise(word) == expected


@given(HANGUL)
def test_every_syllable_gets_a_transcription(word):
    assert len(ipa(word).split(".")) == len(word)
    assert all(ipa(word).split("."))


@given(st.text(max_size=30))
def test_no_text_makes_the_rules_fail(text):
    ipa(text)
    romanise(text)


def test_tells_open_from_closed_syllables():
    assert ends_in_vowel("학교")
    assert not ends_in_vowel("책")
    assert not ends_in_vowel("TV")
