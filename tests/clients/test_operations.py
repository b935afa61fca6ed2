"""`trefoil status`, `failover`, `keyspace`, `cluster members`, `witness`, `diverged` and `receipts`, as an
operator uses them: real nodes, the real program, its output and its exit codes."""

import json
import os
import subprocess

import pytest
from clusters import Node, caught_up, node, same_contents, text, until
from conftest import binary, command_line
from test_replication_failover import old_leader_wrote_alone

pytestmark = pytest.mark.trefoil
__all__ = ["node"]

HOST = "127.0.0.1"
SECONDS = 60
HEALTHY, DEGRADED, DOWN, UNKNOWN = range(4)


class Ran:
    """What a run of the program printed, and its exit code."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)


def trefoil(*words, at=None, **environment):
    port = ["--port", str(at.port)] if at else []
    environment = {**os.environ, **environment}
    command = [binary(), *map(str, words), *port]
    return Ran(subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment))


def good(*words, at):
    ran = trefoil(*words, at=at)
    assert ran.code == 0, f"{words}\n{ran.out}\n{ran.err}"
    return ran.out


def status(at):
    return trefoil("status", "--json", at=at).json()


def is_healthy(at):
    return trefoil("status", at=at).code == HEALTHY


def all_vote(nodes):
    """Waits until each of them knows that all do: with one voter less nobody could be elected."""
    for member in nodes:
        until(lambda: member.info("cluster")["cluster_voters"] == len(nodes), f"voters\n{member.log_tail()}\n")


@pytest.fixture
def joined(node):
    """Three nodes that agree on a leader by themselves, the first one at first."""
    options = {"acks": "semi-sync:1"}
    first = node(**options)
    others = [node(join=f"{HOST}:{first.peer_port}", **options) for _ in range(2)]
    nodes = [first, *others]
    caught_up(*nodes)
    all_vote(nodes)
    until(lambda: is_healthy(first), "health")
    return nodes


@pytest.fixture
def witness(tmp_path):
    started = []

    def start(member):
        folder = tmp_path / "witness"
        folder.mkdir()
        started.append(Witness(folder, {"join": f"{HOST}:{member.peer_port}"}))
        return started[-1]

    yield start
    for one in started:
        one.kill()


class Witness(Node):
    """A node that `trefoil witness` starts: what follows that word are the parameters of a server."""

    def words(self, options):
        return [binary(), "witness", *command_line(self.port, self.data, options)[2:]]


def test_a_node_that_is_alone_has_a_page(node):
    alone = node()
    page = good("status", at=alone)
    assert page.startswith("HEALTHY  1 of 1 nodes answer") and "PROMISE IN FORCE" in page
    assert "\x1b" not in page and "│" not in page, "a pipe gets neither colours nor lines"
    found = status(alone)
    assert found["health"] == "healthy" and found["alerts"] == []
    assert [member["leads"] for member in found["members"]] == [True]
    refused = trefoil("failover", at=alone)
    assert refused.code == 1 and "--join" in refused.err


def test_a_node_that_does_not_answer_is_told_apart(node):
    gone = node()
    gone.kill()
    ran = trefoil("status", at=gone)
    assert ran.code == UNKNOWN and "nobody listens there" in ran.err and "--port" in ran.err
    assert trefoil("keyspace", "list", at=gone).code == 1


def test_the_password_comes_from_a_variable(node):
    locked = node(requirepass="open sesame")
    refused = trefoil("status", at=locked)
    assert refused.code == UNKNOWN and "TREFOIL_PASSWORD" in refused.err
    assert trefoil("status", at=locked, TREFOIL_PASSWORD="open sesame").code == HEALTHY
    assert trefoil("status", at=locked, REDISCLI_AUTH="open sesame").code == HEALTHY
    wrong = trefoil("keyspace", "list", at=locked, TREFOIL_PASSWORD="please")
    assert wrong.code == 1 and "WRONGPASS" in wrong.err


def test_a_reader_that_has_seen_enough_ends_a_watch(node):
    alone = node()
    words = [binary(), "status", "--watch", "1", "--port", str(alone.port)]
    watch = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watch.stdout.readline().startswith("HEALTHY")
    watch.stdout.close()
    assert watch.wait(SECONDS) == 0
    assert watch.stderr.read() == ""
    watch.stderr.close()


def policies(at):
    return dict(line.split(None, 1) for line in good("keyspace", "show", at=at).splitlines())


def test_policies_are_listed_shown_and_altered(node):
    alone = node()
    assert "default" in good("keyspace", "list", at=alone)
    assert good("keyspace", "alter", "default", "fsync=always", at=alone) == "fsync: everysec -> always\n"
    assert "it was so already" in good("keyspace", "alter", "default", "fsync=always", at=alone)
    assert policies(alone)["fsync"] == "always"
    refused = trefoil("keyspace", "alter", "default", "fsync=never", at=alone)
    assert refused.code == 1 and "always, everysec, no" in refused.err
    assert trefoil("keyspace", "alter", "default", "fsync", at=alone).code == 1


def test_leadership_goes_to_whom_a_person_names(joined):
    first, second, third = joined

    def plan():
        return trefoil("failover", "--plan", at=third).out

    until(lambda: plan().startswith("If the leader were gone: node "), "a plan")
    assert f"{HOST}:{second.port}" in plan()
    told = good("failover", "--to", second.port, at=third)
    assert "leads in epoch" in told and "after node" in told
    until(lambda: second.ask("ROLE")[0] == b"master")
    until(lambda: is_healthy(first), "health")
    again = trefoil("failover", "--to", second.port, at=first)
    assert again.code == 1 and "leads already" in again.err
    nobody = trefoil("failover", "--to", "zzz", at=first)
    assert nobody.code == 1 and str(third.port) in nobody.err, "the members are listed"
    assert len(json.loads(good("failover", "--plan", "--json", at=first))["candidates"]) == 3


def test_a_policy_is_that_of_all_nodes(joined):
    first, second, third = joined
    assert "acks: semi-sync:1 -> sync" in good("keyspace", "alter", "default", "acks=sync", at=first)
    until(lambda: policies(second)["acks"] == "sync", "the policy of a follower")
    until(lambda: status(third)["keyspaces"][0]["rule"] == "sync", "the rule in force")


def test_a_lost_node_is_seen_and_removed(joined):
    first, second, third = joined
    names = {member["address"]: member["node"] for member in status(first)["members"]}
    third.kill()
    until(lambda: trefoil("status", at=second).code == DEGRADED, "a warning")
    # The one that leads the control plane now may never have heard it.
    page = trefoil("status", at=second).out
    assert "was not heard for" in page or "does not answer: nobody listens there" in page
    lost = names[f"{HOST}:{third.port}"]
    listed = good("cluster", "members", at=first)
    assert all(name in listed for name in names.values())
    attached = trefoil("cluster", "remove", second.port, at=first)
    assert attached.code == 1 and "stop it first" in attached.err
    leads = trefoil("cluster", "remove", first.port, at=second)
    assert leads.code == 1 and "trefoil failover" in leads.err
    until(lambda: all(row["state"] != "streaming" or row["node"] != lost for row in first.lag()))
    removed = trefoil("cluster", "remove", lost[:12], at=second)
    assert removed.out.endswith("is no member any more\n"), f"{removed.err}\n{first.log_tail()}"
    until(lambda: lost not in good("cluster", "members", at=first), "two members")


def test_a_member_votes_or_does_not(joined):
    first, second, third = joined

    def votes():
        return {member["address"]: member["vote"] for member in status(first)["members"]}

    assert "votes no more" in good("cluster", "demote-voter", third.port, at=second)
    until(lambda: votes()[f"{HOST}:{third.port}"] != "voter", "a learner")
    assert "votes from now on" in good("cluster", "promote-voter", third.port, at=first)
    until(lambda: votes()[f"{HOST}:{third.port}"] == "voter", "a voter")


def test_two_nodes_and_a_witness_survive_the_loss_of_the_leader(node, witness):
    policy = {"acks": "sync", "on_lost_acks": "degrade", "degrade_after": 100}
    first = node(**policy)
    second = node(join=f"{HOST}:{first.peer_port}", **policy)
    caught_up(first, second)
    third = witness(first)
    all_vote([first, second, third])
    until(lambda: is_healthy(third), "health")
    with third.one() as client:
        assert client.ping()
        assert client.info("replication")["trefoil_role"] == "witness"
        for words in (("GET", "k"), ("SET", "k", "v"), ("DBSIZE",), ("EVAL", "return 1", 0)):
            with pytest.raises(Exception, match="witness|unknown command"):
                client.execute_command(*words)
    kinds = {member["address"]: member["kind"] for member in status(second)["members"]}
    assert kinds[f"{HOST}:{third.port}"] == "witness"
    with first.one() as client:
        client.set("kept", "yes")
    page = good("status", at=second)
    first.kill()
    until(lambda: second.ask("ROLE")[0] == b"master", "another leader")
    with second.one() as client:
        kept = until(lambda: client.get("kept"), f"the value\n{first.log_tail()}\n{second.log_tail()}\n{page}")
        assert kept == b"yes"
    # A directory is that of a witness for ever.
    third.terminate()
    words = command_line(third.port, third.data, {"peer": f"{HOST}:{third.peer_port}"})
    refused = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert refused.returncode == 1 and "trefoil witness" in refused.stderr
    third.restart()
    until(lambda: third.info("replication")["trefoil_role"] == "witness")


def test_a_witness_needs_a_cluster_to_vote_in(tmp_path):
    words = [binary(), "witness", "--port", "0", "--http", "off", "--data-dir", str(tmp_path / "w")]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 1 and "--join" in ran.stderr


def test_what_was_cut_off_is_compared_written_again_and_dropped(node):
    leader = node()
    one, two = [node(replicaof=f"{HOST} {leader.port}") for _ in range(2)]
    caught_up(leader, one, two)
    old_leader_wrote_alone(leader, one, two)
    leader.follow(one)
    same_contents(one, leader)
    [archive] = leader.diverged()
    name = archive["id"]
    # Any node may be asked: the archive lies on the old leader and is written by the new one.
    listed = good("diverged", "list", at=one)
    assert name in listed and f"{HOST}:{leader.port}" in listed
    page = trefoil("status", at=two)
    assert page.code == DEGRADED and "trefoil diverged list" in page.out
    shown = good("diverged", "show", name, at=two)
    blocks = {block.split()[0]: block for block in shown.split("\n\n")[1:]}
    assert "apply would write it" in blocks['"only-old"']
    assert '  - "before"\n  + "old leader"' in blocks['"only-old"']
    assert "changed since" in blocks['"both"'] and '  - "new leader"\n  + "old leader"' in blocks['"both"']
    assert '  - (not there)\n  + "old leader"' in blocks['"created"']
    assert '  - "10"\n  + (deleted)' in blocks['"counted"']
    assert '[0] SET "both" "old leader"' in good("diverged", "show", name, "--commands", at=two)
    written = good("diverged", "apply", name, at=two)
    assert "were written again" in written
    with one.one() as client:
        assert client.mget("only-old", "both", "created") == [b"old leader", b"new leader", b"old leader"]
        assert client.get("counted") is None
    assert [row["id"] for row in leader.diverged()] == [name], "it stays where it was"
    assert one.diverged() == [], "the copy does not"
    again = good("diverged", "show", name, at=leader)
    assert "apply would write 0" in again
    assert f"{HOST}:{leader.port}" in good("diverged", "drop", name, at=one)
    assert "nothing was cut off" in good("diverged", "list", at=one)
    assert trefoil("diverged", "show", name, at=one).code == 1
    receipts = good("receipts", at=one)
    assert name in receipts and '"both"' in receipts
    assert text(name) in json.dumps(trefoil("receipts", "--json", at=one).json())
