"""How much of the rate that the embedded API announces the application uses, and whether it goes beyond.

    uv run python benches/python/announced.py [--words N] [--smoke]

`flashcards process` runs with its cache and its database against `flashcards serve`, both in processes of
their own and with the limit that they have by default, 50 requests a second and 50 at once; four calls in a
hundred go wrong on purpose, and are made again. From the first request to the last card the server would have
admitted its burst and its rate times the seconds: what it did admit is the share that was used. A request
that its limiter refused is one too many. 2,000 words take a minute and a half; at the end of a run the last
retries wait alone, so that a shorter one uses less. `--smoke` tries whether it runs, with few words.
"""

import argparse
import re
import tempfile
from pathlib import Path

from throughput import process, write_vocabulary
from words import served

RATE, BURST = 50, 50
LIMIT = f"{RATE}/s;burst={BURST}"
FAULTS = "0.04"
TARGET = 0.98


def measure(words: int) -> None:
    """Run the application once, and print what the server counted."""
    told: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = Path(scratch) / "vocabulary.csv"
        write_vocabulary(vocabulary, words)
        with served(LIMIT, FAULTS, told) as url:
            summary, _ = process(vocabulary, url, Path(scratch), LIMIT)
    counted = re.search(r"([\d,]+) requests, ([\d,]+) admitted, ([\d,]+) refused", "".join(told))
    if counted is None:
        raise SystemExit(f"the server did not say what it counted: {told}")
    requests, admitted, refused = (int(number.replace(",", "")) for number in counted.groups())
    possible = BURST + RATE * summary["seconds"]
    print(f"{words:,} words, {requests:,} requests in {summary['seconds']:.1f} s, {summary['retries']} again")
    print(f"admitted {admitted:,} of {possible:,.0f}: {admitted / possible:.4f}    wanted: {TARGET} or more")
    print(f"refused by the limiter: {refused}    wanted: 0")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--words", type=int, default=2_000)
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    measure(20 if asked.smoke else asked.words)


if __name__ == "__main__":
    main()
