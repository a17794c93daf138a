"""Print what each verb costs, and how that compares, measured in turns within one run.

Run it with `uv run python benches/python/ratios.py`. In every round each case makes its calls once,
in an order of the round's own, so that a busy moment of the machine falls on all of them alike.
Times are medians over the rounds, less the empty loop; a difference is the median of the rounds'
differences. Nothing here passes or fails.
"""

import argparse
import gc
import random
from collections.abc import Iterator, Sequence
from statistics import median
from time import perf_counter_ns
from typing import TypeAlias

from cases import Case, cases

FLOOR = ("floor", "native method that reads the clock")
LOOP = ("floor", "empty loop")

Key: TypeAlias = tuple[str, str]


def measure(cases: Sequence[Case], rounds: int, calls: int) -> dict[Key, list[float]]:
    """Time every case once a round; nanoseconds a call, by group and name."""
    samples: dict[Key, list[float]] = {(case.group, case.name): [] for case in cases}
    order = list(cases)
    for case in order:
        case.batch(calls)
    gc.disable()
    for _ in range(rounds):
        random.shuffle(order)
        for case in order:
            begin = perf_counter_ns()
            case.batch(calls)
            samples[case.group, case.name].append((perf_counter_ns() - begin) / calls)
    gc.enable()
    return samples


def difference(samples: dict[Key, list[float]], one: Key, other: Key) -> float:
    """Tell how many nanoseconds a call `one` takes more than `other`."""
    return median(a - b for a, b in zip(samples[one], samples[other], strict=True))


def report(samples: dict[Key, list[float]]) -> Iterator[str]:
    """Write the table, line by line: a group's first case is what the others are compared with."""
    times = {key: median(values) - median(samples[LOOP]) for key, values in samples.items() if key != LOOP}
    yield f"{'group':<22}{'case':<38}{'ns a call':>10}{'times the first':>17}"
    first: Key | None = None
    for key, time in times.items():
        if first is None or first[0] != key[0]:
            first = key
            yield ""
        yield f"{key[0]:<22}{key[1]:<38}{time:>10.1f}{time / times[first]:>17.2f}"
    decision = difference(samples, ("try_acquire", "sluicegate"), FLOOR)
    yield ""
    yield f"try_acquire, less an empty native call and one read of the clock: {decision:+.1f} ns"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="Print what each verb costs, and how that compares.")
    arguments.add_argument("--rounds", type=int, default=300)
    arguments.add_argument("--calls", type=int, default=2_000, help="calls of each case in a round")
    arguments.add_argument("--smoke", action="store_true", help="run everything once, for no figures")
    chosen = arguments.parse_args()
    if chosen.smoke:
        lines = [*report(measure(cases(), rounds=1, calls=10))]
        print(f"{len(lines)} lines of figures, not worth printing")
    else:
        print(*report(measure(cases(), chosen.rounds, chosen.calls)), sep="\n")


if __name__ == "__main__":
    main()
