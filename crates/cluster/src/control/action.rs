//! What a control wants done: every side effect is listed here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use trefoil_clock::{ClusterId, Epoch, NodeId};
use trefoil_replication::Acks;

use super::{ControlView, Done, Event, RequestError, RequestId};
use crate::raft;
use crate::state::Directive;

/// Names a write; they ascend over the life of a process, also over a reset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ticket(pub u64);

/// Something to be written down, synced, in the order of the tickets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlWrite {
    /// A change of what consensus remembers.
    Raft(raft::Write),
    /// All of it is given up: the node begins anew in another cluster.
    Reset,
}

/// Something for the shell to do, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Seal it and send it. It may be lost.
    Send {
        /// Where.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// Write and sync, then [`super::Control::on_persisted`].
    Persist {
        /// Its name.
        ticket: Ticket,
        /// What.
        write: ControlWrite,
    },
    /// The node was taken into this cluster. A node that joins says so before any [`Directive`].
    Admitted {
        /// Which.
        cluster: ClusterId,
    },
    /// What this node is to do now. Only of a node that is not alone in its cluster.
    Directive(Directive),
    /// Replies may leave while the shell's clock is before this. It only rises while this node leads in
    /// one epoch; `u64::MAX` as long as nobody else can take over, and then it falls once, to a time
    /// that is still ahead. 0: not any more.
    Lease {
        /// Milliseconds of the clock that is passed in.
        until_ms: u64,
    },
    /// The set that was proposed last with these values is agreed upon.
    Electable {
        /// The epoch.
        epoch: Epoch,
        /// The set, this node in it.
        electable: BTreeSet<NodeId>,
        /// The rule.
        acks: Acks,
    },
    /// Let writes wait until `to` has everything, then [`super::Control::resign`]; if that can't be,
    /// [`super::Control::keep_leading`].
    Pause {
        /// Who leads next.
        to: NodeId,
        /// At this time the control says [`Action::Resume`].
        deadline_ms: u64,
    },
    /// It is too late to hand over: writes go on here. Whoever has resigned already ignores it.
    Resume,
    /// What came of a request of this node.
    Answer {
        /// Which.
        id: RequestId,
        /// What.
        result: Result<Done, RequestError>,
    },
    /// What a status command shows.
    Published(Arc<ControlView>),
    /// Something a person may want to know.
    Event(Event),
}
