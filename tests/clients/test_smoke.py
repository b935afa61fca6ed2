"""The first things anybody tries: connect, set, get, pipeline, expire, restart."""

import pytest
import redis


def test_ping_answers(client):
    assert client.ping() is True
    assert client.echo("hello") == b"hello"


def test_hello_names_the_protocol(client, protocol):
    answer = client.execute_command("HELLO")
    if isinstance(answer, list):
        answer = dict(zip(answer[::2], answer[1::2]))
    assert answer[b"proto"] == protocol


def test_a_value_comes_back_as_it_was_set(client):
    value = bytes(range(256))
    assert client.set("key", value) is True
    assert client.get("key") == value
    assert client.get("absent") is None


def test_a_big_value_comes_back_whole(client):
    value = b"0123456789abcdef" * (1 << 16)
    client.set("big", value)
    assert client.get("big") == value


def test_set_options_are_kept(client):
    assert client.set("key", "1", nx=True) is True
    assert client.set("key", "2", nx=True) is None
    assert client.set("key", "3", xx=True, get=True) == b"1"
    assert client.set("key", "4", px=60_000) is True
    assert 0 < client.pttl("key") <= 60_000
    assert client.set("key", "5", keepttl=True) is True
    assert client.ttl("key") > 0


def test_a_pipeline_answers_in_order(client):
    with client.pipeline(transaction=False) as pipeline:
        for number in range(1000):
            pipeline.set(f"key:{number}", number)
            pipeline.get(f"key:{number}")
        answers = pipeline.execute()
    assert answers[0::2] == [True] * 1000
    assert answers[1::2] == [str(number).encode() for number in range(1000)]


def test_deleted_keys_are_gone(client):
    client.mset({"a": 1, "b": 2})
    assert client.delete("a", "b", "absent") == 2
    assert client.exists("a", "b") == 0


def test_expiry_is_set_read_and_taken_back(client):
    client.set("key", "value")
    assert client.ttl("key") == -1
    assert client.expire("key", 100) is True
    assert 0 < client.ttl("key") <= 100
    assert client.persist("key") is True
    assert client.ttl("key") == -1
    assert client.ttl("absent") == -2
    assert client.expire("absent", 100) is False


def test_a_deadline_in_the_past_deletes(client):
    client.set("key", "value")
    assert client.pexpireat("key", 1) is True
    assert client.get("key") is None


def test_errors_reach_the_client_and_the_connection_lives_on(client):
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("NO-SUCH-COMMAND")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        client.execute_command("GET")
    client.set("word", "abc")
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("word")
    assert client.ping() is True


@pytest.mark.parametrize("stop", ["kill", "terminate"])
def test_acknowledged_writes_survive_a_stop(start_server, stop):
    server = start_server(fsync="always")
    with server.client() as client:
        for number in range(100):
            client.set(f"key:{number}", number)
    getattr(server, stop)()
    server.restart()
    with server.client() as client:
        assert client.dbsize() == 100
        assert client.get("key:99") == b"99"
