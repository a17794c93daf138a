"""Print what each verb costs, and how that compares, measured in turns within one run.

Run it with `uv run python benches/python/ratios.py`, or with the peers from PyPI beside it:
`uv run --group peers python benches/python/ratios.py --peers`. In every round each case makes its
calls once, in an order of the round's own, so that a busy moment of the machine falls on all of them
alike. Times are less the loop around the calls, figures are medians over the rounds of what each
round says. Nothing here passes or fails.
"""

import argparse
import gc
import random
from collections.abc import Iterator, Sequence
from statistics import median
from time import perf_counter_ns
from typing import TypeAlias

from cases import LOOP, Case, Key, cases
from peers import peer_cases, roll

FLOOR = ("floor", "native method that reads the clock")

Round: TypeAlias = dict[Key, float]


def measure(cases: Sequence[Case], rounds: int, calls: int) -> list[Round]:
    """Time every case once a round: nanoseconds a call less its loop, by group and name."""
    order = list(cases)
    for case in order:
        case.batch(calls)
    measured = []
    gc.disable()
    for _ in range(rounds):
        random.shuffle(order)
        spent: Round = {}
        for case in order:
            begin = perf_counter_ns()
            case.batch(calls)
            spent[case.key] = (perf_counter_ns() - begin) / calls
        measured.append({(case.key): spent[case.key] - spent[case.loop] for case in cases})
    gc.enable()
    return measured


def everything(peers: bool) -> list[Case]:
    """Build all cases, those of the peers last, and say which peers are here."""
    if not peers:
        return cases()
    theirs, missing = peer_cases()
    print("peers:", *roll(missing), sep="\n  ", end="\n\n")
    return [*cases(), *theirs]


def report(rounds: Sequence[Round]) -> Iterator[str]:
    """Write the table, line by line: a group's first case is what the others are compared with."""
    yield f"{'group':<31}{'case':<38}{'ns a call':>10}{'times the first':>17}"
    groups: dict[str, list[Key]] = {}
    for key in rounds[0]:
        if key != LOOP:
            groups.setdefault(key[0], []).append(key)
    for group, keys in groups.items():
        yield ""
        for key in keys:
            time = median(nanos[key] for nanos in rounds)
            ratio = median(nanos[key] / nanos[keys[0]] for nanos in rounds)
            yield f"{group:<31}{key[1]:<38}{time:>10.1f}{ratio:>17.2f}"
    decision = median(nanos["try_acquire", "sluicegate"] - nanos[FLOOR] for nanos in rounds)
    yield ""
    yield f"try_acquire, less an empty native call and one read of the clock: {decision:+.1f} ns"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="Print what each verb costs, and how that compares.")
    arguments.add_argument("--rounds", type=int, default=300)
    arguments.add_argument("--calls", type=int, default=2_000, help="calls of each case in a round")
    arguments.add_argument("--peers", action="store_true", help="measure the peers from PyPI as well")
    arguments.add_argument("--smoke", action="store_true", help="run everything once, for no figures")
    chosen = arguments.parse_args()
    if chosen.smoke:
        lines = [*report(measure(everything(chosen.peers), rounds=1, calls=10))]
        print(f"{len(lines)} lines of figures, not worth printing")
    else:
        print(*report(measure(everything(chosen.peers), chosen.rounds, chosen.calls)), sep="\n")


if __name__ == "__main__":
    main()
