"""RESP as bytes: sends commands and cuts what comes back into replies, without interpreting them.

Two servers can be compared byte by byte only below a client library, which would hide differences.
"""

import socket

AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
BULKS = (b"$", b"=", b"!")
TIMEOUT_SECONDS = 20


class Closed(Exception):
    """The server closed the connection in the middle of a reply, or before it."""


def encode(command):
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        parts.append(b"$%d\r\n%s\r\n" % (len(argument), argument))
    return b"".join(parts)


class RawConnection:
    """A connection; `ask` returns one reply per command, each as the bytes that came."""

    def __init__(self, port, protocol=2):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        self.buffer = b""
        if protocol == 3:
            self.ask([[b"HELLO", b"3"]])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, commands, at_once=50):
        replies = []
        for start in range(0, len(commands), at_once):
            batch = commands[start : start + at_once]
            self.socket.sendall(b"".join(encode(command) for command in batch))
            replies += [self.reply() for _ in batch]
        return replies

    def reply(self):
        length = self.reply_length(0)
        reply, self.buffer = self.buffer[:length], self.buffer[length:]
        return reply

    def everything_after(self, request):
        """Sends bytes, no more, and returns all that the server says until it closes."""
        self.socket.sendall(request)
        self.socket.shutdown(socket.SHUT_WR)
        try:
            while True:
                self.receive()
        except (Closed, ConnectionResetError):
            return self.buffer

    def receive(self):
        received = self.socket.recv(1 << 20)
        if not received:
            raise Closed
        self.buffer += received

    def line_end(self, start):
        while (end := self.buffer.find(b"\r\n", start)) < 0:
            self.receive()
        return end + 2

    def reply_length(self, start):
        """Where the reply that begins at `start` ends, once all of it is here."""
        end = self.line_end(start)
        kind, rest = self.buffer[start : start + 1], self.buffer[start + 1 : end - 2]
        if kind in BULKS:
            end += 0 if rest == b"-1" else int(rest) + 2
            while len(self.buffer) < end:
                self.receive()
        for _ in range(AGGREGATES.get(kind, 0) * max(int(rest), 0) if kind in AGGREGATES else 0):
            end = self.reply_length(end)
        return end
