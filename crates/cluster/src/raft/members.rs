//! Who takes part, one voter at a time (dissertation, 4.1).
//!
//! Invariants: a configuration is in force when it is in the log; the next one comes only when it is
//! committed, and only from a leader that has committed an entry of its own term (Ongaro's correction of
//! 2015: without it two leaders may each change a configuration that the other does not know).

use trefoil_clock::NodeId;

use super::progress::Progress;
use super::{Action, Body, Config, ConfigRefused, Index, Payload, Raft, State};

/// A configuration entry has to fit a datagram.
const MEMBERS_MAX: usize = 1_000;

impl Raft {
    /// Begins to change who takes part. Several learners may come and go at once, but one voter.
    ///
    /// # Errors
    /// If it can't be changed so now.
    pub fn change_config(
        &mut self,
        now_ms: u64,
        config: Config,
        out: &mut Vec<Action>,
    ) -> Result<Index, ConfigRefused> {
        self.check_config(now_ms, &config)?;
        let index = self.append_own(Payload::Config(config));
        self.keep_progress_of_members(now_ms, index);
        self.pump_all(out);
        self.finish(out);
        Ok(index)
    }

    fn check_config(&self, now_ms: u64, config: &Config) -> Result<(), ConfigRefused> {
        let leader = self.leader();
        let State::Leader(leading) = &self.state else {
            return Err(ConfigRefused::NotLeader { leader });
        };
        if leading.transfer.is_some() {
            return Err(ConfigRefused::Transferring);
        }
        if self.committed() < leading.first {
            return Err(ConfigRefused::NotReady);
        }
        if !self.journal.is_config_committed() {
            return Err(ConfigRefused::Pending);
        }
        if !config.is_well_formed() || config.members().count() > MEMBERS_MAX {
            return Err(ConfigRefused::BadConfig);
        }
        if config == self.config() {
            return Err(ConfigRefused::Unchanged);
        }
        if config.voters_changed(self.config()) > 1 {
            return Err(ConfigRefused::ManyVoters);
        }
        self.check_reach(now_ms, config)
    }

    /// Whether the new voters can agree upon anything, this change first.
    fn check_reach(&self, now_ms: u64, config: &Config) -> Result<(), ConfigRefused> {
        let State::Leader(leading) = &self.state else { return Ok(()) };
        let me = self.options.node;
        let is_heard = |progress: &Progress| {
            let silent_ms = progress.heard_ms.map(|heard_ms| now_ms.saturating_sub(heard_ms));
            silent_ms.is_some_and(|silent_ms| silent_ms < self.options.election_max_ms)
        };
        for &node in config.voters.difference(&self.config().voters) {
            let has_caught_up = leading.progress.get(&node).is_some_and(|progress| {
                let lacks = self.last().index.0 - progress.matched.0;
                is_heard(progress) && lacks <= self.options.caught_up_entries
            });
            if !has_caught_up && node != me {
                return Err(ConfigRefused::NotCaughtUp { node });
            }
        }
        let reachable = config
            .voters
            .iter()
            .filter(|&&node| node == me || leading.progress.get(&node).is_some_and(is_heard));
        if reachable.count() < config.quorum() { Err(ConfigRefused::NoQuorum) } else { Ok(()) }
    }

    /// After a change: who is new is asked where its log agrees, who goes is told so for a while.
    pub(super) fn keep_progress_of_members(&mut self, now_ms: u64, next: Index) {
        let State::Leader(leading) = &mut self.state else { return };
        let (me, config) = (self.options.node, self.journal.config());
        let until_ms = now_ms.saturating_add(self.options.leaving_ms);
        for (&node, progress) in &mut leading.progress {
            let is_member = config.members().any(|member| member == node);
            let until_ms = progress.leaving_ms.unwrap_or(until_ms);
            progress.leaving_ms = (!is_member).then_some(until_ms);
        }
        for node in config.members().filter(|&node| node != me) {
            leading.progress.entry(node).or_insert_with(|| Progress::new(next, now_ms));
        }
    }

    /// This leader was removed, and that is committed: it steps down, after it has asked the voter that
    /// has most to go on.
    pub(super) fn leave(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let State::Leader(leading) = &self.state else { return };
        let voters = self.config().voters.iter();
        let matched =
            |node: &NodeId| leading.progress.get(node).map(|it| (it.matched, it.heard_ms));
        let successor = voters.copied().max_by_key(matched);
        if let Some(node) = successor {
            self.send(node, Body::TimeoutNow, out);
        }
        self.become_follower(now_ms, self.hard.term);
    }
}
