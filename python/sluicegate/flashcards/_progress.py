"""The live display of a run: on a terminal two lines that stay in place, elsewhere a line now and then."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

REFRESH = 0.25
"""Seconds between two pictures: a picture costs some milliseconds, which are not to show in the run."""

PLAIN_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

_WINDOW = 5.0


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown at one moment.

    Attributes:
        done: words that came to an end.
        total: all words.
        failed: words without cards.
        requests: sent so far.
        limit: requests a second that are allowed, infinity for no limit.
        burst: requests that are allowed at once.
        retries: so far.
        breaker: the state of the breaker, in a word.
        tokens: spent so far.
        cost: of the tokens; None where a price is not known.
        waiting_for: what holds everything up and for how many seconds, empty and 0 where nothing does.
    """

    done: int
    total: int
    failed: int
    requests: int
    limit: float
    burst: int
    retries: int
    breaker: str
    tokens: int
    cost: float | None = None
    waiting_for: tuple[str, float] = ("", 0.0)


class Pace:
    """Requests and words a second over the last seconds, from pictures taken now and then."""

    def __init__(self) -> None:
        self._taken: deque[tuple[float, int, int]] = deque()

    def note(self, now: float, requests: int, words: int) -> None:
        """Take down how far things are at `now`, in seconds."""
        self._taken.append((now, requests, words))
        while len(self._taken) > 2 and now - self._taken[0][0] > _WINDOW:
            self._taken.popleft()

    def rates(self) -> tuple[float, float]:
        """Return requests and words a second, 0 before two pictures were taken."""
        if len(self._taken) < 2:
            return 0.0, 0.0
        (since, first_requests, first_words), (until, requests, words) = self._taken[0], self._taken[-1]
        seconds = until - since
        if seconds <= 0:
            return 0.0, 0.0
        return (requests - first_requests) / seconds, (words - first_words) / seconds


def span(seconds: float) -> str:
    """Return a time to go, in the two units that matter.

    Examples:
        >>> [span(seconds) for seconds in (0.2, 42, 190, 7_260)]
        ['1 s', '42 s', '3 min 10 s', '2 h 1 min']
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def status(picture: Picture, pace: Pace) -> str:
    """Return a picture in one line, without the words done."""
    requests, words = pace.rates()
    limit = "no limit" if picture.limit == math.inf else f"limit {picture.limit:g}, burst {picture.burst}"
    parts = [f"{requests:.1f} requests/s ({limit})"]
    parts.append(f"{picture.retries:,} retries")
    parts.append(f"breaker {picture.breaker}")
    cost = "" if picture.cost is None else f", cost {picture.cost:,.4f}"
    parts.append(f"{picture.tokens:,} tokens{cost}")
    if picture.failed:
        parts.append(f"{picture.failed:,} failed")
    reason, seconds = picture.waiting_for
    if reason:
        parts.append(f"{reason}, {span(seconds)}")
    elif words and picture.done < picture.total:
        parts.append(f"{span((picture.total - picture.done) / words)} left")
    return " · ".join(parts)


class Display:
    """Shows a run for as long as `watch` runs.

    Args:
        console: where to; one on a terminal gets the display that stays in place.
        look: takes the picture of the moment.
    """

    def __init__(self, console: Console, look: Callable[[], Picture]) -> None:
        self._console = console
        self._look = look
        self._pace = Pace()

    async def watch(self) -> None:
        """Show the run until cancelled; what stood on the terminal last is wiped away then."""
        if self._console.is_terminal:
            await self._watch_live()
        else:
            await self._watch_plain()

    async def _watch_live(self) -> None:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._render(), refresh=True)
                await asyncio.sleep(REFRESH)

    async def _watch_plain(self) -> None:
        self._note()
        while True:
            await asyncio.sleep(PLAIN_EVERY)
            picture = self._note()
            line = f"{picture.done:,}/{picture.total:,} words · {status(picture, self._pace)}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _note(self) -> Picture:
        picture = self._look()
        self._pace.note(time.monotonic(), picture.requests, picture.done)
        return picture

    def _render(self) -> RenderableType:
        picture = self._note()
        line = Table.grid(padding=(0, 1))
        line.add_row(
            ProgressBar(total=max(1, picture.total), completed=picture.done, width=40),
            Text(f"{picture.done:,}/{picture.total:,} words", style="bold"),
        )
        style = "yellow" if picture.waiting_for[0] or picture.breaker != "closed" else "dim"
        return Group(line, Text(status(picture, self._pace), style=style, no_wrap=True, overflow="ellipsis"))
