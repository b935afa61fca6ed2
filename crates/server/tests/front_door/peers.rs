//! The door for other nodes: following, secrets, and strangers of every kind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use trefoil_clock::{ClusterId, NodeId};
use trefoil_wire::peer::{Greeting, Hello, PEER_VERSIONS, SecretState};

use crate::node::{Node, ask, command, read_to_end, server};

/// Any free port for other nodes.
pub(crate) const ANY_PEER: [&str; 2] = ["--peer", "127.0.0.1:0"];
/// What a node shows of itself first.
const GREETING_BEGINS: usize = 4;

/// The line of an answer.
fn ask_line(node: &Node, words: &[&[u8]]) -> String {
    let mut stream = node.connect();
    stream.write_all(&command(words)).expect("it is read");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a reply");
    line.trim_end().to_string()
}

fn peer_port(node: &Node) -> u16 {
    let answer = ask_line(node, &[b"REPLICATION", b"PEER"]);
    answer.strip_prefix(':').and_then(|port| port.parse().ok()).expect("it is a port")
}

/// A connection to the door for nodes.
pub(crate) fn knock(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", peer_port(node))).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is a duration");
    stream
}

pub(crate) fn leader(words: &[&str]) -> Node {
    Node::start(&[&ANY_PEER, words].concat())
}

/// It follows that node, or tries to.
pub(crate) fn follower(of: &Node, words: &[&str]) -> Node {
    let leader = format!("127.0.0.1 {}", of.address().port());
    Node::start(&[&ANY_PEER, &["--replicaof", &leader][..], words].concat())
}

/// Fails if what is written to the one is not read from the other.
pub(crate) fn assert_follows(follower: &Node, leader: &Node, value: &[u8]) {
    let mut client = leader.connect();
    assert_eq!(ask(&mut client, &command(&[b"SET", b"key", value]), 5), b"+OK\r\n");
    let acknowledged = ask(&mut client, &command(&[b"WAIT", b"1", b"60000"]), 4);
    assert_eq!(acknowledged, b":1\r\n", "{}{}", leader.log(), follower.log());
    let expected = [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
    let read = ask(&mut follower.connect(), &command(&[b"GET", b"key"]), expected.len());
    assert!(read == expected, "{}", follower.log());
}

/// A connection whose greeting is over: what comes next is taken for a node's.
fn greeted(node: &Node) -> TcpStream {
    let mut stream = knock(node);
    let own = Hello {
        versions: PEER_VERSIONS,
        node: NodeId(7),
        cluster: ClusterId(7),
        nonce: [7; 32],
        client_port: 0,
        secret: SecretState::Unset,
    };
    let (mut out, mut unread) = (Vec::new(), Vec::new());
    let mut greeting = Greeting::dial(own, None, &mut out);
    stream.write_all(&out).expect("it is read");
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it greets");
        unread.extend_from_slice(&byte);
        let greeted = greeting.read(&unread, &mut out).expect("it is a node");
        unread.drain(..greeted.used);
        if greeted.peer.is_some() {
            return stream;
        }
    }
}

/// The node may open so many files more.
fn leave_descriptors(node: &Node, count: u64) {
    let open = std::fs::read_dir(format!("/proc/{}/fd", node.child.id())).expect("it runs").count();
    let pid = Pid::from_child(&node.child);
    let limit = Rlimit { current: Some(open as u64 + count), maximum: Some(1 << 10) };
    prlimit(Some(pid), Resource::Nofile, limit).expect("less is allowed");
}

#[test]
fn a_follower_goes_on_from_its_log_after_a_restart() {
    let leader = leader(&[]);
    let mut second = follower(&leader, &[]);
    assert_follows(&second, &leader, b"before");
    second.child.kill().expect("it runs");
    second.child.wait().expect("it ends");
    let dir = std::mem::replace(&mut second.dir, tempfile::tempdir().expect("a folder"));
    let again = Node::start_in(dir, &[&["--port", "0"], &ANY_PEER[..]].concat());
    assert_follows(&again, &leader, b"behind");
    let request = command(&[b"INFO", b"stats"]);
    let mut client = leader.connect();
    client.write_all(&[&request[..], b"QUIT\r\n"].concat()).expect("it is read");
    let info = String::from_utf8(read_to_end(&mut client)).expect("it is text");
    assert!(info.contains("sync_partial_ok:1\r\n"), "{info}");
}

#[test]
fn nodes_that_know_the_same_secret_follow_each_other() {
    let leader = leader(&["--peer-secret", "a word"]);
    let second = follower(&leader, &["--peer-secret", "a word"]);
    assert_follows(&second, &leader, b"value");
}

#[test]
fn a_node_with_another_secret_or_none_is_turned_away_and_both_sides_say_so() {
    let leader = leader(&["--peer-secret", "a word"]);
    for words in [&["--peer-secret", "another"][..], &[]] {
        let stranger = follower(&leader, words);
        stranger.wait_for("can't be followed");
        stranger.wait_for("secret");
    }
    leader.wait_for("was turned away");
    leader.assert_serves();
    let second = follower(&leader, &["--peer-secret", "a word"]);
    assert_follows(&second, &leader, b"value");
}

#[test]
fn garbage_is_turned_away_before_and_after_the_greeting() {
    let leader = leader(&[]);
    let mut stranger = knock(&leader);
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is read");
    read_to_end(&mut stranger);
    leader.wait_for("turned away");
    let mut stranger = greeted(&leader);
    stranger.write_all(&[0xff; 100_000]).expect("it is read");
    read_to_end(&mut stranger);
    leader.wait_for("a link to another node is dropped");
    let second = follower(&leader, &[]);
    assert_follows(&second, &leader, b"value");
}

#[test]
fn a_node_that_is_open_to_other_hosts_says_that_they_need_a_proof() {
    let open = Node::start(&["--peer", "0.0.0.0:0"]);
    assert!(open.log().contains("only nodes on this host may follow"), "{}", open.log());
    let proven = Node::start(&["--peer", "0.0.0.0:0", "--peer-secret", "a word"]);
    assert!(!proven.log().contains("only nodes on this host may follow"), "{}", proven.log());
    let second = follower(&proven, &["--peer-secret", "a word"]);
    assert_follows(&second, &proven, b"value");
}

#[test]
fn who_connects_and_says_nothing_or_half_a_greeting_is_let_go() {
    let leader = leader(&[]);
    let mut silent = knock(&leader);
    let mut halting = knock(&leader);
    halting.write_all(b"TR").expect("it is read");
    assert!(read_to_end(&mut silent).len() <= GREETING_BEGINS);
    read_to_end(&mut halting);
    leader.assert_serves();
}

#[test]
fn a_link_that_says_nothing_to_a_follower_is_let_go() {
    let leader = leader(&[]);
    let second = follower(&leader, &[]);
    assert_follows(&second, &leader, b"value");
    let mut silent = greeted(&second);
    read_to_end(&mut silent);
    assert_follows(&second, &leader, b"again");
}

#[test]
fn a_link_that_ends_in_the_middle_of_a_frame_harms_nobody() {
    let leader = leader(&[]);
    for count in [1, 10, 30] {
        let mut stranger = greeted(&leader);
        // The beginning of a length, or of what follows it.
        stranger.write_all(&vec![0; count]).expect("it is read");
    }
    let second = follower(&leader, &[]);
    assert_follows(&second, &leader, b"value");
}

#[test]
fn there_is_a_limit_of_links_and_room_again_when_they_are_gone() {
    let leader = leader(&[]);
    let mut crowd: Vec<TcpStream> = (0..300).map(|_| knock(&leader)).collect();
    leader.wait_for("there are too many links");
    let mut last = crowd.pop().expect("there are some");
    read_to_end(&mut last);
    drop(crowd);
    let second = follower(&leader, &[]);
    assert_follows(&second, &leader, b"value");
}

#[test]
fn without_descriptors_nodes_wait_and_come_in_when_there_are_some() {
    let leader = leader(&[]);
    let port = peer_port(&leader);
    let mut client = leader.connect();
    assert_eq!(ask(&mut client, b"PING\r\n", 7), b"+PONG\r\n");
    leave_descriptors(&leader, 5);
    let crowd: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it is queued at least"))
        .collect();
    while !leader.log().contains("other nodes have to wait") {
        assert_eq!(ask(&mut client, b"PING\r\n", 7), b"+PONG\r\n");
    }
    drop(crowd);
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stranger.write_all(b"nonsense").expect("it is read");
    read_to_end(&mut stranger);
    while !leader.log().contains("turned away") {
        assert_eq!(ask(&mut client, b"PING\r\n", 7), b"+PONG\r\n");
    }
    assert_eq!(leader.log().matches("other nodes have to wait").count(), 1, "{}", leader.log());
}

#[test]
fn only_the_default_port_for_nodes_gives_way_if_it_is_taken() {
    // Whoever has it, it is taken.
    let _taken = TcpListener::bind("127.0.0.1:7379");
    let node = Node::start(&[]);
    assert!(node.log().contains("so no other node can follow this one"), "{}", node.log());
    assert_eq!(peer_port(&node), 0);
    let taken = format!("127.0.0.1:{}", node.address().port());
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().display().to_string();
    let words = ["--port", "0", "--http", "off", "--data-dir", &data, "--peer", &taken];
    let output = server(&words).output().expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("--peer HOST:PORT"), "{told}");
    let second = follower(&node, &[]);
    second.wait_for("it has no port for nodes");
}
