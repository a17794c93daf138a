"""What went wrong with a call, by its category, and what follows from it.

A rate limit is waited out, an outage is tried again, and both give the word up in the end; who is refused
altogether stops the run; what makes no sense to the far side is never sent again.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Self

from sluicegate import APIError, ErrorCategory, ErrorRecoveryStrategy, RetryConfig, StructuredError

from ._hold import Clock
from ._vocabulary import VocabularyItem
from ._wire import ReplyError, UnansweredError

UNUSABLE_REPLY = "unusable_reply"
"""The code of an answer that arrived in order and holds nothing usable."""

QUARANTINED = "quarantined"
"""The code of a word that was not asked for, since it failed too often before."""

_UNSENT = frozenset({"not_in_cache", QUARANTINED, "circuit_open", "circuit_isolated"})

_ABOUT_THE_WORD = frozenset({400, 413, 422})
"""Statuses that speak of what was asked."""

_ABOUT_THE_ADDRESS = frozenset({404, 405})

_NO_SUCH_MODEL = re.compile(
    r"\b(?:no such|unknown|invalid|unsupported) (?:model|preset)\b|\bnot a valid (?:model|preset)\b"
    r"|\b(?:model|preset)\b[^.;]{0,100}\b(?:not found|does not exist|is not (?:available|supported|valid))\b",
    re.IGNORECASE,
)


def recovery(
    max_attempts: int, clock: Clock | None = None, rng: random.Random | None = None
) -> ErrorRecoveryStrategy:
    """Return what decides whether a call is made again, and waits before it is.

    Args:
        max_attempts: how often a call is sent, whatever goes wrong.
        clock: for tests; the waits pass on it.
        rng: for tests; draws the jitter of the waits.
    """
    return ErrorRecoveryStrategy(retry=RetryConfig(max_attempts=max_attempts, rng=rng), clock=clock)


def structured(error: BaseException) -> StructuredError:
    """Return an error of a call by its category; one of no kind that calls have is INTERNAL.

    Examples:
        >>> structured(APIError(402, "402: no credit left")).category.name
        'AUTHENTICATION'
        >>> structured(UnansweredError("refused")).code
        'no_answer'
    """
    if isinstance(error, UnansweredError):
        return _structured(error, ErrorCategory.EXTERNAL_SERVICE, "no_answer")
    if isinstance(error, ReplyError):
        return _structured(error, ErrorCategory.EXTERNAL_SERVICE, UNUSABLE_REPLY)
    if isinstance(error, APIError) and error.status_code == 402:
        # No other word would fare better, as with a key that is not accepted.
        return _structured(error, ErrorCategory.AUTHENTICATION, "payment_required")
    return StructuredError.from_exception(error)


def is_misaddressed(error: BaseException) -> bool:
    """Whether the far side says that there is no such address or model: then no other word would fare better.

    Examples:
        >>> is_misaddressed(APIError(400, "400: @preset/x is not a valid model ID"))
        True
    """
    if not isinstance(error, APIError):
        return False
    told = error.status_code == 400 and _NO_SUCH_MODEL.search(str(error)) is not None
    return told or error.status_code in _ABOUT_THE_ADDRESS


@dataclass(frozen=True, slots=True)
class FailedWord:
    """A word without cards, and why in one line.

    Attributes:
        item: the word.
        reason: what went wrong, for people.
        by_api: whether the far side answered with an error, or not at all; False where its replies were of no
            use.
        category: of what went wrong; None where nothing did, and the word is only missing from the cache
            that alone was asked.
        code: what programs compare, such as ``rate_limited``.
        is_invalid: whether the far side makes no sense of this very word, so that a later run would fare no
            better.
    """

    item: VocabularyItem
    reason: str
    by_api: bool
    category: ErrorCategory | None = None
    code: str = "not_in_cache"
    is_invalid: bool = False

    @property
    def is_skipped(self) -> bool:
        """Whether it was not asked for because it is in quarantine."""
        return self.code == QUARANTINED

    @property
    def was_sent(self) -> bool:
        """Whether it was asked for, so that this failure tells something of the word."""
        return self.code not in _UNSENT

    @classmethod
    def of(cls, item: VocabularyItem, reason: str, error: StructuredError) -> Self:
        """Return a word that failed by an error, without the error itself, which holds on to its frames."""
        return cls(
            item,
            reason,
            by_api=error.code != UNUSABLE_REPLY,
            category=error.category,
            code=error.code,
            is_invalid=error.category is ErrorCategory.VALIDATION
            and error.details.get("status") in _ABOUT_THE_WORD,
        )


def _structured(error: Exception, category: ErrorCategory, code: str) -> StructuredError:
    found = StructuredError(category, code, str(error))
    found.__cause__ = error
    return found
