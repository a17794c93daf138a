"""Print what was aimed at beside what is measured: one table, all of it from one run.

Run it with `uv run --group peers python benches/python/targets.py`; it takes a minute. Ratios are
taken within each round, where the cases take turns: their median is printed, and the quartiles beside
it say how much the machine was in the way. Nothing here passes or fails.
"""

import argparse
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median, quantiles

import memory
import threads
import waiters
from cases import KEYED, LOOP, Key, cases, keyed_cases
from peers import peer_cases
from ratios import FLOOR, measure

MILLION = 1_000_000
PEERS = (
    "limits",
    "aiolimiter",
    "rust-py-rate-limit",
    "circuitbreaker",
    "backoff",
    "tenacity",
    "hyx",
    "interlock-cb, its pipeline",
)

EMPTY = ("floor", "empty native method")
FUNCTION = ("floor", "empty Python function")
THROUGH = ("floor", "native method that only calls a function")
COROUTINE = ("floor", "empty coroutine")
EXCEPTION = ("floor", "plain exception, raised and caught")
HASHED = "native method that hashes its key"
LOOKED = "native method that also looks at a line of a table"


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the table: the cases it is about, and what to make of their nanoseconds a call."""

    case: str
    aim: str
    figure: Callable[..., float]
    keys: tuple[Key, ...]
    form: str = "{:.2f} ×"


times = operator.truediv  # how many times as long as the second the first takes
NANOS = "{:+.1f} ns"


def added(one: float, other: float, bare: float) -> float:
    """Take the part of what `other` adds to a bare call that `one` adds to it."""
    return (one - bare) / (other - bare)


def ours(group: str) -> Key:
    """Name our own case of a group."""
    return group, "sluicegate"


def limiter_targets() -> Iterator[Target]:
    """Name what is aimed at for the calls of limiters."""
    rust = "rust-py-rate-limit"
    one = ours("try_acquire")
    lean = ("try_acquire", "pure Python, leanest")
    thousand, many, million = (f"try_acquire(key), {count:,} keys" for count in (*KEYED, MILLION))
    above = "`try_acquire()` above a native call that reads the clock"
    yield Target(above, "≤ 15 ns", operator.sub, (one, FLOOR), NANOS)
    yield Target("… the leanest pure Python against it", "≥ 7 ×", times, (lean, one))
    yield Target("… limits against it", "≥ 50 ×", times, (("try_acquire", "limits"), one))
    yield Target(f"… {rust} against it", "≥ 3 ×", times, (("try_acquire", rust), one))
    hashing = "`try_acquire(key)` against only hashing the key and reading the clock"
    yield Target(f"{hashing}, 1,000 keys", "≤ 1.5 ×", times, (ours(thousand), (thousand, HASHED)))
    yield Target("… a million keys", "≤ 3 ×", times, (ours(million), (million, HASHED)))
    floor = "a native call that also counts in one line of a table as large, which is its floor"
    yield Target(f"… {floor}", "", times, ((million, LOOKED), (million, HASHED)))
    yield Target(f"… {rust} against it, 100,000 keys", "≥ 2.5 ×", times, ((many, rust), ours(many)))
    yield Target(f"… {rust} against that floor", "", times, ((many, rust), (many, LOOKED)))
    one, peer = ours("await acquire"), ("await acquire", "aiolimiter")
    yield Target("`await acquire()` against an empty coroutine", "≤ 1.5 ×", times, (one, COROUTINE))
    yield Target("… aiolimiter against it", "≥ 8 ×", times, (peer, one))


def breaker_targets() -> Iterator[Target]:
    """Name what is aimed at for the calls through breakers, and for refusals."""
    call, decorated = ours("breaker.call"), "@breaker, async"
    yield Target("`breaker.call(f)` against a call of an empty `f`", "≤ 3 ×", times, (call, FUNCTION))
    yield Target("… a native method that only calls `f`, which is its floor", "", times, (THROUGH, FUNCTION))
    yield Target("… as a decorator", "", times, (ours("@breaker"), FUNCTION))
    theirs = {group: (group, "circuitbreaker") for group in ("breaker.call", "@breaker")}
    for one, group, how in (
        (call, "breaker.call", "`breaker.call(f)` … its `call`, which lets all through"),
        (call, "@breaker", "`breaker.call(f)` … its decorator"),
        (ours("@breaker"), "@breaker", "as a decorator … its decorator"),
    ):
        case = f"what it adds against what circuitbreaker adds: {how}"
        yield Target(case, "≤ 0.125 ×", added, (one, theirs[group], FUNCTION), "{:.3f} ×")
    keys = (ours(decorated), (decorated, "circuitbreaker"), COROUTINE)
    yield Target("`@breaker` async: what it adds against circuitbreaker", "≤ 0.25 ×", added, keys)
    for group in ("try_acquire, refused", "attempt, refused", "breaker.try_enter, open"):
        case = f"a refusal by value above an empty native call: `{group}`"
        yield Target(case, "≤ 70 ns", operator.sub, (ours(group), EMPTY), NANOS)
    for group in ("breaker.call, open", "@limit, refused"):
        case = f"a refusal raised against a plain exception: `{group}`"
        yield Target(case, "≤ 1.3 ×", times, (ours(group), EXCEPTION))


def policy_targets() -> Iterator[Target]:
    """Name what is aimed at for policies that have nothing to do."""
    call, decorated = ("retry", "sluicegate, retry.call"), ("retry", "sluicegate, @retry")
    yield Target("`retry.call(f)` against a call of an empty `f`", "≤ 3 ×", times, (call, FUNCTION))
    yield Target("… as a decorator", "≤ 3 ×", times, (decorated, FUNCTION))
    for peer in ("backoff", "tenacity"):
        yield Target(f"… {peer}, as a decorator", "", times, (("retry", peer), FUNCTION))
    one, adds = ours("retry, async"), "`@retry` async: what it adds against"
    for peer, aim in (("hyx", "≤ 0.25 ×"), ("tenacity", "≤ 0.02 ×")):
        keys = (one, ("retry, async", peer), COROUTINE)
        yield Target(f"{adds} {peer}", aim, added, keys, "{:.3f} ×")
    group = "pipeline of four, async"
    keys = (ours(group), (group, "interlock-cb"), (group, "empty coroutine"))
    case = "timeout, retry, breaker and limiter, async: what they add against interlock-cb"
    yield Target(case, "≤ 0.2 ×", added, keys, "{:.3f} ×")


def call_rows(rounds: int, span: float) -> Iterator[str]:
    """Measure the calls that targets are about, and write their rows."""
    targets = [*limiter_targets(), *breaker_targets(), *policy_targets()]
    theirs, missing = peer_cases(PEERS)
    missing = {name.partition(",")[0]: why for name, why in missing.items()}
    found = [*cases(), *keyed_cases(MILLION), *theirs]
    needed = {key for target in targets for key in target.keys}
    needed |= {case.loop for case in found if case.key in needed} | {LOOP}
    measured = measure([case for case in found if case.key in needed], rounds, span)
    for target in targets:
        absent = [name for _, name in target.keys if name in missing]
        if absent:
            yield row(target.case, target.aim, "not measured", f"{absent[0]}: {missing[absent[0]]}")
            continue
        values = (target.figure(*(nanos[key] for key in target.keys)) for nanos in measured)
        low, middle, high = (target.form.format(value) for value in quantiles(values, n=4))
        yield row(target.case, target.aim, middle, f"{low} to {high}")


def thread_rows(rounds: int) -> Iterator[str]:
    """Measure one limiter with several threads, and write the rows."""
    rates = threads.measure(rounds)
    for (name, count), rate in rates.items():
        if count > 1:
            one = rates[name, 1]
            case = f"{count} threads on one limiter against one thread: {name}"
            compared = f"{rate / 1e6:.1f} against {one / 1e6:.1f} million decisions a second"
            yield row(case, "flat" if name == "sluicegate" else "", f"{rate / one:.2f} ×", compared)


def waiter_rows(runs: int) -> Iterator[str]:
    """Measure waiting tasks, and write the rows."""
    limited, slept = waiters.measure(runs)
    for field in ("p50", "p99"):
        mine, plain = (median(map(operator.attrgetter(field), of)) * 1e3 for of in (limited, slept))
        case = f"1,000 waiting tasks: lateness {field} against `asyncio.sleep`"
        yield row(case, "≤ 1.2 ×", f"{mine / plain:.2f} ×", f"{mine:.2f} ms against {plain:.2f} ms")
    mine, plain = (sum(run.overtaken for run in of) for of in (limited, slept))
    case = f"… woken after one that was due later, of {runs * waiters.TASKS:,}"
    yield row(case, "0", str(mine), f"`asyncio.sleep`: {plain}")


def memory_rows() -> Iterator[str]:
    """Measure what things weigh, and write the rows."""
    yield row(
        "a breaker with its 64 slots", "≤ 700 bytes", f"{memory.measure(memory.breakers):.0f} bytes", ""
    )
    case = "a breaker in a registry of 100,000, its key included"
    yield row(case, "", f"{memory.measure(memory.registered):.0f} bytes", "")
    case = "a key of a table of 1.4 million, all live"
    yield row(case, "≤ 24 bytes", f"{memory.measure(memory.live_keys):.1f} bytes", "")


def row(*cells: str) -> str:
    """Write one row."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="Print what was aimed at beside what is measured.")
    arguments.add_argument("--rounds", type=int, default=300)
    arguments.add_argument("--span", type=float, default=5e-4, help="seconds for each case in a round")
    arguments.add_argument("--runs", type=int, default=9, help="of threads and of waiting tasks")
    chosen = arguments.parse_args()
    print(row("case", "aim", "measured", "the middle half of the rounds, or what was compared"))
    print(row(*["---"] * 4))
    print(*call_rows(chosen.rounds, chosen.span), sep="\n")
    print(*thread_rows(chosen.runs), *waiter_rows(chosen.runs), *memory_rows(), sep="\n")


if __name__ == "__main__":
    main()
