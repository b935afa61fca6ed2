//! Starting, refusing to start, stopping.

use std::io::Write as _;

use rustix::process::{Pid, Signal, kill_process};

use crate::node::{Node, ask, command, server};

/// Ends it as a person does.
pub(crate) fn stop(node: &mut Node) {
    let pid = Pid::from_child(&node.child);
    kill_process(pid, Signal::TERM).expect("it runs");
    assert!(node.child.wait().expect("it ends").success(), "{}", node.log());
}

#[test]
fn a_clean_stop_keeps_everything_and_removes_the_process_id() {
    let mut node = Node::start(&[]);
    let pid_file = node.data().join("trefoil.pid");
    let pid = std::fs::read_to_string(&pid_file).expect("it is there");
    assert_eq!(pid.trim(), node.child.id().to_string());
    let mut client = node.connect();
    assert_eq!(ask(&mut client, &command(&[b"SET", b"key", b"value"]), 5), b"+OK\r\n");
    stop(&mut node);
    assert!(!pid_file.exists());
    let dir = std::mem::replace(&mut node.dir, tempfile::tempdir().expect("a folder"));
    let again = Node::start_in(dir, &["--port", "0"]);
    let value = ask(&mut again.connect(), &command(&[b"GET", b"key"]), 11);
    assert_eq!(value, b"$5\r\nvalue\r\n");
    assert!(again.log().contains("1 keys loaded"), "{}", again.log());
    assert!(again.log().contains("the last stop was clean"), "{}", again.log());
}

#[test]
fn it_says_what_to_do_when_it_does_not_start() {
    let node = Node::start(&[]);
    let port = node.address().port().to_string();
    let dir = tempfile::tempdir().expect("a folder");
    let (used, free) = (node.data().display().to_string(), dir.path().display().to_string());
    let cases: [(&[&str], &str); 7] = [
        (&["--port", "0", "--data-dir", &used], "is in use by another process"),
        (&["--port", &port, "--data-dir", &free], "choose another with --port"),
        (&["--bind", "192.0.2.1", "--port", "0", "--data-dir", &free], "has no address 192.0.2.1"),
        (&["--porridge", "hot"], "there is no parameter `porridge`"),
        (&["--port"], "a value is missing"),
        (&["--config", "/no/such/file"], "can't be read"),
        (&["--port", "0", "--tls-port", "70000"], "tls-port"),
    ];
    for (words, expected) in cases {
        let output = server(words).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words:?}");
        assert!(told.starts_with("trefoil: ") && told.contains(expected), "{words:?}: {told}");
    }
}

#[test]
fn parameters_come_from_the_file_and_the_command_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("trefoil.conf");
    let mut config = std::fs::File::create(&file).expect("a file");
    config.write_all(b"# limits\nmaxclients 77\nmaxmemory 1gb\nport 1\n").expect("it is written");
    let config = file.display().to_string();
    let words = ["--config", &config, "--port", "0", "--maxmemory", "100mb", "--save", ""];
    let node = Node::start_in(dir, &words);
    let mut client = node.connect();
    let request = command(&[b"CONFIG", b"GET", b"maxmemory"]);
    let reply = ask(&mut client, &request, 34);
    assert_eq!(reply, b"*2\r\n$9\r\nmaxmemory\r\n$9\r\n104857600\r\n");
    let request = command(&[b"CONFIG", b"GET", b"maxclients"]);
    assert_eq!(ask(&mut client, &request, 29), b"*2\r\n$10\r\nmaxclients\r\n$2\r\n77\r\n");
}

#[test]
fn it_listens_on_every_address() {
    let node = Node::start(&["--bind", "127.0.0.1", "127.0.0.2"]);
    assert_eq!(node.ready.len(), 3, "{:?}", node.ready);
    for address in &node.ready[1..] {
        let mut client = std::net::TcpStream::connect(address.as_str()).expect("it listens");
        assert_eq!(ask(&mut client, b"PING\r\n", 7), b"+PONG\r\n");
    }
}
