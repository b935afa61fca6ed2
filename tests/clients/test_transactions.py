"""MULTI, EXEC, WATCH: over the wire, between connections, after a kill, and in a storm."""

import threading

import pytest
import redis


def raw(connection, *words):
    return connection.execute_command(*words)


def test_a_transaction_answers_in_order(client):
    with client.pipeline(transaction=True) as pipeline:
        answers = pipeline.set("a", 1).incr("a").get("a").dbsize().execute()
    assert answers == [True, 2, b"2", 1]


def test_an_error_within_does_not_stop_the_rest(client):
    with client.pipeline(transaction=True) as pipeline:
        pipeline.set("word", "abc").incr("word").set("after", 1)
        answers = pipeline.execute(raise_on_error=False)
    assert isinstance(answers[1], redis.ResponseError)
    assert client.get("after") == b"1"


def test_an_error_while_queueing_discards(client):
    with client.pipeline(transaction=True) as pipeline:
        pipeline.set("a", 1).execute_command("NO-SUCH-COMMAND")
        with pytest.raises(redis.ResponseError):
            pipeline.execute()
    assert client.get("a") is None
    single = client.client()
    raw(single, "MULTI")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        raw(single, "GET")
    with pytest.raises(redis.exceptions.ExecAbortError, match="previous errors"):
        raw(single, "EXEC")
    single.close()


@pytest.mark.parametrize("command", ["EXEC", "DISCARD"])
def test_without_multi(client, command):
    with pytest.raises(redis.ResponseError, match=f"{command} without MULTI"):
        raw(client, command)


def test_watch_sees_changes_of_others(client):
    client.set("key", 1)
    with client.pipeline() as pipeline:
        pipeline.watch("key")
        client.set("key", 2)
        pipeline.multi()
        pipeline.set("key", 3)
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert client.get("key") == b"2"


def test_a_select_within_lasts(server, protocol):
    with server.client(protocol, single_connection_client=True) as client:
        client.flushall()
        for words in (["MULTI"], ["SELECT", 5], ["SET", "k", "v"]):
            raw(client, *words)
        raw(client, "EXEC")
        assert raw(client, "GET", "k") == b"v"
        raw(client, "SELECT", 0)
        assert raw(client, "GET", "k") is None


def test_counters_by_optimistic_locking_lose_nothing(server, client):
    def add(times):
        with server.client() as mine:
            for _ in range(times):
                mine.transaction(lambda pipeline: bump(pipeline), "count")

    def bump(pipeline):
        value = int(pipeline.get("count") or 0)
        pipeline.multi()
        pipeline.set("count", value + 1)

    run_all([threading.Thread(target=add, args=(50,)) for _ in range(4)])
    assert client.get("count") == b"200"


def test_readers_never_see_half_of_a_transaction(server, client):
    client.mset({"left": 0, "right": 0})
    ended, seen = threading.Event(), []

    def write():
        with server.client() as mine:
            for number in range(300):
                mine.pipeline().set("left", number).set("right", number).execute()
        ended.set()

    def read():
        with server.client() as mine:
            while not ended.is_set():
                seen.append(mine.mget("left", "right"))

    run_all([threading.Thread(target=write), threading.Thread(target=read)])
    assert seen and all(left == right for left, right in seen)


def test_a_storm_of_flushes_and_transactions_ends(start_server):
    server = start_server(threads=2)

    def work(commands):
        with server.client() as mine:
            for _ in range(150):
                for words in commands:
                    mine.execute_command(*words)

    def transact():
        with server.client() as mine:
            for number in range(150):
                pipeline = mine.pipeline().dbsize()
                for key in range(80):
                    pipeline.set(f"k{key}", number)
                assert len(pipeline.execute()) == 81

    threads = [threading.Thread(target=work, args=([["SET", "a", 1], ["GET", "a"]],)) for _ in range(4)]
    threads += [threading.Thread(target=work, args=([["FLUSHALL"], ["SWAPDB", 0, 1]],)) for _ in range(3)]
    threads += [threading.Thread(target=transact) for _ in range(2)]
    run_all(threads)
    with server.client() as client:
        assert client.ping()


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_a_killed_server_comes_back_with_whole_transactions(start_server, fsync):
    server = start_server(fsync=fsync)
    done = 0

    def write():
        nonlocal done
        with server.client() as mine:
            try:
                for number in range(1, 100_000):
                    mine.pipeline().set("left", number).set("right", number).execute()
                    done = number
            except redis.ConnectionError:
                pass

    thread = threading.Thread(target=write)
    thread.start()
    while done < 50:
        pass
    server.kill()
    thread.join()
    server.restart()
    with server.client() as client:
        left, right = client.mget("left", "right")
    assert left == right
    if fsync == "always":
        assert int(left) >= done


def run_all(threads):
    failures = []
    hook, threading.excepthook = threading.excepthook, lambda args: failures.append(args.exc_value)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    threading.excepthook = hook
    assert not failures and not any(thread.is_alive() for thread in threads), failures
