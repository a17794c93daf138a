"""The vocabulary reader: what it accepts, what it reports, what it refuses."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.flashcards._vocabulary import (
    MAX_RECORD_LINES,
    MAX_TERM_LENGTH,
    BadRow,
    Vocabulary,
    VocabularyError,
    VocabularyItem,
    expand_type,
    read_vocabulary,
)

LEAN = "position,term,type\n1,내가,pronoun\n2,그,n\n"


def read(text: str | bytes, **options) -> Vocabulary:
    content = text.encode() if isinstance(text, str) else text
    return read_vocabulary(io.BytesIO(content), source="words.csv", **options)


@pytest.mark.parametrize(
    ("given_type", "expanded"),
    [
        ("adj", "adjective"),
        ("", "unknown"),
        ("N", "noun"),
        ("v", "verb"),
        ("adv", "adverb"),
        ("int", "interjection"),
        ("phr", "phrase"),
        ("part", "particle"),
        ("pronoun", "pronoun"),
        (" Noun ", "noun"),
    ],
)
def test_expands_the_abbreviated_types_and_keeps_every_other_word(given_type, expanded):
    assert expand_type(given_type) == expanded


@pytest.mark.parametrize(
    "content",
    [
        LEAN,
        LEAN.replace("\n", "\r\n"),
        "\ufeff" + LEAN,
        LEAN.rstrip("\n"),
        LEAN.replace("\n", "\n\n"),
        "Position,Hangul,IPA_Pronunciation,Word_Type\n1,내가,nɛ.ka,pronoun\n2,그,,n\n",
        "Type , TERM,Position\npronoun,내가,1\nn,그,2\n",
        unicodedata.normalize("NFD", LEAN),
    ],
    ids=["lean", "crlf", "bom", "no final newline", "blank lines", "rich", "columns in another order", "nfd"],
)
def test_reads_identical_items_from_every_dialect(content):
    assert read(content) == Vocabulary(
        (VocabularyItem(1, "내가", "pronoun"), VocabularyItem(2, "그", "noun")), ()
    )


def test_keeps_the_filled_columns_it_does_not_use_as_hints():
    item = read("Position,Hangul,IPA_Pronunciation,Word_Type,Definition\n1,내가,nɛ.ka,pronoun,\n").items[0]
    assert dict(item.hints) == {"ipa_pronunciation": "nɛ.ka"}


@pytest.mark.parametrize("position", ["0", "x", "-1", "1.0", "", "1_0", "٣", "9" * 16])
def test_reports_a_row_whose_position_is_no_integer_above_zero_and_goes_on(position):
    vocabulary = read(f"position,term,type\n{position},물,n\n7,불,n\n")
    assert [item.position for item in vocabulary.items] == [7]
    assert [row.line for row in vocabulary.bad_rows] == [2]


@pytest.mark.parametrize("term", ["", "   ", "\u200b", "\u3000", "가" * (MAX_TERM_LENGTH + 1)])
def test_reports_a_row_whose_term_is_blank_or_no_word(term):
    vocabulary = read(f"position,term,type\n1,{term},n\n2,불,n\n")
    assert [item.position for item in vocabulary.items] == [2]
    assert [row.line for row in vocabulary.bad_rows] == [2]


def test_keeps_positions_that_repeat_or_leave_gaps():
    vocabulary = read("position,term,type\n5,물,n\n5,불,n\n900,흙,n\n")
    assert [item.position for item in vocabulary.items] == [5, 5, 900]


def test_counts_the_lines_of_a_quoted_cell_when_it_names_a_later_line():
    vocabulary = read('position,term,type,note\n1,물,n,"a\nb\r\nc"\n0,불,n,\n')
    assert vocabulary.bad_rows == (BadRow(5, "position '0' is not an integer above 0"),)
    assert vocabulary.items[0].hints["note"] == "a\nb\r\nc"


def test_counts_only_the_line_ends_of_csv_as_lines():
    vocabulary = read("position,term,type\n1,물\u2028\x0b불,n\n0,불,n\n")
    assert [row.line for row in vocabulary.bad_rows] == [3]


def test_a_quote_that_is_never_closed_spoils_its_own_row_only():
    rows = "".join(f"{position},물,n\n" for position in range(1, 3 * MAX_RECORD_LINES))
    vocabulary = read('position,term,type\n1,"물,n\n' + rows)
    assert [row.line for row in vocabulary.bad_rows] == [2]
    assert len(vocabulary.items) == 3 * MAX_RECORD_LINES - 1


def test_reports_a_row_with_more_cells_than_the_header():
    vocabulary = read("position,term,type\n1,네, 알겠어요,phr\n2,물,n\n")
    assert vocabulary.bad_rows == (BadRow(2, "4 cells where the header has 3; is a comma unquoted?"),)
    assert len(vocabulary.items) == 1


def test_a_row_that_ends_before_its_type_is_of_unknown_type():
    assert read("position,term,type\n1,물\n").items == (VocabularyItem(1, "물", "unknown"),)


def test_starts_from_and_stops_at_data_rows_counted_from_one_good_and_bad_alike():
    text = "position,term,type\n1,가,n\n\nx,나,n\n3,다,n\n4,라,n\ny,마,n\n"
    vocabulary = read(text, start_from=2, limit=2)
    assert [item.position for item in vocabulary.items] == [3]
    assert [row.line for row in vocabulary.bad_rows] == [4]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "words.csv: the file is empty"),
        (b"\n\n", "words.csv: the file is empty"),
        (b"position,type\n1,n\n", "words.csv: the header has no column 'term' or 'hangul'"),
        (b"term,type\nx,n\n", "words.csv: the header has no column 'position'"),
        (b"position,term,type," + b"x" * 200_000, "words.csv: the header is no CSV: field larger than"),
        (b"position,term,hangul,type\n", "words.csv: the header names the term twice"),
        (LEAN.encode("euc-kr"), "words.csv: the file is not UTF-8: byte 0xb3 in line 2"),
        (LEAN.encode("utf-16"), "words.csv: the file is not UTF-8: byte 0xff in line 1"),
    ],
)
def test_refuses_a_file_that_is_no_vocabulary_in_one_line(content, complaint):
    with pytest.raises(VocabularyError) as caught:
        read(content)
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


def test_refuses_a_file_that_is_too_large(monkeypatch):
    monkeypatch.setattr("sluicegate.flashcards._vocabulary.MAX_FILE_BYTES", 20)
    with pytest.raises(VocabularyError, match="larger than"):
        read(LEAN)


def test_a_header_alone_holds_no_words():
    assert read("position,term,type\n") == Vocabulary((), ())


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_a_vocabulary(content):
    for prefix in (b"", b"position,term,type\n"):
        try:
            vocabulary = read(prefix + content)
        except VocabularyError:
            continue
        assert all(item.position > 0 and item.term and item.type for item in vocabulary.items)


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_every_row_is_an_item_or_reported(text):
    vocabulary = read("position,term,type\n" + text)
    lines = [row.line for row in vocabulary.bad_rows]
    assert lines == sorted(set(lines))
    assert all(line >= 2 for line in lines)
