//! Metrics and health over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use crate::node::{Node, ask, server};

/// A request on a connection of its own; the whole answer.
fn get(address: &str, request: &str) -> String {
    let address = address.strip_prefix("http://").expect("it says what is spoken there");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text, and then it is over");
    answer
}

fn path(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
}

#[test]
fn metrics_and_health_are_answered_where_the_ready_line_says() {
    let node = Node::start(&["--http", "127.0.0.1:0"]);
    let http = node.ready.last().expect("a word");
    assert_eq!(ask(&mut node.connect(), b"SET a 1\r\n", 5), b"+OK\r\n");
    let metrics = get(http, &path("/metrics"));
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("\r\ncontent-type: application/openmetrics-text;"), "{metrics}");
    assert!(metrics.contains("\ntrefoil_keys{db=\"0\"} 1\n"), "{metrics}");
    assert!(metrics.ends_with("\n# EOF\n"), "{metrics}");
    for health in ["/healthz", "/readyz"] {
        let answer = get(http, &path(health));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok: leader\n"), "{answer}");
    }
    assert!(get(http, &path("/nothing")).starts_with("HTTP/1.1 404 "));
}

#[test]
fn what_is_no_http_harms_nobody() {
    let node = Node::start(&["--http", "127.0.0.1:0"]);
    let http = node.ready.last().expect("a word");
    assert!(get(http, "*1\r\n$4\r\nPING\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    assert!(get(http, &long).starts_with("HTTP/1.1 4"));
    node.assert_serves();
    assert!(get(http, &path("/healthz")).starts_with("HTTP/1.1 200 "));
}

#[test]
fn it_can_be_switched_off() {
    let node = Node::start(&["--http", "off"]);
    assert!(!node.ready.iter().any(|word| word.starts_with("http")), "{:?}", node.ready);
    node.assert_serves();
}

#[test]
fn an_address_that_was_asked_for_and_is_taken_stops_the_start() {
    let first = Node::start(&["--http", "127.0.0.1:0"]);
    let taken = first.ready.last().and_then(|word| word.strip_prefix("http://")).expect("one");
    let dir = tempfile::tempdir().expect("a folder");
    let output = server(&["--port", "0", "--http", taken, "--data-dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("--http"), "{error}");
}
