"""Followers get the leader's data, and go on getting it: after kill -9, long absence, changes of cluster.

Real processes. What clients of a follower see is in test_freshness.py, acknowledgements are in
test_replication_acks.py, changes of the leader in test_replication_failover.py.
"""

import random
import threading
import time

import pytest
import redis
from clusters import DATABASES, SlowLink, caught_up, cluster, contents, fill, follows, node, same_contents, until

pytestmark = pytest.mark.trefoil
__all__ = ["cluster", "node"]


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_node_follows_as_it_is_told_or_joins_the_cluster(node, by_hand):
    leader = node()
    fill(leader, 5_000)
    how = {"replicaof": f"127.0.0.1 {leader.port}"} if by_hand else {"join": f"127.0.0.1:{leader.peer_port}"}
    follower = node(**how)
    caught_up(leader, follower)
    leader.one().set("later", 1)
    assert same_contents(leader, follower) == 5_001
    assert leader.info("stats")["sync_full"] == 0, "the log was enough"


def test_a_killed_follower_takes_up_where_it_was(cluster):
    leader, follower = cluster(2)
    fill(leader, 2_000)
    until(lambda: follows(follower, leader))
    follower.kill()
    fill(leader, 2_000, prefix="meanwhile")
    follower.restart()
    assert same_contents(leader, follower) == 4_000
    assert leader.info("stats")["sync_full"] == 0


class Writing(threading.Thread):
    """Writes until it is told to stop."""

    def __init__(self, leader):
        super().__init__(daemon=True)
        self.client, self.over, self.written = leader.one(), threading.Event(), 0
        self.start()

    def run(self):
        value = "w" * 200
        while not self.over.is_set():
            with self.client.pipeline(transaction=False) as pipe:
                for _ in range(50):
                    self.written += 1
                    pipe.set(f"w:{self.written % 7_000}", f"{self.written}:{value}")
                pipe.execute()
            time.sleep(0.001)

    def stop(self):
        self.over.set()
        self.join()
        return self.written


def test_a_follower_away_for_too_long_loads_a_snapshot_while_the_leader_writes(cluster):
    leader, follower = cluster(2, max_retained_log="1mb")
    fill(leader, 1_000)
    follower.kill()
    fill_until_the_log_is_gone(leader, 60)
    writing = Writing(leader)
    follower.restart()
    until(lambda: follows(follower, leader))
    assert writing.stop() > 0
    assert same_contents(leader, follower) > 1_060
    assert leader.info("stats")["sync_full"] >= 1
    assert follower.says("a snapshot of")
    assert not follower.files("incoming") and not follower.files("reseed")
    # It is the same history, so nothing of it was put aside.
    assert not follower.files("aside-") and not follower.files("diverged-")


def fill_until_the_log_is_gone(leader, count):
    """Writes values of 256 KiB that can't be made shorter, more than a file of the log, and takes a snapshot."""
    rng = random.Random(4)
    client = leader.one()
    first = leader.files("wal-")[0]
    for _ in range(1 + 300 // count):
        for at in range(count):
            client.set(f"random:{at}", rng.randbytes(256 << 10))
    client.bgsave()
    until(lambda: leader.info("persistence")["rdb_bgsave_in_progress"] == 0)
    until(lambda: first not in leader.files("wal-"), "a log that begins later")


def slow_cluster(node, bytes_per_second):
    """A leader whom others reach over a slow link only, and one that follows it."""
    slow = SlowLink(bytes_per_second)
    leader = node(peer_announce=f"127.0.0.1:{slow.port}", max_retained_log="1mb")
    slow.target = leader.peer_port
    follower = node(join=f"127.0.0.1:{slow.port}", max_retained_log="1mb")
    caught_up(leader, follower)
    return leader, follower, slow


def test_a_transfer_cut_off_by_kill_9_is_done_after_a_restart(node):
    leader, first, slow = slow_cluster(node, 4 << 20)
    fill(leader, 30_000, size=100)
    fill_until_the_log_is_gone(leader, 60)
    late = node(join=f"127.0.0.1:{slow.port}", max_retained_log="1mb")
    until(lambda: late.info().get("master_sync_read_bytes", 0) > 1 << 20, "a transfer")
    late.kill()
    assert late.files("incoming")
    slow.rate = 0
    late.restart()
    assert same_contents(leader, late) == 30_060
    assert same_contents(leader, first) == 30_060
    slow.close()


def test_a_transfer_goes_on_over_a_new_link(node):
    leader, _, slow = slow_cluster(node, 16 << 20)
    fill_until_the_log_is_gone(leader, 96)
    late = node(join=f"127.0.0.1:{slow.port}", max_retained_log="1mb")
    until(lambda: late.info().get("master_sync_read_bytes", 0) > 8 << 20, "a transfer")
    slow.cut()
    slow.rate = 0
    assert same_contents(leader, late) == 96
    assert slow.passed < 40 << 20, "what was there was not sent again"
    slow.close()


def test_foreign_data_is_put_aside_when_a_node_is_told_to_follow(cluster, node):
    leader, _ = cluster(2)
    fill(leader, 100)
    stranger = node()
    fill(stranger, 100, prefix="foreign")
    until(lambda: stranger.ask("WAITAOF", 1, 0, 5_000))
    before = stranger.info()["trefoil_cluster"]
    size = sum((stranger.data / name).stat().st_size for name in stranger.files("wal"))
    assert before != leader.info()["trefoil_cluster"]
    stranger.follow(leader)
    assert same_contents(leader, stranger) == 100
    assert stranger.info()["trefoil_cluster"] == leader.info()["trefoil_cluster"]
    aside = stranger.files("aside-")
    assert aside, stranger.files()
    kept = sum((stranger.data / name).stat().st_size for name in aside)
    assert kept >= size > 0
    assert any(b"foreign:99" in (stranger.data / name).read_bytes() for name in aside)
    stranger.kill()
    stranger.restart()
    assert same_contents(leader, stranger) == 100


def test_a_leader_that_comes_back_empty_is_not_followed(cluster, node):
    """Its followers would lose everything: they keep their data and say so, until a person decides."""
    leader, follower = cluster(2)
    fill(leader, 100)
    until(lambda: follows(follower, leader))
    known = contents(follower)
    leader.kill()
    for name in leader.files():
        (leader.data / name).unlink()
    leader.restart()
    leader.one().set("only", "here")
    until(lambda: "belongs to another cluster" in follower.trouble(), "a complaint")
    assert contents(follower) == known
    follower.kill()
    follower.restart()
    until(lambda: "belongs to another cluster" in follower.trouble(), "a complaint")
    # What a restart found may not be committed, and nobody is there who knows: it is kept and not shown.
    with pytest.raises(redis.RedisError, match="leader"):
        follower.local().get("k:1")
    # A person may promote it. Then the empty one is told to follow, and has all again.
    follower.lead()
    assert contents(follower) == known
    leader.follow(follower)
    assert same_contents(follower, leader) == 100
    assert any(b"only" in (leader.data / name).read_bytes() for name in leader.files("aside-"))


def test_everything_arrives_as_it_is_on_the_leader(cluster):
    leader, follower = cluster(2)
    rng = random.Random(3)
    for db in range(DATABASES):
        client = leader.one(db=db)
        with client.pipeline(transaction=False) as pipe:
            for at in range(300):
                key = f"k{rng.randrange(200)}"
                kind = rng.randrange(9)
                if kind < 4:
                    pipe.set(key, rng.randbytes(rng.randrange(60)), px=rng.choice([None, 10_000_000, 90_000_000]))
                elif kind == 4:
                    pipe.append(key, "more")
                elif kind == 5:
                    pipe.setrange(key, rng.randrange(40), "range")
                elif kind == 6:
                    pipe.persist(key)
                elif kind == 7:
                    pipe.delete(key)
                else:
                    pipe.rename(key, f"k{rng.randrange(200)}")
            pipe.execute(raise_on_error=False)
        with client.pipeline(transaction=True) as pipe:
            pipe.set("a", db).incrby("a", 5).setbit("bits", 99, 1).mset({"m1": 1, "m2": 2})
            pipe.execute()
    client = leader.one()
    client.swapdb(1, 2)
    leader.one(db=5).flushdb()
    leader.one(db=5).set("after", "flush")
    client.move("a", 7)
    client.copy("m1", "m9", destination_db=9)
    assert same_contents(leader, follower) > 1_000
    client.flushall()
    assert same_contents(leader, follower) == 0
    client.set("after", "all")
    assert same_contents(leader, follower) == 1


def test_a_value_of_100_mib_arrives(cluster):
    leader, follower = cluster(2)
    value = random.Random(5).randbytes(1 << 20) * 100
    client = leader.one()
    client.set("big", value)
    client.setrange("big", 50 << 20, "in the middle")
    client.append("big", "end")
    until(lambda: follows(follower, leader))
    there = follower.local()
    assert there.strlen("big") == len(value) + 3
    assert there.get("big") == client.get("big")


def test_a_transaction_is_seen_whole_or_not_at_all(cluster):
    leader, follower = cluster(2)
    over, torn, seen = threading.Event(), [], set()

    def watch():
        reader = follower.local()
        while not over.is_set():
            left, right = reader.mget("left", "right")
            seen.add(left)
            if left != right:
                torn.append((left, right))

    watcher = threading.Thread(target=watch)
    watcher.start()
    client = leader.one()
    for number in range(1_500):
        if number % 2:
            client.mset({"left": number, "right": number})
        else:
            with client.pipeline(transaction=True) as pipe:
                pipe.set("left", number).set("right", number).execute()
    until(lambda: follows(follower, leader))
    over.set()
    watcher.join()
    assert torn == []
    assert len(seen) > 10


def test_a_key_expires_on_a_follower_by_the_leaders_clock(cluster):
    leader, follower = cluster(2)
    client, there = leader.one(), follower.local()
    client.set("short", 1, px=300)
    client.set("long", 1, px=1_000_000)
    until(lambda: follows(follower, leader))
    assert there.pttl("short") <= 300 and there.pttl("long") > 300
    until(lambda: there.get("short") is None, "the end of a key")
    until(lambda: there.dbsize() == 1, "the leader's delete")
    assert there.get("long") == b"1"
    client.set("stopped", 1, px=400)
    until(lambda: there.get("stopped") == b"1")
    with leader.frozen():
        # Its deadline is long over by the wall clock, but the leader has not said so.
        time.sleep(0.8)
        assert there.get("stopped") == b"1"
        assert there.exists("stopped") == 1
    until(lambda: there.get("stopped") is None, "the end of a key")


def test_what_is_published_on_the_leader_reaches_clients_of_followers(cluster):
    leader, follower = cluster(2)
    here, there = leader.one().pubsub(), follower.one().pubsub()
    for listener in (here, there):
        listener.subscribe("news")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
    for number in range(50):
        leader.one().publish("news", number)
    for listener in (here, there):
        got = [listener.get_message(timeout=5)["data"] for _ in range(50)]
        assert got == [str(number).encode() for number in range(50)]


def test_passwords_open_the_leaders_door_for_clients(node):
    leader = node(requirepass="secret")
    wrong = node(requirepass="secret", replicaof=f"127.0.0.1 {leader.port}", masterauth="guess")
    right = node(requirepass="secret", replicaof=f"127.0.0.1 {leader.port}", masterauth="secret")
    until(lambda: follows(right, leader))
    until(lambda: "masterauth" in wrong.trouble(), "a complaint")
    client = right.one()
    client.set("k", 1)
    assert client.get("k") == b"1" == leader.one().get("k")
    # As in Redis the password can be put right while the node runs.
    assert wrong.one().config_set("masterauth", "secret")
    until(lambda: follows(wrong, leader), "a follower with a new masterauth")


def test_nodes_without_the_secret_are_turned_away(node):
    leader = node(peer_secret="open sesame")
    right = node(peer_secret="open sesame", replicaof=f"127.0.0.1 {leader.port}")
    until(lambda: follows(right, leader))
    for secret in ({"peer_secret": "close sesame"}, {}):
        stranger = node(replicaof=f"127.0.0.1 {leader.port}", **secret)
        until(lambda: "secret" in stranger.trouble(), "a complaint")
        assert stranger.info()["master_link_status"] == "down"
    until(lambda: leader.says("a node that wanted to connect was turned away"))
    for secret in ({"peer_secret": "close sesame"}, {}):
        stranger = node(join=f"127.0.0.1:{leader.peer_port}", **secret)
        until(lambda: stranger.says("nobody has taken this node in yet"), "a complaint")
    until(lambda: leader.says("it is not sealed with this node's `peer-secret`"))
    leader.one().set("k", 1)
    until(lambda: right.local().get("k") == b"1")
    assert len(leader.lag()) == 1


def test_a_follower_with_a_full_disk_does_not_harm_the_leader(cluster, node):
    leader, good = cluster(2)
    # A file system of its own, in a mount namespace that ends with the process.
    mount = 'mount -t tmpfs -o size=24m tmpfs data && exec "$@"'
    small = node(prefix=["unshare", "-rm", "sh", "-c", mount, "sh"], replicaof=f"127.0.0.1 {leader.port}")
    caught_up(leader, good, small)
    client = leader.one()
    value = "v" * 100_000
    slowest = 0
    for at in range(600):
        begun = time.monotonic()
        client.set(f"big:{at}", value)
        slowest = max(slowest, time.monotonic() - begun)
    until(lambda: follows(good, leader))
    assert client.get("big:599") == value.encode()
    assert slowest < 5
    assert same_contents(leader, good) == 600
    behind = [row for row in leader.lag() if row["lag-records"] > 0]
    assert len(behind) == 1


def test_role_and_info_have_the_shapes_that_clients_parse(cluster):
    leader, follower = cluster(2)
    leader.one().set("k", 1)
    until(lambda: follows(follower, leader))
    end = leader.end()
    until(lambda: leader.one().role() == [b"master", end, [[b"127.0.0.1", str(follower.port).encode(), str(end).encode()]]])
    assert follower.one().role() == [b"slave", b"127.0.0.1", leader.port, b"connected", end]
    info = leader.info()
    assert info["connected_slaves"] == 1
    assert info["slave0"] == {
        "ip": "127.0.0.1", "port": follower.port, "state": "online", "offset": end, "lag": 0, "type": "replica"
    }
    assert (info["role"], info["master_repl_offset"], len(info["master_replid"])) == ("master", end, 40)
    there = follower.info()
    assert there["master_replid"] == info["master_replid"]
    assert (there["role"], there["master_host"], there["master_port"]) == ("slave", "127.0.0.1", leader.port)
    assert (there["master_link_status"], there["slave_repl_offset"], there["slave_read_only"]) == ("up", end, 1)
    assert there["master_last_io_seconds_ago"] in (0, 1)
    leader.kill()
    until(lambda: follower.info()["master_link_status"] == "down")
    assert follower.info()["master_link_down_since_seconds"] >= 0
    assert follower.one().role()[3] in (b"connect", b"connecting")


def test_a_session_is_carried_to_another_follower(cluster):
    leader, one, two = cluster(3)
    writer, reader = one.one(), two.one()
    for number in range(30):
        writer.set("k", number)
        assert reader.execute_command("SESSION", "RESUME", writer.execute_command("SESSION", "TOKEN")) == b"OK"
        assert int(reader.get("k")) == number
    # A follower that was away waits for what the token names, or asks the leader.
    with two.frozen():
        writer.set("k", "new")
        token = writer.execute_command("SESSION", "TOKEN")
    reader.execute_command("SESSION", "RESUME", token)
    assert reader.get("k") == b"new"
