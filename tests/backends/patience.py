"""Waiting for a server, whose time no test can move."""

import time

import redis

PATIENCE = 20
"""Seconds until a server must have done what takes it a moment."""


def eventually(holds):
    """Wait until `holds()`; a server that cannot be asked meanwhile is asked again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, holds
        time.sleep(0.01)
