"""kill -9 under load, many rounds, for each fsync policy.

The operating system survives, so what it had must be there. Each connection writes ascending numbers
to keys of its own; MSET and MULTI write two keys at once, which must never differ after a restart.

* `always`: what was acknowledged is there.
* `everysec`, `no`: what is there is a prefix of what was sent (numbers ascend by one per key, and a
  connection's keys are written in turn, so a hole would show), and no half transactions.

CRASH_ROUNDS sets the number of rounds for each policy (20).
"""

import os
import random
import socket
import threading
import time

import pytest
import redis

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "20"))
CONNECTIONS = 6
KEYS = 5
PIPELINE = 16

pytestmark = pytest.mark.trefoil


def frame(*words):
    parts = [str(word).encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)


class Load(threading.Thread):
    """A connection that writes numbers until the server dies, and remembers what was acknowledged."""

    def __init__(self, port, name, first, transactions):
        super().__init__(daemon=True)
        self.name_on_server = name
        self.sent = first
        self.acknowledged = first
        self.transactions = transactions
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def request(self, number):
        """Writes `number` to one of our keys and to the pair of keys. The replies' lines."""
        key = f"{self.name_on_server}:{number % KEYS}"
        pair = (f"{self.name_on_server}:left", number, f"{self.name_on_server}:right", number)
        if self.transactions and number % 2:
            words = [frame("MULTI"), frame("SET", *pair[:2]), frame("SET", *pair[2:]),
                     frame("SET", key, number), frame("EXEC")]
            return b"".join(words), 8
        return frame("MSET", key, number, *pair), 1

    def run(self):
        replies = self.socket.makefile("rb")
        try:
            while True:
                numbers = range(self.sent + 1, self.sent + 1 + random.randint(1, PIPELINE))
                requests = [self.request(number) for number in numbers]
                self.sent = numbers[-1]
                self.socket.sendall(b"".join(bytes_ for bytes_, _ in requests))
                for number, (_, lines) in zip(numbers, requests):
                    for _ in range(lines):
                        line = replies.readline()
                        if not line.endswith(b"\r\n"):
                            return
                        assert not line.startswith(b"-"), line
                    self.acknowledged = number
        except OSError:
            return


def check(client, load, everything_acknowledged):
    name = load.name_on_server
    left, right = (int(value or 0) for value in client.mget(f"{name}:left", f"{name}:right"))
    assert left == right, "half of a transaction survived"
    assert left <= load.sent, "a number is there that was never sent"
    if everything_acknowledged:
        assert left >= load.acknowledged, "an acknowledged write is lost"
    for at in range(KEYS):
        expected = next((n for n in range(left, max(left - KEYS, 0), -1) if n % KEYS == at), 0)
        found = int(client.get(f"{name}:{at}") or 0)
        assert found == expected, f"a hole: {name}:{at} is {found}, should be {expected} at {left}"
    return left


def has_transactions(client):
    reply = client.execute_command("COMMAND", "INFO", "multi")
    return bool(reply) and bool(next(iter(reply.values()) if isinstance(reply, dict) else iter(reply)))


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_kill_9_under_load(start_server, fsync):
    server = start_server(fsync=fsync)
    try:
        transactions = has_transactions(server.client())
    except Exception:  # noqa: BLE001: COMMAND is not what is tested here
        transactions = False
    first = [0] * CONNECTIONS
    for round_ in range(ROUNDS):
        loads = [Load(server.port, f"c{i}", first[i], transactions) for i in range(CONNECTIONS)]
        for load in loads:
            load.start()
        client = server.client()
        if round_ % 3 == 1:
            client.execute_command("BGSAVE", "SCHEDULE")
        # Die after some more acknowledgements, not after some time.
        enough = sum(first) + random.randint(50, 1500)
        while sum(load.acknowledged for load in loads) < enough and any(l.is_alive() for l in loads):
            client.ping()
        server.kill()
        for load in loads:
            load.join(timeout=30)
        server.restart()
        client = server.client()
        # Without `always` a reply may leave before the log thread has handed the record over.
        first = [check(client, load, fsync == "always") for load in loads]


def test_a_clean_stop_loses_nothing_and_goes_on_in_its_epoch(start_server):
    server = start_server(fsync="no")
    client = server.client()
    client.set("kept", "1")
    client.save()
    client.set("after", "2")
    assert server.terminate() == 0
    server.restart()
    assert server.client().mget("kept", "after") == [b"1", b"2"]


def test_shutdown_stops_the_server_cleanly(start_server):
    for words in (["SHUTDOWN"], ["SHUTDOWN", "NOSAVE"], ["SHUTDOWN", "SAVE"]):
        server = start_server()
        server.client().set("key", words[-1])
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(frame(*words))
            assert connection.recv(64) == b"", "the connection is closed without a reply"
        assert server.process.wait(timeout=30) == 0
        server.restart()
        assert server.client().get("key") == words[-1].encode()


def save_after_what_runs(client):
    """SAVE, as soon as the snapshot that is being taken is done."""
    for _ in range(3_000):
        try:
            return client.save()
        except redis.ResponseError as error:
            assert "already in progress" in str(error)
            time.sleep(0.01)
    raise AssertionError("a snapshot of 200 keys has not ended in half a minute")


def test_a_snapshot_under_load_and_kill_9_keep_databases_apart(start_server):
    server = start_server(fsync="always")
    zero, one = server.client(db=0), server.client(db=1)
    for i in range(200):
        zero.set(f"key:{i}", "zero")
    zero.bgsave()
    zero.swapdb(0, 1)
    one.set("key:0", "changed")
    save_after_what_runs(zero)
    zero.flushdb()
    zero.set("key:1", "new")
    server.kill()
    server.restart()
    zero, one = server.client(db=0), server.client(db=1)
    assert (zero.dbsize(), one.dbsize()) == (1, 200)
    assert (zero.get("key:1"), one.get("key:0"), one.get("key:1")) == (b"new", b"changed", b"zero")
