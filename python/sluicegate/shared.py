"""The segments of this user: the files in which shared limiters and breakers live.

A limiter or breaker built with `shared=` outlasts every process that uses it; here they
are listed and removed.
Names live in one folder for each user, `/dev/shm/sluicegate-UID` on Linux; the environment variable
`SLUICEGATE_SHARED` names another.
"""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluicegate._errors import BackendError
from sluicegate._native import inspect_segment
from sluicegate._shared import BACKEND, Shared, folder, locate

__all__ = ["Segment", "inspect", "list", "unlink"]


@dataclass(frozen=True, slots=True)
class Segment:
    """What a segment says of itself.

    Attributes:
        name: Its name, or its path where it has none.
        path: Its file.
        kind: "limiter", "keyed limiter", "breaker" or "breaker registry"; empty where it cannot be read.
        config: The configuration that it was made with, as its file has it.
        size: The length of the file in bytes.
        problem: Why it cannot be used, empty where it can.
    """

    name: str
    path: Path
    kind: str
    config: dict[str, Any]
    size: int
    problem: str = ""


def inspect(shared: Shared) -> Segment | None:
    """Read what the segment of a name or path says of itself; None where there is none, or an empty file.

    Example:
        >>> inspect("no such segment") is None
        True
    """
    path = locate(shared)
    name = path.name if path.parent == folder() else str(path)
    try:
        found = inspect_segment(path)
        size = path.stat().st_size if found is not None else 0
    except BackendError as error:
        return Segment(name, path, "", {}, path.lstat().st_size, str(error))
    except FileNotFoundError:
        return None
    if found is None:
        return None
    kind, config = found
    return Segment(name, path, kind, json.loads(config), size)


def list() -> builtins.list[Segment]:
    """List the segments that have a name, in the order of their names; damaged ones say what is wrong.

    Example:
        >>> isinstance(list(), __import__("builtins").list)
        True
    """
    try:
        paths = sorted(
            path for path in folder().iterdir() if path.is_file() and not path.name.startswith(".")
        )
    except FileNotFoundError:
        return []
    found = [inspect(path) for path in paths]
    return [segment for segment in found if segment is not None]


def unlink(name: Shared) -> None:
    """Remove a segment, whatever state it is in; what it owes is forgotten.

    Whoever has it goes on with it, apart from those who come later and make another.

    Raises:
        FileNotFoundError: There is none.
        BackendError: The file is somebody else's, and no segment at all.

    Example:
        >>> from sluicegate import RateLimiter
        >>> _ = RateLimiter("10/s", shared="an example")
        >>> unlink("an example")
        >>> inspect("an example") is None
        True
    """
    path = locate(name)
    segment = inspect(path)
    if segment is not None and path.parent != folder() and "no segment of" in segment.problem:
        message = f"cannot remove {path}: it is no segment of sluicegate's"
        raise BackendError(message, backend=BACKEND)
    path.unlink()
    # What killed processes were about to put in its place.
    for left in path.parent.glob(f".{path.name}.*.*"):
        left.unlink(missing_ok=True)
