"""Who works on a run, and whether he still lives."""

from __future__ import annotations

import os
import socket

SILENCE = 60.0
"""Seconds after which who works on another machine, and was not heard of, is taken for dead."""


def this_process() -> str:
    """Return the name of this process, as others may ask for it."""
    return f"{socket.gethostname()[:200]}:{os.getpid()}"


def is_alive(owner: str, silent_for: float) -> bool:
    """Whether a process lives: looked up where it is of this machine, and told by its silence where not.

    Args:
        owner: what `this_process` returned there.
        silent_for: seconds since it was last heard of.

    Examples:
        >>> is_alive("elsewhere:7", 5.0), is_alive("elsewhere:7", 600.0)
        (True, False)
    """
    host, _, number = owner.rpartition(":")
    if host != this_process().rpartition(":")[0] or not number.isdigit():
        return silent_for < SILENCE
    if int(number) == os.getpid():
        return False  # one before us had our number
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
