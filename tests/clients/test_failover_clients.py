"""Clients that know Redis Sentinel or Redis Cluster follow a failover, unmodified.

They are given our nodes' addresses where they expect sentinels or nodes of a cluster, and nothing else. A
leader is killed; what a client does about it, it does by itself: a test only repeats a call that failed.
"""

import contextlib
import json
import pathlib
import subprocess
import sys

import pytest
import redis
from clusters import caught_up, node, pairs, text, until
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import MasterNotFoundError, Sentinel

pytestmark = pytest.mark.trefoil
__all__ = ["node"]

# The name that everybody's example has.
SERVICE = "mymaster"
HOST = "127.0.0.1"
SLOTS = 16384
NODE_MODULES = pathlib.Path(sys.prefix).parent / "node" / "node_modules"


class Healing:
    """Three nodes that agree on a leader by themselves."""

    def __init__(self, nodes):
        self.nodes = nodes

    def running(self):
        return [node for node in self.nodes if node.process.poll() is None]

    def leader(self):
        """The node that leads, as soon as just one says so."""

        def only():
            leaders = [node for node in self.running() if node.ask("ROLE")[0] == b"master"]
            return leaders[0] if len(leaders) == 1 else None

        return until(only, "a leader")

    def followers(self):
        leader = self.leader()
        return [node for node in self.running() if node is not leader]

    def ports(self):
        return {node.port for node in self.nodes}

    def doors(self):
        """Where sentinels are expected."""
        return [(HOST, node.port) for node in self.nodes]

    def lose_leader(self):
        """Kills the leader and returns it and the one that leads next."""
        old = self.leader()
        old.kill()
        return old, self.leader()


@pytest.fixture
def healing(node):
    options = {"acks": "semi-sync:1"}
    first = node(**options)
    others = [node(join=f"{HOST}:{first.peer_port}", **options) for _ in range(2)]
    caught_up(first, *others)
    nodes = [first, *others]
    # Members come to vote one after another; with one voter less nobody could agree on another leader.
    for member in nodes:
        until(lambda: member.info("cluster")["cluster_voters"] == len(nodes), f"voters\n{member.log_tail()}\n")
    return Healing(nodes)


@pytest.fixture
def sentinel(healing):
    with Sentinel(healing.doors(), socket_timeout=1) as sentinel:
        yield sentinel


def at(node):
    return HOST, node.port


def every_node_says(healing, condition, what):
    """Waits until each running node, asked on its own, satisfies the condition."""
    for member in healing.running():
        until(lambda: condition(member), f"{what} at port {member.port}\n{member.log_tail()}\n")


# --- the Sentinel commands, as any node answers them


def master_address(node):
    host, port = node.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
    return text(host), int(port)


def rows(node, *words):
    """A reply of maps, in either protocol."""
    return [pairs(row) for row in node.ask("SENTINEL", *words)]


def test_every_node_names_the_leader_before_and_after_a_failover(healing):
    leader = healing.leader()
    every_node_says(healing, lambda node: master_address(node) == at(leader), "the leader's address")
    _, new = healing.lose_leader()
    every_node_says(healing, lambda node: master_address(node) == at(new), "the new leader's address")


def test_a_service_that_nobody_has_is_nil_or_an_error(healing):
    door = healing.followers()[0]
    assert door.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "no such service") is None
    for words in (["MASTER"], ["REPLICAS"], ["SLAVES"], ["SENTINELS"]):
        with pytest.raises(redis.ResponseError, match="No such master with that name"):
            door.ask("SENTINEL", *words, "no such service")


def test_masters_have_the_fields_that_clients_read(healing):
    for door in healing.nodes:
        [master] = rows(door, "MASTERS")
        assert master.keys() == pairs(door.ask("SENTINEL", "MASTER", SERVICE)).keys()
        assert (master["name"], master["ip"], int(master["port"])) == (SERVICE, *at(healing.leader()))
        assert master["flags"] == "master"
        assert int(master["num-slaves"]) == 2
        assert int(master["num-other-sentinels"]) == 2
        assert int(master["quorum"]) == 2


def test_replicas_are_the_followers_and_sentinels_the_other_nodes(healing):
    leader = healing.leader()
    for door in healing.nodes:
        for word in ("REPLICAS", "SLAVES"):
            found = rows(door, word, SERVICE)
            assert {int(row["port"]) for row in found} == healing.ports() - {leader.port}
            assert {row["flags"] for row in found} == {"slave"}
            assert {(row["master-host"], int(row["master-port"])) for row in found} == {at(leader)}
        others = rows(door, "SENTINELS", SERVICE)
        assert {int(row["port"]) for row in others} == healing.ports() - {door.port}
        assert {row["flags"] for row in others} == {"sentinel"}


def test_a_follower_that_died_is_down_in_the_list_of_replicas(healing):
    dead = healing.followers()[0]
    dead.kill()

    def is_told(node):
        flags = {int(row["port"]): row["flags"].split(",") for row in rows(node, "REPLICAS", SERVICE)}
        return "s_down" in flags.get(dead.port, ["s_down"])

    every_node_says(healing, is_told, "a follower that is down")


def test_a_switch_of_leaders_is_published_by_every_node_that_is_left(healing):
    ears = []
    for member in healing.followers():
        ear = member.one().pubsub()
        ear.subscribe("+switch-master")
        assert ear.get_message(timeout=10)["type"] == "subscribe"
        ears.append(ear)
    old, new = healing.lose_leader()
    for ear in ears:
        message = until(lambda: ear.get_message(timeout=1), "a message")
        assert message["channel"] == b"+switch-master"
        assert message["data"].decode() == f"{SERVICE} {HOST} {old.port} {HOST} {new.port}"
        ear.close()


# --- redis-py, Sentinel


def test_redis_py_sentinel_follows_when_the_leader_is_killed(healing, sentinel):
    master = sentinel.master_for(SERVICE, socket_timeout=1)
    assert master.set("before", "1")
    old, new = healing.lose_leader()
    assert until(lambda: master.set("after", "2"), "a write")
    assert master.mget("before", "after") == [b"1", b"2"]
    assert sentinel.discover_master(SERVICE) == at(new)
    assert master.connection_pool.get_master_address() == at(new)
    old.restart()
    until(lambda: at(old) in sentinel.discover_slaves(SERVICE), "the old leader as a replica")
    assert sentinel.discover_master(SERVICE) == at(new)


def test_redis_py_sentinel_reads_at_followers_and_not_at_dead_ones(healing, sentinel):
    sentinel.master_for(SERVICE, socket_timeout=1).set("k", "v")
    assert set(sentinel.discover_slaves(SERVICE)) == {at(node) for node in healing.followers()}
    replica = sentinel.slave_for(SERVICE, socket_timeout=1)
    # It may be a moment behind.
    until(lambda: replica.get("k") == b"v", "the value")
    assert replica.execute_command("ROLE")[0] == b"slave"
    old, new = healing.lose_leader()
    left = [node for node in healing.running() if node is not new]
    until(lambda: sentinel.discover_slaves(SERVICE) == [at(node) for node in left], "who is left")
    assert until(lambda: replica.get("k"), "a read") == b"v"
    assert at(old) not in sentinel.discover_slaves(SERVICE)


def test_redis_py_sentinel_may_ask_for_a_number_of_other_sentinels(healing):
    doors = healing.doors()
    with Sentinel(doors, min_other_sentinels=2, socket_timeout=1) as sentinel:
        assert sentinel.discover_master(SERVICE) == at(healing.leader())
    with Sentinel(doors, min_other_sentinels=3, socket_timeout=1) as sentinel:
        with pytest.raises(MasterNotFoundError):
            sentinel.discover_master(SERVICE)


def test_redis_py_sentinel_sees_no_error_in_a_graceful_failover(healing, sentinel):
    master = sentinel.master_for(SERVICE, socket_timeout=5)
    old = healing.leader()
    assert old.ask("FAILOVER") == b"OK"
    written = 0
    while master_address(healing.nodes[0]) == at(old):
        written += 1
        assert master.incr("n") == written
    new = until(lambda: healing.leader() if healing.leader() is not old else None, "another leader")
    assert master.incr("n") == written + 1
    master.connection_pool.disconnect()
    assert master.incr("n") == written + 2
    assert master.connection_pool.get_master_address() == at(new)


# --- redis-py, cluster


@pytest.fixture
def cluster_client(healing):
    with contextlib.closing(RedisCluster(startup_nodes=[ClusterNode(*door) for door in healing.doors()])) as client:
        yield client


def shard_ports(node):
    """The leader's port and those of the followers, as CLUSTER SHARDS has them."""
    [shard] = [pairs_deep(shard) for shard in node.ask("CLUSTER", "SHARDS")]
    assert [int(slot) for slot in shard["slots"]] == [0, SLOTS - 1]
    ports = {"master": set(), "replica": set()}
    for member in map(pairs_deep, shard["nodes"]):
        if member["health"] == "online":
            ports[member["role"]].add(int(member["port"]))
    return ports["master"], ports["replica"]


def pairs_deep(reply):
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {text(name): text(value) for name, value in items}


def test_every_node_describes_one_shard_with_all_slots(healing):
    leader = healing.leader()
    followers = healing.ports() - {leader.port}
    for door in healing.nodes:
        [(first, last, primary, *replicas)] = door.ask("CLUSTER", "SLOTS")
        assert (first, last, primary[1]) == (0, SLOTS - 1, leader.port)
        assert {replica[1] for replica in replicas} == followers
        assert shard_ports(door) == ({leader.port}, followers)
        with contextlib.closing(door.one()) as client:
            info = client.execute_command("CLUSTER INFO")
            listed = client.execute_command("CLUSTER NODES")
        assert info["cluster_state"] == "ok"
        assert int(info["cluster_slots_assigned"]) == int(info["cluster_slots_ok"]) == SLOTS
        assert (int(info["cluster_known_nodes"]), int(info["cluster_size"])) == (3, 1)
        assert {address: "master" in known["flags"] for address, known in listed.items()} == {
            f"{HOST}:{member.port}": member is leader for member in healing.nodes
        }
        [(_, itself)] = [row for row in listed.items() if "myself" in row[1]["flags"]]
        assert itself["node_id"] == text(door.ask("CLUSTER", "MYID"))
        assert [known["slots"] for known in listed.values() if "master" in known["flags"]] == [[["0", str(SLOTS - 1)]]]


def test_redis_py_cluster_follows_when_the_leader_is_killed(healing, cluster_client):
    old = healing.leader()
    assert [primary.port for primary in cluster_client.get_primaries()] == [old.port]
    assert {replica.port for replica in cluster_client.get_replicas()} == healing.ports() - {old.port}
    for number in range(100):
        assert cluster_client.set(f"before:{number}", number)
    _, new = healing.lose_leader()
    for number in range(100):
        assert until(lambda: cluster_client.set(f"after:{number}", number), "a write")
    for number in range(100):
        assert cluster_client.get(f"before:{number}") == cluster_client.get(f"after:{number}") == b"%d" % number
    assert [primary.port for primary in cluster_client.get_primaries()] == [new.port]
    every_node_says(healing, lambda node: shard_ports(node)[0] == {new.port}, "the new leader")


def test_redis_py_cluster_comes_to_know_a_leader_that_returns_as_a_follower(healing, cluster_client):
    old, new = healing.lose_leader()
    assert until(lambda: cluster_client.set("k", "v"), "a write")
    old.restart()
    every_node_says(
        healing, lambda node: shard_ports(node) == ({new.port}, healing.ports() - {new.port}), "three nodes"
    )
    with contextlib.closing(RedisCluster(host=HOST, port=old.port)) as client:
        assert client.get("k") == b"v"
        assert [primary.port for primary in client.get_primaries()] == [new.port]


# --- ioredis, Sentinel and cluster

IOREDIS = """
const Redis = require("ioredis");
const { nodes, sentinels, name, role } = JSON.parse(process.argv[1]);
const redis = nodes
  ? new Redis.Cluster(nodes, { clusterRetryStrategy: () => 100, redisOptions: { connectTimeout: 1000 } })
  : new Redis({ sentinels, name, role, failoverDetector: true, sentinelCommandTimeout: 1000 });
redis.on("error", () => {});
require("readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  let answer;
  try {
    const reply = await redis.call(...JSON.parse(line));
    answer = { reply, port: nodes ? null : redis.stream.remotePort };
  } catch (error) {
    answer = { error: String(error) };
  }
  console.log(JSON.stringify(answer));
}).on("close", () => redis.disconnect());
"""


class IoRedis:
    """A program of a few lines that hands commands to ioredis."""

    def __init__(self, doors, role):
        doors = [{"host": host, "port": port} for host, port in doors]
        service = {"sentinels": doors, "name": SERVICE, "role": role}
        options = json.dumps({"nodes": doors} if role == "cluster" else service)
        assert (NODE_MODULES / "ioredis").is_dir(), f"ioredis is not in {NODE_MODULES}: run `cargo xtask peers`"
        self.program = subprocess.Popen(
            ["node", "-e", IOREDIS, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_PATH": str(NODE_MODULES)},
            text=True,
        )

    def call(self, *words):
        """The reply, and the port of the node that it came from."""
        print(json.dumps([str(word) for word in words]), file=self.program.stdin, flush=True)
        answer = json.loads(self.program.stdout.readline())
        if "error" in answer:
            raise redis.RedisError(answer["error"])
        return answer["reply"], answer["port"]

    def close(self):
        self.program.stdin.close()
        self.program.kill()
        self.program.wait()


@pytest.fixture
def ioredis(healing):
    started = []

    def start(role="master"):
        started.append(IoRedis(healing.doors(), role))
        return started[-1]

    yield start
    for program in started:
        program.close()


def test_ioredis_sentinel_follows_when_the_leader_is_killed(healing, ioredis):
    client = ioredis()
    assert client.call("SET", "before", "1") == ("OK", healing.leader().port)
    _, new = healing.lose_leader()
    assert until(lambda: client.call("SET", "after", "2"), "a write")[0] == "OK"
    assert client.call("MGET", "before", "after") == (["1", "2"], new.port)


def test_ioredis_sentinel_goes_over_to_the_new_leader_after_a_graceful_failover(healing, ioredis):
    client = ioredis()
    old = healing.leader()
    assert client.call("SET", "k", "1") == ("OK", old.port)
    assert old.ask("FAILOVER") == b"OK"
    new = until(lambda: healing.leader() if healing.leader() is not old else None, "another leader")
    # Its ears at the sentinels tell it to connect anew.
    until(lambda: client.call("GET", "k") == ("1", new.port), "the new leader's answer")


def test_ioredis_sentinel_reads_at_a_follower(healing, ioredis):
    assert ioredis().call("SET", "k", "v")[0] == "OK"
    reader = ioredis(role="slave")
    followers = healing.ports() - {healing.leader().port}
    # It may be a moment behind.
    answer = until(lambda: [reply for reply in [reader.call("GET", "k")] if reply[0] == "v"], "the value")
    assert answer[0][1] in followers


def test_ioredis_cluster_follows_when_the_leader_is_killed(healing, ioredis):
    client = ioredis(role="cluster")
    assert client.call("SET", "before", "1")[0] == "OK"
    healing.lose_leader()
    assert until(lambda: client.call("SET", "after", "2"), "a write")[0] == "OK"
    assert client.call("MGET", "before", "after")[0] == ["1", "2"]
