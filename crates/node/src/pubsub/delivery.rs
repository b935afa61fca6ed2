//! A published message on its way to one worker.
//!
//! It is encoded once: RESP2 and RESP3 differ in the first byte only, and all subscribers share the
//! rest.

use std::sync::Arc;

use trefoil_clock::Lsn;
use trefoil_wire::resp::{Protocol, ReplyBuf, SharedBytes};

use crate::mail::Address;
use crate::session::Session;

/// Shorter messages are copied into each connection's output, longer ones referenced.
const SHARED_LEN_MIN: usize = 4_096;

/// What a subscriber listens to. The name is shared with the hub.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A channel.
    Channel(Arc<[u8]>),
    /// Channels that match a pattern.
    Pattern(Arc<[u8]>),
    /// A shard channel.
    ShardChannel(Arc<[u8]>),
}

/// See the module.
pub struct Delivery {
    /// Who gets it.
    pub to: Arc<Vec<Address>>,
    /// It may leave once this record is durable.
    pub depends_on: Lsn,
    /// Why they get it: who has unsubscribed since gets nothing.
    pub(super) source: Source,
    /// Everything behind the header.
    pub(super) body: SharedBytes,
}

impl Delivery {
    /// What follows the header.
    #[cfg(test)]
    pub(crate) fn body(&self) -> &SharedBytes {
        &self.body
    }

    /// Appends the message to the output of a subscriber, if it still is one. Whether it was.
    pub fn write(&self, session: &Session, out: &mut ReplyBuf) -> bool {
        if !session.listens_to(&self.source) {
            return false;
        }
        let is_pattern = matches!(self.source, Source::Pattern(_));
        out.extend(match (session.protocol, is_pattern) {
            (Protocol::Resp2, false) => b"*3\r\n",
            (Protocol::Resp3, false) => b">3\r\n",
            (Protocol::Resp2, true) => b"*4\r\n",
            (Protocol::Resp3, true) => b">4\r\n",
        });
        if self.body.len() < SHARED_LEN_MIN {
            out.extend(&self.body);
        } else {
            out.extend_shared(&self.body);
        }
        true
    }
}

/// The elements of a message, behind the header.
pub(super) fn encode(elements: &[&[u8]]) -> SharedBytes {
    let mut body = Vec::with_capacity(elements.iter().map(|element| element.len() + 16).sum());
    let mut digits = itoa::Buffer::new();
    for element in elements {
        body.push(b'$');
        body.extend_from_slice(digits.format(element.len()).as_bytes());
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(element);
        body.extend_from_slice(b"\r\n");
    }
    Arc::new(body)
}
