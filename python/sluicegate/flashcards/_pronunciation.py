"""How a Korean word is read, by rule: Revised Romanisation from `koroman`, IPA from the table below.

The rules are those of the Standard Pronunciation of the National Institute of Korean Language that need no
dictionary: linking, palatalisation, aspiration, neutralised finals, tensing, nasals and liquids. What only a
dictionary knows (the tensing or inserted ㄴ of compounds, long vowels) is left out: the result is broad.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

import koroman

_FIRST, _LAST = 0xAC00, 0xD7A3
_ONSETS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_CODAS = (
    *("", "ㄱ", "ㄲ", "ㄱㅅ", "ㄴ", "ㄴㅈ", "ㄴㅎ", "ㄷ", "ㄹ", "ㄹㄱ", "ㄹㅁ", "ㄹㅂ", "ㄹㅅ", "ㄹㅌ"),
    *("ㄹㅍ", "ㄹㅎ", "ㅁ", "ㅂ", "ㅂㅅ", "ㅅ", "ㅆ", "ㅇ", "ㅈ", "ㅊ", "ㅋ", "ㅌ", "ㅍ", "ㅎ"),
)
_HANGUL = re.compile(r"[가-힣]+")

_ASPIRATED = {"ㄱ": "ㅋ", "ㄷ": "ㅌ", "ㅂ": "ㅍ", "ㅈ": "ㅊ"}
_AFTER_HIEUT = {**_ASPIRATED, "ㅅ": "ㅆ"}
_TENSE = {"ㄱ": "ㄲ", "ㄷ": "ㄸ", "ㅂ": "ㅃ", "ㅅ": "ㅆ", "ㅈ": "ㅉ"}
_NASAL = {"ㄱ": "ㅇ", "ㄷ": "ㄴ", "ㅂ": "ㅁ"}
_PALATAL = {"ㄷ": "ㅈ", "ㅌ": "ㅊ"}
_NEUTRAL = {
    **dict.fromkeys(("ㄱ", "ㄲ", "ㅋ", "ㄱㅅ", "ㄹㄱ"), "ㄱ"),
    **dict.fromkeys(("ㄷ", "ㅅ", "ㅆ", "ㅈ", "ㅊ", "ㅌ", "ㅎ"), "ㄷ"),
    **dict.fromkeys(("ㅂ", "ㅍ", "ㅂㅅ", "ㄹㅍ"), "ㅂ"),
    **dict.fromkeys(("ㄴ", "ㄴㅈ", "ㄴㅎ"), "ㄴ"),
    **dict.fromkeys(("ㄹ", "ㄹㅂ", "ㄹㅅ", "ㄹㅌ", "ㄹㅎ"), "ㄹ"),
    **dict.fromkeys(("ㅁ", "ㄹㅁ"), "ㅁ"),
    "ㅇ": "ㅇ",
}
_TENSING_CLUSTERS = frozenset(("ㄴㅈ", "ㄹㅂ", "ㄹㅌ"))
_PLAIN_VOWELS = {"ㅕ": "ㅓ", "ㅑ": "ㅏ", "ㅛ": "ㅗ", "ㅠ": "ㅜ", "ㅖ": "ㅔ", "ㅒ": "ㅐ"}
_FRONT_VOWELS = frozenset("ㅣㅑㅒㅕㅖㅛㅠㅟ")

_IPA_ONSETS = dict(
    zip(
        _ONSETS,
        ("k", "k͈", "n", "t", "t͈", "ɾ", "m", "p", "p͈", "s", "s͈", "", "tɕ", "tɕ͈", "tɕʰ", "kʰ", "tʰ", "pʰ", "h"),
        strict=True,
    )
)
_IPA_VOICED = {"ㄱ": "ɡ", "ㄷ": "d", "ㅂ": "b", "ㅈ": "dʑ"}
_IPA_PALATAL = {"ㅅ": "ɕ", "ㅆ": "ɕ͈"}
_IPA_VOWELS = dict(
    zip(
        _VOWELS,
        (
            *("a", "ɛ", "ja", "jɛ", "ʌ", "e", "jʌ", "je", "o", "wa", "wɛ"),
            *("we", "jo", "u", "wʌ", "we", "wi", "ju", "ɯ", "ɰi", "i"),
        ),
        strict=True,
    )
)
_IPA_CODAS = {"": "", "ㄱ": "k̚", "ㄴ": "n", "ㄷ": "t̚", "ㄹ": "l", "ㅁ": "m", "ㅂ": "p̚", "ㅇ": "ŋ"}


@lru_cache(maxsize=4096)
def romanise(text: str) -> str:
    """Return `text` in the Revised Romanisation of Korean; what is no Hangul stays as it is.

    Examples:
        >>> romanise("안녕하세요"), romanise("독립")
        ('annyeonghaseyo', 'dongnip')
    """
    return str(koroman.romanize(text))


@lru_cache(maxsize=4096)
def ipa(text: str) -> str:
    """Return the broad IPA of `text`, syllables apart by dots; empty where it is not all Hangul and blanks.

    Examples:
        >>> ipa("학교"), ipa("같이"), ipa("좋아요"), ipa("독립")
        ('hak̚.k͈jo', 'ka.tɕʰi', 'tɕo.a.jo', 'toŋ.nip̚')
        >>> ipa("K팝")
        ''
    """
    words = text.split()
    if not all(_HANGUL.fullmatch(word) for word in words):
        return ""
    return " ".join(".".join(_transcribed(_spoken(word))) for word in words)


def ends_in_vowel(word: str) -> bool:
    """Whether the last syllable of a Hangul word is open, on which the shape of particles depends.

    Examples:
        >>> ends_in_vowel("학교"), ends_in_vowel("책")
        (True, False)
    """
    return _FIRST <= ord(word[-1]) <= _LAST and (ord(word[-1]) - _FIRST) % 28 == 0


def _spoken(word: str) -> list[list[str]]:
    """Return the syllables as [onset, vowel, coda] after every rule has worked on each boundary."""
    syllables = []
    for character in word:
        onset, rest = divmod(ord(character) - _FIRST, 21 * 28)
        vowel, coda = divmod(rest, 28)
        syllables.append([_ONSETS[onset], _VOWELS[vowel], _CODAS[coda]])
    for before, after in pairwise(syllables):
        before[2], after[0] = _boundary(before[2], after[0], after[1])
    if syllables:
        syllables[-1][2] = _NEUTRAL.get(syllables[-1][2], "")
    return syllables


def _boundary(coda: str, onset: str, vowel: str) -> tuple[str, str]:
    """Return what a final and the initial after it become, before `vowel`."""
    if not coda:
        return coda, onset
    if onset == "ㅇ":
        return _linked(coda, vowel)
    return _aspirated(coda, onset, vowel) or _closed(coda, onset)


def _linked(coda: str, vowel: str) -> tuple[str, str]:
    """Return the boundary before a vowel: the last consonant moves over, ㅎ falls silent, ㅇ stays."""
    rest, last = coda[:-1], coda[-1]
    if last == "ㅇ":
        return coda, "ㅇ"
    if last == "ㅎ":
        return ("", rest) if rest else ("", "ㅇ")
    if vowel in "ㅣㅕ" and last in _PALATAL:
        return _NEUTRAL.get(rest, ""), _PALATAL[last]
    if rest and last == "ㅅ":
        last = "ㅆ"
    return _NEUTRAL.get(rest, ""), last


def _aspirated(coda: str, onset: str, vowel: str) -> tuple[str, str] | None:
    """Return the boundary where ㅎ meets a consonant and becomes one with it; None where it does not."""
    rest, last = coda[:-1], coda[-1]
    if last == "ㅎ" and onset in _AFTER_HIEUT:
        return rest, _AFTER_HIEUT[onset]
    if onset != "ㅎ":
        return None
    if last == "ㄷ" and vowel == "ㅣ":
        return rest, "ㅊ"
    plain = last if last in _ASPIRATED else _NEUTRAL[last]
    return (_NEUTRAL.get(rest, ""), _ASPIRATED[plain]) if plain in _ASPIRATED else None


def _closed(coda: str, onset: str) -> tuple[str, str]:
    """Return the boundary before a consonant: the final is neutralised, then tenses or assimilates."""
    final = _NEUTRAL[coda]
    if onset in _TENSE and (final in _NASAL or coda in _TENSING_CLUSTERS):
        return final, _TENSE[onset]
    if onset == "ㄹ" and final not in ("ㄴ", "ㄹ"):
        onset = "ㄴ"
    if {final, onset} == {"ㄴ", "ㄹ"}:
        return "ㄹ", "ㄹ"
    if onset in ("ㄴ", "ㅁ"):
        final = _NASAL.get(final, final)
    return final, onset


def _transcribed(syllables: list[list[str]]) -> list[str]:
    result = []
    previous: list[str] | None = None
    for syllable in syllables:
        onset, vowel, coda = syllable
        if onset in "ㅈㅉㅊ":
            vowel = _PLAIN_VOWELS.get(vowel, vowel)
        if vowel == "ㅢ" and onset != "ㅇ":
            vowel = "ㅣ"
        sound = _IPA_ONSETS[onset]
        if previous is not None and previous[2] in ("", "ㄴ", "ㄹ", "ㅁ", "ㅇ"):
            sound = _IPA_VOICED.get(onset, sound)
        if vowel in _FRONT_VOWELS:
            sound = _IPA_PALATAL.get(onset, sound)
        if onset == "ㄹ" and previous is not None and previous[2] == "ㄹ":
            sound = "l"
        result.append(sound + _IPA_VOWELS[vowel] + _IPA_CODAS[coda])
        previous = syllable
    return result
