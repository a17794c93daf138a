"""What a run counts while it goes on: read by the live display, and summed up at the end."""

from __future__ import annotations

from dataclasses import dataclass

from ._wire import Usage


@dataclass(slots=True)
class Tally:
    """Counts since the start of a run; the names are those of the machine-readable summary.

    Attributes:
        words: brought to an end, with cards or without.
        rows: cards written.
        requests: sent over the wire, every attempt counted.
        retries: those of the requests that were not the first of their call.
        refusals: answers of 429.
        server_errors: answers of 408 and 5xx, also under HTTP 200.
        connection_errors: connections refused, cut or timed out, and attempts that took too long.
        broken_replies: answers without usable content.
        rejected_rows: rows of stage 2 that were no cards.
        prompt_tokens: as the far side counts them.
        completion_tokens: as the far side counts them.
        total_tokens: as the far side counts them.
    """

    words: int = 0
    rows: int = 0
    requests: int = 0
    retries: int = 0
    refusals: int = 0
    server_errors: int = 0
    connection_errors: int = 0
    broken_replies: int = 0
    rejected_rows: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    def spend(self, usage: Usage) -> None:
        """Add what an answer cost."""
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.total_tokens += usage.tokens
