//! What the peers thread tells the control thread. The newest of each kind is what counts.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use trefoil_clock::{Epoch, NodeId, Position};
use trefoil_cluster::state::ResignReason;
use trefoil_replication::Acks;

/// Where this node stands with its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The epoch that it leads in.
    pub led: Option<Epoch>,
    /// It takes no records of this epoch or an older one any more, and all that it took is in the log.
    pub fenced: Option<Epoch>,
    /// Where its log ends.
    pub end: Position,
    /// It has all that it loaded a part of.
    pub whole: bool,
    /// It still has all that it acknowledged: since the power went, if it did, it has caught up.
    pub intact: bool,
}

/// Who is to be electable, and by which rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Electable {
    /// The epoch that it is for.
    pub epoch: Epoch,
    /// The set, the leader among them.
    pub nodes: BTreeSet<NodeId>,
    /// The rule.
    pub acks: Acks,
}

/// This node leads no more, of its own accord.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resigned {
    /// The epoch that is over.
    pub epoch: Epoch,
    /// Where its log ends.
    pub end: Position,
    /// Who is to lead next, if somebody was asked for.
    pub to: Option<NodeId>,
    /// Why.
    pub reason: ResignReason,
}

/// See the module.
#[derive(Default)]
pub struct Wishes(Mutex<All>);

#[derive(Default)]
struct All {
    standing: Standing,
    electable: Option<Electable>,
    resigned: Option<Resigned>,
    /// A handover could not be done in time.
    kept: bool,
}

impl Wishes {
    fn with<T>(&self, act: impl FnOnce(&mut All) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Told by the peers thread. Whether it is anything else than before but the end of the log.
    pub fn stand(&self, standing: Standing) -> bool {
        self.with(|all| {
            let before = std::mem::replace(&mut all.standing, standing);
            Standing { end: standing.end, ..before } != standing
        })
    }

    /// Where the node stands.
    pub fn standing(&self) -> Standing {
        self.with(|all| all.standing)
    }

    /// Asks for a set. The answer is [`crate::replication::Order::Published`].
    pub fn publish(&self, electable: Electable) {
        self.with(|all| all.electable = Some(electable));
    }

    /// Taken by the control thread.
    pub fn take_electable(&self) -> Option<Electable> {
        self.with(|all| all.electable.take())
    }

    /// Gives leadership back.
    pub fn resign(&self, resigned: Resigned) {
        self.with(|all| all.resigned = Some(resigned));
    }

    /// Taken by the control thread.
    pub fn take_resigned(&self) -> Option<Resigned> {
        self.with(|all| all.resigned.take())
    }

    /// Leadership could not be handed over in time.
    pub fn keep_leading(&self) {
        self.with(|all| all.kept = true);
    }

    /// Taken by the control thread.
    pub fn take_kept(&self) -> bool {
        self.with(|all| std::mem::take(&mut all.kept))
    }
}
