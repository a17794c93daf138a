"""Check that a card file holds cards for every word of a vocabulary, in its order."""

import csv
import sys
from itertools import groupby
from pathlib import Path

COLUMNS = [
    "position",
    "term",
    "term_number",
    "tab_name",
    "primer",
    "front",
    "back",
    "tags",
    "honorific_level",
]


def main(vocabulary: str, cards: str) -> None:
    """Compare the words of `cards` with those of `vocabulary`."""
    with Path(vocabulary).open(encoding="utf-8-sig", newline="") as source:
        asked = [(row["position"], row["term"]) for row in csv.DictReader(source)]
    header, *rows = (line.split("\t") for line in Path(cards).read_text(encoding="utf-8").splitlines())
    assert header == COLUMNS, header
    assert all(len(row) == len(COLUMNS) for row in rows)
    answered = [word for word, _ in groupby((row[0], row[1]) for row in rows)]
    assert answered == asked, (len(answered), len(asked))
    print(f"{len(rows)} cards for {len(asked)} words, in their order")


if __name__ == "__main__":
    main(*sys.argv[1:])
