//! The leader's end: it asks, counts answers, and knows until when it may go on.
//!
//! Invariants: `until_ms` only rises in one epoch, except from "for ever" when somebody else may vote;
//! it counts from when questions were sent; what was given back is not taken again in this process.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::{Epoch, NodeId, Position, ShardId};

use crate::message::{Renew, Renewed};

/// See the module.
#[derive(Debug)]
pub(crate) struct Holder {
    own: NodeId,
    shard: ShardId,
    generation: u64,
    renew_ms: u64,
    lease_ms: u64,
    /// Epochs up to this one were given back.
    given_back: Option<Epoch>,
    held: Option<Held>,
    last_id: u64,
}

/// The lease of one epoch.
#[derive(Debug)]
struct Held {
    epoch: Epoch,
    voters: BTreeSet<NodeId>,
    /// Questions from this one on were sent to these voters.
    first_id: u64,
    /// For each voter that answered: when the newest of those questions was sent.
    answered: BTreeMap<NodeId, u64>,
    until_ms: u64,
    next_ms: u64,
}

impl Holder {
    pub(crate) fn new(
        own: NodeId,
        shard: ShardId,
        generation: u64,
        renew_ms: u64,
        lease_ms: u64,
    ) -> Holder {
        let (given_back, held, last_id) = (None, None, 0);
        Holder { own, shard, generation, renew_ms, lease_ms, given_back, held, last_id }
    }

    /// Until when replies may leave; 0: not at all.
    pub(crate) fn until_ms(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.until_ms)
    }

    pub(crate) fn has_given_back(&self, epoch: Epoch) -> bool {
        self.given_back.is_some_and(|given| given >= epoch)
    }

    /// This node leads in `epoch` (none: in no epoch), and these vote.
    pub(crate) fn lead(&mut self, now_ms: u64, epoch: Option<Epoch>, voters: &BTreeSet<NodeId>) {
        let Some(epoch) = epoch.filter(|&epoch| !self.has_given_back(epoch)) else {
            self.held = None;
            return;
        };
        let alone = voters.len() == 1 && voters.contains(&self.own);
        let first_id = self.last_id + 1;
        let held = match &mut self.held {
            Some(held) if held.epoch == epoch => held,
            held => held.insert(Held {
                epoch,
                voters: voters.clone(),
                first_id,
                answered: BTreeMap::new(),
                until_ms: 0,
                next_ms: now_ms,
            }),
        };
        if held.voters != *voters {
            held.voters.clone_from(voters);
            held.first_id = first_id;
            held.answered.clear();
            held.next_ms = now_ms;
        }
        match (alone, held.until_ms == u64::MAX) {
            (true, _) => held.until_ms = u64::MAX,
            // Up to now nobody else could have decided anything.
            (false, true) => held.until_ms = now_ms.saturating_add(self.lease_ms),
            (false, false) => {}
        }
    }

    /// Never again in this epoch, or in one before it.
    pub(crate) fn give_back(&mut self, epoch: Epoch) {
        self.given_back = self.given_back.max(Some(epoch));
        self.held.take_if(|held| held.epoch <= epoch);
    }

    /// The question that is due, for all voters.
    pub(crate) fn due(&mut self, now_ms: u64, end: Position) -> Option<Renew> {
        let held = self.held.as_mut().filter(|held| held.until_ms != u64::MAX)?;
        if now_ms < held.next_ms {
            return None;
        }
        held.next_ms = now_ms.saturating_add(self.renew_ms);
        self.last_id += 1;
        Some(Renew {
            shard: self.shard,
            epoch: held.epoch,
            generation: self.generation,
            id: self.last_id,
            sent_ms: now_ms,
            voters: held.voters.clone(),
            end,
        })
    }

    /// A voter said yes.
    pub(crate) fn on_renewed(&mut self, now_ms: u64, from: NodeId, renewed: &Renewed) {
        let Some(held) = &mut self.held else { return };
        let is_ours = renewed.shard == self.shard
            && renewed.epoch == held.epoch
            && renewed.generation == self.generation
            && (held.first_id..=self.last_id).contains(&renewed.id);
        if !is_ours || renewed.sent_ms > now_ms || !held.voters.contains(&from) {
            return;
        }
        let newest = held.answered.entry(from).or_default();
        *newest = renewed.sent_ms.max(*newest);
        let mut sent: Vec<u64> = held.answered.values().copied().collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        let majority = held.voters.len() / 2 + 1;
        if let Some(sent_ms) = sent.get(majority - 1) {
            held.until_ms = held.until_ms.max(sent_ms.saturating_add(self.lease_ms));
        }
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.held.as_ref().filter(|held| held.until_ms != u64::MAX).map(|held| held.next_ms)
    }
}
