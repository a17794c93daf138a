"""Print what each verb costs, and how that compares, measured in turns within one run.

Run it with `uv run python benches/python/ratios.py`, or with the peers from PyPI beside it:
`uv run --group peers python benches/python/ratios.py --peers`. In every round each case makes its
calls, in an order of the round's own, so that a busy moment of the machine falls on all of them alike.
Times are less the loop around the calls, figures are medians over the rounds of what each round says.
Nothing here passes or fails.
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


def measure(cases: Sequence[Case], rounds: int, span: float) -> list[Round]:
    """Time every case once a round: nanoseconds a call less its loop, by group and name.

    Each makes as many calls a round as take it about `span` seconds, so that one that is slow is
    interrupted no more often than one that is fast.
    """
    calls = {case.key: calls_within(case, span) for case in cases}
    order = list(cases)
    measured = []
    gc.disable()
    for _ in range(rounds):
        random.shuffle(order)
        nanos = {case.key: time(case, calls[case.key]) for case in order}
        measured.append({case.key: nanos[case.key] - nanos[case.loop] for case in cases})
    gc.enable()
    return measured


def time(case: Case, calls: int) -> float:
    """Tell how many nanoseconds a call of this batch takes, loop and all, once the caches know it again."""
    case.batch(calls // 2)
    begin = perf_counter_ns()
    case.batch(calls)
    return (perf_counter_ns() - begin) / calls


def calls_within(case: Case, span: float) -> int:
    """Find how many calls take about `span` seconds, which warms the case up as well."""
    nanos = min(time(case, 100) for _ in range(5))
    return max(10, int(span * 1e9 / nanos))


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
    arguments.add_argument("--span", type=float, default=5e-4, help="seconds for each case in a round")
    arguments.add_argument("--peers", action="store_true", help="measure the peers from PyPI as well")
    arguments.add_argument("--smoke", action="store_true", help="run everything once, for no figures")
    chosen = arguments.parse_args()
    if chosen.smoke:
        lines = [*report(measure(everything(chosen.peers), rounds=1, span=0))]
        print(f"{len(lines)} lines of figures, not worth printing")
    else:
        print(*report(measure(everything(chosen.peers), chosen.rounds, chosen.span)), sep="\n")


if __name__ == "__main__":
    main()
