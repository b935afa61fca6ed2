"""What clients live through while the leader of a cluster changes: nothing but a wait, if it can be helped.

Load runs on all nodes; the leader hands over, stops, or is killed. What was acknowledged is there, what is said
to be unknown was in flight, and everything else was done once.
"""

import contextlib
import threading

import pytest
import redis
from clusters import node, until
from raw_resp import RawConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

pytestmark = pytest.mark.trefoil
__all__ = ["node"]


@pytest.fixture
def nodes(node):
    """Three nodes that agree on who leads; the first one leads."""
    first = node()
    others = [node(join=f"127.0.0.1:{first.peer_port}") for _ in range(2)]
    until(lambda: first.info()["members"] == 2, f"members\n{first.log_tail()}\n")
    until(lambda: all(row["state"] == "streaming" for row in first.lag()), "streams")
    # With one voter less nobody could agree on another leader.
    for at in (first, *others):
        until(lambda at=at: at.info("cluster")["cluster_voters"] == 3, f"voters\n{at.log_tail()}\n")
    return [first, *others]


def leader_of(nodes):
    def only():
        leaders = [node for node in nodes if node.process.poll() is None and node.info()["trefoil_role"] == "leader"]
        return leaders[0] if len(leaders) == 1 else None

    return until(only, "one leader")


def client_of(node):
    return node.one(retry=Retry(NoBackoff(), 0), socket_timeout=20)


class Load(threading.Thread):
    """Counts on one node until it is told to stop, or its connection ends."""

    def __init__(self, node, kind):
        super().__init__(daemon=True)
        self.node, self.kind, self.key = node, kind, f"{kind}:{node.port}"
        self.done = self.unknown = 0
        self.errors, self.stopping = [], threading.Event()

    def run(self):
        client = client_of(self.node)
        while not self.stopping.is_set():
            try:
                getattr(self, self.kind)(client)
                self.done += 1
            except redis.WatchError:
                pass
            except (redis.ConnectionError, OSError):
                self.unknown += 1
                return
            except redis.RedisError as error:
                self.errors.append(str(error))
                self.unknown += "UNKNOWN" in str(error)

    def incr(self, client):
        client.incr(self.key)

    def multi(self, client):
        with client.pipeline() as pipe:
            pipe.incr(self.key).get(self.key)
            count, value = pipe.execute()
        assert int(value) == count

    def watch(self, client):
        with client.pipeline() as pipe:
            pipe.watch(self.key)
            value = int(pipe.get(self.key) or 0)
            pipe.multi()
            pipe.set(self.key, value + 1)
            pipe.execute()

    def is_further_by(self, count):
        start = self.done
        until(lambda: self.done >= start + count or not self.is_alive(), f"progress of {self.key}")


@contextlib.contextmanager
def load(nodes):
    loads = [Load(node, kind) for node in nodes for kind in ("incr", "multi", "watch")]
    for one in loads:
        one.start()
    for one in loads:
        one.is_further_by(20)
    yield loads
    for one in loads:
        one.is_further_by(20)
        one.stopping.set()
    for one in loads:
        one.join()
    with contextlib.closing(leader_of(nodes).one()) as client:
        for one in loads:
            assert one.done <= int(client.get(one.key)) <= one.done + one.unknown, one.key


def errors(loads):
    return [error for one in loads for error in one.errors]


def test_nobody_sees_more_of_a_failover_than_a_wait(nodes):
    with load(nodes) as loads:
        for _ in range(3):
            former = leader_of(nodes)
            assert former.ask("FAILOVER") == b"OK"
            until(lambda: leader_of(nodes) is not former)
            for one in loads:
                one.is_further_by(20)
    assert errors(loads) == []
    assert sum(one.unknown for one in loads) == 0


def test_clients_of_other_nodes_do_not_notice_that_the_leader_stops(nodes):
    with load(nodes) as loads:
        former = leader_of(nodes)
        assert former.terminate() == 0
        until(lambda: leader_of(nodes) is not former)
    assert errors(loads) == []
    assert all(one.unknown == 0 for one in loads if one.node is not former)


def test_a_killed_leader_leaves_unknown_what_was_in_flight_and_nothing_else(nodes):
    with load(nodes) as loads:
        former = leader_of(nodes)
        former.kill()
        until(lambda: leader_of(nodes) is not former)
    assert [error for error in errors(loads) if "UNKNOWN" not in error] == []
    # One connection has one command in flight.
    assert all(one.unknown <= 1 for one in loads)


def test_a_transaction_outlives_the_leader_and_what_it_watches_does_not(nodes):
    for number, at in enumerate(nodes):
        value = str(number).encode()
        with RawConnection(at.port) as queueing, contextlib.closing(client_of(at)) as client, client.pipeline() as pipe:
            pipe.watch("k")
            assert queueing.ask([[b"MULTI"], [b"SET", b"k", value]]) == [b"+OK\r\n", b"+QUEUED\r\n"]
            assert leader_of(nodes).ask("FAILOVER") == b"OK"
            pipe.multi()
            pipe.set("k", "watched")
            with pytest.raises(redis.WatchError):
                pipe.execute()
            assert queueing.ask([[b"EXEC"]]) == [b"*1\r\n+OK\r\n"]
            assert client.get("k") == value


def test_a_session_goes_on_in_the_next_epoch(nodes):
    former = leader_of(nodes)
    with contextlib.closing(former.one()) as client:
        client.set("k", "seen")
        token = client.execute_command("SESSION", "TOKEN")
    assert former.ask("FAILOVER") == b"OK"
    until(lambda: leader_of(nodes) is not former)
    for at in nodes:
        with contextlib.closing(at.one()) as client:
            assert client.execute_command("SESSION", "RESUME", token) == b"OK"
            assert client.get("k") == b"seen"


def test_subscribers_stay_subscribed(nodes):
    listeners = [at.one().pubsub(ignore_subscribe_messages=True) for at in nodes]
    for listener in listeners:
        listener.subscribe("c")
        assert listener.get_message(timeout=5) is None
    former = leader_of(nodes)
    assert former.ask("FAILOVER") == b"OK"
    leader = until(lambda: leader_of(nodes) if leader_of(nodes) is not former else None)
    until(lambda: leader.info()["connected_slaves"] == 2)

    def heard(listener):
        leader.one().publish("c", "hello")
        message = listener.get_message(timeout=0.1)
        return message and message["data"] == b"hello"

    for listener in listeners:
        until(lambda listener=listener: heard(listener), "a message")
        listener.close()
