//! What is agreed upon is one: the same state behind the same entry on every node, one raft leader in a
//! term, one leader in an epoch. Pitfalls 10 and 30.

use std::collections::BTreeMap;
use std::sync::Arc;

use trefoil_clock::{Epoch, NodeId};
use trefoil_cluster::control::ControlView;
use trefoil_cluster::raft::{Index, Term};

use super::Judge;

/// What nodes said of the agreement.
#[derive(Default)]
pub(super) struct Agreed {
    states: BTreeMap<Index, Arc<ControlView>>,
    raft_leaders: BTreeMap<Term, NodeId>,
    granted: BTreeMap<Epoch, NodeId>,
}

impl Judge {
    /// A node tells what it knows.
    pub(crate) fn on_agreed(&mut self, slot: usize, view: &Arc<ControlView>) {
        let index = view.index;
        let first = self.agreed.states.entry(index).or_insert_with(|| Arc::clone(view));
        if first.state != view.state {
            let (here, there) = (&view.state, &first.state);
            let text = format!("n{slot} at entry {}: {here:?}, another node: {there:?}", index.0);
            return self.broken("agreement", text);
        }
        if let Some(leader) = view.raft_leader {
            let known = *self.agreed.raft_leaders.entry(view.term).or_insert(leader);
            if known != leader {
                let text = format!("term {} has two leaders: {known} and {leader}", view.term.0);
                self.broken("agreement", text);
            }
        }
        let reigns = view.state.shards.values().flat_map(|shard| shard.reigns.iter().rev().take(2));
        let reigns: Vec<_> = reigns.copied().collect();
        for reign in reigns {
            let known = *self.agreed.granted.entry(reign.epoch).or_insert(reign.leader);
            if known != reign.leader {
                let text = format!("{} was granted to {known} and {}", reign.epoch, reign.leader);
                self.broken("P9: epoch", text);
            }
        }
    }

    /// Whether an epoch was granted to a node, as far as anybody said.
    pub(crate) fn is_granted(&self, epoch: Epoch, node: NodeId) -> bool {
        self.agreed.granted.get(&epoch) == Some(&node)
    }
}
