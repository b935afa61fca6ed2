"""Starts the server under test and connects redis-py to it.

`cargo xtask test` sets SERVER_UNDER_TEST (the binary) and SERVER_KIND (trefoil or valkey). Valkey is
there to show whether a test itself is right; what only Trefoil has is marked `@pytest.mark.trefoil`.

Fixtures:
* `start_server(**options)` starts one more server; all are killed when the test ends.
* `server` is one server with default options for all tests of a file.
* `client` is an empty `server` seen through redis-py, once in RESP2 and once in RESP3.
"""

import os
import pathlib
import socket
import subprocess
import time

import pytest
import redis

KIND = os.environ.get("SERVER_KIND", "trefoil")
READY_SECONDS = 30
ATTEMPTS = 5

# Trefoil's options, as Valkey spells them.
VALKEY_NAMES = {"fsync": "appendfsync", "threads": "io-threads", "password": "requirepass"}


def binary():
    path = os.environ.get("SERVER_UNDER_TEST")
    if not path:
        pytest.exit("run these tests with `cargo xtask test --only clients`", returncode=2)
    return path


def command_line(port, folder, options):
    if KIND == "valkey":
        words = [binary(), "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
        options = {VALKEY_NAMES.get(name, name): value for name, value in options.items()}
    else:
        words = [binary(), "server", "--port", str(port), "--data-dir", str(folder), "--http", "off"]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    return words


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; `restart` and `kill` are for tests of what survives."""

    def __init__(self, folder, options):
        self.folder = pathlib.Path(folder)
        self.options = options
        self.log = self.folder / "server.log"
        self.data = self.folder / "data"
        self.data.mkdir(exist_ok=True)
        self.start()

    def start(self):
        # Another program may take the port between our look and the server's bind: then try another.
        for attempt in range(ATTEMPTS):
            self.port = free_port()
            with self.log.open("ab") as log:
                words = command_line(self.port, self.data, self.options)
                self.process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log)
            if self.becomes_ready():
                return
        pytest.fail(f"the server does not start: {' '.join(words)}\n{self.log_tail()}")

    def becomes_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    # Any whole answer will do: +PONG, or an error because a password is set.
                    if connection.recv(64)[:1] in (b"+", b"-"):
                        return True
            except OSError:
                pass
            time.sleep(0.01)
        self.kill()
        return False

    def log_tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def client(self, protocol=2, **arguments):
        arguments.setdefault("decode_responses", False)
        return redis.Redis(port=self.port, protocol=protocol, **arguments)

    def kill(self):
        """kill -9: nothing is flushed that was not flushed before."""
        self.process.kill()
        self.process.wait()

    def terminate(self):
        """A clean stop; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=READY_SECONDS)

    def restart(self):
        """Starts again on the same data."""
        assert self.process.poll() is not None, "stop the server first"
        self.start()


@pytest.fixture
def start_server(tmp_path):
    servers = []

    def start(**options):
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        server = Server(folder, options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"), {})
    yield running
    running.kill()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request):
    return request.param


@pytest.fixture
def client(server, protocol):
    if server.process.poll() is not None:
        pytest.fail(f"the server died in an earlier test\n{server.log_tail()}")
    connection = server.client(protocol)
    connection.flushall()
    yield connection
    connection.close()


def pytest_configure(config):
    config.addinivalue_line("markers", "trefoil: of Trefoil's own, Valkey has no equal")


def pytest_collection_modifyitems(items):
    for item in items:
        if KIND != "trefoil" and item.get_closest_marker("trefoil"):
            item.add_marker(pytest.mark.skip(reason="of Trefoil's own"))
