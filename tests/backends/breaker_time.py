"""The script of a breaker on the time of a test: the shipped one, but for where it reads the clock."""

import hashlib

BEGAN = 1_800_000_000
"""The server's time when a test begins, in seconds."""


class BreakerTime:
    """A server's clock that goes where the test sets it, in seconds and microseconds since `BEGAN`."""

    def __init__(self, client):
        self._client = client
        self.set(0)

    def set(self, seconds, micros=0):
        self._client.delete("clock")
        self._client.rpush("clock", BEGAN + seconds, micros)

    def put_under(self, breaker):
        """Let the script of a breaker read this time; gives the breaker."""
        server = breaker._logic.server
        assert server._text.count("redis.call('TIME')") == 1
        server._text = server._text.replace("redis.call('TIME')", "redis.call('LRANGE', 'clock', 0, 1)")
        server._sha = hashlib.sha1(server._text.encode()).hexdigest()
        return breaker
