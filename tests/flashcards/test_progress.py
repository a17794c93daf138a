"""The live display."""

import asyncio
import dataclasses
import io
import math

import pytest
from rich.console import Console

from sluicegate.flashcards import _progress
from sluicegate.flashcards._progress import Display, Pace, Picture, status

PICTURE = Picture(
    done=30,
    total=100,
    failed=0,
    requests=60,
    limit=50.0,
    burst=45,
    retries=3,
    breaker="closed",
    tokens=12_345,
)


def pace_of(*notes):
    pace = Pace()
    for note in notes:
        pace.note(*note)
    return pace


def test_a_pace_is_that_of_the_last_seconds():
    pace = pace_of((0.0, 0, 0), (1.0, 1_000, 500), (6.0, 1_050, 525), (10.0, 1_250, 625))
    assert pace.rates() == (50.0, 25.0)


@pytest.mark.parametrize("notes", [(), ((0.0, 5, 5),), ((1.0, 0, 0), (1.0, 5, 5))])
def test_without_two_moments_there_is_no_pace(notes):
    assert pace_of(*notes).rates() == (0.0, 0.0)


def test_tells_rate_against_limit_retries_breaker_tokens_and_time_left():
    pace = pace_of((0.0, 0, 0), (2.0, 96, 20))
    assert status(PICTURE, pace) == (
        "48.0 requests/s (limit 50, burst 45) · 3 retries · breaker closed · 12,345 tokens · 7 s left"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"limit": math.inf}, "(no limit)"),
        ({"failed": 2}, "2 failed"),
        ({"cost": 1.5}, "12,345 tokens, cost 1.5000"),
        ({"breaker": "open", "waiting_for": ("waiting out a break", 29.2)}, "waiting out a break, 29 s"),
    ],
)
def test_tells_what_is_out_of_the_ordinary(changes, told):
    assert told in status(dataclasses.replace(PICTURE, **changes), Pace())


async def shown(console, monkeypatch):
    monkeypatch.setattr(_progress, "REFRESH", 0.001)
    monkeypatch.setattr(_progress, "PLAIN_EVERY", 0.001)
    looked = asyncio.Event()
    looks = 0

    def look():
        nonlocal looks
        looks += 1
        if looks == 3:
            looked.set()
        return PICTURE

    watching = asyncio.create_task(Display(console, look).watch())
    await looked.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return console.file.getvalue()


async def test_on_a_terminal_it_stays_in_place_and_leaves_nothing_behind(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=24)
    text = await shown(console, monkeypatch)
    assert "30/100 words" in text
    assert "breaker closed" in text
    assert text.endswith("\x1b[2K")
    assert "\x1b[?25h" in text


async def test_elsewhere_it_is_plain_lines(monkeypatch):
    console = Console(file=io.StringIO(), width=60)
    text = await shown(console, monkeypatch)
    assert "\x1b" not in text
    assert text.splitlines()[0].startswith("30/100 words · 0.0 requests/s (limit 50, burst 45) · 3 retries")
