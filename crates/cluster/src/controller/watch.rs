//! While somebody leads: is it still there?
//!
//! Only what voters said since this controller began counts, and only what they said a moment ago.

use super::{Controller, Decision, Sight, Stage};
use crate::state::{
    Command, DEFAULT_KEYSPACE, Failover, KeyspacePolicy, ResignReason, RevokeReason, Shard,
};

impl Controller {
    pub(super) fn watch(&mut self, sight: &Sight<'_>, shard: &Shard, out: &mut Vec<Decision>) {
        self.fence = None;
        self.stage = Stage::Watching;
        if self.proposed.is_some() {
            self.stage = Stage::Revoking;
            return;
        }
        if let Some(reason) = self.resigned(shard.epoch).map(|resign| resign.reason)
            && self.heeds(sight, reason)
        {
            self.revoke(shard, RevokeReason::Resigned(reason), out);
            return;
        }
        let silent = self.is_silent(sight, shard);
        if self.follow_order(sight, shard, silent, out) {
            self.revoke(shard, RevokeReason::Forced, out);
            return;
        }
        if !silent {
            return;
        }
        if policy(sight).failover == Failover::Manual {
            self.stage = Stage::Manual;
        } else if let Some(until_ms) = sight.damping.held_until_ms(sight.now_ms) {
            self.stage = Stage::Damped { until_ms };
            self.wake(until_ms);
        } else {
            self.revoke(shard, RevokeReason::Silent, out);
        }
    }

    fn revoke(&mut self, shard: &Shard, reason: RevokeReason, out: &mut Vec<Decision>) {
        self.stage = Stage::Revoking;
        let command = Command::Revoke { shard: self.shard, epoch: shard.epoch, reason };
        self.propose_failover(command, out);
    }

    /// Where failover is a person's decision, a leader that stops or is sick stays the leader: it goes
    /// on when it is back. One that may lack records can't go on in its epoch anyway.
    fn heeds(&self, sight: &Sight<'_>, reason: ResignReason) -> bool {
        policy(sight).failover == Failover::Automatic
            || matches!(reason, ResignReason::Asked | ResignReason::Unclean)
    }

    /// Whether a majority of the voters has not heard the leader for too long.
    pub(super) fn is_silent(&self, sight: &Sight<'_>, shard: &Shard) -> bool {
        let failover_ms = self.options.failover_ms;
        let misses = |voter: &&trefoil_clock::NodeId| {
            self.heard.get(voter).is_some_and(|told| {
                let is_fresh = sight.now_ms.saturating_sub(told.at_ms) <= failover_ms;
                let is_long = told.what.silent_ms >= failover_ms;
                is_fresh && is_long && told.what.epoch == shard.epoch
            })
        };
        sight.config.voters.iter().filter(misses).count() >= sight.config.quorum()
    }
}

/// How the keyspace of the shard is replicated.
pub(super) fn policy(sight: &Sight<'_>) -> KeyspacePolicy {
    let keyspaces = &sight.state.keyspaces;
    keyspaces.get(DEFAULT_KEYSPACE).copied().unwrap_or_else(KeyspacePolicy::alone)
}
