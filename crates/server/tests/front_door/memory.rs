//! What idle connections cost.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::node::{Node, ask};

/// Resident memory of a process, bytes.
fn resident(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    let pages = text.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
    pages.expect("a number") * rustix::param::page_size()
}

#[test]
fn an_idle_connection_costs_less_than_two_kibibytes() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("up to the maximum is allowed");
    let count = limit.maximum.map_or(10_000, |files| files.saturating_sub(200).min(10_000));
    let node = Node::start(&["--maxclients", "20000"]);
    let mut warm: Vec<_> = (0..100).map(|_| node.connect()).collect();
    for client in &mut warm {
        ask(client, b"PING\r\n", 7);
    }
    let before = resident(node.child.id());
    let mut clients: Vec<_> = (0..count).map(|_| node.connect()).collect();
    for client in &mut clients {
        assert_eq!(ask(client, b"*2\r\n$4\r\nPING\r\n$4\r\nidle\r\n", 10), b"$4\r\nidle\r\n");
    }
    let each = (resident(node.child.id()) - before) / clients.len();
    assert!(each < 2_048, "{each} bytes each for {} connections", clients.len());
}
