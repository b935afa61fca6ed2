//! What gossip tells its caller.

use std::net::SocketAddr;

use trefoil_clock::ClusterId;

use super::identity::{Generation, Identity};
use super::record::NodeRecord;

/// Something for the caller to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a datagram; it may get lost.
    Send {
        /// Where to.
        to: SocketAddr,
        /// At most [`super::DATAGRAM_BYTES_MAX`] bytes.
        datagram: Vec<u8>,
    },
    /// This node goes on in another life: keep the number, the next start must be above it. Nobody
    /// has to wait for that: a number used twice is found out and raised again.
    Renewed {
        /// The life.
        generation: Generation,
    },
    /// Something to know. What follows from it is decided elsewhere.
    Event(Event),
}

/// Something to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The cluster of the seed that answered first is now ours.
    ClusterFound(ClusterId),
    /// A member is new, back in another life, or has refuted a suspicion.
    MemberUp(Identity),
    /// A member does not answer.
    MemberSuspect(Identity),
    /// A member has not answered for so long that it is taken for dead.
    MemberDown(Identity),
    /// A member that is gone had said farewell.
    MemberLeft(Identity),
    /// There is a newer record of this member.
    MemberUpdated(Identity),
    /// Another node claims to be this one.
    Impostor(Identity),
}

/// How a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// It answers, as far as is known.
    Alive,
    /// It does not answer, and may still refute.
    Suspect,
    /// It is taken for dead. This life does not come back.
    Down,
    /// It said farewell.
    Left,
}

/// A member, as seen here.
#[derive(Clone, Copy, Debug)]
pub struct MemberRow<'a> {
    /// Node, life and control address.
    pub identity: Identity,
    /// How it is.
    pub state: MemberState,
    /// Since when, of this node's monotonic clock.
    pub since_ms: u64,
    /// The newest that it said about itself, perhaps in an earlier life.
    pub record: Option<&'a NodeRecord>,
}

/// What happened so often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Datagrams that came.
    pub received: u64,
    /// Of these: no gossip datagrams.
    pub malformed: u64,
    /// Of these: of another cluster.
    pub foreign: u64,
    /// Of these: refused, there are too many members.
    pub refused: u64,
    /// Probes of our own that failed.
    pub probes_failed: u64,
    /// Times we were declared down and came back.
    pub renewed: u64,
}
