//! What others may know of a node, and what must always be true of it.

use trefoil_clock::NodeId;

use super::election::Round;
use super::{
    Config, HardState, Index, LogPosition, ProgressRow, Raft, Role, Snapshot, State, Term,
};

impl Raft {
    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.options.node
    }

    /// The newest term that it knows.
    #[must_use]
    pub fn term(&self) -> Term {
        self.hard.term
    }

    /// What it is.
    #[must_use]
    pub fn role(&self) -> Role {
        match &self.state {
            State::Follower { leader } => Role::Follower { leader: *leader },
            State::Campaign(campaign) if campaign.round == Round::PreVote => Role::PreCandidate,
            State::Campaign(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// Who leads, as far as it knows: itself, or whom it heard within a time-out.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.state {
            State::Follower { leader } => *leader,
            State::Campaign(_) => None,
            State::Leader(_) => Some(self.options.node),
        }
    }

    /// Whether it leads. Another may lead already in a newer term.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    /// Whether it leads and has committed an entry of its own: everything that was ever committed has
    /// come in [`super::Action::Commit`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(&self.state, State::Leader(leading) if leading.first <= self.committed())
    }

    /// Whether it leads and is handing over.
    #[must_use]
    pub fn transferring_to(&self) -> Option<NodeId> {
        let State::Leader(leading) = &self.state else { return None };
        leading.transfer.map(|transfer| transfer.to)
    }

    /// Who takes part, committed or not. Without voters: it waits to be taken in.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.journal.config()
    }

    /// Whether who takes part is agreed upon.
    #[must_use]
    pub fn is_config_committed(&self) -> bool {
        self.journal.is_config_committed()
    }

    /// Everything up to here is agreed upon, and was given out.
    #[must_use]
    pub fn committed(&self) -> Index {
        self.journal.commit()
    }

    /// Where its log ends, synced or not.
    #[must_use]
    pub fn last(&self) -> LogPosition {
        self.journal.last()
    }

    /// Its log is synced up to here.
    #[must_use]
    pub fn durable(&self) -> Index {
        self.journal.durable()
    }

    /// Its newest snapshot, made or installed.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.journal.snapshot().map(|snapshot| &**snapshot)
    }

    /// Since when nothing was heard of a majority of voters; a leader hears itself. None if it does
    /// not lead.
    #[must_use]
    pub fn quorum_heard_ms(&self, now_ms: u64) -> Option<u64> {
        let State::Leader(leading) = &self.state else { return None };
        let me = self.options.node;
        let heard_ms = |node: NodeId| {
            let contact_ms = || leading.progress.get(&node).map_or(0, |it| it.contact_ms());
            if node == me { now_ms } else { contact_ms() }
        };
        self.config().reached(heard_ms)
    }

    /// Whether it leads and heard a majority of voters within the shortest election time-out.
    #[must_use]
    pub fn heard(&self, now_ms: u64) -> bool {
        self.is_leader() && self.quorum_silent_ms(now_ms) < self.options.election_min_ms
    }

    /// What it knows of the other members as their leader, ascending by node; empty if it does not lead.
    #[must_use]
    pub fn progress(&self) -> Vec<ProgressRow> {
        let State::Leader(leading) = &self.state else { return Vec::new() };
        let members = leading.progress.iter().filter(|(_, it)| it.leaving_ms.is_none());
        members.map(|(&node, it)| it.row(node, self.config().is_voter(node))).collect()
    }

    pub(super) fn quorum_silent_ms(&self, now_ms: u64) -> u64 {
        self.quorum_heard_ms(now_ms).map_or(u64::MAX, |heard_ms| now_ms.saturating_sub(heard_ms))
    }

    /// Panics if an invariant is broken. For tests; cost grows with the log.
    pub fn validate(&self) {
        let HardState { term, vote } = self.hard;
        let me = self.options.node;
        self.journal.validate(term);
        self.writing.validate(self.hard);
        if let Some(incoming) = &self.incoming {
            assert!(incoming.at.index > self.committed(), "what comes in is news");
            let bytes = incoming.data.len();
            assert!(bytes <= self.options.snapshot_bytes_max, "what comes in is bounded");
        }
        match &self.state {
            State::Follower { leader } => assert_ne!(*leader, Some(me), "nobody follows itself"),
            State::Campaign(campaign) if campaign.round == Round::PreVote => {}
            State::Campaign(_) => assert_eq!(vote, Some(me), "a candidate votes for itself"),
            State::Leader(leading) => {
                assert_eq!(vote, Some(me), "a leader voted for itself");
                let first = self.journal.position(leading.first);
                let of_own_term = first.is_none_or(|at| at.term == term);
                assert!(of_own_term, "a leader begins with an entry of its term");
                assert!(!leading.progress.contains_key(&me), "a leader does not follow itself");
                for progress in leading.progress.values() {
                    progress.validate(self.last());
                }
                let known = |node: NodeId| node == me || leading.progress.contains_key(&node);
                assert!(self.config().members().all(known), "every member is supplied");
            }
        }
    }
}
