//! What a controller sees, and what it wants done.

use trefoil_clock::NodeId;

use super::Damping;
use crate::control::{Done, Event, RequestError, RequestId};
use crate::message::Message;
use crate::raft::{Config, Index, ProgressRow};
use crate::state::{Command, ControlState};

/// What a controller goes by besides what it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) now_ms: u64,
    /// All that is agreed upon.
    pub(crate) state: &'a ControlState,
    pub(crate) config: &'a Config,
    /// Whether the configuration is agreed upon, and another one may be proposed.
    pub(crate) may_reconfigure: bool,
    /// Up to here everything is agreed upon.
    pub(crate) committed: Index,
    /// What the raft leader knows of the others.
    pub(crate) progress: &'a [ProgressRow],
    pub(crate) damping: &'a Damping,
    /// Whether strangers may be taken in now.
    pub(crate) may_admit: bool,
}

/// What is to be done, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Have it agreed upon.
    Propose {
        command: Command,
        purpose: Purpose,
    },
    /// Have other members take part.
    Reconfigure {
        config: Config,
        asker: Option<RequestId>,
    },
    /// Hand leadership of the control plane on.
    Transfer(NodeId),
    Tell {
        to: NodeId,
        message: Message,
    },
    Answer {
        id: RequestId,
        result: Result<Done, RequestError>,
    },
    Event(Event),
}

/// What a proposal is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A revocation or a grant; one at a time.
    Failover,
    /// Somebody waits for it.
    Asked(RequestId),
    /// A node wants to be a member, as it now is.
    Joining(NodeId),
}
