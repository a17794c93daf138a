"""The laws by which a limit on concurrency follows what is measured; arithmetic, and nothing else.

`Correlation` follows the adaptive limiter of failsafe-go: the queue that TCP Vegas estimates decides, and two
correlations over the recent past keep it honest where latency drifts with the load: that of concurrency with
throughput, and that of concurrency with latency. `Aimd` is that of TCP, as Netflix's concurrency-limits has
it: up by one, down by a tenth.
"""

import math
from collections import deque
from typing import Protocol

WARM_UP = 10
"""How many values a mean or a correlation takes before it says anything."""

MEMORY = 25
"""How many windows the correlations look back on: with more the limit swings wide, with fewer it drifts."""

LEAST_VARIATION = 1e-3
"""Values that differ by less of their mean stand still: what goes together with them does so by chance."""


class Law(Protocol):
    """What moves a limit."""

    def succeeded(self, limit: float, duration: float, in_use: int, now: float) -> float:
        """Return the limit after a call that took so many seconds, with so many calls under way."""
        ...

    def dropped(self, limit: float) -> float:
        """Return the limit after a call that met overload."""
        ...


class Aimd:
    """Adds one after a success that made use of the limit, takes a tenth away after a drop."""

    def succeeded(self, limit: float, duration: float, in_use: int, now: float) -> float:
        """Add one, where at least half of the limit was in use.

        Example:
            >>> Aimd().succeeded(20, 0.1, 10, 0.0), Aimd().succeeded(20, 0.1, 9, 0.0), Aimd().dropped(30)
            (21, 20, 27.0)
        """
        return limit + 1 if in_use * 2 >= limit else limit

    def dropped(self, limit: float) -> float:
        """Take a tenth away."""
        return limit * 0.9


class Correlation:
    """Moves the limit once a window, by the queue that latency tells of and by two correlations.

    Args:
        window: Seconds that a window takes at least; and twice the shortest call in it.
        samples: How many calls a window has at least.
        quantile: Which of a window's latencies stands for all of them.
    """

    MOST_SAMPLES = 4_096

    def __init__(self, window: float = 1.0, samples: int = 50, quantile: float = 0.9) -> None:
        self._window = window
        self._samples = samples
        self._quantile = quantile
        self._durations: deque[float] = deque(maxlen=self.MOST_SAMPLES)
        self._most_in_use = 0
        self._not_before = 0.0
        self._recent: deque[float] = deque(maxlen=5)
        self._smoothed = Mean(5)
        self._baseline = Mean(WARM_UP)
        self._with_throughput = Window(MEMORY)
        self._with_duration = Window(MEMORY)

    def succeeded(self, limit: float, duration: float, in_use: int, now: float) -> float:
        """Take a call in; at the end of a window return the new limit."""
        self._durations.append(duration)
        self._most_in_use = max(self._most_in_use, in_use)
        if len(self._durations) < self._samples or now < self._not_before:
            return limit
        durations = sorted(self._durations)
        self._recent.append(durations[min(int(len(durations) * self._quantile), len(durations) - 1)])
        median = sorted(self._recent)[len(self._recent) // 2]
        moved = self.moved(limit, self._smoothed.add(median), self._most_in_use)
        self._not_before = now + min(max(2 * durations[0], self._window), 30 * self._window)
        self._durations.clear()
        self._most_in_use = 0
        return moved

    def dropped(self, limit: float) -> float:
        """Hold: a drop shows in the latencies of the others, or not at all."""
        return limit

    def moved(self, limit: float, duration: float, in_use: int) -> float:
        """Return the limit after a window in which a call took so long with so many at once."""
        duration = max(duration, 1e-9)
        queue = math.ceil(limit * (1 - self._baseline.add(duration) / duration))
        throughput = in_use / duration
        with_throughput = self._with_throughput.add(in_use, throughput)
        with_duration = self._with_duration.add(in_use, duration)
        step = max(1, int(math.log10(max(limit, 1))))
        is_full = in_use >= math.floor(limit)
        slower = is_full and with_duration > 0.5
        no_faster = with_throughput < 0.3 or self._with_throughput.variation < 0.2
        if queue > 6 * step or (is_full and with_throughput < 0) or (slower and no_faster):
            return limit - step
        raised = limit + step if queue < 3 * step else limit
        # A limit far above what is used says nothing, and would take long to come down.
        return raised if raised <= 5 * max(in_use, 1) else limit - step


class Mean:
    """A mean that forgets: plain at first, then exponential with the weight of so many values."""

    __slots__ = ("_count", "_weight", "value")

    def __init__(self, age: int) -> None:
        self._weight = 2 / (age + 1)
        self._count = 0
        self.value = 0.0

    def add(self, value: float) -> float:
        """Take a value in, and return the mean."""
        self._count += 1
        weight = 1 / self._count if self._count <= WARM_UP else self._weight
        self.value += weight * (value - self.value)
        return self.value


class Window:
    """The last so many pairs of values, and how they go together."""

    __slots__ = ("_pairs", "variation")

    def __init__(self, size: int) -> None:
        self._pairs: deque[tuple[float, float]] = deque(maxlen=size)
        self.variation = 0.0
        """The standard deviation of the second values, in means."""

    def add(self, x: float, y: float) -> float:
        """Take a pair in, and return Pearson's correlation, 0 where there is none to tell yet.

        Example:
            >>> window = Window(MEMORY)
            >>> [round(window.add(x, -x), 6) for x in range(1, 12)][-2:]
            [-1.0, -1.0]
        """
        self._pairs.append((x, y))
        count = len(self._pairs)
        mean_x, mean_y = (math.fsum(column) / count for column in zip(*self._pairs, strict=True))
        spread_x = math.fsum((x - mean_x) ** 2 for x, _ in self._pairs)
        spread_y = math.fsum((y - mean_y) ** 2 for _, y in self._pairs)
        self.variation = math.sqrt(spread_y / count) / abs(mean_y) if mean_y else 0.0
        if count < WARM_UP or not spread_x or self.variation < LEAST_VARIATION:
            return 0.0
        together = math.fsum((x - mean_x) * (y - mean_y) for x, y in self._pairs)
        return together / math.sqrt(spread_x * spread_y)
