"""What people ask of a cluster of real nodes: a failover and its plan, voters, members, policies."""

import pytest
import redis
from clusters import caught_up, node, pairs, text, until
from test_failover_clients import HOST, Healing, at, every_node_says, healing, master_address

pytestmark = pytest.mark.trefoil
__all__ = ["healing", "node"]


def rows(node, *words):
    return [pairs(row) for row in node.ask(*words)]


def refused(node, *words):
    """The reason."""
    with pytest.raises(redis.ResponseError) as error:
        node.ask(*words)
    return str(error.value)


def plan_of(door):
    """The plan, and its candidates by their names."""
    reply = door.ask("FAILOVER", "PLAN", "default")
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    plan = {text(name): text(value) for name, value in items}
    return plan, {row["node"]: row for row in map(pairs, plan.pop("candidates"))}


def candidates_heard(door):
    plan, candidates = plan_of(door)
    return sum(int(row["may-be-elected"]) for row in candidates.values()) == 2 and (plan, candidates)


def test_a_plan_tells_who_would_lead_and_a_failover_makes_it_so(healing):
    old = healing.leader()
    names = {row["address"]: row["node"] for row in rows(old, "CLUSTER", "MEMBERS")}
    for door in healing.nodes:
        plan, candidates = until(lambda: candidates_heard(door), "a plan with two candidates")
        assert plan["leader"] == names[f"{HOST}:{old.port}"]
        assert candidates[plan["leader"]]["fitness"] == "leads"
        assert int(plan["lossless"]) == 1 and plan["next"] in candidates
    new, door = healing.followers()
    done = pairs(door.ask("FAILOVER", "NOW", "NODE", f"{HOST}:{new.port}"))
    assert done["address"] == f"{HOST}:{new.port}"
    assert healing.leader() is new
    assert int(done["epoch"]) > int(plan["epoch"])
    every_node_says(healing, lambda member: master_address(member) == at(new), "the new leader")
    every_node_says(healing, lambda member: member.info()["master_failover_state"] == "no-failover", "an end")


def test_a_follower_is_made_leader_by_redis_words(healing):
    old, new = healing.leader(), healing.followers()[0]
    assert old.ask("FAILOVER", "TO", HOST, new.port) == b"OK"
    until(lambda: healing.leader() is new, "the node that was named")
    assert until(lambda: old.info()["master_link_status"] == "up", "the old leader's link")
    assert old.ask("CLUSTER", "FAILOVER") == b"OK"
    until(lambda: healing.leader() is old, "the old leader")
    assert "send CLUSTER FAILOVER to a replica" in refused(old, "CLUSTER", "FAILOVER")
    assert "not a replica" in refused(old, "FAILOVER", "TO", HOST, 1)


def test_members_are_given_no_orders_of_their_own(healing):
    for door in healing.nodes:
        assert "FAILOVER asks for another leader" in refused(door, "REPLICAOF", "NO", "ONE")
        assert "FAILOVER asks for another leader" in refused(door, "REPLICAOF", HOST, 1)
        assert "KEYSPACE ALTER default acks" in refused(door, "CONFIG", "SET", "acks", "async")
        assert "--join" in refused(door, "CLUSTER", "MEET", HOST, 1)


def test_policies_are_agreed_upon_and_in_force_everywhere(healing):
    door = healing.followers()[0]
    door.alter(acks="sync", ack_level="flushed", failover="manual", max_loss=5)

    def has_them(member):
        told = pairs(member.ask("KEYSPACE", "SHOW", "default"))
        names = ("acks", "ack-level", "failover", "max-loss")
        return [told[name] for name in names] == ["sync", "flushed", "manual", "5"]

    every_node_says(healing, has_them, "the policy")
    assert "semi-sync:k" in refused(door, "KEYSPACE", "ALTER", "default", "acks", "most")
    door.alter(failover="automatic")
    _, new = healing.lose_leader()
    assert has_them(new) is False and pairs(new.ask("KEYSPACE", "SHOW"))["acks"] == "sync"


def test_voters_come_and_go_and_a_majority_is_kept(healing):
    leader, follower = healing.leader(), healing.followers()[0]
    name = f"{HOST}:{follower.port}"
    assert "1, 3, 5 or 7" in refused(leader, "CLUSTER", "VOTERS", 2)
    assert follower.ask("CLUSTER", "DEMOTE-VOTER", name) == b"OK"
    votes = lambda door: {row["address"]: row["vote"] for row in rows(door, "CLUSTER", "MEMBERS")}
    every_node_says(healing, lambda member: votes(member)[name] != "voter", "one voter less")
    assert leader.ask("CLUSTER", "PROMOTE-VOTER", name) == b"OK"
    every_node_says(healing, lambda member: set(votes(member).values()) == {"voter"}, "three voters")


def test_a_node_that_is_gone_for_good_is_forgotten(healing, node):
    late = node(acks="semi-sync:1", join=f"{HOST}:{healing.leader().peer_port}")
    caught_up(healing.leader(), late)
    name = f"{HOST}:{late.port}"
    members = lambda door: {row["address"]: row for row in rows(door, "CLUSTER", "MEMBERS")}
    every_node_says(healing, lambda member: name in members(member), "a fourth member")
    identity = members(healing.leader())[name]["node"]
    late.terminate()
    leader = healing.leader()
    # As long as it is electable, what it acknowledged counts.
    until(lambda: not leader_has(leader, identity), "a follower that is gone")
    leader.ask("REPLICATION", "FORGET", identity)
    until(lambda: leader.ask("CLUSTER", "FORGET", identity) == b"OK", "a node that is forgotten")
    every_node_says(healing, lambda member: name not in members(member), "three members")


def leader_has(leader, identity):
    return any(row["node"] == identity and row["state"] == "streaming" for row in leader.lag())


def test_a_node_that_is_alone_says_so(node):
    alone = node()
    assert "this node is alone" in refused(alone, "FAILOVER")
    assert "this node is alone" in refused(alone, "CLUSTER", "FORGET", "x")
    [(first, last, leader)] = alone.ask("CLUSTER", "SLOTS")
    assert (first, last, leader[1]) == (0, 16383, alone.port)
    assert master_address(alone) == at(alone)
    alone.alter(failover="manual", acks="async")
    assert pairs(alone.ask("KEYSPACE", "SHOW"))["failover"] == "manual"
    assert Healing([alone]).leader() is alone
