//! Handing leadership over (dissertation, 3.10): the successor gets everything, then campaigns at once.
//!
//! Invariant: meanwhile nothing new is taken, and that ends: by the new leader's term, or by time.

use trefoil_clock::NodeId;

use super::election::Round;
use super::{Action, Body, Ignored, Raft, State, TransferRefused};

/// A leader hands over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Transfer {
    pub(super) to: NodeId,
    /// Then it goes on leading.
    pub(super) until_ms: u64,
}

impl Raft {
    /// Hands leadership to another voter. Ends in a new leader's term, or after the longest election
    /// time-out, and then this node leads on.
    ///
    /// # Errors
    /// If it can't.
    pub fn transfer(
        &mut self,
        now_ms: u64,
        to: NodeId,
        out: &mut Vec<Action>,
    ) -> Result<(), TransferRefused> {
        let leader = self.leader();
        let is_voter = self.config().is_voter(to);
        let State::Leader(leading) = &mut self.state else {
            return Err(TransferRefused::NotLeader { leader });
        };
        if leading.transfer.is_some() {
            return Err(TransferRefused::Transferring);
        }
        if to == self.options.node || !is_voter {
            return Err(TransferRefused::NotVoter);
        }
        let until_ms = now_ms.saturating_add(self.options.election_max_ms);
        leading.transfer = Some(Transfer { to, until_ms });
        self.pump(to, out);
        self.urge_successor(out);
        self.finish(out);
        Ok(())
    }

    /// Tells the successor to campaign, if it has everything.
    pub(super) fn urge_successor(&mut self, out: &mut Vec<Action>) {
        let last = self.last().index;
        let State::Leader(leading) = &self.state else { return };
        let Some(Transfer { to, .. }) = leading.transfer else { return };
        if leading.progress.get(&to).is_some_and(|progress| progress.matched == last) {
            self.send(to, Body::TimeoutNow, out);
        }
    }

    pub(super) fn on_timeout_now(
        &mut self,
        now_ms: u64,
        from: NodeId,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        if !matches!(self.state, State::Follower { leader: Some(leader) } if leader == from) {
            return Err(Ignored::OtherLeader);
        }
        if !self.config().is_voter(self.options.node) {
            return Err(Ignored::NotVoter);
        }
        self.campaign(now_ms, Round::Transfer, out);
        Ok(())
    }
}
