//! Messages to channels, and the end of a session.

use crate::pubsub::Posted;
use crate::pubsub::hub::Kind;
use crate::session::Session;

use super::{Wake, Worker};

/// A message that a transaction published.
pub(super) struct Publication {
    kind: Kind,
    channel: Box<[u8]>,
    payload: Box<[u8]>,
}

impl Worker {
    /// Whether EXEC runs: the command is one of a transaction.
    pub(crate) fn is_in_exec(&self) -> bool {
        self.publications.is_some()
    }

    /// Sends a message to all who listen; within a transaction, when that ends. How many there are.
    pub(crate) fn publish_message(&mut self, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
        if let Some(publications) = &mut self.publications {
            let receivers = self.node.hub.receivers(kind, channel);
            let (channel, payload) = (channel.into(), payload.into());
            publications.push(Publication { kind, channel, payload });
            return receivers;
        }
        self.send_message(kind, channel, payload)
    }

    /// A message must not be seen while what was written before it can still be lost.
    fn send_message(&self, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
        let node = &*self.node;
        let depends_on = node.keyspace.sequencer().last_lsn();
        if node.outbox.is_wanted() {
            let (channel, payload) = (channel.into(), payload.into());
            node.outbox.put(Posted { kind, channel, payload, after: depends_on });
            node.post.wake_peers();
        }
        node.hub.publish(&*node.post, kind, (channel, payload), depends_on)
    }

    pub(super) fn send_publications(&mut self) {
        for Publication { kind, channel, payload } in self.publications.take().unwrap_or_default() {
            self.send_message(kind, &channel, &payload);
        }
    }

    /// Everything that the node remembers of a session goes; its connection is closed.
    pub fn close(&mut self, session: &mut Session) {
        session.unsubscribe_all(&self.node.hub);
        session.reset_transaction();
        if self.pass.abandon(&self.node.exclusive) {
            self.node.wake(Wake::All);
        }
    }
}
