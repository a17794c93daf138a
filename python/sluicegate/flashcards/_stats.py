"""What `flashcards db stats` says of the database, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ._one_line import shown
from ._progress import span


def described(stats: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each line, of statistics by the names they have as JSON."""
    yield "database", stats["database"]
    yield "schema", f"revision {stats['schema']}"
    yield "runs", _states(stats["runs"])
    yield "words", _states(stats["words"])
    sent, failed = stats["attempts"]["sent"], stats["attempts"]["failed"]
    yield "attempts", f"{sent:,} sent, {failed:,} of them failed"
    yield "quarantine", counted(stats["quarantine"], "word")
    last = stats["last_run"]
    if last is not None:
        words = sum(last["words"].values())
        done = f"{last['words']['done']:,} of {counted(words, 'word')} done"
        yield "last run", f"number {last['run']} of {shown(last['source'])}, {last['state']}: {done}"
    yield "connections", _pool(stats["pool"])


def counted(count: int, what: str) -> str:
    """Return a count and what is counted.

    Examples:
        >>> counted(1, "word"), counted(2_000, "word")
        ('1 word', '2,000 words')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def _states(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    return f"{sum(counts.values()):,}" + (f": {parts}" if parts else "")


def _pool(pool: Mapping[str, Any]) -> str:
    parts = [f"{pool['open']} open of {pool['size']} kept and {pool['overflow']} more under load"]
    parts.append(f"taken {counted(pool['checkouts'], 'time')}, at most {pool['most_checked_out']} at once")
    if pool["waits"]:
        parts.append(f"waited for {counted(pool['waits'], 'time')}, {span(pool['waited_seconds'])} in all")
    if pool["recycled"] or pool["invalidated"]:
        parts.append(f"replaced: {pool['recycled']} by age, {pool['invalidated']} broken")
    return "; ".join(parts)
