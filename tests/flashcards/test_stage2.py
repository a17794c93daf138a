"""Stage 2: finding the cards in a reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.flashcards._output import COLUMNS
from sluicegate.flashcards._stage1 import MAX_CONTENT
from sluicegate.flashcards._stage2 import MAX_CARDS, Card, Cards, read_cards
from sluicegate.flashcards._wire import ReplyError

SCENE = Card("Scene", "primer", "front", "back", "tag", "해체")
HANJA = Card("Hanja", "", "front", "back", "", "")
ROWS = "3\t난\t3\tScene\tprimer\tfront\tback\ttag\t해체\n3\t난\t3\tHanja\t\tfront\tback\t\t\n"
HEADER = "\t".join(COLUMNS) + "\n"


@pytest.mark.parametrize(
    "reply",
    [
        ROWS,
        HEADER + ROWS,
        "```tsv\n" + HEADER + ROWS + "```",
        "```\n" + ROWS + "```\n",
        "Here are the cards:\n\n" + ROWS + "\nEnjoy!",
        (HEADER + ROWS).replace("\n", "\r\n"),
        HEADER.upper() + ROWS,
    ],
    ids=["headerless", "headered", "fenced with header", "fenced", "amid prose", "crlf", "loud header"],
)
def test_reads_equal_rows_with_or_without_header_and_fence(reply):
    assert read_cards(reply) == Cards((SCENE, HANJA), 0)


def test_a_row_of_eight_columns_has_no_honorific_level():
    assert read_cards("3\t난\t3\tScene\tprimer\tfront\tback\ttag").cards[0].honorific_level == ""


@pytest.mark.parametrize(
    "row",
    [
        "a\tb\tc",
        "\t".join("abcdefghij"),
        "3\t난\t3\t \tprimer\tfront\tback\ttag\t",
        "3\t난\t3\tScene\tprimer\t\tback\ttag\t",
    ],
)
def test_rejects_a_row_of_three_or_ten_columns_or_without_substance(row):
    assert read_cards(ROWS + row + "\n").rejected == 1


@pytest.mark.parametrize("reply", ["", "Sorry.", HEADER, "a\tb\tc\n", "x" * (MAX_CONTENT + 1)])
def test_a_reply_without_any_card_is_broken(reply):
    with pytest.raises(ReplyError):
        read_cards(reply)


def test_takes_cells_literally():
    row = "3\t난\t3\tScene\t \\n\tfr\u2028ont\\\\\tba\\tck\tta\rg\t"
    assert read_cards(row).cards == (Card("Scene", " \\n", "fr\u2028ont\\\\", "ba\\tck", "ta\rg", ""),)


def test_takes_a_bounded_number_of_cards():
    found = read_cards(ROWS * MAX_CARDS)
    assert (len(found.cards), found.rejected) == (MAX_CARDS, MAX_CARDS)


@given(st.text(alphabet="ab \t\n\r`\\", max_size=300))
def test_any_text_gives_cards_or_is_broken(text):
    try:
        found = read_cards(text)
    except ReplyError:
        return
    assert all(card.tab_name.strip() and card.front.strip() and card.back.strip() for card in found.cards)
