//! This node, leading the shard, wants another electable set or rule (rule 10).
//!
//! Each proposal says which change of the set it is; of two with the same number the first that is
//! agreed upon counts, the other is refused. So what was asked for and given up can't come into force
//! later than what is told to the shell.

use std::collections::BTreeSet;

use trefoil_clock::{Epoch, NodeId};
use trefoil_replication::Acks;

use super::{Action, Control, Origin, Request};
use crate::state::Granted;

/// See the module.
#[derive(Debug)]
pub(super) struct Wish {
    epoch: Epoch,
    electable: BTreeSet<NodeId>,
    acks: Acks,
    /// The number under which it was asked for.
    version: Option<u64>,
    /// The question that is under way.
    asked: Option<u64>,
    next_ms: u64,
}

impl Wish {
    pub(super) fn new(now_ms: u64, epoch: Epoch, electable: BTreeSet<NodeId>, acks: Acks) -> Wish {
        Wish { epoch, electable, acks, version: None, asked: None, next_ms: now_ms }
    }
}

impl Control {
    pub(super) fn wish_for(&mut self, wish: Wish) {
        if let Some(mut before) = self.wish.replace(wish) {
            self.withdraw(&mut before);
        }
    }

    /// When it is to be asked for again.
    pub(super) fn wish_ms(&self) -> Option<u64> {
        self.wish.as_ref().filter(|wish| wish.asked.is_none()).map(|wish| wish.next_ms)
    }

    /// Sees whether the wish has come true, and asks for it otherwise.
    pub(super) fn pursue_wish(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let Some(mut wish) = self.wish.take() else { return };
        let Some(shard) = self.state.shards.get(&self.shard) else { return };
        let in_force = shard.epoch == wish.epoch
            && shard.granted == Granted::Yes
            && shard.leader == self.own.node;
        // In an epoch that this node does not know of yet it may be right.
        if !in_force && shard.epoch >= wish.epoch {
            self.withdraw(&mut wish);
            return;
        }
        if wish.version.is_some_and(|version| version <= shard.version) {
            if wish.version == Some(shard.version)
                && wish.electable == shard.electable
                && wish.acks == shard.acks
            {
                self.withdraw(&mut wish);
                let Wish { epoch, electable, acks, .. } = wish;
                out.push(Action::Electable { epoch, electable, acks });
                return;
            }
            // Another one, asked for before, was faster.
            self.withdraw(&mut wish);
            wish.next_ms = now_ms;
        }
        if wish.asked.is_none() && wish.next_ms <= now_ms && in_force {
            let version = self.own_shard().map_or(0, |shard| shard.version) + 1;
            let request = Request::Electable {
                epoch: wish.epoch,
                version,
                electable: wish.electable.clone(),
                acks: wish.acks,
            };
            let id = self.ask(now_ms, request, Origin::Wish);
            (wish.version, wish.asked) = (Some(version), Some(id.seq));
        } else if wish.asked.is_none() && wish.next_ms <= now_ms {
            wish.next_ms = now_ms.saturating_add(self.options.ask_ms);
        }
        self.wish = Some(wish);
    }

    fn withdraw(&mut self, wish: &mut Wish) {
        wish.version = None;
        if let Some(seq) = wish.asked.take() {
            self.asks.withdraw(seq);
        }
    }

    /// What was asked for is agreed upon, which is seen when it is applied here; or it is refused, and
    /// asked for again.
    pub(super) fn on_wish_answered(&mut self, now_ms: u64, seq: u64, agreed: bool) {
        let again_ms = now_ms.saturating_add(self.options.ask_ms);
        if let Some(wish) = self.wish.as_mut().filter(|wish| wish.asked == Some(seq) && !agreed) {
            wish.asked = None;
            wish.next_ms = again_ms;
        }
    }
}
