"""Channels: order, patterns, shard channels, and what a subscribed connection may do."""

import threading

import pytest
import redis


def messages(subscriber, count):
    got = []
    while len(got) < count:
        message = subscriber.get_message(timeout=10)
        assert message is not None, f"only {len(got)} of {count} messages came"
        if message["type"].endswith("message"):
            got.append(message["data"])
    return got


def subscribed(client, channels=(), patterns=()):
    subscriber = client.pubsub()
    if channels:
        subscriber.subscribe(*channels)
    if patterns:
        subscriber.psubscribe(*patterns)
    for _ in [*channels, *patterns]:
        assert subscriber.get_message(timeout=10)["type"] in ("subscribe", "psubscribe")
    return subscriber


def test_a_message_reaches_channel_and_pattern(client):
    subscriber = subscribed(client, ["news"], ["n*"])
    assert client.publish("news", "hello") == 2
    first, second = subscriber.get_message(timeout=10), subscriber.get_message(timeout=10)
    assert (first["type"], second["type"]) == ("message", "pmessage")
    assert first["data"] == second["data"] == b"hello"
    assert client.pubsub_channels() == [b"news"]
    assert client.pubsub_numsub("news") == [(b"news", 1)]
    assert client.pubsub_numpat() == 1
    subscriber.close()


def test_nobody_listens(client):
    assert client.publish("nobody", "x") == 0


def test_shard_channels_are_apart(client):
    subscriber = client.pubsub()
    subscriber.execute_command("SSUBSCRIBE", "s")
    assert subscriber.parse_response(timeout=10)[0] == b"ssubscribe"
    assert client.publish("s", "no") == 0
    assert client.execute_command("SPUBLISH", "s", "yes") == 1
    assert subscriber.parse_response(timeout=10) == [b"smessage", b"s", b"yes"]
    subscriber.close()


def test_resp2_subscribers_may_do_little_else(server):
    with server.client(2, single_connection_client=True) as client:
        connection = client.connection
        connection.send_command("SUBSCRIBE", "x")
        assert connection.read_response() == [b"subscribe", b"x", 1]
        connection.send_command("GET", "k")
        with pytest.raises(redis.ResponseError, match="Can't execute 'get'"):
            connection.read_response()
        connection.send_command("PING", "me")
        assert connection.read_response() == [b"pong", b"me"]
        connection.send_command("UNSUBSCRIBE")
        assert connection.read_response() == [b"unsubscribe", b"x", 0]
        connection.send_command("GET", "k")
        assert connection.read_response() is None


def test_a_closed_connection_listens_no_more(client):
    subscriber = subscribed(client, ["gone"])
    subscriber.close()
    # Its end reaches the server after ours may: ask until it has.
    while client.publish("gone", "x"):
        pass
    assert client.pubsub_channels() == []


def test_all_subscribers_see_one_order(start_server):
    server = start_server(threads=2)
    clients = [server.client(2 + number % 2) for number in range(12)]
    subscribers = [
        subscribed(client, ["c"]) if number % 3 else subscribed(client, patterns=["c*"])
        for number, client in enumerate(clients)
    ]

    def publish(name):
        with server.client() as mine:
            for number in range(200):
                mine.publish("c", f"{name}{number}")

    threads = [threading.Thread(target=publish, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    orders = [messages(subscriber, 600) for subscriber in subscribers]
    for thread in threads:
        thread.join()
    assert all(order == orders[0] for order in orders)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_a_transaction_publishes_what_is_readable(start_server, fsync):
    server = start_server(threads=2, fsync=fsync)
    with server.client() as writer, server.client() as reader:
        subscriber = subscribed(reader, ["c"])
        for number in range(50):
            assert writer.pipeline().publish("c", number).set("k", number).execute() == [1, True]
            assert messages(subscriber, 1) == [str(number).encode()]
            assert reader.get("k") == str(number).encode()
        subscriber.close()


def test_a_large_message_is_whole(client):
    subscriber = subscribed(client, ["c"])
    data = bytes(range(256)) * 4_000
    assert client.publish("c", data) == 1
    assert messages(subscriber, 1) == [data]
    subscriber.close()
