"""Strings and bitmaps through redis-py."""

import pytest
import redis


def test_numbers_are_counted_up_and_down(client):
    assert client.incr("number") == 1
    assert client.incrby("number", 41) == 42
    assert client.decr("number") == 41
    assert client.decrby("number", 50) == -9
    assert client.incrbyfloat("number", 0.5) == -8.5
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("number")


def test_a_counter_does_not_overflow(client):
    client.set("number", 2**63 - 1)
    with pytest.raises(redis.ResponseError, match="overflow"):
        client.incr("number")
    assert client.get("number") == str(2**63 - 1).encode()


def test_several_keys_are_set_together_or_not_at_all(client):
    assert client.mset({"a": 1, "b": 2}) is True
    assert client.msetnx({"b": 3, "c": 4}) is False
    assert client.mget("a", "b", "c") == [b"1", b"2", None]
    assert client.msetnx({"c": 3, "d": 4}) is True


def test_parts_of_a_string_are_read_and_written(client):
    assert client.append("key", "Hello") == 5
    assert client.append("key", " World") == 11
    assert client.getrange("key", 0, 4) == b"Hello"
    assert client.getrange("key", -5, -1) == b"World"
    assert client.setrange("key", 6, "Redis") == 11
    assert client.get("key") == b"Hello Redis"
    assert client.setrange("padded", 3, "x") == 4
    assert client.get("padded") == b"\x00\x00\x00x"
    assert client.strlen("key") == 11
    assert client.strlen("absent") == 0


def test_a_value_is_taken_or_read_with_a_deadline(client):
    client.set("key", "value")
    assert client.getex("key", ex=100) == b"value"
    assert 0 < client.ttl("key") <= 100
    assert client.getex("key", persist=True) == b"value"
    assert client.ttl("key") == -1
    assert client.getdel("key") == b"value"
    assert client.exists("key") == 0


def test_older_ways_to_set_work(client):
    assert client.setnx("key", 1) is True
    assert client.setnx("key", 2) is False
    assert client.getset("key", 3) == b"1"
    assert client.execute_command("SETEX", "key", 100, 4) in (True, b"OK")
    assert client.execute_command("PSETEX", "key", 100_000, 5) in (True, b"OK")
    assert 0 < client.pttl("key") <= 100_000


def test_set_takes_absolute_deadlines(client):
    assert client.set("key", "value", exat=4_000_000_000) is True
    assert client.expiretime("key") == 4_000_000_000
    assert client.set("key", "value", pxat=4_000_000_000_123) is True
    assert client.pexpiretime("key") == 4_000_000_000_123
    assert client.set("key", "value", pxat=1) is True
    assert client.get("key") is None


def test_options_that_exclude_each_other_are_refused(client):
    for words in (["NX", "XX"], ["EX", "1", "PX", "1"], ["EX", "1", "KEEPTTL"], ["EX"]):
        with pytest.raises(redis.ResponseError, match="syntax error"):
            client.execute_command("SET", "key", "value", *words)
    with pytest.raises(redis.ResponseError, match="invalid expire time in 'set' command"):
        client.set("key", "value", ex=0)


def test_what_two_strings_share_is_found(client):
    client.mset({"a": "ohmytext", "b": "mynewtext"})
    assert client.lcs("a", "b") == b"mytext"
    assert client.lcs("a", "b", len=True) == 6
    answer = client.lcs("a", "b", idx=True, minmatchlen=4, withmatchlen=True)
    if isinstance(answer, list):
        answer = dict(zip(answer[::2], answer[1::2]))
    answer = {name.decode() if isinstance(name, bytes) else name: value for name, value in answer.items()}
    assert answer == {"matches": [[[4, 7], [5, 8], 4]], "len": 6}


def test_bits_are_set_read_counted_and_found(client):
    assert client.setbit("bits", 7, 1) == 0
    assert client.setbit("bits", 7, 1) == 1
    assert client.getbit("bits", 7) == 1
    assert client.getbit("bits", 1_000) == 0
    client.set("bits", b"\xff\xf0\x00")
    assert client.bitcount("bits") == 12
    assert client.bitcount("bits", 1, 1) == 4
    assert client.bitcount("bits", 5, 30, "BIT") == 7
    assert client.bitpos("bits", 0) == 12
    assert client.bitpos("bits", 1, 2) == -1


def test_bits_of_several_keys_are_combined(client):
    client.mset({"a": b"\xf0\xff", "b": b"\x3c"})
    assert client.bitop("AND", "to", "a", "b") == 2
    assert client.get("to") == b"\x30\x00"
    client.bitop("OR", "to", "a", "b")
    assert client.get("to") == b"\xfc\xff"
    client.bitop("NOT", "to", "b")
    assert client.get("to") == b"\xc3"


def test_a_bitfield_holds_integers_of_any_width(client):
    field = client.bitfield("field")
    assert field.set("i8", "#1", -5).get("i8", 8).incrby("u2", 100, 3).execute() == [0, -5, 3]
    saturated = client.bitfield("field", default_overflow="SAT")
    assert saturated.incrby("u2", 100, 3).execute() == [3]
    assert client.bitfield_ro("field", "u2", 100) == [3]
