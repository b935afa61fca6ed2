"""A leader and followers as real processes, for tests of replication.

Import the fixture `cluster`: `leader, one, two = cluster(3, acks="sync")`. A node keeps its ports when it is
started again, so that others find it; `freeze` and `thaw` are SIGSTOP and SIGCONT, `kill` is kill -9.
"""

import contextlib
import signal
import socket
import subprocess
import threading
import time

import pytest
import redis
from conftest import ATTEMPTS, Server, command_line, free_port

DEADLINE_SECONDS = 20
DATABASES = 16


def until(condition, what="it"):
    """What `condition` returns as soon as that is true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            found = condition()
        except (redis.RedisError, OSError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} does not come to be"
        time.sleep(0.01)


class Node(Server):
    """A server that keeps its ports."""

    has_been_ready = False

    def __init__(self, folder, options, prefix=()):
        self.prefix = prefix
        super().__init__(folder, options)

    def start(self):
        for attempt in range(ATTEMPTS):
            if not self.has_been_ready:
                self.port, self.peer_port = free_port(), free_port()
            options = {"peer": f"127.0.0.1:{self.peer_port}", **self.options}
            words = [*self.prefix, *self.words(options)]
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log)
            if self.becomes_ready():
                self.has_been_ready = True
                return
        pytest.fail(f"the server does not start: {' '.join(words)}\n{self.log_tail()}")

    def words(self, options):
        return command_line(self.port, self.data, options)

    def one(self, **arguments):
        """A client with one connection."""
        arguments.setdefault("password", self.options.get("requirepass"))
        return redis.Redis(port=self.port, single_connection_client=True, **arguments)

    def local(self, **arguments):
        """A client that reads what is here, not what the leader has."""

        def connect(connection):
            connection.on_connect()
            connection.send_command("CONSISTENCY", "eventual")
            assert connection.read_response() == b"OK"

        return self.one(redis_connect_func=connect, **arguments)

    def ask(self, *words):
        with contextlib.closing(self.one()) as client:
            return client.execute_command(*words)

    def info(self, section="replication"):
        with contextlib.closing(self.one()) as client:
            return client.info(section)

    def trouble(self):
        """Why it does not follow its leader; redis-py makes a list of a text with a comma."""
        return str(self.info().get("master_link_trouble", ""))

    def promise(self):
        return pairs(self.ask("REPLICATION", "PROMISE"))

    def lag(self):
        return [pairs(row) for row in self.ask("REPLICATION", "LAG")]

    def diverged(self):
        return [pairs(row) for row in self.ask("REPLICATION", "DIVERGED", "LIST")]

    def alter(self, **policy):
        words = [word for name, value in policy.items() for word in (name.replace("_", "-"), str(value))]
        assert self.ask("KEYSPACE", "ALTER", "default", *words) == b"OK"

    def end(self):
        """The newest record that it wrote, or has applied."""
        info = self.info()
        return info["master_repl_offset"] if info["role"] == "master" else info["slave_repl_offset"]

    def follow(self, leader):
        assert self.ask("REPLICAOF", "127.0.0.1", leader.port).startswith(b"OK")

    def lead(self):
        assert self.ask("REPLICAOF", "NO", "ONE") == b"OK"

    def says(self, text):
        return text in self.log.read_text(errors="replace")

    def files(self, prefix=""):
        return sorted(path.name for path in self.data.iterdir() if path.name.startswith(prefix))

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self):
        self.freeze()
        try:
            yield
        finally:
            self.thaw()


def pairs(reply):
    """A reply of names and values, in either protocol, as a dictionary with texts as `str`."""
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {text(name): [text(one) for one in value] if isinstance(value, list) else text(value) for name, value in items}


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def follows(node, leader):
    """Whether the node follows this leader and has applied all that it has now."""
    end, info = leader.end(), node.info()
    is_up = info["role"] == "slave" and info["master_link_status"] == "up"
    return is_up and info["master_port"] == leader.port and info["slave_repl_offset"] >= end


def caught_up(leader, *followers):
    """Waits until these have all, and the leader knows."""
    for follower in followers:
        until(lambda: follows(follower, leader), f"a follower that has all\n{follower.log_tail()}\n")
    until(lambda: leader.info()["members"] >= len(followers), "members")
    until(lambda: sum(row["state"] == "streaming" for row in leader.lag()) >= len(followers), "streams")


def contents(node):
    """All keys of all databases, with values and deadlines, as this node has them."""
    found = {}
    for db in range(DATABASES):
        with contextlib.closing(node.local(db=db)) as client:
            keys = list(client.scan_iter(count=10_000))
            with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.get(key).execute_command("PEXPIRETIME", key)
                answers = pipe.execute()
        found.update({(db, key): (answers[2 * at], answers[2 * at + 1]) for at, key in enumerate(keys)})
    return found


def same_contents(leader, follower):
    until(lambda: follows(follower, leader), f"a follower that has all\n{follower.log_tail()}\n")
    # What it has just loaded is shown once it is known to be committed: SCAN is refused until then.
    here, there = until(lambda: [contents(leader)]), until(lambda: [contents(follower)])
    here, there = here[0], there[0]
    assert here.keys() == there.keys()
    differing = [name for name in here if here[name] != there[name]]
    assert not differing, differing[:10]
    return len(here)


def fill(node, count, size=100, prefix="k"):
    with contextlib.closing(node.one()) as client, client.pipeline(transaction=False) as pipe:
        for at in range(count):
            pipe.set(f"{prefix}:{at}", f"{at}:".ljust(size, "x"))
            if at % 5_000 == 4_999:
                pipe.execute()
        pipe.execute()


class SlowLink:
    """Forwards connections to a port and lets so many bytes per second come back: a slow network."""

    def __init__(self, bytes_per_second):
        self.target, self.rate, self.passed, self.open = None, bytes_per_second, 0, True
        self.ends = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", self.port))
        for forward in (self.accept, self.forward_datagrams):
            threading.Thread(target=forward, daemon=True).start()

    def forward_datagrams(self):
        ways = {}
        with contextlib.suppress(OSError):
            while self.open:
                datagram, sender = self.datagrams.recvfrom(65_535)
                if sender not in ways:
                    ways[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    ways[sender].bind(("127.0.0.1", 0))
                    back = (ways[sender], sender)
                    threading.Thread(target=self.send_back, args=back, daemon=True).start()
                ways[sender].sendto(datagram, ("127.0.0.1", self.target))

    def send_back(self, way, sender):
        with contextlib.suppress(OSError):
            while self.open:
                self.datagrams.sendto(way.recv(65_535), sender)

    def accept(self):
        with contextlib.suppress(OSError):
            while self.open:
                here, _ = self.listener.accept()
                there = socket.create_connection(("127.0.0.1", self.target))
                self.ends += [here, there]
                for source, sink, slow in ((here, there, False), (there, here, True)):
                    threading.Thread(target=self.pump, args=(source, sink, slow), daemon=True).start()

    def pump(self, source, sink, slow):
        with contextlib.suppress(OSError):
            while data := source.recv(16 << 10):
                sink.sendall(data)
                if slow and self.rate:
                    self.passed += len(data)
                    time.sleep(len(data) / self.rate)
        hang_up(source, sink)

    def cut(self):
        """Ends the connections that are there."""
        hang_up(*self.ends)
        self.ends.clear()

    def close(self):
        self.open = False
        self.listener.close()
        self.datagrams.close()
        self.cut()


def hang_up(*ends):
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def node(tmp_path):
    """Starts one more node; all are killed in the end."""
    nodes = []

    def start(prefix=(), **options):
        folder = tmp_path / f"node-{len(nodes)}"
        folder.mkdir()
        started = Node(folder, options, prefix)
        nodes.append(started)
        return started

    yield start
    for started in nodes:
        started.kill()


@pytest.fixture
def cluster(node):
    """Starts a leader and its followers, and waits until these have caught up."""

    def start(count, **options):
        leader = node(**options)
        followers = [node(replicaof=f"127.0.0.1 {leader.port}", **options) for _ in range(count - 1)]
        caught_up(leader, *followers)
        return [leader, *followers]

    return start

