//! What happens because time has passed.

use super::election::Round;
use super::{Action, Raft, State};

impl Raft {
    /// When [`Raft::on_timeout`] is to be called next; none: something else has to happen first.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Follower { leader } => {
                let waits = leader.is_some() || self.may_campaign();
                waits.then_some(self.election_at_ms)
            }
            State::Campaign(campaign) => Some(campaign.ask_at_ms.min(self.election_at_ms)),
            State::Leader(leading) => {
                (!leading.progress.is_empty()).then_some(leading.next_beat_ms)
            }
        }
    }

    /// Time has passed. Called too early or too late it does what is due.
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        match &self.state {
            State::Leader(leading) if now_ms >= leading.next_beat_ms => self.beat(now_ms, out),
            State::Leader(_) => {}
            _ if now_ms >= self.election_at_ms => self.give_up_waiting(now_ms, out),
            State::Campaign(campaign) if now_ms >= campaign.ask_at_ms => {
                self.ask_for_votes(now_ms, out);
            }
            State::Campaign(_) | State::Follower { .. } => {}
        }
        self.finish(out);
    }

    /// No leader was heard, or no majority voted.
    fn give_up_waiting(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.arm(now_ms);
        if !self.may_campaign() {
            self.state = State::Follower { leader: None };
            return;
        }
        // A slow disk must not see one term after the other while the first is being written.
        if self.writing.is_hard_synced() {
            self.campaign(now_ms, Round::PreVote, out);
        }
    }
}
