"""A server that speaks the protocol as badly as a test wants: late, in pieces, or not at all."""

import socket
import threading
from collections import Counter

HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"
OK = b"+OK\r\n"
NO_SCRIPT = b"-NOSCRIPT No matching script.\r\n"


def answer(words):
    """Answer as a server does that grants everything: a limit of one quota owes 5 units."""
    verb = words[0].upper()
    if verb == b"HELLO":
        return HELLO
    return b":5\r\n" if verb in (b"EVALSHA", b"EVAL") else OK


class SlowServer:
    """A server on a port of loopback, with a thread for each connection.

    Args:
        reply: Given a connection's number and a command, what is sent: bytes, seconds to wait; None hangs up.
    """

    def __init__(self, reply):
        self._reply = reply
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.asked = Counter()
        self._threads[0].start()

    def close(self):
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        while self._threads:
            self._threads.pop().join(10)

    def _accept(self):
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection, number):
        connection.settimeout(0.05)
        with connection:
            for words in self._commands(connection):
                self.asked[words[0].upper()] += 1
                for part in self._reply(number, words):
                    if part is None:
                        return
                    if isinstance(part, bytes):
                        try:
                            connection.sendall(part)
                        except OSError:
                            return
                    elif self._over.wait(part):
                        return

    def _commands(self, connection):
        """Read commands until the other side closes, or the server is over."""
        read = b""
        while True:
            words, read = parsed(read)
            if words is not None:
                yield words
                continue
            try:
                more = connection.recv(65_536)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            except OSError:
                return
            if not more:
                return
            read += more


def parsed(read):
    """Take a whole command off the beginning; None where there is none yet."""
    lines = read.split(b"\r\n", 1)
    if len(lines) < 2:
        return None, read
    count, rest = int(lines[0][1:]), lines[1]
    words = []
    for _ in range(count):
        head, found, rest = rest.partition(b"\r\n")
        if not found or len(rest) < int(head[1:]) + 2:
            return None, read
        words.append(rest[: int(head[1:])])
        rest = rest[int(head[1:]) + 2 :]
    return words, rest
