"""What a client is told of a write depends on who has it: acks, levels, WAIT, and reads that wait as well.

Real processes; a follower is frozen by SIGSTOP, so that its sockets stay open and nothing comes.
"""

import threading
import time

import pytest
import redis
from clusters import caught_up, cluster, follows, node, until

pytestmark = pytest.mark.trefoil
__all__ = ["cluster", "node"]


class Call(threading.Thread):
    """A command on a connection of its own, whose answer may take long."""

    def __init__(self, server, *words):
        super().__init__(daemon=True)
        self.client, self.words, self.answer, self.error = server.one(), words, None, None
        self.client.ping()
        self.start()

    def run(self):
        try:
            self.answer = self.client.execute_command(*self.words)
        except redis.RedisError as error:
            self.error = str(error)

    def is_waiting(self):
        self.join(0.15)
        return self.is_alive()

    def result(self):
        self.join(20)
        assert not self.is_alive(), "no answer"
        return self.answer if self.error is None else self.error


def test_semi_sync_waits_for_a_follower_and_says_unknown_when_none_answers(cluster):
    leader, follower = cluster(2, ack_timeout=1_500)
    leader.alter(acks="semi-sync:1")
    assert Call(leader, "SET", "k", 1).result() in (b"OK", True)
    with follower.frozen():
        write = Call(leader, "SET", "k", 2)
        assert write.is_waiting()
        assert "UNKNOWN" in str(write.result())
    # It was in doubt, not refused: it is there.
    until(lambda: follower.local().get("k") == b"2")
    assert leader.info("stats")["replies_unknown"] == 1
    assert Call(leader, "SET", "k", 3).result() in (b"OK", True)


def test_nobody_sees_a_write_that_no_follower_has(cluster):
    leader, follower = cluster(2)
    leader.alter(acks="semi-sync:1")
    leader.one().set("k", "old")
    with follower.frozen():
        write = Call(leader, "SET", "k", "new")
        assert write.is_waiting()
        reads = [Call(leader, "GET", "k"), Call(leader, "STRLEN", "k"), Call(leader, "EXISTS", "k")]
        assert all(read.is_waiting() for read in reads), "a value was seen that can be lost"
        # What does not depend on it is answered.
        assert Call(leader, "PING").result() in (b"PONG", True)
    assert write.result() in (b"OK", True)
    assert reads[0].result() == b"new"
    assert reads[1].result() == 3


def test_too_few_followers_block_writes_and_not_reads(cluster):
    leader, follower = cluster(2)
    leader.alter(acks="semi-sync:1")
    client = leader.one()
    client.set("k", 1)
    follower.kill()
    until(lambda: leader.info()["acks_blocked"] == 1)
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        client.set("k", 2)
    assert client.get("k") == b"1", "what is refused has not happened"
    assert leader.promise()["writes"] == "refused: too few followers are attached"
    follower.restart()
    until(lambda: leader.info()["acks_blocked"] == 0)
    assert client.set("k", 3)


def test_degrade_goes_on_alone_and_says_so(cluster):
    leader, follower = cluster(2)
    leader.one().config_set("degrade-after", 300)
    leader.alter(acks="semi-sync:1", on_lost_acks="degrade")
    client = leader.one()
    client.set("k", 1)
    assert "P4" in str(leader.promise())
    follower.kill()
    until(lambda: leader.info()["acks_degraded"] == 1)
    assert client.set("k", 2)
    promise = leader.promise()
    assert promise["acknowledgements"].startswith("degraded")
    assert "P4" not in str(promise)
    assert leader.info("stats")["writes_acknowledged_degraded"] >= 1
    follower.restart()
    until(lambda: leader.info()["acks_degraded"] == 0)
    assert client.set("k", 3)
    assert "P4" in str(leader.promise())


def test_semi_sync_2_and_sync_need_two(cluster):
    leader, one, two = cluster(3)
    for acks in ("semi-sync:2", "sync"):
        leader.alter(acks=acks)
        assert leader.one().set("k", acks)
        for sleeper in (one, two):
            with sleeper.frozen():
                write = Call(leader, "SET", "k", "later")
                assert write.is_waiting(), acks
            assert write.result() in (b"OK", True)
    leader.alter(acks="semi-sync:1")
    with one.frozen():
        assert Call(leader, "SET", "k", "enough").result() in (b"OK", True)


@pytest.mark.parametrize("level", ["received", "flushed", "applied"])
def test_at_every_level_what_is_acknowledged_is_there(cluster, level):
    leader, one, two = cluster(3)
    leader.alter(acks="sync", ack_level=level)
    readers = [follower.local() for follower in (one, two)]
    client = leader.one()
    for number in range(60):
        client.set("k", number)
        if level == "applied":
            assert [int(reader.get("k")) for reader in readers] == [number, number]
    end = leader.end()
    reached = {"received": "received-lsn", "flushed": "flushed-lsn", "applied": "applied-lsn"}[level]
    until(lambda: all(row[reached] >= end for row in leader.lag()))


def test_the_policy_is_changed_while_writers_are_at_work(cluster):
    leader, one, two = cluster(3)
    over, errors, written = threading.Event(), [], []

    def write(name):
        client, number = leader.one(), 0
        while not over.is_set():
            number += 1
            try:
                client.set(name, number)
            except redis.RedisError as error:
                errors.append(str(error))
        written.append((name, number))

    writers = [threading.Thread(target=write, args=(f"w{at}",)) for at in range(4)]
    for writer in writers:
        writer.start()
    for acks in ("semi-sync:1", "sync", "async", "semi-sync:2", "semi-sync:1") * 2:
        leader.alter(acks=acks, ack_level="flushed" if acks == "sync" else "received")
        time.sleep(0.05)
    over.set()
    for writer in writers:
        writer.join(20)
    assert errors == []
    caught_up(leader, one, two)
    for name, number in written:
        assert int(one.local().get(name)) == int(two.local().get(name)) == number


def test_what_was_altered_holds_after_a_restart(cluster):
    leader, _ = cluster(2)
    leader.alter(acks="semi-sync:1", ack_level="flushed", on_lost_acks="degrade")
    leader.kill()
    leader.restart()
    info = leader.info()
    assert (info["acks"], info["ack_level"], info["on_lost_acks"]) == ("semi-sync:1", "flushed", "degrade")


def test_wait_counts_followers_that_show_it(cluster):
    leader, one, two = cluster(3)
    client = leader.one()
    client.set("k", 1)
    assert client.wait(2, 10_000) == 2
    assert one.local().get("k") == two.local().get("k") == b"1"
    with two.frozen():
        client.set("k", 2)
        assert client.wait(1, 10_000) == 1
        begun = time.monotonic()
        assert client.wait(2, 200) == 1
        assert time.monotonic() - begun >= 0.19
        waits = Call(leader, "WAIT", 2, 0)
        assert waits.is_waiting()
    assert waits.result() == 2


def test_waitaof_counts_disks(cluster):
    leader, one, two = cluster(3, fsync="everysec")
    client = leader.one()
    client.set("k", 1)
    assert client.waitaof(1, 2, 10_000) == [1, 2]
    assert {row["flushed-lsn"] >= leader.end() for row in leader.lag()} == {True}
    with one.frozen():
        client.set("k", 2)
        assert client.waitaof(1, 1, 10_000) == [1, 1]
        assert client.waitaof(0, 2, 200)[1] == 1
    with pytest.raises(redis.ResponseError):
        client.execute_command("WAITAOF", 2, 0, 0)


def test_min_replicas_to_write_has_its_redis_meaning(cluster):
    leader, follower = cluster(2)
    client = leader.one()
    client.config_set("min-replicas-to-write", 1)
    client.config_set("min-replicas-max-lag", 1)
    assert client.set("k", 1)
    assert leader.info()["min_slaves_good_slaves"] == 1
    with follower.frozen():
        until(lambda: leader.info()["min_slaves_good_slaves"] == 0)
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            client.set("k", 2)
        assert client.get("k") == b"1"
    until(lambda: client.set("k", 3))
    client.config_set("min-replicas-to-write", 2)
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        client.set("k", 4)
    client.config_set("min-replicas-to-write", 0)
    assert client.set("k", 5)


def test_a_frozen_follower_is_given_up_and_does_not_hold_the_log(cluster):
    leader, follower = cluster(2, repl_timeout=1)
    with follower.frozen():
        until(lambda: leader.info()["connected_slaves"] == 0, "the end of a silent link")
        leader.one().set("k", 1)
    until(lambda: follows(follower, leader))
    assert follower.local().get("k") == b"1"
