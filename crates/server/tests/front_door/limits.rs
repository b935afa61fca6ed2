//! How many, how big, how long.

use std::io::{Read as _, Write as _};

use crate::node::{Node, ask, command, read_to_end};

#[test]
fn beyond_maxclients_nobody_gets_in_until_somebody_leaves() {
    let node = Node::start(&["--maxclients", "2"]);
    let mut first = node.connect();
    let mut second = node.connect();
    assert_eq!(ask(&mut first, b"PING\r\n", 7), b"+PONG\r\n");
    assert_eq!(ask(&mut second, b"PING\r\n", 7), b"+PONG\r\n");
    let refusal = read_to_end(&mut node.connect());
    assert_eq!(refusal, b"-ERR max number of clients reached\r\n");
    drop(first);
    // The server learns in its own time that it is gone.
    let let_in = (0..10_000).any(|_| {
        let mut next = node.connect();
        let mut reply = [0; 7];
        let asked = next.write_all(b"PING\r\n").and_then(|()| next.read_exact(&mut reply));
        asked.is_ok() && &reply == b"+PONG\r\n"
    });
    assert!(let_in, "one place is free");
}

#[test]
fn strangers_may_send_little_and_auth_counts_from_the_next_command_on() {
    let node = Node::start(&["--requirepass", "secret"]);
    let large = vec![b'x'; 100_000];
    let set = command(&[b"SET", b"key", &large]);
    let mut stranger = node.connect();
    stranger.write_all(&set[..40]).expect("it is read");
    let refusal = read_to_end(&mut stranger);
    assert_eq!(refusal, b"-ERR Protocol error: unauthenticated bulk length\r\n");
    let mut client = node.connect();
    let request = [command(&[b"AUTH", b"secret"]), set, command(&[b"STRLEN", b"key"])].concat();
    assert_eq!(ask(&mut client, &request, 19), b"+OK\r\n+OK\r\n:100000\r\n");
    let mut client = node.connect();
    let reply = ask(&mut client, &b"GET a\r\n".repeat(100), 3_400);
    assert!(reply.starts_with(b"-NOAUTH Authentication required.\r\n-NOAUTH"));
}

#[test]
fn requests_beyond_the_query_buffer_limit_close_the_connection() {
    let node = Node::start(&["--client-query-buffer-limit", "1mb"]);
    let mut client = node.connect();
    let value = vec![b'x'; 8 << 20];
    // It is closed in the middle.
    let _ = client.write_all(&command(&[b"SET", b"key", &value]));
    assert_eq!(read_to_end(&mut client), b"");
    assert!(node.log().contains("client-query-buffer-limit"), "{}", node.log());
    node.assert_serves();
}

#[test]
fn a_bulk_beyond_its_limit_is_refused() {
    let node = Node::start(&["--proto-max-bulk-len", "1mb"]);
    let mut client = node.connect();
    client.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n").expect("it is read");
    assert_eq!(read_to_end(&mut client), b"-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn an_idle_client_is_closed_and_a_busy_one_is_not() {
    let node = Node::start(&["--timeout", "1"]);
    let mut idle = node.connect();
    let mut busy = node.connect();
    idle.set_nonblocking(true).expect("it is a socket");
    let mut byte = [0; 1];
    loop {
        assert_eq!(ask(&mut busy, b"PING\r\n", 7), b"+PONG\r\n");
        match idle.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => panic!("nothing was asked"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
}
