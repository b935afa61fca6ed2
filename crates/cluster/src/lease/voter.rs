//! A voter's end: it answers a leader, or does not, and remembers when it did.

use std::collections::BTreeSet;

use trefoil_clock::{Epoch, NodeId, Position};

use crate::message::{Renew, Renewed};

/// What this voter knows of the shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// This node.
    pub(crate) own: NodeId,
    /// Who votes, by the newest configuration in its log.
    pub(crate) voters: &'a BTreeSet<NodeId>,
    /// The newest epoch that was granted.
    pub(crate) epoch: Epoch,
    /// The newest epoch of which a revocation is in its log, committed or not.
    pub(crate) revoked: Option<Epoch>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Voter {
    /// The epoch that is watched.
    epoch: Epoch,
    /// Who votes.
    voters: BTreeSet<NodeId>,
    /// When its leader was answered last; at first, when the epoch and the voters became known.
    answered_ms: u64,
    /// The furthest end of the log that it told.
    leader_end: Position,
}

impl Voter {
    /// This epoch was granted, and these vote. An older epoch than the one that is watched changes
    /// nothing; who has just begun to vote has not been waiting for anybody.
    pub(crate) fn watch(&mut self, now_ms: u64, epoch: Epoch, voters: &BTreeSet<NodeId>) {
        if self.epoch < epoch || self.voters != *voters {
            self.epoch = epoch.max(self.epoch);
            self.voters.clone_from(voters);
            self.answered_ms = now_ms;
        }
    }

    /// A leader asks. None: it may not go on, as far as this voter is concerned.
    pub(crate) fn on_renew(
        &mut self,
        now_ms: u64,
        renew: &Renew,
        known: Known<'_>,
    ) -> Option<Renewed> {
        let Renew { shard, epoch, generation, id, sent_ms, .. } = *renew;
        if !known.voters.contains(&known.own) || *known.voters != renew.voters {
            return None;
        }
        if known.revoked.is_some_and(|revoked| revoked >= epoch) || known.epoch > epoch {
            return None;
        }
        self.watch(now_ms, epoch, known.voters);
        self.answered_ms = now_ms;
        self.leader_end = self.leader_end.max(renew.end);
        Some(Renewed { shard, epoch, generation, id, sent_ms })
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn answered_ms(&self) -> u64 {
        self.answered_ms
    }

    pub(crate) fn leader_end(&self) -> Position {
        self.leader_end
    }
}
