//! A process's part in the agreement: its control, what workers see of the lease, and what the threads
//! of the process want of each other.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use trefoil_clock::{Epoch, Lsn, NodeId, Position};
use trefoil_cluster::control::{Control, ControlView, ControlWrite, Ticket};
use trefoil_cluster::state::{KeyspacePolicy, ResignReason};
use trefoil_replication::{AckPolicy, Acks};

use super::super::agenda::Micros;
use super::super::world::World;
use super::orders::Order;

/// See the module.
pub(crate) struct Part {
    pub(super) control: Control,
    /// When the next look at the control's deadline is put down.
    pub(super) tick_at: Option<Micros>,
    pub(super) view: Option<Arc<ControlView>>,
    /// The cluster says what this node does.
    pub(super) managed: bool,
    /// What the control said last of the lease; none: no lease is needed.
    pub(super) lease_until_ms: Option<u64>,
    /// What workers see of it.
    pub(super) gate: Gate,
    /// Since when it is open in this epoch.
    pub(super) gate_since: Option<Micros>,
    /// A look at replies that may leave is put down.
    pub(super) letting_go: bool,
    /// The policy in force here.
    pub(crate) policy: AckPolicy,
    pub(super) taken_policy: Option<KeyspacePolicy>,
    pub(super) papers: VecDeque<(Ticket, ControlWrite)>,
    pub(super) writes_papers: bool,
    /// For the thread that replicates.
    pub(super) orders: VecDeque<Order>,
    pub(super) stepping: bool,
    /// The lead is being taken.
    pub(super) taking: Option<Taking>,
    /// The epoch that was revoked, until another one is granted.
    pub(super) fenced: Option<Epoch>,
    pub(super) handover: Option<Handover>,
    /// What was asked to be agreed upon, until it is.
    pub(super) wanted: Option<Saved>,
    pub(super) members: Saved,
    /// For the thread that controls.
    pub(super) looking: bool,
    pub(super) standing: Standing,
    pub(super) electable: Option<Electable>,
    pub(super) resigned: Option<Resigned>,
    pub(super) kept: bool,
}

/// Replies that depend on the lease pass it, or wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    /// No lease is needed.
    Free,
    /// Until then, by the node's clock.
    Until(u64),
}

/// What is left to be done until the node leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taking {
    pub(super) epoch: Epoch,
    pub(super) committed: Lsn,
}

/// Leadership is being handed over; writes wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    pub(super) to: NodeId,
    pub(super) until_ms: u64,
}

/// Whose acknowledgements count, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Saved {
    pub(super) acks: Acks,
    pub(super) nodes: Vec<NodeId>,
}

impl Default for Saved {
    fn default() -> Saved {
        Saved { acks: Acks::Async, nodes: Vec::new() }
    }
}

/// Who is to be electable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Electable {
    pub(super) epoch: Epoch,
    pub(super) nodes: BTreeSet<NodeId>,
    pub(super) acks: Acks,
}

/// This node leads no more, of its own accord.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resigned {
    pub(super) epoch: Epoch,
    pub(super) end: Position,
    pub(super) to: Option<NodeId>,
    pub(super) reason: ResignReason,
}

/// Where this node stands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Standing {
    pub(super) led: Option<Epoch>,
    pub(super) fenced: Option<Epoch>,
    pub(super) end: Position,
    pub(super) whole: bool,
    pub(super) intact: bool,
}

impl Part {
    pub(super) fn new(control: Control, managed: bool, policy: AckPolicy) -> Part {
        Part {
            control,
            tick_at: None,
            view: None,
            managed,
            lease_until_ms: None,
            gate: Gate::Free,
            gate_since: None,
            letting_go: false,
            policy,
            taken_policy: None,
            papers: VecDeque::new(),
            writes_papers: false,
            orders: VecDeque::new(),
            stepping: false,
            taking: None,
            fenced: None,
            handover: None,
            wanted: None,
            members: Saved::default(),
            looking: false,
            standing: Standing::default(),
            electable: None,
            resigned: None,
            kept: false,
        }
    }
}

impl World {
    /// A running process's part in the agreement, if there is one.
    pub(crate) fn part(&mut self, slot: usize) -> Option<&mut Part> {
        self.nodes[slot].process.as_mut()?.part.as_deref_mut()
    }

    pub(crate) fn part_of(&self, slot: usize) -> Option<&Part> {
        self.nodes[slot].process.as_ref()?.part.as_deref()
    }

    /// Whether epochs are granted to this node, and who is electable is agreed upon.
    pub(crate) fn is_managed(&self, slot: usize) -> bool {
        self.part_of(slot).is_some_and(|part| part.managed)
    }

    /// Whether it takes no records now.
    pub(crate) fn is_fenced(&self, slot: usize) -> bool {
        self.part_of(slot).is_some_and(|part| part.fenced.is_some())
    }

    /// The policy that a node's leader goes by.
    pub(crate) fn policy_of(&self, slot: usize) -> AckPolicy {
        self.part_of(slot).map_or(self.operator.policy, |part| part.policy)
    }
}
