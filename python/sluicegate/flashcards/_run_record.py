"""What a run tells of its words as they go, so that it can be gone on with; this one keeps nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ._failures import FailedWord
    from ._stage2 import Cards
    from ._vocabulary import VocabularyItem


class KeptAnswers(Protocol):
    """Texts that were paid for, by the key of their call."""

    def get(self, key: bytes) -> str | None:
        """Return what is kept under a key; None where there is nothing."""
        ...

    async def keep(self, key: bytes, text: str) -> None:
        """Keep a text, and return once it is on the disk."""
        ...


class RunRecord:
    """Takes down a run and its words, each by its number in the input from 0.

    Attributes:
        is_kept: whether anything is kept.
        answers: where a run without a cache keeps them; None for nowhere.
        fault: why nothing is kept any more, in one line; empty while all is well.
    """

    is_kept = False
    fault = ""
    answers: KeptAnswers | None = None

    def known(self, number: int) -> Cards | FailedWord | None:
        """Return what need not be asked: the cards it has, or why the word is skipped."""
        return None

    def answered(self, key: bytes) -> str | None:
        """Return what this run was answered before, while it had no cache; None where there is nothing."""
        return None

    async def begin(self, number: int) -> None:
        """Take down that a word is in progress; this waits while too much is on its way to the disk."""

    def end(self, number: int, outcome: Cards | FailedWord) -> None:
        """Take down what came of a word; it is on its way to the disk."""

    def attempt(self, stage: str, item: VocabularyItem, seconds: float, error: BaseException | None) -> None:
        """Take down a request that was sent, and what became of it."""


UNRECORDED = RunRecord()
"""The one that keeps nothing."""
