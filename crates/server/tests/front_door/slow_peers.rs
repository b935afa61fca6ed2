//! Peers that do not read what they asked for.

use std::io::Write as _;

use crate::node::{Node, ask, command, read_to_end};

#[test]
fn a_peer_that_reads_nothing_is_closed_at_the_hard_limit() {
    let node = Node::start(&["--client-output-buffer-limit", "normal 1000000 0 0"]);
    let mut client = node.connect();
    let value = vec![b'x'; 200_000];
    assert_eq!(ask(&mut client, &command(&[b"SET", b"key", &value]), 5), b"+OK\r\n");
    client.write_all(&command(&[b"GET", b"key"]).repeat(500)).expect("it is read");
    let received = read_to_end(&mut client).len();
    assert!(received < 500 * value.len(), "{received} bytes came");
    assert!(node.log().contains("hard limit of client-output-buffer-limit"), "{}", node.log());
    node.assert_serves();
}

#[test]
fn a_stranger_that_reads_nothing_is_closed_soon() {
    let node = Node::start(&["--requirepass", "secret"]);
    let mut stranger = node.connect();
    // Refusals are longer than what is refused; the system's buffers take the first of them.
    let requests = b"a\r\n".repeat(10_000);
    while stranger.write_all(&requests).is_ok() {}
    read_to_end(&mut stranger);
    assert!(node.log().contains("hard limit of client-output-buffer-limit"), "{}", node.log());
}

#[test]
fn a_peer_above_the_soft_limit_is_closed_after_a_while() {
    let node = Node::start(&["--client-output-buffer-limit", "normal 0 100000 1"]);
    let mut client = node.connect();
    let value = vec![b'x'; 200_000];
    assert_eq!(ask(&mut client, &command(&[b"SET", b"key", &value]), 5), b"+OK\r\n");
    client.write_all(&command(&[b"GET", b"key"]).repeat(500)).expect("it is read");
    while !node.log().contains("soft limit of client-output-buffer-limit") {
        node.assert_serves();
    }
    assert!(read_to_end(&mut client).len() < 500 * value.len());
}

#[test]
fn a_client_may_send_a_large_pipeline_before_it_reads_anything() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    let message = vec![b'x'; 1_000];
    let ping = command(&[b"PING", &message]);
    let reply_len = b"$1000\r\n".len() + message.len() + 2;
    client.write_all(&ping.repeat(30_000)).expect("it is read, though no reply is");
    let replies = ask(&mut client, b"", 30_000 * reply_len);
    assert!(replies.chunks(reply_len).all(|reply| reply.starts_with(b"$1000\r\nxxx")));
    assert_eq!(ask(&mut client, b"PING\r\n", 7), b"+PONG\r\n");
}

#[test]
fn a_peer_that_leaves_in_the_middle_of_a_reply_is_forgotten() {
    let node = Node::start(&["--maxclients", "3"]);
    let value = vec![b'x'; 1_000_000];
    let mut client = node.connect();
    assert_eq!(ask(&mut client, &command(&[b"SET", b"key", &value]), 5), b"+OK\r\n");
    drop(client);
    for _ in 0..50 {
        let mut client = node.connect();
        // Refused while the last ones are not forgotten yet.
        let _ = client.write_all(&command(&[b"GET", b"key"]).repeat(20));
    }
    let served = (0..10_000).any(|_| {
        let mut client = node.connect();
        let asked = client.write_all(b"QUIT\r\nPING\r\n").is_ok();
        asked && read_to_end(&mut client) == b"+OK\r\n"
    });
    assert!(served, "all of them are gone");
}
