//! The family of runs in which nobody sets the leader: nodes agree on it.
//!
//! Each node runs the real [`Control`] beside the cores of replication; around them a model of the shell
//! (`server::control`, `node::peers::agreed`, `node::agreement`) that carries its actions out in the same
//! order, and that can fail: datagrams are lost, doubled and overtake each other, the control log is
//! synced late, clocks drift as far as they may, processes stand still between work and reply.
//!
//! A run begins as a cluster does: one node founds it, the others ask to be taken in.
//!
//! [`Control`]: trefoil_cluster::control::Control

mod acks;
mod control;
mod datagrams;
mod ending;
mod gate;
mod nemesis;
mod orders;
mod papers;
mod part;
mod people;
mod plan;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trefoil_clock::{Epoch, NodeId};
use trefoil_cluster::control::ControlView;

use super::agenda::Micros;
use super::disk::Disk;

pub(crate) use papers::Papers;
pub(crate) use part::Part;
pub(crate) use plan::HealPlan;

/// What a run of this family has besides a world.
pub(crate) struct Healing {
    pub(crate) plan: HealPlan,
    /// From whom to whom datagrams are lost until then.
    mute_until: Vec<Vec<Micros>>,
    /// Between two nodes something was wrong until then, one way or the other.
    troubled_until: Vec<Vec<Micros>>,
    /// A node was down, stood still or was slow until then.
    unwell_until: Vec<Micros>,
    /// The newest agreement that anybody has seen.
    newest: Option<Arc<ControlView>>,
    /// When who votes was changed last.
    voters_changed_at: Micros,
    /// Epochs whose silent revocation was judged.
    revocations: BTreeSet<Epoch>,
    /// Nodes that will not come back, as such.
    gone: BTreeSet<NodeId>,
    /// Copies of disks, made earlier.
    copies: BTreeMap<usize, Disk>,
    strike: Strike,
    /// A client got a write acknowledged after everything had healed.
    served: bool,
}

/// What is to go wrong at the next occasion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strike {
    Nothing,
    /// Who takes the lead next dies soon after.
    NextLeader,
    /// The leader dies while who is electable is being agreed upon.
    ElectableChange,
}

impl Healing {
    pub(crate) fn new(plan: HealPlan, nodes: usize) -> Healing {
        Healing {
            plan,
            mute_until: vec![vec![0; nodes]; nodes],
            troubled_until: vec![vec![0; nodes]; nodes],
            unwell_until: vec![0; nodes],
            newest: None,
            voters_changed_at: 0,
            revocations: BTreeSet::new(),
            gone: BTreeSet::new(),
            copies: BTreeMap::new(),
            strike: Strike::Nothing,
            served: false,
        }
    }
}
