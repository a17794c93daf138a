"""The rate that the embedded API announces: used nearly in full, and never exceeded."""

import random

import httpcore2
import httpx2

from sluicegate import RateLimiter
from sluicegate.flashcards._api import Api
from sluicegate.flashcards._author import CardAuthor
from sluicegate.flashcards._chat_api import ChatApi
from sluicegate.flashcards._faults import FaultDice, FaultPlan
from sluicegate.flashcards._hold import pause
from sluicegate.flashcards._output import TsvOutput
from sluicegate.flashcards._run import End, Run
from sluicegate.flashcards._settings import EMBEDDED_RATE, Settings
from sluicegate.flashcards._tally import Tally
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.testing import ManualClock

FAULTS = FaultPlan(error=0.02, hidden=0.005, limit=0.005, garbled=0.005, empty=0.005, in_a_row=1)
LATENCY = 0.04
"""Seconds that a request, and an answer, may take at most: they overtake one another."""

TAIL = 40
"""Requests at the end, where the last retries wait alone."""


class FarSide:
    """The embedded API some way off, on a clock of its own."""

    def __init__(self, api, clock):
        self.times = []
        self._api, self._clock, self._rng = httpx2.ASGITransport(app=api), clock, random.Random(1)

    async def handle_async_request(self, request):
        await pause(self._rng.uniform(0, LATENCY), self._clock)
        self.times.append(self._clock.now())
        body = b"".join([part async for part in request.stream])
        url = f"http://far.side{request.url.target.decode()}"
        asked = httpx2.Request("POST", url, headers=request.headers, content=body)
        response = await self._api.handle_async_request(asked)
        await pause(self._rng.uniform(0, LATENCY), self._clock)
        return httpcore2.Response(
            response.status_code, headers=response.headers.raw, content=await response.aread()
        )

    async def aclose(self):
        pass


async def test_the_announced_rate_is_used_to_98_percent_and_never_exceeded(tmp_path):
    clock = ManualClock(autojump=True)
    api = ChatApi(CardAuthor(), RateLimiter(EMBEDDED_RATE, clock=clock), FaultDice(FAULTS))
    far_side = FarSide(api, clock)
    items = [VocabularyItem(number, chr(0xAC00 + number), "noun") for number in range(1, 601)]
    settings = Settings(base_url="http://far.side/v1", rate=EMBEDDED_RATE)
    with TsvOutput(tmp_path / "cards.tsv") as output:
        async with Api(settings, clock=clock, line=lambda: far_side, rng=random.Random(1)) as source:
            run = Run(items, source, output, Tally(), concurrency=20, window=200)
            assert await run.execute() is End.COMPLETED
    times = far_side.times[:-TAIL]
    assert (run.failed, api.limited) == ([], 0)
    assert api.requests > 2 * len(items)
    assert len(times) >= 0.98 * (50 + 50 * (times[-1] - times[0]))
