"""The forms that cards can be written in; each is also the suffix of its files."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """A form of the cards."""

    TSV = "tsv"
    JSONL = "jsonl"
    APKG = "apkg"
