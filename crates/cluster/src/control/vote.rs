//! This node as a voter: it lets the shard's leader go on, and tells the raft leader when it has not
//! heard of it.

use trefoil_clock::NodeId;

use super::{Action, Control};
use crate::lease::Known;
use crate::message::{Heard, Message, Renew};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Voting {
    next_ms: u64,
    /// The raft leader knows that the shard's leader is silent for too long.
    said_silent: bool,
}

impl Voting {
    /// Somebody else leads consensus.
    pub(super) fn tell_at_once(&mut self, now_ms: u64) {
        *self = Voting { next_ms: now_ms, said_silent: false };
    }
}

impl Control {
    /// Whether it has anything to say about the leader.
    fn watches(&self) -> bool {
        self.informed
            && self.state.is_managed()
            && self.raft.config().is_voter(self.own.node)
            && self.raft.leader().is_some()
    }

    /// When it has to be told at the latest, unless the leader is heard.
    pub(super) fn voting_ms(&self) -> Option<u64> {
        let silent_ms =
            self.voter.answered_ms().saturating_add(self.options.controller.failover_ms);
        let watches = self.watches();
        let counts = !self.voting.said_silent && !self.holds_alone();
        watches
            .then(|| if counts { self.voting.next_ms.min(silent_ms) } else { self.voting.next_ms })
    }

    /// Who votes alone and leads need not ask itself.
    fn holds_alone(&self) -> bool {
        self.holder.until_ms() == u64::MAX
    }

    pub(super) fn on_renew(
        &mut self,
        now_ms: u64,
        from: NodeId,
        renew: &Renew,
        out: &mut Vec<Action>,
    ) {
        let shard = self.own_shard();
        let epoch = self.epoch();
        let is_leader =
            |shard: &crate::state::Shard| shard.epoch != renew.epoch || shard.leader == from;
        if self.mute || renew.shard != self.shard || !shard.is_none_or(is_leader) {
            return;
        }
        let revoked = self.revocations.newest(shard);
        let (own, voters) = (self.own.node, &self.raft.config().voters);
        let known = Known { own, voters, epoch, revoked };
        if let Some(renewed) = self.voter.on_renew(now_ms, renew, known) {
            self.voting.said_silent = false;
            self.send(from, Message::Renewed(renewed), out);
        }
    }

    /// Tells the raft leader how long the shard's leader was not heard.
    pub(super) fn tell_heard(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.voter.watch(now_ms, self.epoch(), &self.raft.config().voters);
        if self.voting_ms().is_none_or(|at_ms| at_ms > now_ms) {
            return;
        }
        let answered_ms = if self.holds_alone() { now_ms } else { self.voter.answered_ms() };
        let silent_ms = now_ms.saturating_sub(answered_ms);
        self.voting.next_ms = now_ms.saturating_add(self.options.heard_ms);
        self.voting.said_silent = silent_ms >= self.options.controller.failover_ms;
        let heard = Heard {
            shard: self.shard,
            epoch: self.voter.epoch(),
            silent_ms,
            leader_end: self.voter.leader_end(),
        };
        if let Some(leader) = self.raft.leader() {
            self.send(leader, Message::Heard(heard), out);
        }
    }
}
