"""Identical calls in flight, made once."""

import asyncio

import pytest

from sluicegate.flashcards._flights import Flights


class Call:
    """A call that ends when told."""

    def __init__(self, answer=7):
        self.answer = answer
        self.made = 0
        self.end = asyncio.Event()

    async def __call__(self):
        self.made += 1
        await self.end.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def begin(flights, call, number):
    tasks = [asyncio.create_task(flights.once("key", call)) for _ in range(number)]
    while not call.made:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_all_who_ask_share_one_answer():
    flights, call = Flights(), Call()
    tasks = await begin(flights, call, 5)
    call.end.set()
    assert await asyncio.gather(*tasks) == [7] * 5
    assert (call.made, flights.shared) == (1, 4)


async def test_all_who_ask_share_one_error():
    flights, call = Flights(), Call(OSError("no"))
    tasks = await begin(flights, call, 3)
    call.end.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {OSError}
    assert call.made == 1


async def test_the_next_in_line_makes_the_call_where_its_maker_is_cancelled():
    flights, call = Flights(), Call()
    first, second, third = await begin(flights, call, 3)
    first.cancel()
    while call.made < 2:
        await asyncio.sleep(0)
    call.end.set()
    assert await second == await third == 7
    assert call.made == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_one_who_no_longer_waits_ends_it_for_nobody_else():
    flights, call = Flights(), Call()
    first, second, third = await begin(flights, call, 3)
    second.cancel()
    await asyncio.sleep(0)
    call.end.set()
    assert await first == await third == 7
    assert second.cancelled()
    assert call.made == 1


async def test_what_is_over_is_made_anew():
    flights, call = Flights(), Call()
    call.end.set()
    for _ in range(2):
        await flights.once("key", call)
    await flights.once("other", call)
    assert (call.made, flights.shared) == (3, 0)
