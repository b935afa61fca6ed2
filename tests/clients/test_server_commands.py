"""What clients and operators ask of the server itself: CLIENT, CONFIG, INFO, COMMAND, AUTH."""

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

trefoil = pytest.mark.trefoil


def test_a_connection_has_a_name_and_is_listed(client):
    assert client.client_setname("tester") is True
    assert client.client_getname() in (b"tester", "tester")
    me = client.client_info()
    assert me["name"] == "tester"
    assert me["id"] == client.client_id()
    assert any(str(other["id"]) == str(me["id"]) for other in client.client_list())
    with pytest.raises(redis.ResponseError, match="cannot contain spaces"):
        client.client_setname("a b")


def test_a_connection_is_killed_by_its_id(client, server, protocol):
    with server.client(protocol, single_connection_client=True) as victim:
        number = victim.client_id()
        assert client.client_kill_filter(_id=number) == 1
        assert all(str(other["id"]) != str(number) for other in client.client_list())


def test_a_pause_ends_when_it_is_taken_back(client):
    assert client.client_pause(100_000, all=False) is True
    assert client.get("key") is None
    assert client.client_unpause() in (True, b"OK")
    assert client.set("key", "value") is True


def test_configuration_is_read_changed_and_refused(client):
    before = client.config_get("maxmemory")["maxmemory"]
    try:
        assert client.config_set("maxmemory", "64mb") is True
        assert client.config_get("maxmemory*")["maxmemory"] == str(64 << 20)
        assert client.config_set("maxmemory-policy", "allkeys-lru") is True
        with pytest.raises(redis.ResponseError, match="maxmemory-policy"):
            client.config_set("maxmemory-policy", "nonsense")
        with pytest.raises(redis.ResponseError, match="Unknown option"):
            client.config_set("nonsense", "1")
    finally:
        client.config_set("maxmemory", before)
        client.config_set("maxmemory-policy", "noeviction")
    assert client.config_resetstat() is True


def test_memory_that_is_used_up_refuses_writes_and_serves_reads(client):
    client.set("key", "value")
    try:
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("other", "value")
        assert client.get("key") == b"value"
        assert client.delete("key") == 1
    finally:
        client.config_set("maxmemory", 0)


def test_info_has_the_sections_that_tools_read(client):
    client.set("key", "value", ex=100)
    client.get("key")
    client.get("absent")
    info = client.info()
    for name in ("redis_version", "uptime_in_seconds", "connected_clients", "used_memory", "maxmemory_policy",
                 "total_commands_processed", "keyspace_hits", "expired_keys", "evicted_keys", "role"):
        assert name in info, name
    assert info["db0"]["keys"] == 1 and info["db0"]["expires"] == 1
    assert set(client.info("clients")) < set(info)
    assert client.info("commandstats")["cmdstat_get"]["calls"] >= 2


def test_commands_describe_themselves(client):
    assert client.command_count() == len(client.command())
    get = client.command()["get"]
    assert (get["arity"], get["first_key_pos"], get["last_key_pos"], get["step_count"]) == (2, 1, 1, 1)
    assert "readonly" in get["flags"]
    assert client.command_getkeys("MSET", "a", 1, "b", 2) in ([b"a", b"b"], ["a", "b"])
    assert b"get" in client.command_list()


def test_time_and_saves(client):
    seconds, microseconds = client.time()
    assert seconds > 1_600_000_000 and 0 <= microseconds < 1_000_000
    assert client.save() is True
    assert client.lastsave() is not None
    assert client.wait(0, 0) == 0


def test_a_password_is_asked_for(start_server, protocol):
    server = start_server(requirepass="secret")
    at_once = Retry(NoBackoff(), 0)
    with server.client(protocol, retry=at_once) as nobody:
        with pytest.raises(redis.exceptions.AuthenticationError):
            nobody.get("key")
    with server.client(protocol, password="wrong", retry=at_once) as stranger:
        with pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()
    with server.client(protocol, password="secret") as friend:
        assert friend.set("key", "value") is True
    with server.client(protocol, username="default", password="secret") as friend:
        assert friend.get("key") == b"value"


@trefoil
def test_the_promise_in_force_is_told(client):
    answer = client.execute_command("REPLICATION", "PROMISE")
    if isinstance(answer, list):
        answer = dict(zip(answer[::2], answer[1::2]))
    assert answer[b"mode"] == b"single-leader"
    assert answer[b"fsync"] == b"everysec"
    assert answer[b"followers"] == 0


@trefoil
def test_fsync_of_the_keyspace_is_changed(client):
    try:
        assert client.execute_command("KEYSPACE", "ALTER", "default", "fsync", "always") in (b"OK", "OK", True)
        assert client.config_get("appendfsync")["appendfsync"] == "always"
    finally:
        client.config_set("appendfsync", "everysec")
