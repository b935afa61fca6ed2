"""What an operator sees and does: REPLICAOF, ROLE, INFO replication, WAIT, policies, lag, what was cut off."""

import time

import pytest
import redis

pytestmark = pytest.mark.trefoil

PATIENCE_SECONDS = 20


def eventually(condition):
    """What the condition returns once that is true; waits for it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def text(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [text(element) for element in value]
    return value


def table(answer):
    """A map, which RESP2 clients get as a list of names and values."""
    if isinstance(answer, dict):
        return {text(name): text(value) for name, value in answer.items()}
    answer = text(answer)
    return dict(zip(answer[::2], answer[1::2]))


def rows(client, *words):
    return [table(row) for row in client.execute_command("REPLICATION", *words)]


def promise(client):
    return table(client.execute_command("REPLICATION", "PROMISE"))


def alter(client, *options):
    assert client.execute_command("KEYSPACE", "ALTER", "default", *options) in (b"OK", True)


@pytest.fixture
def nodes(start_server):
    """Two nodes that know nothing of each other, each with a client."""
    servers = [start_server(peer="127.0.0.1:0", http="off") for _ in range(2)]
    clients = [server.client(3) for server in servers]
    yield list(zip(servers, clients))
    for client in clients:
        client.close()


@pytest.fixture
def pair(nodes):
    """A leader and its follower, which has caught up: two clients."""
    (leader_server, leader), (_, follower) = nodes
    follow(follower, leader_server.port)
    eventually(lambda: rows(leader, "MEMBERS"))
    return leader, follower


def follow(client, port):
    assert client.replicaof("127.0.0.1", port)
    eventually(lambda: text(client.role()[3]) == "connected")


def test_a_node_alone_is_a_master_without_followers(client):
    role = client.role()
    assert (text(role[0]), role[2]) == ("master", [])
    info = client.info("replication")
    assert (info["role"], info["connected_slaves"], info["second_repl_offset"]) == ("master", 0, -1)
    assert len(info["master_replid"]) == 40
    assert client.wait(0, 0) == 0
    assert client.wait(1, 20) == 0
    assert client.execute_command("REPLICATION", "LAG") == []


def test_policies_are_altered_together_or_not_at_all(client):
    try:
        alter(client, "acks", "semi-sync:2", "on-lost-acks", "degrade", "degrade-after", "10")
        with pytest.raises(redis.ResponseError, match="ack-level"):
            client.execute_command("KEYSPACE", "ALTER", "default", "acks", "sync", "ack-level", "nonsense")
        told = table(client.execute_command("KEYSPACE", "INFO"))
        assert (told["acks"], told["ack-level"], told["degrade-after"]) == ("semi-sync:2", "received", 10)
        assert client.config_get("acks")["acks"] == "semi-sync:2"
        # Nobody follows, so after a while the own log is enough, and that is said.
        assert eventually(lambda: promise(client)["acknowledgements"].startswith("degraded"))
        assert client.set("key", "value") is True
    finally:
        alter(client, "acks", "async", "on-lost-acks", "block", "degrade-after", "2000")


def test_writes_are_refused_while_too_few_follow(client):
    for name, value, other in [("min-replicas-to-write", "1", "0"), ("acks", "semi-sync:1", "async")]:
        client.config_set(name, value)
        try:
            eventually(lambda: promise(client)["writes"].startswith("refused"))
            with pytest.raises(redis.ResponseError, match="NOREPLICAS|Not enough good replicas"):
                client.set("key", "value")
            assert client.get("key") is None
        finally:
            client.config_set(name, other)
        eventually(lambda: promise(client)["writes"] == "accepted")
        assert client.set("key", "value") is True and client.delete("key") == 1


def test_a_follower_gets_what_is_there_and_what_is_written(nodes):
    (leader_server, leader), (follower_server, follower) = nodes
    leader.set("before", "1")
    follower.set("gives", "way")
    follow(follower, leader_server.port)
    leader.set("after", "2")
    assert leader.wait(1, 10_000) == 1
    assert leader.waitaof(1, 1, 10_000) == [1, 1]
    assert follower.mget("before", "after", "gives") == [b"1", b"2", None]
    offset = leader.role()[1]
    assert text(leader.role()) == ["master", offset, [["127.0.0.1", str(follower_server.port), str(offset)]]]
    assert text(follower.role()) == ["slave", "127.0.0.1", leader_server.port, "connected", offset]
    seen = leader.info("replication")["slave0"]
    assert (seen["state"], seen["port"], seen["offset"]) == ("online", follower_server.port, offset)
    info = follower.info("replication")
    assert (info["role"], info["master_link_status"], info["slave_repl_offset"]) == ("slave", "up", offset)
    assert info["master_replid"] == leader.info("replication")["master_replid"]
    again = follower.execute_command("REPLICAOF", "127.0.0.1", leader_server.port)
    assert again in (True, b"OK Already connected to specified master")


def test_lag_members_and_the_promise_are_told(pair):
    leader, follower = pair
    alter(leader, "acks", "semi-sync:1", "ack-level", "flushed")
    leader.set("key", "value")
    end = leader.role()[1]
    (lag,) = eventually(lambda: [row for row in rows(leader, "LAG") if row["applied-lsn"] == end])
    assert lag["state"] == "streaming" and lag["member"] in (True, 1)
    assert lag["sent-lsn"] == lag["flushed-lsn"] == end
    assert [member["node"] for member in rows(leader, "MEMBERS")] == [lag["node"]]
    with pytest.raises(redis.ResponseError, match="attached"):
        leader.execute_command("REPLICATION", "FORGET", lag["node"])
    told = promise(leader)
    assert told["followers"] == 1 and told["may-be-lost-on-failover-records"] == 0
    assert any(sentence.startswith("P4:") for sentence in told["acknowledged-writes-survive"])
    (itself,) = rows(follower, "LAG")
    assert (itself["node"], itself["state"]) == (lag["node"], "streaming")
    assert promise(follower)["role"] == "follower"


def test_a_follower_that_is_gone_is_forgotten(nodes):
    (leader_server, leader), (follower_server, follower) = nodes
    follow(follower, leader_server.port)
    (member,) = eventually(lambda: rows(leader, "MEMBERS"))
    leader.config_set("acks", "sync")
    follower_server.kill()
    eventually(lambda: promise(leader)["writes"].startswith("refused"))
    assert rows(leader, "MEMBERS")[0]["state"] == "detached"
    assert leader.execute_command("REPLICATION", "FORGET", member["node"]) in (b"OK", True)
    assert rows(leader, "MEMBERS") == []
    leader.config_set("acks", "async")
    eventually(lambda: promise(leader)["writes"] == "accepted")
    assert leader.set("key", "value") is True


def test_what_a_deposed_leader_wrote_alone_is_kept_and_can_be_written_again(nodes):
    (old_server, old), (new_server, new) = nodes
    follow(new, old_server.port)
    old.set("common", "1")
    assert old.wait(1, 10_000) == 1
    # By a careless hand: now two nodes lead.
    assert new.replicaof("NO", "ONE")
    assert text(new.role()[0]) == "master"
    old.mset({"lost": "2", "changed": "2"})
    new.set("changed", "3")
    follow(old, new_server.port)
    # What this client has seen of the other history is no part of the data any more, which it is told.
    with pytest.raises(redis.ResponseError, match="no part of the data"):
        old.get("lost")
    old.connection_pool.disconnect()
    assert old.mget("common", "lost", "changed") == [b"1", None, b"3"]
    (archive,) = rows(old, "DIVERGED", "LIST")
    assert (archive["records"], archive["keys"], archive["acknowledged-records"]) == (1, 2, 1)
    lines = text(old.execute_command("REPLICATION", "DIVERGED", "SHOW", archive["id"]))
    assert [line.split("] ")[1] for line in lines] == ['SET "lost" "2"', 'SET "changed" "2"']
    with pytest.raises(redis.ResponseError, match="only a leader"):
        old.execute_command("REPLICATION", "DIVERGED", "APPLY", archive["id"])
    assert old.replicaof("NO", "ONE")
    report = table(old.execute_command("REPLICATION", "DIVERGED", "APPLY", archive["id"], "IF-UNCHANGED"))
    assert report == {"records": 1, "applied": 1, "skipped-changed": 1, "skipped-otherwise": 0}
    assert old.mget("lost", "changed") == [b"2", b"3"]
    assert old.execute_command("REPLICATION", "DIVERGED", "DROP", archive["id"]) in (b"OK", True)
    assert rows(old, "DIVERGED", "LIST") == []
    (receipt,) = rows(old, "RECEIPTS")
    assert receipt["id"] == archive["id"] and receipt["dropped-at-ms"] > 0


def test_lag_beyond_the_limit_is_told_on_a_channel(nodes):
    (leader_server, leader), (follower_server, follower) = nodes
    follow(follower, leader_server.port)
    (member,) = eventually(lambda: rows(leader, "MEMBERS"))
    with leader.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("__trefoil__:lag")
        leader.config_set("max-lag-records", 10)
        follower_server.kill()
        eventually(lambda: rows(leader, "LAG")[0]["state"] == "detached")
        for number in range(20):
            leader.set("key", number)
        message = eventually(lambda: listener.get_message(timeout=0.1))
        words = text(message["data"]).split()
        assert words[:3] == ["raised", f"follower={member['node']}", "kind=records"]
    assert leader.info("stats")["lag_alerts"] == 1
    assert rows(leader, "LAG")[0]["lagging"] in (True, 1)
