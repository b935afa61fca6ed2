//! One node's part in the agreement. (Being written: signatures stand.)

mod action;
mod event;
mod options;
mod request;
mod view;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use trefoil_clock::{Epoch, Lsn, NodeId, Position};
use trefoil_replication::Acks;

use crate::raft::StartError;
use crate::state::{ControlState, ResignReason};

pub use crate::message::JoinRefused;
pub use action::{Action, ControlWrite, Ticket};
pub use event::Event;
pub use options::{ControlOptions, ControlStart};
pub use request::{Done, Force, Request, RequestError, RequestId};
pub use view::ControlView;

/// Where the replication side of this node stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalReport {
    /// The epoch that it leads in.
    pub led: Option<Epoch>,
    /// It takes and gives no record of this epoch or an older one any more, and all that it took is in the log.
    pub fenced: Option<Epoch>,
    /// Where its log ends.
    pub end: Position,
    /// What its readers see.
    pub applied: Lsn,
    /// It holds every record up to `end`: no snapshot is being installed, nothing is damaged.
    pub whole: bool,
    /// Its disk and its loop are well.
    pub healthy: bool,
    /// Of a leader: the electable followers that lack next to nothing.
    pub caught_up: BTreeSet<NodeId>,
}

/// See the module.
#[derive(Debug)]
pub struct Control {}

#[allow(unused_variables)]
impl Control {
    /// A control that goes on from what was written down, or founds a cluster of one.
    ///
    /// # Errors
    /// What was written down makes no sense.
    pub fn new(
        options: ControlOptions,
        start: ControlStart,
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Result<Control, StartError> {
        Ok(Control {})
    }
    /// Gives up the cluster of one and asks these to be taken in. Nothing happens to a member of a cluster of several.
    pub fn join(&mut self, now_ms: u64, seeds: Vec<SocketAddr>, out: &mut Vec<Action>) {}
    /// A datagram came, unsealed.
    pub fn on_datagram(
        &mut self,
        now_ms: u64,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<Action>,
    ) {
    }
    /// What [`Action::Persist`] asked for is synced.
    pub fn on_persisted(&mut self, now_ms: u64, ticket: Ticket, out: &mut Vec<Action>) {}
    /// [`Control::deadline`] has come.
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<Action>) {}
    /// When [`Control::on_timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        None
    }
    /// The replication side stands elsewhere than before.
    pub fn on_local(&mut self, now_ms: u64, report: LocalReport, out: &mut Vec<Action>) {}
    /// This node, leading in `epoch`, wants this set and rule; answered by [`Action::Electable`]. One at a time.
    pub fn propose_electable(
        &mut self,
        now_ms: u64,
        epoch: Epoch,
        electable: BTreeSet<NodeId>,
        acks: Acks,
        out: &mut Vec<Action>,
    ) {
    }
    /// A node that is alone is about to begin this epoch.
    pub fn advance(&mut self, now_ms: u64, epoch: Epoch, out: &mut Vec<Action>) {}
    /// Asks the raft leader for something; answered by [`Action::Answer`].
    pub fn request(&mut self, now_ms: u64, request: Request, out: &mut Vec<Action>) -> RequestId {
        RequestId { node: NodeId(0), generation: 0, seq: 0 }
    }
    /// This node acknowledges nothing more in `epoch`, ever; its log ends at `end`. Said until the epoch is revoked.
    pub fn resign(
        &mut self,
        now_ms: u64,
        epoch: Epoch,
        end: Position,
        to: Option<NodeId>,
        reason: ResignReason,
        out: &mut Vec<Action>,
    ) {
    }
    /// This node could not hand over, and leads on.
    pub fn keep_leading(&mut self, now_ms: u64, out: &mut Vec<Action>) {}
    /// What is agreed upon, as far as this node knows.
    #[must_use]
    pub fn state(&self) -> &ControlState {
        unreachable!("being written")
    }
}
