//! Elections: who may vote for whom, and when somebody asks.
//!
//! Invariants: a vote is given once in a term, on disk before it is sent or counted; only to a log that
//! is at least as long as the voter's; a pre-vote changes nothing.

use std::collections::BTreeSet;

use trefoil_clock::NodeId;

use super::{Action, Body, HardState, Ignored, LogPosition, Raft, State, Term};

/// A node that asks for votes.
#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) round: Round,
    /// Its own vote is among them once it counts.
    granted: BTreeSet<NodeId>,
    /// Those who need not be asked again.
    answered: BTreeSet<NodeId>,
    /// When the others are asked again.
    pub(super) ask_at_ms: u64,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Round {
    /// Whether it would be elected.
    PreVote,
    /// Votes.
    Vote,
    /// Votes, as the leader told it to: also of those who hear that leader.
    Transfer,
}

impl Raft {
    /// Whether this node is loyal to a leader: it was heard less than the shortest time-out ago.
    pub(super) fn hears_leader(&self, now_ms: u64) -> bool {
        let lately = |heard_ms| now_ms.saturating_sub(heard_ms) < self.options.election_min_ms;
        match self.state {
            State::Leader(_) => true,
            State::Follower { leader: Some(_) } => self.leader_heard_ms.is_some_and(lately),
            State::Follower { leader: None } | State::Campaign(_) => false,
        }
    }

    /// Whether it may ask for votes: as a voter, or as one whose removal is in its log and not known to be
    /// committed. Those who stay may lack that entry, and then they can't be elected against its longer
    /// log (dissertation, 4.2.2). Its own vote does not count then.
    pub(super) fn may_campaign(&self) -> bool {
        let me = self.options.node;
        let before = || self.journal.config_before().is_some_and(|before| before.is_voter(me));
        self.config().is_voter(me) || before()
    }

    /// Nobody was heard for a time-out.
    pub(super) fn campaign(&mut self, now_ms: u64, round: Round, out: &mut Vec<Action>) {
        assert!(self.may_campaign(), "only voters campaign");
        let me = self.options.node;
        let round = match round {
            // Alone there is nobody who could be disturbed.
            Round::PreVote if self.config().is_alone(me) => Round::Vote,
            round => round,
        };
        if round != Round::PreVote {
            self.set_hard(HardState { term: self.hard.term.next(), vote: Some(me) });
        }
        self.arm(now_ms);
        self.state = State::Campaign(Campaign {
            round,
            granted: BTreeSet::new(),
            answered: BTreeSet::new(),
            ask_at_ms: now_ms,
        });
        self.ask_for_votes(now_ms, out);
        self.count_own_vote(now_ms, out);
    }

    /// Asks those who have not answered.
    pub(super) fn ask_for_votes(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let State::Campaign(campaign) = &mut self.state else { return };
        campaign.ask_at_ms = now_ms.saturating_add(self.options.heartbeat_ms);
        let last = self.journal.last();
        let body = match campaign.round {
            Round::PreVote => Body::PreVote { next: self.hard.term.next(), last },
            Round::Vote => Body::Vote { last, transfer: false },
            Round::Transfer => Body::Vote { last, transfer: true },
        };
        let me = self.options.node;
        let is_asked = |node: &NodeId| *node != me && !campaign.answered.contains(node);
        let asked: Vec<NodeId> =
            self.journal.config().voters.iter().copied().filter(is_asked).collect();
        for node in asked {
            self.send(node, body.clone(), out);
        }
    }

    /// The own vote counts once it is on disk; a pre-vote is nothing to write down.
    pub(super) fn count_own_vote(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let State::Campaign(campaign) = &mut self.state else { return };
        if campaign.round == Round::PreVote || self.writing.is_hard_synced() {
            campaign.granted.insert(self.options.node);
            self.count_votes(now_ms, out);
        }
    }

    fn count_votes(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        let State::Campaign(campaign) = &self.state else { return };
        let config = self.journal.config();
        let votes = campaign.granted.intersection(&config.voters).count();
        if config.voters.is_empty() || votes < config.quorum() {
            return;
        }
        match campaign.round {
            // Configurations change: this node may have been a voter when it asked.
            _ if !self.may_campaign() => {}
            Round::PreVote => self.campaign(now_ms, Round::Vote, out),
            Round::Vote | Round::Transfer => self.become_leader(now_ms, out),
        }
    }

    pub(super) fn on_pre_vote(
        &mut self,
        now_ms: u64,
        from: NodeId,
        next: Term,
        last: LogPosition,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        if next >= Term::LIMIT {
            return Err(Ignored::Malformed);
        }
        if self.hears_leader(now_ms) {
            return Err(Ignored::HearsLeader);
        }
        let granted = next > self.hard.term && last >= self.journal.last();
        self.send(from, Body::PreVoteReply { next, granted }, out);
        Ok(())
    }

    pub(super) fn on_pre_vote_reply(
        &mut self,
        now_ms: u64,
        from: NodeId,
        next: Term,
        granted: bool,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let asked = self.hard.term.next();
        let State::Campaign(campaign) = &mut self.state else { return Err(Ignored::NotCandidate) };
        if campaign.round != Round::PreVote || next != asked {
            return Err(Ignored::Stale);
        }
        // Who refuses is asked again: it may have heard its leader for the last time.
        if granted {
            campaign.answered.insert(from);
            campaign.granted.insert(from);
            self.count_votes(now_ms, out);
        }
        Ok(())
    }

    /// Of the own term by now.
    pub(super) fn on_vote(
        &mut self,
        now_ms: u64,
        from: NodeId,
        last: LogPosition,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let free = self.hard.vote.is_none_or(|vote| vote == from);
        let granted = free && last >= self.journal.last();
        if granted && self.hard.vote.is_none() {
            self.set_hard(HardState { vote: Some(from), ..self.hard });
            // Whoever votes for another waits for it.
            self.arm(now_ms);
        }
        self.send(from, Body::VoteReply { granted }, out);
        Ok(())
    }

    pub(super) fn on_vote_reply(
        &mut self,
        now_ms: u64,
        from: NodeId,
        granted: bool,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let State::Campaign(campaign) = &mut self.state else { return Err(Ignored::NotCandidate) };
        if campaign.round == Round::PreVote {
            return Err(Ignored::Stale);
        }
        campaign.answered.insert(from);
        if granted {
            campaign.granted.insert(from);
            self.count_votes(now_ms, out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Entry, Index, Options, Payload, Role, Snapshot, Start};
    use super::*;

    const STAYS: NodeId = NodeId(1);
    const LEAVES: NodeId = NodeId(2);

    /// Both voted; that one of them votes no more is in the log, if so many entries are there.
    fn node(own: NodeId, entries: usize) -> Raft {
        let voters = BTreeSet::from([STAYS, LEAVES]);
        let config = Config { voters, learners: BTreeSet::new() };
        let snapshot = Snapshot { index: Index(5), term: Term(1), config, data: Vec::new() };
        let alone = Payload::Config(Config::of_one(STAYS));
        let removal = Entry { index: Index(6), term: Term(1), payload: alone };
        let hard = HardState { term: Term(1), vote: None };
        let entries = [removal].into_iter().take(entries).collect();
        let start = Start { hard, snapshot: Some(snapshot), entries };
        Raft::new(Options::new(own, 7), start, 0).expect("a log")
    }

    /// Carries everything out at once until nothing happens any more.
    fn settle(now_ms: u64, stays: &mut Raft, leaves: &mut Raft, mut out: Vec<(NodeId, Action)>) {
        while let Some((by, action)) = out.pop() {
            let mut more = Vec::new();
            let done_by = match action {
                Action::Send { to, message } => {
                    let raft = if to == STAYS { &mut *stays } else { &mut *leaves };
                    raft.on_message(now_ms, by, message, &mut more);
                    to
                }
                Action::Persist { ticket, .. } => {
                    let raft = if by == STAYS { &mut *stays } else { &mut *leaves };
                    raft.on_persisted(now_ms, ticket, &mut more);
                    by
                }
                _ => continue,
            };
            out.splice(0..0, more.into_iter().rev().map(|action| (done_by, action)));
        }
    }

    #[test]
    fn who_alone_has_the_entry_of_its_removal_asks_for_votes_once_more() {
        // The leader died before it had written what it had sent already.
        let (mut stays, mut leaves) = (node(STAYS, 0), node(LEAVES, 1));
        let mut now_ms = 0;
        for _ in 0..20 {
            now_ms += 1_000;
            for own in [STAYS, LEAVES] {
                let mut out = Vec::new();
                let raft = if own == STAYS { &mut stays } else { &mut leaves };
                raft.on_timeout(now_ms, &mut out);
                let out = out.into_iter().map(|action| (own, action)).collect();
                settle(now_ms, &mut stays, &mut leaves, out);
            }
        }
        assert_eq!(*stays.config(), Config::of_one(STAYS), "the removal came through");
        assert!(stays.committed() > Index(6) && stays.role() == Role::Leader);
        assert!(leaves.role() != Role::Leader);
    }
}
