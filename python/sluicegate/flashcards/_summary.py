"""What a run says when it is over: a few lines for people, or one JSON object for machines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import _stage1, _stage2
from ._degraded import Degraded
from ._failures import FailedWord
from ._one_line import shown
from ._progress import span
from ._run import End
from ._tally import Tally
from ._vocabulary import BadRow

MAX_LISTED = 20
"""How many bad rows, and failed words, are listed for people; machines get them all."""


_REMEDIES = {
    End.INTERRUPTED: "the same command goes on where it stopped",
    End.MISADDRESSED: f"check base_url, and that the API knows {_stage1.MODEL} and {_stage2.MODEL}; "
    "the same command then goes on where it stopped",
    End.REFUSED: "check the key, its credit and its rights; the same command then goes on where it stopped",
    End.OUTAGE: "the same command goes on where it stopped, once the API is back",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run.

    Attributes:
        end: how it ended.
        reason: what stopped it, in one line; empty where nothing did.
        exit_code: what the process returns.
        output: where the cards are, None where none were written.
        words: words in the input.
        failed: words without cards, in input order.
        bad_rows: rows that were no words.
        tally: what was counted.
        limiter_refusals: how often the limiter said not yet.
        limiter_waits: requests that waited for a permit.
        limiter_waited_seconds: how long, summed up.
        shared_calls: calls that were answered by an identical one already in flight.
        cache_served: look-ups in the cache that were hits, and that were misses.
        breaker_trips: how often the breaker opened.
        breaker_rejections: attempts it refused.
        latencies: of answered requests, by stage.
        degraded: the parts the job went on without.
        cost: of the tokens, in the currency of the prices; None where a price is not known.
        seconds: from the first word to the last.
        run: its number in the database, None where it is not kept.
        resumed: words that had their cards from the run that this one goes on with.
        pool: what the pool of connections to the database did, None where there is none.
    """

    end: End
    reason: str
    exit_code: int
    output: str | None
    words: int
    failed: Sequence[FailedWord]
    bad_rows: Sequence[BadRow]
    tally: Tally
    limiter_refusals: int
    limiter_waits: int
    limiter_waited_seconds: float
    shared_calls: int
    cache_served: tuple[int, int]
    breaker_trips: int
    breaker_rejections: int
    latencies: Mapping[str, Mapping[str, float | int | None]]
    degraded: Sequence[Degraded]
    cost: float | None
    seconds: float
    run: int | None = None
    resumed: int = 0
    pool: Mapping[str, float] | None = None

    @property
    def cache_hit_rate(self) -> float:
        """The share of look-ups in the cache that were answered; 0 where there were none."""
        hits, misses = self.cache_served
        return hits / (hits + misses) if hits + misses else 0.0

    @property
    def error_rate(self) -> float:
        """The share of the words brought to an end that have no cards; 0 where there were none."""
        return len(self.failed) / self.tally.words if self.tally.words else 0.0

    @property
    def skipped(self) -> int:
        """Words without cards because they are in quarantine."""
        return sum(word.is_skipped for word in self.failed)

    @property
    def done(self) -> int:
        """Words that have their cards."""
        return self.tally.words - len(self.failed)

    def as_json(self) -> str:
        """Return the summary as one JSON object on one line."""
        counts = dataclasses.asdict(self.tally)
        del counts["words"]
        told: dict[str, Any] = {
            "end": self.end.value,
            "reason": self.reason,
            "exit_code": self.exit_code,
            "output": self.output,
            "run": self.run,
            "words": self.words,
            "done": self.done,
            "resumed": self.resumed,
            "skipped": self.skipped,
            "failed": [
                {
                    "position": word.item.position,
                    "term": word.item.term,
                    "reason": word.reason,
                    "category": word.category,
                }
                for word in self.failed
            ],
            "bad_rows": [{"line": row.line, "reason": row.reason} for row in self.bad_rows],
            **counts,
            "shared_calls": self.shared_calls,
            "cache_hits": self.cache_served[0],
            "cache_misses": self.cache_served[1],
            "cache_hit_rate": round(self.cache_hit_rate, 6),
            "error_rate": round(self.error_rate, 6),
            "latency": {stage: dict(told) for stage, told in self.latencies.items()},
            "degraded": [dataclasses.asdict(part) for part in self.degraded],
            "cost": self.cost,
            "limiter_refusals": self.limiter_refusals,
            "limiter_waits": self.limiter_waits,
            "limiter_waited_seconds": round(self.limiter_waited_seconds, 3),
            "breaker_trips": self.breaker_trips,
            "breaker_rejections": self.breaker_rejections,
            "pool": None if self.pool is None else dict(self.pool),
            "seconds": round(self.seconds, 3),
            "words_per_second": round(self.tally.words / self.seconds, 3) if self.seconds else 0.0,
        }
        return json.dumps(told)

    def print(self, console: Console) -> None:
        """Tell people what was done; what went wrong is told by `print_errors`."""
        table = Table.grid(padding=(0, 2))
        for name, text in self._lines():
            table.add_row(name, Text(text))
        console.print(table)

    def print_errors(self, console: Console) -> None:
        """Tell people which rows were bad, which words failed, and what stopped the run."""
        say_list(console, "bad rows", [f"line {row.line}: {row.reason}" for row in self.bad_rows])
        say_list(
            console,
            "failed words",
            [f"{word.item.position} {shown(word.item.term)}: {word.reason}" for word in self.failed],
        )
        if self.reason:
            remedy = _REMEDIES.get(self.end, "")
            if self.end is End.COMPLETED:
                remedy = "`flashcards doctor` may tell why"
            say(console, f"flashcards: {self.reason}{'; ' if remedy else ''}{remedy}")

    def _lines(self) -> list[tuple[str, str]]:
        tally = self.tally
        words = f"{self.done:,} of {self.words:,} done"
        if self.failed:
            words += f", {len(self.failed):,} failed"
        if self.skipped:
            words += f" ({self.skipped:,} skipped in quarantine; flashcards quarantine list)"
        if self.bad_rows:
            words += f", {len(self.bad_rows):,} bad rows left out"
        cards = f"{tally.rows:,} rows"
        if tally.rejected_rows:
            cards += f", {tally.rejected_rows:,} rejected"
        waited = f" ({span(self.limiter_waited_seconds)} in all)" if self.limiter_waits else ""
        without = ", ".join(sorted({part.part for part in self.degraded}))
        tokens = f"{tally.prompt_tokens:,} + {tally.completion_tokens:,} = {tally.total_tokens:,}"
        if self.cost is not None:
            tokens += f", cost {self.cost:,.4f}"
        return [
            ("words", f"{words}, in {span(self.seconds)}"),
            ("cards", f"{cards} in {self.output}" if self.output else f"{cards}, nothing written"),
            ("requests", f"{tally.requests:,}, {tally.retries:,} of them retries"),
            ("refusals", f"{tally.refusals:,} by the API (429)"),
            (
                "faults",
                f"{tally.server_errors:,} server errors, {tally.connection_errors:,} broken connections, "
                f"{tally.broken_replies:,} broken replies",
            ),
            ("cache", f"{self.cache_served[0]:,} answers from it, {self.cache_hit_rate:.0%} of look-ups"),
            ("waits", f"{self.limiter_waits:,} for the rate limit{waited}"),
            ("breaker", f"{self.breaker_trips:,} trips, {self.breaker_rejections:,} refusals"),
            ("tokens", tokens),
            *([("without", without)] if without else []),
        ]


def say(console: Console, text: str) -> None:
    """Print a line as it stands: no markup, no colours guessed, no breaking of lines."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def say_list(console: Console, title: str, lines: Sequence[str]) -> None:
    """Print lines under a title, the first `MAX_LISTED` of them."""
    if not lines:
        return
    say(console, f"{title} ({len(lines):,}):")
    for line in lines[:MAX_LISTED]:
        say(console, f"  {line}")
    if len(lines) > MAX_LISTED:
        say(console, f"  and {len(lines) - MAX_LISTED:,} more")
