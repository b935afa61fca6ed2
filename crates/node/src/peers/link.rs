//! A link to another node: bytes in, messages out, and back. Sockets are the shell's.

use std::net::IpAddr;

use trefoil_clock::NodeId;
use trefoil_wire::peer::{
    ClusterSecret, Fence, FrameReader, Greeting, Hello, Message, encode, encode_head,
};

/// Bytes that came and were not looked at, from which on a link is not read from.
const UNREAD_MAX: usize = 16 << 20;

/// What came over a link, and who is at its other end.
pub(super) struct Inbound {
    pub(super) reader: FrameReader,
    /// Until the greeting is over.
    pub(super) greeting: Option<Greeting>,
    /// Who it is, once the greeting is over.
    pub(super) peer: Option<NodeId>,
    /// Since when it exists.
    pub(super) since_ms: u64,
    /// When something last came.
    pub(super) heard_ms: u64,
    /// All that is unread is the beginning of one message: the rest is needed, however long it is.
    pub(super) incomplete: bool,
    /// We dialled: our leader is at the other end.
    pub(super) dialled: bool,
    /// From where somebody dialled us.
    pub(super) ip: Option<IpAddr>,
}

impl Inbound {
    pub(super) fn dialled(
        own: Hello,
        secret: Option<ClusterSecret>,
        now_ms: u64,
        out: &mut Outbound,
    ) -> Inbound {
        Inbound::new(Greeting::dial(own, secret, &mut out.bytes), now_ms, true)
    }

    pub(super) fn accepted(
        own: Hello,
        secret: Option<ClusterSecret>,
        now_ms: u64,
        ip: Option<IpAddr>,
    ) -> Inbound {
        let greeting = Greeting::accept(own, secret);
        Inbound { ip, ..Inbound::new(greeting, now_ms, false) }
    }

    fn new(greeting: Greeting, now_ms: u64, dialled: bool) -> Inbound {
        Inbound {
            reader: FrameReader::new(),
            greeting: Some(greeting),
            peer: None,
            since_ms: now_ms,
            heard_ms: now_ms,
            incomplete: false,
            dialled,
            ip: None,
        }
    }

    /// Whether more is to be read from the socket.
    pub(super) fn has_room(&self) -> bool {
        self.incomplete || self.reader.unread().len() < UNREAD_MAX
    }
}

/// What is to be sent over a link.
#[derive(Default)]
pub struct Outbound {
    bytes: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    /// Nothing comes behind these bytes.
    closing: bool,
}

/// A buffer that grew beyond this is given back once it is empty.
const KEPT_MAX: usize = 8 << 20;

impl Outbound {
    /// What is to be sent next.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// So many bytes were sent.
    ///
    /// # Panics
    /// If there were fewer.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.bytes.len() - self.sent, "no more is sent than there is");
        self.sent += bytes;
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_MAX);
        }
    }

    /// Whether the link is to be closed once everything is sent.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    pub(super) fn greeting(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn put(&mut self, fence: &Fence, message: &Message<'_>) {
        if !self.closing {
            encode(fence, message, &mut self.bytes);
        }
    }

    /// Puts a message whose payload lies elsewhere, with one copy.
    pub(super) fn put_large(&mut self, fence: &Fence, message: &Message<'_>) {
        if !self.closing {
            let payload = encode_head(fence, message, &mut self.bytes);
            self.bytes.extend_from_slice(payload);
        }
    }
}
