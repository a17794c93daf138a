"""What the flashcard application costs a word, beside its bare HTTP client sending the same bodies.

    uv run python benches/python/words.py [VOCABULARY.csv] [PAIRS]

A server of our own runs in another process, without limit and faults. The application makes the cards of
every word once, and its request bodies are kept; then application and bare client take turns, both with
twenty connections, and the CPU time of this process is what counts: no start-up, no server.
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from sluicegate.flashcards._api import Api
from sluicegate.flashcards._output import TsvOutput
from sluicegate.flashcards._run import Run
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._tally import Tally
from sluicegate.flashcards._vocabulary import VocabularyItem, read_vocabulary

CONCURRENCY = 20
EXAMPLES = Path(__file__).parents[2] / "examples" / "vocabulary.csv"


class RecordingApi(Api):
    """Keeps the bodies that it sends."""

    bodies: list[bytes] = []  # noqa: RUF012 - one recording a run

    async def _send(self, call: Any) -> Any:
        self.bodies.append(call.body)
        return await super()._send(call)


async def application(url: str, items: Sequence[VocabularyItem], client: type[Api] = Api) -> float:
    """Make the cards of all words; the CPU seconds it took."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, TsvOutput(Path(folder) / "cards.tsv") as output:
        async with client(Settings(base_url=url, rate="inf/s"), tally=tally) as api:
            began = time.process_time()
            run = Run(items, api, output, tally, concurrency=CONCURRENCY, window=10 * CONCURRENCY)
            await run.execute()
            spent = time.process_time() - began
        output.complete()
    if run.failed:
        raise SystemExit(f"{len(run.failed)} words failed: {run.failed[0].reason}")
    return spent


async def bare(url: str, bodies: Sequence[bytes], clock: Callable[[], float] = time.process_time) -> float:
    """Send the bodies and read the answers; the CPU seconds it took, or those of another clock."""
    limits = httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    waiting = iter(bodies)
    async with httpx2.AsyncClient(limits=limits, headers={"content-type": "application/json"}) as client:

        async def send() -> None:
            for body in waiting:
                (await client.post(f"{url}/chat/completions", content=body)).raise_for_status()

        began = clock()
        await asyncio.gather(*(send() for _ in range(CONCURRENCY)))
        return clock() - began


@contextlib.contextmanager
def served(rate: str = "inf", faults: str = "none", told: list[str] | None = None) -> Iterator[str]:
    """Run the embedded API in a process of its own; yields its base URL, and adds to `told` what it says."""
    serve = ["-m", "sluicegate.flashcards", "serve", "--rate", rate, "--faults", faults, "--port", "0"]
    with subprocess.Popen(
        [sys.executable, *serve], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        if server.stdout is None or server.stderr is None:
            raise SystemExit("the server has no output")
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
            (told if told is not None else []).extend(server.stderr)


def main(file: str = str(EXAMPLES), pairs: str = "9") -> None:
    """Measure in pairs, and print the medians and their ratio."""
    with Path(file).open("rb") as stream:
        items = read_vocabulary(stream).items
    with served() as url:
        asyncio.run(application(url, items, RecordingApi))
        ours, theirs = [], []
        for _ in range(int(pairs)):
            ours.append(asyncio.run(application(url, items)) / len(items) * 1e6)
            theirs.append(asyncio.run(bare(url, RecordingApi.bodies)) / len(items) * 1e6)
    ratios = sorted(mine / bare for mine, bare in zip(ours, theirs, strict=True))
    print(f"{len(items)} words, {len(RecordingApi.bodies)} requests, {pairs} pairs; CPU a word, medians")
    print(f"application {statistics.median(ours):6.0f} µs")
    print(f"bare httpx2 {statistics.median(theirs):6.0f} µs")
    print(f"ratio       {statistics.median(ratios):6.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
