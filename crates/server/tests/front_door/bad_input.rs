//! What is no request is refused in Redis's words, and harms nobody else.

use std::io::Write as _;
use std::net::Shutdown;

use crate::node::{Node, ask, command, read_to_end};

#[test]
fn a_malformed_frame_gets_an_error_and_the_connection_is_closed() {
    let node = Node::start(&[]);
    let cases: [(&[u8], &str); 5] = [
        (b"*a\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n!3\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"),
        (b"GET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
        (b"PING\r\n*9999999999\r\n", "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"),
    ];
    for (request, expected) in cases {
        let mut client = node.connect();
        client.write_all(request).expect("it is read");
        assert_eq!(String::from_utf8_lossy(&read_to_end(&mut client)), expected);
    }
    node.assert_serves();
}

#[test]
fn noise_harms_nobody() {
    let node = Node::start(&[]);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..200 {
        let mut noise = Vec::new();
        for _ in 0..round * 7 % 500 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.push(b"*$\r\n0123-+ \"'xPING\0"[(state % 19) as usize]);
        }
        let mut client = node.connect();
        // It may be closed before everything is sent.
        let _ = client.write_all(&noise);
        let _ = client.shutdown(Shutdown::Write);
        read_to_end(&mut client);
    }
    node.assert_serves();
}

#[test]
fn half_a_frame_is_no_command_and_a_frame_may_come_byte_by_byte() {
    let node = Node::start(&[]);
    let set = command(&[b"SET", b"key", b"value"]);
    node.connect().write_all(&set[..set.len() - 3]).expect("it is read");
    let mut client = node.connect();
    client.set_nodelay(true).expect("it is a socket");
    assert_eq!(ask(&mut client, &command(&[b"GET", b"key"]), 5), b"$-1\r\n");
    for byte in &set[..set.len() - 1] {
        client.write_all(&[*byte]).expect("it is read");
    }
    assert_eq!(ask(&mut client, &set[set.len() - 1..], 5), b"+OK\r\n");
    let value = vec![b'x'; 3 << 20];
    assert_eq!(ask(&mut client, &command(&[b"SET", b"big", &value]), 5), b"+OK\r\n");
    let reply = ask(&mut client, &command(&[b"STRLEN", b"big"]), 10);
    assert_eq!(reply, b":3145728\r\n");
}

#[test]
fn a_client_that_closes_only_its_own_end_gets_all_replies() {
    let node = Node::start(&[]);
    let mut client = node.connect();
    client.write_all(&b"PING\r\n".repeat(50_000)).expect("it is read");
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(read_to_end(&mut client).len(), 50_000 * b"+PONG\r\n".len());
}
