"""The leader changes, or comes back from a crash: epochs, tails that diverged, and what becomes of them.

Leadership is set by hand: REPLICAOF NO ONE on one node, REPLICAOF on the others.
"""

import shutil

import pytest
import redis
from clusters import caught_up, cluster, contents, fill, follows, node, pairs, same_contents, until

pytestmark = pytest.mark.trefoil
__all__ = ["cluster", "node"]


def shown(server, archive):
    lines = server.ask("REPLICATION", "DIVERGED", "SHOW", archive["id"], 10_000)
    return [line.decode().split(" ", 2)[2] for line in lines]


def test_a_follower_is_promoted_by_hand_and_the_others_follow(cluster):
    leader, one, two = cluster(3)
    fill(leader, 500)
    until(lambda: follows(one, leader) and follows(two, leader))
    epoch, history = leader.info()["epoch"], leader.info()["master_replid"]
    leader.terminate()
    one.lead()
    assert one.one().role()[0] == b"master"
    assert one.info()["epoch"] > epoch
    assert one.info()["master_replid2"] == history
    two.follow(one)
    one.one().set("new", "leader")
    assert same_contents(one, two) == 501
    assert two.info()["epoch"] == one.info()["epoch"]
    # The old leader remembers that it led; told to follow, it has nothing to lose.
    leader.restart()
    leader.follow(one)
    assert same_contents(one, leader) == 501
    assert leader.diverged() == []
    assert one.info("stats")["sync_full"] == 0
    caught_up(one, two, leader)


def old_leader_wrote_alone(leader, one, two):
    """The leader writes while its followers are dead, dies, and one of them is promoted."""
    with leader.one() as client:
        client.mset({"both": "before", "only-old": "before", "gone": "before", "counted": 10})
    until(lambda: follows(one, leader) and follows(two, leader))
    one.kill()
    two.kill()
    with leader.one() as client:
        client.set("both", "old leader")
        client.set("only-old", "old leader")
        client.set("created", "old leader", px=100_000_000)
        client.append("gone", " and more")
        client.delete("counted")
        with client.pipeline(transaction=True) as pipe:
            pipe.set("pair:a", 1).set("pair:b", 1).execute()
        assert client.waitaof(1, 0, 5_000)[0] == 1
    leader.kill()
    one.restart()
    two.restart()
    one.lead()
    two.follow(one)
    one.one().set("both", "new leader")
    one.one().delete("gone")
    until(lambda: follows(two, one))
    leader.restart()


def test_what_the_old_leader_wrote_alone_is_in_an_archive(cluster):
    leader, one, two = cluster(3)
    old_leader_wrote_alone(leader, one, two)
    leader.follow(one)
    same_contents(one, leader)
    assert same_contents(one, two) == len(contents(one))
    assert one.one().get("both") == b"new leader"
    [archive] = leader.diverged()
    assert archive["records"] >= 6
    assert archive["acks"] == "async"
    assert archive["acknowledged-records"] == archive["records"]
    assert (leader.data / archive["file"]).is_file()
    lines = shown(leader, archive)
    assert '[0] SET "both" "old leader"' in lines
    assert '[0] APPEND "gone" " and more"' in lines
    assert '[0] DEL "counted"' in lines
    assert any(line.startswith('[0] SET "created" "old leader" PXAT ') for line in lines)
    [receipt] = leader.ask("REPLICATION", "RECEIPTS")
    assert b"created" in repr(receipt).encode()
    # On the followers nothing was cut, so nothing is archived.
    assert one.diverged() == two.diverged() == []


def test_an_archive_brings_back_what_nobody_has_changed(cluster):
    leader, one, two = cluster(3)
    old_leader_wrote_alone(leader, one, two)
    leader.follow(one)
    same_contents(one, leader)
    [archive] = leader.diverged()
    with pytest.raises(redis.ResponseError, match="only a leader"):
        leader.ask("REPLICATION", "DIVERGED", "APPLY", archive["id"])
    # Back in the lead, it writes them again.
    leader.lead()
    one.follow(leader)
    two.follow(leader)
    report = pairs(leader.ask("REPLICATION", "DIVERGED", "APPLY", archive["id"], "IF-UNCHANGED"))
    assert report["records"] == archive["records"]
    client = leader.one()
    assert client.get("both") == b"new leader", "changed since, so left alone"
    assert client.get("only-old") == b"old leader"
    assert client.get("created") == b"old leader"
    assert client.pttl("created") > 90_000_000
    assert client.get("gone") is None, "a part of a value that is gone is not written"
    assert client.mget("pair:a", "pair:b") == [b"1", b"1"]
    assert report["skipped-changed"] >= 1
    for follower in (one, two):
        same_contents(leader, follower)
    assert leader.ask("REPLICATION", "DIVERGED", "DROP", archive["id"]) == b"OK"
    assert leader.diverged() == []
    assert not (leader.data / archive["file"]).exists()
    assert len(leader.ask("REPLICATION", "RECEIPTS")) == 1, "a receipt stays"


def test_an_archive_is_written_again_where_it_is_copied_to(cluster):
    leader, one, two = cluster(3)
    old_leader_wrote_alone(leader, one, two)
    leader.follow(one)
    same_contents(one, leader)
    [archive] = leader.diverged()
    shutil.copy(leader.data / archive["file"], one.data)
    assert [row["id"] for row in one.diverged()] == [archive["id"]]
    report = pairs(one.ask("REPLICATION", "DIVERGED", "APPLY", archive["id"]))
    assert report["applied"] > 0
    assert one.one().get("only-old") == b"old leader"
    assert one.one().get("both") == b"new leader"
    same_contents(one, two)
    same_contents(one, leader)


def test_two_leaders_are_not_merged(cluster):
    leader, one, two = cluster(3)
    fill(leader, 50)
    until(lambda: follows(one, leader) and follows(two, leader))
    one.lead()
    two.lead()
    assert one.info()["epoch"] == two.info()["epoch"]
    one.one().set("who", "one")
    two.one().set("who", "two")
    two.one().set("only two", 2)
    two.follow(one)
    same_contents(one, two)
    assert two.one().get("who") == b"one"
    assert '[0] SET "only two" "2"' in [line for archive in two.diverged() for line in shown(two, archive)]


def test_a_leader_that_crashed_leads_on_in_a_new_epoch(cluster):
    leader, one, two = cluster(3, fsync="no")
    leader.alter(acks="semi-sync:1")
    fill(leader, 300)
    epoch = leader.info()["epoch"]
    leader.kill()
    # Its members hold what was acknowledged; it asks them before it leads.
    leader.restart()
    until(lambda: leader.info()["trefoil_role"] == "leader", f"a leader\n{leader.log_tail()}\n")
    assert leader.info()["epoch"] > epoch
    until(lambda: leader.one().set("after", 1))
    for follower in (one, two):
        assert same_contents(leader, follower) == 301


def test_a_crashed_leader_gets_back_what_it_lost_from_its_followers(cluster):
    """Its log loses its end, as with a power failure under `fsync no`: the followers have it."""
    leader, one, two = cluster(3, fsync="no")
    leader.alter(acks="semi-sync:1", ack_level="flushed")
    fill(leader, 200)
    [log] = leader.files("wal-")
    leader.kill()
    path = leader.data / log
    written = path.read_bytes()
    at = written.rfind(b"k:150")
    assert at > 0
    # Zeros, as in a part of the file that never reached the disk.
    path.write_bytes(written[: at - 200] + bytes(len(written) - at + 200))
    leader.restart()
    until(lambda: leader.info()["trefoil_role"] == "leader", f"a leader\n{leader.log_tail()}\n")
    client = leader.one()
    until(lambda: client.get("k:199"), "the last acknowledged write")
    assert all(client.mget([f"k:{at}" for at in range(200)]))
    client.set("after", 1)
    for follower in (one, two):
        assert same_contents(leader, follower) == 201


def test_a_crashed_leader_without_its_members_does_not_lead(cluster):
    leader, one = cluster(2)
    leader.alter(acks="semi-sync:1")
    leader.one().set("k", 1)
    one.kill()
    leader.kill()
    leader.restart()
    assert leader.info()["trefoil_role"] == "recovering"
    with pytest.raises(redis.RedisError):
        leader.one(retry=None).set("k", 2)
    one.restart()
    until(lambda: leader.info()["trefoil_role"] == "leader")
    until(lambda: leader.one().set("k", 3))
    assert same_contents(leader, one) == 1


def test_a_clean_stop_goes_on_in_its_epoch(cluster):
    leader, one = cluster(2)
    fill(leader, 10)
    epoch = leader.info()["epoch"]
    assert leader.terminate() == 0
    leader.restart()
    leader.one().set("after", 1)
    assert leader.info()["epoch"] == epoch
    assert same_contents(leader, one) == 11


def test_an_old_leader_that_is_only_asleep_cannot_mislead_its_followers(cluster):
    """It wakes up after another was promoted: nobody takes its records, its clients lose what they wrote to it."""
    leader, one, two = cluster(3)
    leader.alter(acks="semi-sync:1")
    leader.one().set("k", "first")
    until(lambda: follows(one, leader) and follows(two, leader))
    leader.freeze()
    one.lead()
    two.follow(one)
    one.alter(acks="semi-sync:1")
    until(lambda: one.one().set("k", "second"))
    leader.thaw()
    with pytest.raises(redis.RedisError):
        leader.one(retry=None).set("k", "too late")
    assert one.one().get("k") == b"second"
    until(lambda: follows(two, one))
    assert two.local().get("k") == b"second"
    leader.follow(one)
    assert same_contents(one, leader) == 1


def test_a_chain_is_refused_in_words(cluster, node):
    leader, one = cluster(2)
    second = node(replicaof=f"127.0.0.1 {one.port}")
    until(lambda: "does not lead" in second.trouble(), "a complaint")
    second.follow(leader)
    until(lambda: follows(second, leader))
