//! A session: what the node remembers of one connection.
//!
//! Small, because ten thousand idle ones must be cheap: what few connections need is boxed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::mail::Address;
use trefoil_wire::resp::{Protocol, ProtocolError};

/// Why a session is not served the plain way. One branch tells whether any holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Restrictions(u8);

impl Restrictions {
    /// AUTH is needed first.
    pub const UNAUTHENTICATED: Restrictions = Restrictions(1);
    /// MULTI was given: commands are queued.
    pub const IN_MULTI: Restrictions = Restrictions(2);
    /// RESP2 and subscribed: only commands about channels.
    pub const SUBSCRIBED: Restrictions = Restrictions(4);
    /// CLIENT REPLY OFF, or SKIP: replies are dropped.
    pub const SILENT: Restrictions = Restrictions(8);
    /// CLIENT NO-TOUCH: reads are no uses.
    pub const NO_TOUCH: Restrictions = Restrictions(16);

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this one holds.
    #[must_use]
    pub fn has(self, one: Restrictions) -> bool {
        self.0 & one.0 != 0
    }

    /// Adds one.
    pub fn set(&mut self, one: Restrictions) {
        self.0 |= one.0;
    }

    /// Takes one away.
    pub fn clear(&mut self, one: Restrictions) {
        self.0 &= !one.0;
    }
}

/// See the module.
pub struct Session {
    /// Where the connection is; its id is never reused while the process lives.
    pub address: Address,
    /// The selected database.
    pub db: u8,
    /// RESP2 until HELLO says otherwise.
    pub protocol: Protocol,
    /// What keeps it from being served the plain way.
    pub restrictions: Restrictions,
    /// What came behind the commands that were parsed is no frame: told once they ran, then closed.
    pub protocol_error: Option<ProtocolError>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Session {
    /// A new session for the connection in this place, not yet authenticated if that is asked for.
    #[must_use]
    pub fn new(worker: u32, slot: u32, restrictions: Restrictions) -> Session {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Session {
            address: Address { worker, slot, id },
            db: 0,
            protocol: Protocol::Resp2,
            restrictions,
            protocol_error: None,
        }
    }
}
