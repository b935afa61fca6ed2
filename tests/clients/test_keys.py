"""Keys of any type: deletion, names, expiry, walks, databases."""

import pytest
import redis


def test_keys_are_renamed_copied_and_moved(client):
    client.set("a", 1, ex=100)
    assert client.rename("a", "b") is True
    assert 0 < client.ttl("b") <= 100
    client.set("c", 2)
    assert client.renamenx("b", "c") is False
    assert client.copy("b", "c") is False
    assert client.copy("b", "c", replace=True) is True
    assert client.get("c") == b"1"
    assert client.copy("b", "b", destination_db=1) is True
    assert client.move("c", 1) is True
    assert client.dbsize() == 1
    with pytest.raises(redis.ResponseError, match="no such key"):
        client.rename("absent", "b")


def test_databases_are_apart_until_they_are_swapped(client, server, protocol):
    client.set("key", "zero")
    with server.client(protocol, db=1) as other:
        assert other.get("key") is None
        other.set("key", "one")
        assert client.swapdb(0, 1) is True
        assert client.get("key") == b"one"
        assert other.get("key") == b"zero"
        other.flushdb()
        assert other.dbsize() == 0
    assert client.dbsize() == 1
    with pytest.raises(redis.ResponseError, match="out of range"):
        client.swapdb(0, 16)


def test_existence_type_and_touch(client):
    client.mset({"a": 1, "b": 2})
    assert client.exists("a", "a", "b", "absent") == 3
    assert client.touch("a", "absent") == 1
    assert client.type("a") == b"string"
    assert client.type("absent") == b"none"
    assert client.unlink("a", "b", "absent") == 2
    assert client.randomkey() is None


def test_conditions_on_deadlines_are_kept(client):
    client.set("key", "value")
    assert client.expire("key", 100, xx=True) is False
    assert client.expire("key", 100, nx=True) is True
    assert client.expire("key", 50, gt=True) is False
    assert client.expire("key", 200, gt=True) is True
    assert client.expire("key", 300, lt=True) is False
    assert client.expireat("key", 4_000_000_000) is True
    assert client.expiretime("key") == 4_000_000_000
    assert client.pexpireat("key", 4_000_000_000_001) is True
    assert client.pexpiretime("key") == 4_000_000_000_001
    assert client.persist("key") is True
    assert client.expiretime("key") == -1
    assert client.pexpiretime("absent") == -2


def test_an_expired_key_is_gone_for_every_command(client):
    client.set("key", "value")
    client.pexpire("key", 1)
    while client.get("key") is not None:
        pass
    assert client.exists("key") == 0
    assert client.ttl("key") == -2
    assert client.incr("key") == 1


def test_a_walk_meets_every_key_once(client):
    names = {f"key:{number}".encode() for number in range(1000)}
    client.mset(dict.fromkeys(names, 1))
    client.set("other", 1)
    assert sorted(client.scan_iter(match="key:*", count=10)) == sorted(names)
    assert set(client.keys("key:99?")) == {f"key:99{digit}".encode() for digit in range(10)}
    assert client.randomkey() in names | {b"other"}
    assert list(client.scan_iter(_type="hash")) == []


def test_a_walk_meets_what_stays_while_the_rest_changes(client):
    staying = {f"stays:{number}".encode() for number in range(500)}
    client.mset(dict.fromkeys(staying, 1))
    cursor, met, turn = None, set(), 0
    while cursor != 0:
        cursor, keys = client.scan(cursor or 0, count=20)
        met |= set(keys)
        client.mset({f"new:{turn}:{number}": 1 for number in range(200)})
        client.delete(*(f"new:{turn - 1}:{number}" for number in range(200)))
        turn += 1
        if turn > 500:
            break
    assert cursor == 0
    assert staying <= met


def test_a_key_is_looked_into(client):
    client.mset({"int": 1, "short": "abc", "long": "x" * 1000})
    assert client.object("encoding", "int") == b"int"
    assert client.object("encoding", "short") == b"embstr"
    assert client.object("encoding", "long") == b"raw"
    assert client.object("refcount", "long") == 1
    assert client.object("idletime", "long") >= 0
    assert client.memory_usage("long") >= 1000
    assert client.memory_usage("absent") is None


def test_flushes_empty_one_database_or_all(client, server, protocol):
    client.set("a", 1)
    with server.client(protocol, db=5) as other:
        other.set("b", 1)
        client.flushdb(asynchronous=True)
        assert client.dbsize() == 0
        assert other.dbsize() == 1
        client.flushall()
        assert other.dbsize() == 0
