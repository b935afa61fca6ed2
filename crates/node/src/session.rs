//! A session: what the node remembers of one connection.
//!
//! Small, because ten thousand idle ones must be cheap: what few connections need is boxed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clients::{ClientRecord, NO_COMMAND};
use crate::diverged::{Diff, Reapply};
use crate::freshness::Freshness;
use crate::mail::Address;
use crate::pubsub::Subscriptions;
use crate::transaction::Transaction;
use trefoil_clock::Lsn;
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
    /// Commands are at the leader: what comes behind them follows them or waits.
    pub const IN_FLIGHT: Restrictions = Restrictions(32);
    /// WATCH or MULTI was given to the leader.
    pub const AT_LEADER: Restrictions = Restrictions(64);

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
    /// What other workers know of it.
    pub record: Arc<ClientRecord>,
    /// The table's id of the last command.
    pub command: u16,
    /// The last command, and when, Unix seconds, as the record has them.
    published: (u16, u32),
    /// Which replies are dropped.
    pub silence: Silence,
    /// How far REPLICATION DIVERGED APPLY has come.
    pub(crate) reapply: Option<Box<Reapply>>,
    /// The same of REPLICATION DIVERGED DIFF.
    pub(crate) diff: Option<Box<Diff>>,
    /// What WAIT and WAITAOF wait for.
    pub waiting: Option<Box<Waiting>>,
    /// What WATCH and MULTI began.
    pub(crate) transaction: Option<Box<Transaction>>,
    /// What it listens to.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// On a follower: how fresh its reads are to be, and what it has seen.
    pub(crate) freshness: Option<Box<Freshness>>,
}

/// A command that is run again until the time is up.
#[derive(Debug)]
pub struct Waiting {
    /// Until then, Unix milliseconds.
    pub until_ms: u64,
    /// For this record to be durable.
    pub target: Lsn,
    /// The reign in which it began to wait: in another one, that record may be another.
    pub reign: u64,
    /// For the answer to a request to the cluster.
    pub(crate) asked: Asked,
    /// When it was asked last, Unix milliseconds.
    pub(crate) asked_ms: u64,
    /// Sessions that wait, this one included.
    counted: Arc<AtomicU64>,
}

/// What a command waits for that has asked the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// It has not, or has its answer.
    Nothing,
    /// The answer to the request of this number.
    Answer(u64),
    /// To ask again: it was too early.
    Again,
}

impl Waiting {
    /// Counts itself among the waiting ones until it is dropped.
    #[must_use]
    pub fn new(until_ms: u64, target: Lsn, counted: &Arc<AtomicU64>) -> Waiting {
        counted.fetch_add(1, Relaxed);
        let (asked, counted) = (Asked::Nothing, Arc::clone(counted));
        Waiting { until_ms, target, reign: 0, asked, asked_ms: 0, counted }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.counted.fetch_sub(1, Relaxed);
    }
}

/// CLIENT REPLY. Anything but `None` goes with [`Restrictions::SILENT`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Silence {
    /// Replies are sent.
    #[default]
    None,
    /// SKIP was given: the next command's reply is dropped.
    Next,
    /// The command that runs now is that one.
    This,
    /// OFF: all are dropped.
    Always,
}

impl Session {
    /// A new session for a connection; `restrictions`: [`crate::node::Node::first_restrictions`].
    #[must_use]
    pub fn new(record: Arc<ClientRecord>, restrictions: Restrictions) -> Session {
        Session {
            address: record.address,
            db: 0,
            protocol: Protocol::Resp2,
            restrictions,
            protocol_error: None,
            record,
            command: NO_COMMAND,
            published: (NO_COMMAND, 0),
            silence: Silence::None,
            reapply: None,
            diff: None,
            waiting: None,
            transaction: None,
            subscriptions: None,
            freshness: None,
        }
    }

    /// Changes the selected database.
    pub fn select(&mut self, db: u8) {
        self.db = db;
        self.record.set_db(db);
    }

    /// Changes the protocol, from the next reply on.
    pub fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.record.set_protocol(protocol);
    }

    /// Something came in during this turn. Stores into the record only if the second or the command
    /// is another than last time.
    #[inline]
    pub fn publish(&mut self, now_ms: u64) {
        let now = (self.command, (now_ms / 1_000) as u32);
        if now != self.published {
            self.published = now;
            self.record.seen(now.0, now.1);
        }
    }
}
