//! A node for tests: lines in, replies out, without sockets, threads or a disk.
//!
//! The log's queue is filled and never written; mail between workers is kept for the test to look
//! at. Each command runs in a turn of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use trefoil_clock::{ClusterId, EpochTable, Hlc, Identity, Lsn, NodeId};
use trefoil_store::{KeyHasher, Keyspace, Sequencer};
use trefoil_wire::resp::ReplyBuf;
use trefoil_wire::{Args, Span};

use crate::handler::Flow;
use crate::log::{Fsync, LogQueue};
use crate::mail::{Mail, Post};
use crate::node::Node;
use crate::session::Session;
use crate::settings::Settings;
use crate::worker::Worker;

/// When tests begin, Unix milliseconds.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// See the module.
pub(crate) struct TestNode {
    pub(crate) node: Arc<Node>,
    pub(crate) workers: Vec<Worker>,
    outbox: Arc<Outbox>,
    now_ms: u64,
    next_slot: u32,
}

/// A connection to it.
pub(crate) struct TestClient {
    pub(crate) session: Session,
    /// What came of the last command.
    pub(crate) flow: Flow,
    out: ReplyBuf,
}

/// Mail that was posted and not looked at.
#[derive(Default)]
struct Outbox(Mutex<Vec<(u32, Mail)>>);

impl Post for Outbox {
    fn post(&self, worker: u32, mail: Mail) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((worker, mail));
    }
}

impl TestNode {
    /// A node with one worker.
    pub(crate) fn new() -> TestNode {
        TestNode::with_workers(1)
    }

    pub(crate) fn with_workers(count: usize) -> TestNode {
        let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
        let keyspace = Keyspace::new(KeyHasher::new(42), sequencer, count + 1);
        let outbox = Arc::new(Outbox::default());
        let log = Arc::new(LogQueue::new(Fsync::No, Lsn::ZERO));
        let post = Arc::clone(&outbox) as Arc<dyn Post>;
        let identity = Identity { node: NodeId(1), cluster: ClusterId(2) };
        let place = (identity, EpochTable::default());
        let node = Node::new(keyspace, log, place, count, Settings::default(), post);
        let node = Arc::new(node);
        let workers = (0..count).map(|index| Worker::new(Arc::clone(&node), index, 1)).collect();
        TestNode { node, workers, outbox, now_ms: START_MS, next_slot: 0 }
    }

    /// A new connection, to the first worker.
    pub(crate) fn client(&mut self) -> TestClient {
        self.client_on(0)
    }

    pub(crate) fn client_on(&mut self, worker: u32) -> TestClient {
        let slot = self.next_slot;
        self.next_slot += 1;
        let clients = &self.node.clients;
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000 + slot as u16));
        let local = SocketAddr::from(([127, 0, 0, 1], 6_379));
        let record = clients.register((worker, slot), peer, local, self.now_ms);
        let session = Session::new(record, self.node.first_restrictions());
        TestClient { session, flow: Flow::Continue, out: ReplyBuf::new() }
    }

    pub(crate) fn pass_ms(&mut self, millis: u64) {
        self.now_ms += millis;
    }

    /// The mail posted since this was last asked.
    pub(crate) fn mail(&self) -> Vec<(u32, Mail)> {
        std::mem::take(&mut *self.outbox.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs the lines in order and compares each reply, see [`TestNode::run`].
    pub(crate) fn check(&mut self, client: &mut TestClient, cases: &[(&str, &str)]) {
        for (line, expected) in cases {
            assert_eq!(self.run(client, line), *expected, "{line}");
        }
    }

    /// Runs a line (words between blanks, or between double quotes) and returns the reply with
    /// blanks for line ends; empty if there is none.
    pub(crate) fn run(&mut self, client: &mut TestClient, line: &str) -> String {
        let words = words(line);
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let reply = self.run_words(client, &words);
        String::from_utf8_lossy(&reply).replace("\r\n", " ").trim_end().to_string()
    }

    /// Runs a command and returns its reply as it is.
    pub(crate) fn run_words(&mut self, client: &mut TestClient, words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for word in words {
            spans.push(Span { start: bytes.len() as u32, len: word.len() as u32 });
            bytes.extend_from_slice(word);
        }
        let args = Args::new(&bytes, &spans);
        let worker = &mut self.workers[client.session.address.worker as usize];
        worker.begin_turn(self.now_ms);
        let prepared = worker.prepare(&client.session, args, &crossbeam_epoch::pin());
        let ran = worker.run(&mut client.session, args, &prepared, &mut client.out);
        client.flow = ran.flow;
        client.session.publish(self.now_ms);
        let _wake = worker.end_turn();
        client.take()
    }
}

impl TestClient {
    /// What it was sent since the last reply was taken.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        while !self.out.is_empty() {
            let piece = self.out.next_slice(self.out.position());
            let len = piece.len();
            reply.extend_from_slice(piece);
            self.out.advance(len);
        }
        reply
    }
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_string());
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_means_its_subcommand() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(
            &mut client,
            &[
                ("set k 12", "+OK"),
                ("OBJECT Encoding k", "$3 int"),
                ("object encoding", "-ERR wrong number of arguments for 'object|encoding' command"),
                ("object", "-ERR wrong number of arguments for 'object' command"),
                ("object nix k", "-ERR unknown subcommand 'nix'. Try OBJECT HELP."),
                ("nix a", "-ERR unknown command 'nix', with args beginning with: 'a'"),
            ],
        );
    }
}
