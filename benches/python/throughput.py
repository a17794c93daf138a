"""How many words a second the whole application makes of an API without limit, beside its bare HTTP client.

    uv run python benches/python/throughput.py [--words N] [--rounds N] [--smoke]

Every round runs `flashcards process` twice in a process of its own, with the cache and the database it has
by default: into a cold cache, and again, as a new run, out of the warm one. Between the two the bare client
sends the same bodies over as many connections. All three take turns at one server, in another process.
Start-up is not counted; output, cache and database are. `--smoke` tries whether it runs, with few words.
"""

import argparse
import asyncio
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluicegate.flashcards._vocabulary import read_vocabulary
from words import CONCURRENCY, EXAMPLES, RecordingApi, application, bare, served

FIRST_SYLLABLE = 0xAC00
TARGET_RATIO, TARGET_WARM, TARGET_MEMORY = 0.65, 2_000, 200


def write_vocabulary(path: Path, count: int) -> None:
    """Write so many different words: those of the example, with a syllable more each time around."""
    with EXAMPLES.open("rb") as stream:
        known = read_vocabulary(stream).items
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("position", "term", "type"))
        for number in range(count):
            around, item = divmod(number, len(known))
            rows.writerow((number + 1, known[item].term + chr(FIRST_SYLLABLE + around), known[item].type))


def process(vocabulary: Path, url: str, folder: Path, rate: str = "inf") -> tuple[dict[str, Any], float]:
    """Run the application, which keeps all in `folder`; its summary, and its peak of memory in MB."""
    options = {
        "--base-url": url,
        "--rate": rate,
        "--concurrency": str(CONCURRENCY),
        "--cache-dir": str(folder),
        "--database-url": f"sqlite:///{folder / 'runs.db'}",
        "--output": str(folder / "cards.tsv"),
    }
    flags = [part for option in options.items() for part in option]
    command = [sys.executable, "-m", "sluicegate.flashcards", "process", str(vocabulary), *flags]
    with subprocess.Popen([*command, "--json", "--quiet", "--no-resume"], stdout=subprocess.PIPE) as child:
        told = b"" if child.stdout is None else child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"the application ended with {child.returncode}: {told.decode()}")
    return json.loads(told), used.ru_maxrss / 1024


def measure(words: int, rounds: int) -> None:
    """Take the three in turns, and print medians and the ratio within each round."""
    cold, plain, warm, memory = list[float](), list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as scratch, served() as url:
        vocabulary = Path(scratch) / "vocabulary.csv"
        write_vocabulary(vocabulary, words)
        with vocabulary.open("rb") as stream:
            asyncio.run(application(url, read_vocabulary(stream).items, RecordingApi))
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                for figures in (cold, warm):
                    if figures is warm:
                        plain.append(words / asyncio.run(bare(url, RecordingApi.bodies, time.perf_counter)))
                    summary, peak = process(vocabulary, url, Path(folder))
                    figures.append(summary["words_per_second"])
                    memory.append(peak)
    ratios = [ours / theirs for ours, theirs in zip(cold, plain, strict=True)]
    print(f"{words:,} words, {len(RecordingApi.bodies):,} requests, {rounds} rounds; words a second, medians")
    print(f"bare httpx2    {_spread(plain)}")
    print(f"cold cache     {_spread(cold)}")
    print(f"warm cache     {_spread(warm)}    wanted: {TARGET_WARM:,} or more")
    print(f"cold / bare    {_spread(ratios, '.2f')}    wanted: {TARGET_RATIO} or more")
    print(f"peak memory    {max(memory):9,.0f} MB    wanted: below {TARGET_MEMORY}")


def _spread(figures: Sequence[float], form: str = ",.0f") -> str:
    return f"{statistics.median(figures):9{form}}   ({min(figures):{form}} to {max(figures):{form}})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--words", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    if asked.smoke:
        measure(50, 1)
    else:
        measure(asked.words, asked.rounds)


if __name__ == "__main__":
    main()
