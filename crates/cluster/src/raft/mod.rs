//! Agreement on one log among a few voters: Raft, as a state machine without I/O.
//!
//! After Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014), and Ongaro's
//! dissertation (2014): chapter 3 (elections, replication, leadership transfer in 3.10), 4 (members, one
//! voter at a time, loyal followers in 4.2.3), 5 (snapshots), 6.2 (a leader without a majority steps
//! down), 9.6 (pre-vote) and 10.2.1 (the leader's disk works beside the followers').
//!
//! It knows nothing of what is agreed upon, of datagrams, files and clocks. The caller hands in messages,
//! time and finished writes, and carries out the [`Action`]s; calls [`Raft::on_timeout`] when
//! [`Raft::deadline`] is reached (a cluster of one elects itself at the first); and hands every write
//! to its disk in the order given. Several writes may be under way; [`Raft::on_persisted`] says that all
//! up to one are synced.
//!
//! Invariants (each is tried by `tests/raft_model`):
//! * At most one node leads in a term; its log holds all that was ever committed; it only grows.
//! * What is committed stays, in the same place, on every node.
//! * Nothing leaves that depends on an unsynced term, vote or entry. The one exception is the leader's
//!   own entries: they may reach followers first, and count for itself once they are synced.
//! * No message from outside makes it panic, hold more than the options allow, or cut what is committed.

mod action;
mod dice;
mod election;
mod entry;
mod follow;
mod install;
mod journal;
mod lead;
mod members;
mod message;
mod options;
mod progress;
mod replies;
mod report;
mod start;
mod timer;
mod transfer;
mod writing;

use trefoil_clock::NodeId;

pub use action::{
    Action, CompactRefused, ConfigRefused, Ignored, ProposeRefused, Role, Ticket, TransferRefused,
    Write,
};
pub use entry::{Config, Entry, HardState, Index, LogPosition, Payload, Snapshot, Term};
pub use message::{Append, Body, Chunk, Message};
pub use options::Options;
pub use progress::{ProgressRow, Supply};
pub use start::{Start, StartError};

use dice::Dice;
use election::Campaign;
use install::Incoming;
use journal::Journal;
use lead::Leading;
use writing::Writing;

/// See the module. The signatures of its public functions are final.
#[derive(Debug)]
pub struct Raft {
    options: Options,
    hard: HardState,
    state: State,
    journal: Journal,
    writing: Writing,
    /// A snapshot of which parts have come, in the current term.
    incoming: Option<Incoming>,
    dice: Dice,
    /// When a follower or candidate has waited long enough.
    election_at_ms: u64,
    /// When the leader of some term was last heard.
    leader_heard_ms: Option<u64>,
    /// What the caller was told of term and role.
    told: (Term, Role),
}

/// What this node is, with what it keeps as such.
#[derive(Debug)]
enum State {
    Follower { leader: Option<NodeId> },
    Campaign(Campaign),
    Leader(Box<Leading>),
}

impl Raft {
    /// A node as it finds itself on its disk. It leads nothing and knows no leader.
    ///
    /// # Errors
    /// If what it finds makes no log.
    pub fn new(options: Options, start: Start, now_ms: u64) -> Result<Raft, StartError> {
        start.check()?;
        let hard = start.hard;
        let mut raft = Raft {
            options,
            hard,
            state: State::Follower { leader: None },
            journal: Journal::new(start),
            writing: Writing::default(),
            incoming: None,
            dice: Dice::new(options.seed),
            election_at_ms: now_ms,
            leader_heard_ms: None,
            told: (hard.term, Role::Follower { leader: None }),
        };
        // Alone there is nobody to wait for.
        if !raft.config().is_alone(options.node) {
            raft.arm(now_ms);
        }
        Ok(raft)
    }

    /// A message of another node.
    pub fn on_message(
        &mut self,
        now_ms: u64,
        from: NodeId,
        message: Message,
        out: &mut Vec<Action>,
    ) {
        if let Err(why) = self.receive(now_ms, from, message, out) {
            out.push(Action::Ignored { from, why });
        }
        self.finish(out);
    }

    /// All writes up to this one are synced.
    ///
    /// # Panics
    /// If it was never given out.
    pub fn on_persisted(&mut self, now_ms: u64, ticket: Ticket, out: &mut Vec<Action>) {
        self.writing.on_persisted(ticket, out);
        self.journal.on_persisted(ticket);
        self.count_own_vote(now_ms, out);
        self.advance_commit(now_ms, out);
        self.finish(out);
    }

    /// Appends a command. It is agreed upon when it comes back in [`Action::Commit`]; it may be lost if
    /// this node stops leading before.
    ///
    /// # Errors
    /// If it can't be taken now.
    pub fn propose(
        &mut self,
        _now_ms: u64,
        command: Vec<u8>,
        out: &mut Vec<Action>,
    ) -> Result<Index, ProposeRefused> {
        let leader = self.leader();
        let State::Leader(leading) = &self.state else {
            return Err(ProposeRefused::NotLeader { leader });
        };
        if leading.transfer.is_some() {
            return Err(ProposeRefused::Transferring);
        }
        if command.len() > self.options.command_bytes_max {
            return Err(ProposeRefused::TooLarge);
        }
        if self.last().index.0 - self.committed().0 >= self.options.uncommitted_max {
            return Err(ProposeRefused::Full);
        }
        let index = self.append_own(Payload::Command(command));
        self.pump_all(out);
        self.finish(out);
        Ok(index)
    }

    /// Replaces all entries up to a committed one by the caller's state there.
    ///
    /// # Errors
    /// If it is ahead of what is committed, not newer than the one before, or too large.
    pub fn compact(
        &mut self,
        index: Index,
        data: Vec<u8>,
        out: &mut Vec<Action>,
    ) -> Result<(), CompactRefused> {
        let kept = self.journal.snapshot().map_or(Index::ZERO, |snapshot| snapshot.index);
        if index <= kept {
            return Err(CompactRefused::Stale);
        }
        if index > self.committed() {
            return Err(CompactRefused::NotCommitted);
        }
        if data.len() > self.options.snapshot_bytes_max {
            return Err(CompactRefused::TooLarge);
        }
        let snapshot = self.journal.snapshot_at(index, data);
        self.journal.compact(snapshot.clone(), self.options.tail_entries);
        self.writing.set_snapshot(snapshot);
        self.finish(out);
        Ok(())
    }

    /// The rules that hold for every message, then those of its kind.
    fn receive(
        &mut self,
        now_ms: u64,
        from: NodeId,
        message: Message,
        out: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        let Message { term, body } = message;
        if from == self.options.node || term >= Term::LIMIT {
            return Err(Ignored::Malformed);
        }
        if let Body::PreVote { next, last } = body {
            return self.on_pre_vote(now_ms, from, next, last, out);
        }
        let asks_loyal = matches!(body, Body::Vote { transfer: false, .. });
        if asks_loyal && term > self.hard.term && self.hears_leader(now_ms) {
            return Err(Ignored::HearsLeader);
        }
        if term > self.hard.term {
            self.become_follower(now_ms, term);
        }
        // Who grants a pre-vote may be behind: what counts is the term that it was asked about.
        if term < self.hard.term && !matches!(body, Body::PreVoteReply { .. }) {
            let wants_answer = matches!(body, Body::Append(_) | Body::Chunk(_) | Body::Vote { .. });
            if wants_answer {
                self.send(from, Body::NewerTerm, out);
            }
            return Err(Ignored::StaleTerm);
        }
        match body {
            Body::PreVote { .. } | Body::NewerTerm => Ok(()),
            Body::PreVoteReply { next, granted } => {
                self.on_pre_vote_reply(now_ms, from, next, granted, out)
            }
            Body::Vote { last, .. } => self.on_vote(now_ms, from, last, out),
            Body::VoteReply { granted } => self.on_vote_reply(now_ms, from, granted, out),
            Body::Append(append) => self.on_append(now_ms, from, append, out),
            Body::Accepted { seq: _, matched } => self.on_accepted(now_ms, from, matched, out),
            Body::Rejected { seq, prev, hint } => {
                self.on_rejected(now_ms, from, seq, (prev, hint), out)
            }
            Body::Chunk(chunk) => self.on_chunk(now_ms, from, chunk, out),
            Body::Received { seq, offset } => self.on_received(now_ms, from, seq, offset, out),
            Body::TimeoutNow => self.on_timeout_now(now_ms, from, out),
        }
    }

    /// An event is over: what it changed is given out to be written, and told.
    fn finish(&mut self, out: &mut Vec<Action>) {
        if let Some((ticket, write)) = self.writing.take() {
            self.journal.on_writing(ticket);
            out.push(Action::Persist { ticket, write });
        }
        let now = (self.hard.term, self.role());
        if self.told != now {
            self.told = now;
            out.push(Action::Role(now.1));
        }
    }

    /// Whoever led or campaigned stops that; a newer term begins.
    fn become_follower(&mut self, now_ms: u64, term: Term) {
        assert!(term >= self.hard.term, "terms never fall");
        if term > self.hard.term {
            self.set_hard(HardState { term, vote: None });
        }
        if matches!(self.state, State::Leader(_)) {
            self.arm(now_ms);
        }
        self.state = State::Follower { leader: None };
    }

    fn set_hard(&mut self, hard: HardState) {
        if hard.term > self.hard.term {
            self.writing.drop_held();
            self.incoming = None;
        }
        self.hard = hard;
        self.writing.set_hard(hard);
    }

    /// Sends what depends on the term and vote only.
    fn send(&mut self, to: NodeId, body: Body, out: &mut Vec<Action>) {
        let message = Message { term: self.hard.term, body };
        self.writing.send(self.writing.hard(), to, message, out);
    }

    /// Sends what is true once the log is synced up to an index, too.
    fn send_when_durable(&mut self, index: Index, to: NodeId, body: Body, out: &mut Vec<Action>) {
        let durable = self.journal.durable_after(index, self.writing.next());
        let message = Message { term: self.hard.term, body };
        self.writing.send(durable.max(self.writing.hard()), to, message, out);
    }

    fn commit_to(&mut self, index: Index, out: &mut Vec<Action>) {
        let committed = self.journal.commit_to(index);
        if !committed.is_empty() {
            out.push(Action::Commit(committed));
        }
    }

    /// From now on a time-out runs, of random length.
    fn arm(&mut self, now_ms: u64) {
        let Options { election_min_ms: min, election_max_ms: max, .. } = self.options;
        self.election_at_ms = now_ms.saturating_add(self.dice.between(min, max));
    }
}
