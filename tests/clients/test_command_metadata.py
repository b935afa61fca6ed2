"""COMMAND INFO of every command that we have says what Valkey's says, field by field.

Routers, proxies and client libraries decide by these fields where a command goes and what may be
sent when. What differs on purpose is in `DIFFERENT`, with its reason.
"""

import pytest
import redis
from test_against_valkey import valkey  # noqa: F401 (a fixture)

pytestmark = pytest.mark.trefoil

FIELDS = ["name", "arity", "flags", "first key", "last key", "step", "categories", "tips", "key specifications"]
SUBCOMMANDS = len(FIELDS)
UNORDERED = {"flags", "categories", "tips"}

# Commands that Valkey has not: families of our own; its DEBUG declares no subcommands, and SENTINEL is
# there only in its Sentinel mode.
OURS = (
    "consistency",
    "keyspace",
    "replication",
    "session",
    "debug|",
    "sentinel",
    "cluster|demote-voter",
    "cluster|members",
    "cluster|promote-voter",
    "cluster|view",
    "cluster|voters",
)

# (command, field): words only Valkey has, words only we have. All but the first as in Redis 7.2.
DIFFERENT = {
    # Refused within MULTI here (COMPATIBILITY.md).
    ("client|pause", "flags"): ([], ["no_multi"]),
    ("exec", "flags"): (["skip_commandlog"], ["skip_slowlog"]),
    ("publish", "flags"): ([], ["may_replicate"]),
    ("spublish", "flags"): ([], ["may_replicate"]),
}


def names(connection):
    connection.send_command("COMMAND", "LIST")
    return text(connection.read_response())


def described(connection, name):
    connection.send_command("COMMAND", "INFO", name)
    return connection.read_response()[0]


def text(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, set, tuple)):
        return [text(element) for element in value]
    return value


def comparable(field, value):
    value = text(value)
    if field in UNORDERED:
        return sorted(value)
    if field == "key specifications":
        return [specification(pairs) for pairs in value]
    return value


def specification(pairs):
    fields = dict(zip(pairs[::2], pairs[1::2]))
    fields.pop("notes", None)
    return {name: sorted(value) if name == "flags" else value for name, value in fields.items()}


def differences(ours, theirs):
    for at, field in enumerate(FIELDS):
        mine, other = comparable(field, ours[at]), comparable(field, theirs[at])
        if mine != other:
            yield field, mine, other


@pytest.fixture
def connections(server, valkey):
    pair = [redis.Connection(port=port, protocol=2) for port in (server.port, valkey)]
    yield pair
    for connection in pair:
        connection.disconnect()


def test_every_command_is_described_as_in_valkey(connections):
    ours, theirs = connections
    apart, unknown = {}, set()
    for name in names(ours):
        known = described(theirs, name)
        if known is None:
            unknown.add(name)
            continue
        for field, mine, other in differences(described(ours, name), known):
            if field in UNORDERED:
                other, mine = sorted(set(other) - set(mine)), sorted(set(mine) - set(other))
            apart[name, field] = (other, mine)
    assert apart == DIFFERENT
    assert {name for name in unknown if not name.startswith(OURS)} == set()
