"""Clients of a follower: what they write goes to the leader, what they read is as fresh as they asked.

Real processes: a leader and a follower of it, and clients that know only one of the two.
"""

import pathlib
import random
import signal
import threading
import time

import pytest
import redis
from random_commands import FAMILIES, sequence
from raw_resp import RawConnection
from test_against_valkey import first_difference

pytestmark = pytest.mark.trefoil

DEADLINE_SECONDS = 20
SEEDS = range(2)


def until(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            found = condition()
        except redis.RedisError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "it does not come to be"
        time.sleep(0.01)


def node(start, **options):
    return start(peer="127.0.0.1:0", http="off", **options)


def follow(follower, leader):
    asked = follower.client().execute_command("REPLICAOF", "127.0.0.1", leader.port)
    assert asked == b"OK"
    until(lambda: follower.client().info("replication")["master_link_status"] == "up")
    until(lambda: follower.client(single_connection_client=True).get("nothing") is None)


def stop(server):
    """SIGSTOP, and every thread stands still."""
    server.process.send_signal(signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{server.process.pid}/task")
    until(lambda: all(") T " in (task / "stat").read_text() for task in tasks.iterdir()))


@pytest.fixture
def pair(start_server):
    """A leader and its follower."""

    def start(**options):
        leader, follower = node(start_server), node(start_server, **options)
        follow(follower, leader)
        return leader, follower

    return start


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A leader, its follower, and a node alone, for tests that leave them as they are."""
    from conftest import Server

    options = {"peer": "127.0.0.1:0", "http": "off"}
    servers = [Server(tmp_path_factory.mktemp(name), options) for name in ("leader", "follower", "alone")]
    follow(servers[1], servers[0])
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def follower(shared, protocol):
    shared[0].client().flushall()
    connection = shared[1].client(protocol)
    yield connection
    connection.close()


def test_what_a_client_wrote_it_reads_at_once(shared, follower):
    for number in range(300):
        follower.set("k", number)
        assert follower.get("k") == str(number).encode()
    assert shared[0].client().get("k") == b"299"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_random_commands_are_answered_as_by_a_node_alone(shared, protocol, family, seed):
    commands = sequence(random.Random(f"{family} {seed}"), family, 400)
    with RawConnection(shared[1].port, protocol) as ours, RawConnection(shared[2].port, protocol) as theirs:
        assert first_difference((ours, theirs), commands) is None


def test_a_pool_of_connections_is_one_session(shared, follower):
    failures = []

    def work(number):
        for step in range(200):
            follower.set(f"k{number}", step)
            seen = int(follower.get(f"k{number}"))
            if seen != step:
                failures.append((number, step, seen))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_connections_of_one_name_are_one_session_and_others_are_not_forgotten(shared, protocol):
    writer = shared[1].client(protocol, client_name="shop")
    reader = shared[1].client(protocol, client_name="shop")
    reader.get("k")
    for number in range(100):
        writer.set("k", number)
        assert int(reader.get("k")) == number


def test_a_transaction_is_the_leaders(shared, follower):
    with follower.pipeline() as pipe:
        pipe.set("a", 1).incr("a").get("a")
        assert pipe.execute()[-1] == b"2"
    with follower.pipeline() as pipe:
        pipe.watch("a")
        assert pipe.get("a") == b"2"
        shared[0].client().set("a", 9)
        pipe.multi()
        pipe.set("a", 3)
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert follower.get("a") == b"9"
    with follower.pipeline() as pipe:
        pipe.watch("a")
        pipe.unwatch()
        shared[0].client().set("a", 10)
        pipe.multi()
        pipe.incr("a")
        assert pipe.execute() == [11]


def test_a_transaction_with_a_mistake_is_not_executed(shared, protocol):
    with RawConnection(shared[1].port, protocol) as connection:
        for mistake in ([b"NONSENSE"], [b"GET"], [b"CLIENT", b"ID"], [b"SUBSCRIBE", b"c"]):
            replies = connection.ask([[b"SET", b"k", b"1"], [b"MULTI"], [b"SET", b"k", b"2"], mistake, [b"EXEC"]])
            assert [reply[:1] for reply in replies] == [b"+", b"+", b"+", b"-", b"-"], replies
            assert replies[-1].startswith(b"-EXECABORT"), replies
            assert connection.ask([[b"GET", b"k"], [b"EXEC"]])[0] == b"$1\r\n1\r\n"
        replies = connection.ask([[b"MULTI"], [b"SET", b"k", b"3"], [b"DISCARD"], [b"GET", b"k"]])
        assert replies[-2:] == [b"+OK\r\n", b"$1\r\n1\r\n"]
        replies = connection.ask([[b"MULTI"], [b"SET", b"k", b"3"], [b"RESET"], [b"GET", b"k"]])
        assert replies[-2:] == [b"+RESET\r\n", b"$1\r\n1\r\n"]


def test_a_database_selected_within_a_transaction_stays_selected(shared, protocol):
    with RawConnection(shared[1].port, protocol) as connection:
        connection.ask([[b"SELECT", b"3"], [b"SET", b"k", b"three"]])
        connection.ask([[b"MULTI"], [b"SELECT", b"4"], [b"SET", b"k", b"four"], [b"EXEC"]])
        assert connection.ask([[b"GET", b"k"]]) == [b"$4\r\nfour\r\n"]
        connection.ask([[b"MULTI"], [b"SELECT", b"5"], [b"DISCARD"]])
        connection.ask([[b"SET", b"k", b"vier"]])
        assert connection.ask([[b"GET", b"k"], [b"SELECT", b"3"], [b"GET", b"k"]])[::2] == [
            b"$4\r\nvier\r\n",
            b"$5\r\nthree\r\n",
        ]


def test_replies_keep_the_order_of_the_commands(shared, protocol):
    rng = random.Random(7)
    with RawConnection(shared[1].port, protocol) as connection:
        commands, expected = [], []
        for number in range(2_000):
            text = str(number).encode()
            kind = rng.randrange(5)
            if kind == 0:
                commands.append([b"SET", b"k", text])
                expected.append(b"+OK\r\n")
            elif kind == 1:
                commands.append([b"ECHO", text])
                expected.append(b"$%d\r\n%s\r\n" % (len(text), text))
            elif kind == 2:
                commands.append([b"SETEX", b"k", b"nonsense", text])
                expected.append(b"-ERR value is not an integer or out of range\r\n")
            elif kind == 3:
                commands.append([b"NONSENSE", text])
                expected.append(b"-ERR unknown command 'NONSENSE', with args beginning with: '%s' \r\n" % text)
            else:
                commands += [[b"SET", b"k", text], [b"GET", b"k"]]
                expected += [b"+OK\r\n", b"$%d\r\n%s\r\n" % (len(text), text)]
        assert connection.ask(commands, at_once=700) == expected


def test_big_values_come_through_whole(shared, follower):
    value = random.Random(1).randbytes(20 << 20)
    follower.set("big", value)
    assert follower.get("big") == value
    follower.execute_command("CONSISTENCY", "linearizable")
    linear = redis.Redis(port=shared[1].port, single_connection_client=True)
    linear.execute_command("CONSISTENCY", "linearizable")
    for _ in range(3):
        assert linear.get("big") == value
    with linear.pipeline(transaction=False) as pipe:
        for _ in range(8):
            pipe.get("big")
        assert all(got == value for got in pipe.execute())


def test_replies_that_are_not_wanted_are_not_shown(shared, protocol):
    with RawConnection(shared[1].port, protocol) as connection:
        commands = [[b"CLIENT", b"REPLY", b"SKIP"], [b"SET", b"k", b"1"], [b"INCR", b"k"]]
        connection.socket.sendall(b"".join(map(encoded, commands)))
        assert connection.reply() == b":2\r\n"
        commands = [[b"CLIENT", b"REPLY", b"OFF"], [b"INCR", b"k"], [b"INCR", b"k"], [b"CLIENT", b"REPLY", b"ON"]]
        connection.socket.sendall(b"".join(map(encoded, commands)))
        assert connection.reply() == b"+OK\r\n"
        assert connection.ask([[b"GET", b"k"]]) == [b"$1\r\n4\r\n"]


def encoded(command):
    return b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)


def test_who_sends_and_hangs_up_still_gets_the_answers(shared):
    with RawConnection(shared[1].port) as connection:
        request = b"".join(encoded([b"SET", b"k%d" % number, b"v"]) for number in range(100))
        assert connection.everything_after(request + encoded([b"QUIT"])) == b"+OK\r\n" * 101
    with RawConnection(shared[1].port) as connection:
        assert connection.everything_after(request + b"*x\r\n").startswith(b"+OK\r\n" * 100 + b"-ERR Protocol")


def test_messages_do_not_mix_with_replies(shared):
    with RawConnection(shared[1].port, 3) as connection:
        value = b"v" * 300_000
        connection.ask([[b"SET", b"k", value], [b"CONSISTENCY", b"linearizable"], [b"SUBSCRIBE", b"c"]])
        other = shared[1].client()
        stop = threading.Event()

        def publish():
            while not stop.is_set():
                other.publish("c", "hello")

        thread = threading.Thread(target=publish)
        thread.start()
        answers = 0
        connection.socket.sendall(encoded([b"GET", b"k"]) * 30)
        while answers < 30:
            reply = connection.reply()
            if reply[:1] == b">":
                assert reply.endswith(b"hello\r\n")
            else:
                assert reply == b"$300000\r\n" + value + b"\r\n"
                answers += 1
        stop.set()
        thread.join()


def test_a_connection_says_how_fresh_its_reads_are(shared, protocol):
    with RawConnection(shared[1].port, protocol) as connection:
        told = connection.ask([[b"CONSISTENCY"]])[0]
        assert b"session" in told and b"configuration" in told and b"follower" in told
        for words in (b"EVENTUAL", b"session", b"bounded 500", b"linearizable"):
            assert connection.ask([[b"CONSISTENCY", *words.split()]]) == [b"+OK\r\n"]
            assert words.split()[0].lower() in connection.ask([[b"consistency"]])[0]
            assert connection.ask([[b"SET", b"k", words]]) == [b"+OK\r\n"]
        assert connection.ask([[b"GET", b"k"]]) == [b"$12\r\nlinearizable\r\n"]
        for wrong in (b"nonsense", b"bounded", b"session 3"):
            assert connection.ask([[b"CONSISTENCY", *wrong.split()]]) == [b"-ERR syntax error\r\n"]
        assert connection.ask([[b"CONSISTENCY", b"session", b"R", b"2"]])[0].startswith(b"-ERR R and W are for")
        assert connection.ask([[b"READONLY"], [b"READWRITE"], [b"ASKING"]]) == [b"+OK\r\n"] * 3


def test_a_token_carries_a_session_to_another_node(shared):
    leader, follower = (server.client(single_connection_client=True) for server in shared[:2])
    for number in range(50):
        leader.set("k", number)
        token = leader.execute_command("SESSION", "TOKEN")
        assert follower.execute_command("SESSION", "RESUME", token) == b"OK"
        assert int(follower.get("k")) == number
    follower.set("k", "f")
    assert leader.execute_command("SESSION", "RESUME", follower.execute_command("SESSION", "TOKEN")) == b"OK"
    with pytest.raises(redis.ResponseError, match="no session token"):
        follower.execute_command("SESSION", "RESUME", "nonsense")
    foreign = shared[2].client().execute_command("SESSION", "TOKEN")
    with pytest.raises(redis.ResponseError, match="LOSTBRANCH"):
        follower.execute_command("SESSION", "RESUME", foreign)


def test_a_user_is_sent_to_the_follower_first(shared):
    ports = [server.port for server in shared[:2]]
    for server in shared[:2]:
        route = server.client().execute_command("SESSION", "ROUTE", "anna")
        assert [node[1] for node in route] == [ports[1], ports[0]]


def test_waiting_for_followers_works_on_a_follower(shared, follower):
    pool = shared[1].client(single_connection_client=True)
    pool.set("k", "v")
    assert pool.wait(1, 5_000) == 1


def test_a_leader_by_name_and_with_a_password(pair):
    leader, follower = pair()
    asked = follower.client().execute_command("REPLICAOF", "localhost", leader.port)
    assert asked == b"OK"
    until(lambda: follower.client().info("replication")["master_host"] == "localhost")
    client = follower.client(single_connection_client=True)
    until(lambda: client.set("k", 1))
    assert client.get("k") == b"1"
    leader.client().config_set("requirepass", "secret")
    new = follower.client(single_connection_client=True)
    with pytest.raises(redis.RedisError, match="Authentication required"):
        new.set("k", 2)
    follower.client().config_set("masterauth", "secret")
    new.set("k", 2)
    assert new.get("k") == b"2"


def test_writes_are_refused_where_they_are_not_to_be_forwarded(pair):
    leader, follower = pair(follower_writes="readonly")
    leader.client().set("k", 1)
    client = follower.client(single_connection_client=True)
    assert client.get("k") == b"1"
    with pytest.raises(redis.ReadOnlyError):
        client.set("k", 2)
    with client.pipeline() as pipe:
        pipe.get("k").get("k")
        assert pipe.execute() == [b"1", b"1"]
    with client.pipeline() as pipe, pytest.raises(redis.RedisError):
        pipe.get("k").set("k", 2)
        pipe.execute()
    client.config_set("follower-writes", "moved")
    with pytest.raises(redis.ResponseError, match=f"7629 127.0.0.1:{leader.port}"):
        client.set("k", 2)
    assert leader.client().get("k") == b"1"


def test_a_new_connection_after_a_crash_reads_no_less(pair):
    leader, follower = pair()
    written = leader.client()
    for number in range(5):
        follower.client().set("k", number)
        follower.kill()
        written.set("k", f"{number} again")
        follower.restart()
        assert until(lambda: follower.client().get("k")) == f"{number} again".encode()


def test_without_the_leader_reads_are_as_fresh_as_asked_for_or_refused(pair):
    leader, follower = pair()
    known = follower.client(single_connection_client=True)
    known.set("k", 1)
    assert known.get("k") == b"1"
    watching = follower.client(single_connection_client=True).pipeline()
    watching.watch("k")
    leader.kill()
    # What it wrote is here.
    assert known.get("k") == b"1"
    with pytest.raises(redis.RedisError, match="MASTERDOWN|leader|UNKNOWN"):
        known.set("k", 2)
    with pytest.raises(redis.RedisError, match="MASTERDOWN|leader"):
        known.set("k", 2)
    new = follower.client(single_connection_client=True)
    with pytest.raises(redis.RedisError, match="MASTERDOWN|leader"):
        new.get("k")
    new.execute_command("CONSISTENCY", "eventual")
    assert new.get("k") == b"1"
    new.execute_command("CONSISTENCY", "linearizable")
    with pytest.raises(redis.RedisError, match="MASTERDOWN|leader"):
        new.get("k")
    watching.multi()
    watching.set("k", 3)
    with pytest.raises(redis.RedisError):
        watching.execute()
    assert follower.client().info("replication")["role"] == "slave"


def test_a_bound_holds_though_the_leader_is_gone(pair):
    leader, follower = pair()
    with RawConnection(follower.port) as connection:
        connection.ask([[b"SET", b"k", b"v"], [b"CONSISTENCY", b"bounded", b"50"]])
        # Not older than that, but not the newest.
        until(lambda: connection.ask([[b"GET", b"k"]]) == [b"$1\r\nv\r\n"])
        leader.kill()
        until(lambda: connection.ask([[b"GET", b"k"]])[0].startswith(b"-MASTERDOWN"))
        connection.ask([[b"CONSISTENCY", b"bounded", b"600000"]])
        assert connection.ask([[b"GET", b"k"]]) == [b"$1\r\nv\r\n"]


def test_an_answer_that_does_not_come_is_unknown(pair):
    leader, follower = pair(forward_timeout=300)
    with RawConnection(follower.port) as known, RawConnection(follower.port) as new:
        assert known.ask([[b"SET", b"k", b"1"]]) == [b"+OK\r\n"]
        stop(leader)
        try:
            answers = known.ask([[b"SET", b"k", b"2"], [b"GET", b"k"], [b"SET", b"k", b"3"]])
            assert [answer.split()[0] for answer in answers] == [b"-UNKNOWN", b"-MASTERDOWN", b"-UNKNOWN"]
            # Nothing was sent: a stopped leader does not say that it leads.
            assert new.ask([[b"SET", b"k", b"4"]])[0].startswith(b"-MASTERDOWN")
        finally:
            leader.process.send_signal(signal.SIGCONT)
        until(lambda: known.ask([[b"SET", b"k", b"5"]]) == [b"+OK\r\n"])
        assert known.ask([[b"GET", b"k"]]) == [b"$1\r\n5\r\n"]


def test_a_follower_follows_its_leader_to_another_one(start_server):
    first, second, third = (node(start_server) for _ in range(3))
    follow(second, first)
    follow(third, first)
    client = third.client(single_connection_client=True)
    client.set("k", 1)
    assert second.client().get("k") == b"1"
    second.client().execute_command("REPLICAOF", "NO", "ONE")
    until(lambda: second.client().info("replication")["role"] == "master")
    follow(third, second)
    until(lambda: client.set("k", 2))
    assert client.get("k") == b"2"
    assert second.client().get("k") == b"2"
    assert first.client().get("k") == b"1"


def test_a_token_of_a_lost_branch_is_refused(pair):
    leader, follower = pair()
    follower.client().set("k", 1)
    follower.client().execute_command("REPLICAOF", "NO", "ONE")
    until(lambda: follower.client().info("replication")["role"] == "master")
    for number in range(10):
        leader.client().set("k", number)
    token = leader.client().execute_command("SESSION", "TOKEN")
    with pytest.raises(redis.ResponseError, match="LOSTBRANCH"):
        follower.client().execute_command("SESSION", "RESUME", token)


def is_unknown(client, *command):
    try:
        client.execute_command(*command)
    except redis.ResponseError as error:
        return str(error).startswith("UNKNOWN")
    return False


def test_replies_that_wait_too_long_are_unknown_each_in_its_place(pair):
    leader, follower = pair()
    client = leader.client(single_connection_client=True)
    client.config_set("ack-timeout", 300)
    until(lambda: b"streaming" in repr(client.execute_command("REPLICATION", "LAG")).encode())
    client.execute_command("KEYSPACE", "ALTER", "default", "acks", "semi-sync:1")
    until(lambda: client.set("k", 0))
    stop(follower)
    try:
        until(lambda: is_unknown(client, "SET", "k", "0"))
        with client.pipeline(transaction=False) as pipe:
            pipe.ping().set("k", 1).get("k").ping()
            answers = pipe.execute(raise_on_error=False)
        assert answers[0] is True
        assert [str(answer).split()[0] for answer in answers[1:]] == ["UNKNOWN"] * 3
    finally:
        follower.process.send_signal(signal.SIGCONT)
    assert until(lambda: client.get("k")) == b"1"
