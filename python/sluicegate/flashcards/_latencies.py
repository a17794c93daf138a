"""How long requests took, by percentiles."""

from __future__ import annotations

import math
from array import array


class Latencies:
    """Seconds from sending a request to having its whole answer; eight bytes each.

    Examples:
        >>> latencies = Latencies()
        >>> for seconds in range(1, 101):
        ...     latencies.note(seconds / 1_000)
        >>> latencies.percentiles()
        {'count': 100, 'p50_ms': 50.0, 'p95_ms': 95.0, 'p99_ms': 99.0}
    """

    def __init__(self) -> None:
        self._seconds = array("d")

    def note(self, seconds: float) -> None:
        """Take down how long one took."""
        self._seconds.append(seconds)

    def percentiles(self) -> dict[str, float | int | None]:
        """Return the count, and p50, p95 and p99 in milliseconds by nearest rank, None for none."""
        ordered = sorted(self._seconds)
        told: dict[str, float | int | None] = {"count": len(ordered)}
        for percent in (50, 95, 99):
            rank = math.ceil(percent * len(ordered) / 100) - 1
            told[f"p{percent}_ms"] = round(ordered[rank] * 1_000, 3) if ordered else None
        return told
