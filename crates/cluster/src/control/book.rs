//! Where other nodes are reached.
//!
//! Members say it themselves, and that is agreed upon. It is not known yet to a node that was just taken
//! in, and may be old on one that has just started: then it goes by where others speak from. If all have
//! just started nobody speaks, and what was proposed has to do: without it nobody could ask for votes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use trefoil_clock::NodeId;

use super::Control;
use crate::raft::{Payload, Start};
use crate::state::Command;

/// Nodes that are no members and were heard lately.
const STRANGERS_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Where members of this cluster speak from.
    heard: BTreeMap<NodeId, SocketAddr>,
    /// Where nodes speak from that ask to be taken in.
    asking: BTreeMap<NodeId, SocketAddr>,
    /// What members said that was in the log at the start, agreed upon or not.
    written: BTreeMap<NodeId, SocketAddr>,
}

impl Book {
    /// Of a log as it is found.
    pub(super) fn new(start: &Start) -> Book {
        let mut written = BTreeMap::new();
        for entry in &start.entries {
            if let Payload::Command(bytes) = &entry.payload
                && let Ok(Command::Join(member)) = Command::decode(bytes)
            {
                written.insert(member.node, member.addresses.peers);
            }
        }
        Book { written, ..Book::default() }
    }

    pub(super) fn note_heard(&mut self, node: NodeId, from: SocketAddr) {
        if self.heard.len() < STRANGERS_MAX || self.heard.contains_key(&node) {
            self.heard.insert(node, from);
        }
    }

    pub(super) fn note_asking(&mut self, node: NodeId, from: SocketAddr) {
        if self.asking.len() >= STRANGERS_MAX && !self.asking.contains_key(&node) {
            self.asking.pop_first();
        }
        self.asking.insert(node, from);
    }

    /// Where a node waits to be told whether it is taken in.
    pub(super) fn asking(&self, node: NodeId) -> Option<SocketAddr> {
        self.asking.get(&node).copied()
    }
}

impl Control {
    pub(super) fn address(&self, node: NodeId) -> Option<SocketAddr> {
        let said = self.state.members.get(&node).map(|member| member.addresses.peers);
        let heard = self.book.heard.get(&node).copied();
        let written = self.book.written.get(&node).copied();
        if self.is_start_agreed() { said.or(heard) } else { heard.or(written).or(said) }
    }
}
