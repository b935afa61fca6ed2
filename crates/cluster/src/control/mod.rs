//! One node's part in the agreement: consensus, what is agreed upon, the lease on both of its ends, and
//! the raft leader's decisions, in one state machine without I/O.
//!
//! A node founds a cluster of one, or gives that up and asks to be taken into another one. From the
//! second member on who leads is agreed upon: each node is told by directives what to do, the leader
//! of the shard holds a lease ([`Action::Lease`]), and tells where it stands ([`Control::on_local`]).
//!
//! Each entry point does what it was called for, then `settle` looks at everything that may follow,
//! until nothing does.
//!
//! Invariants:
//! * Nothing leaves before what it depends on is synced; a write of a cluster that was given up counts
//!   for nothing.
//! * A lease is asked for only in a granted epoch, by a start of the process that is agreed upon, while
//!   the replication side leads in it (or has just been told to).
//! * A voter with a revocation in its log, committed or not, does not answer its leader.
//! * Directives follow from what is agreed upon, never from an opinion; a node that has started again
//!   gives none before its start is agreed upon, since what an earlier start reported counts until then.

mod action;
mod asks;
mod book;
mod consensus;
mod decide;
mod electable;
mod event;
mod handover;
mod introduce;
mod lead;
mod learn;
mod local;
mod options;
mod receive;
#[cfg(test)]
mod rehearsal;
mod report;
mod request;
mod settle;
mod snapshot;
mod start;
mod view;
mod vote;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use trefoil_clock::{Epoch, NodeId, Position, ShardId};
use trefoil_replication::Acks;

use crate::controller::{Controller, Damping, Decision};
use crate::lease::{Holder, Voter};
use crate::message::Message;
use crate::raft::{self, Index, Raft};
use crate::state::{ControlState, Member, ResignReason, Shard};

pub use crate::message::JoinRefused;
pub use action::{Action, ControlWrite, Ticket};
pub use event::Event;
pub use local::LocalReport;
pub use options::{ControlOptions, ControlStart};
pub use request::{Done, Force, Request, RequestError, RequestId};
pub use view::ControlView;

use asks::{Asks, Origin};
use book::Book;
use consensus::Tickets;
use electable::Wish;
use handover::Handing;
use introduce::Introduction;
use lead::Leading;
use learn::Revocations;
use report::Reporting;
use settle::Told;
use vote::Voting;

/// See the module.
#[derive(Debug)]
pub struct Control {
    options: ControlOptions,
    own: Member,
    shard: ShardId,
    raft: Raft,
    tickets: Tickets,
    /// What is agreed upon up to `applied`.
    state: ControlState,
    applied: Index,
    /// Something was agreed upon since this control began: what comes now is news.
    informed: bool,
    /// What is agreed upon can't be read: nothing is said or done any more.
    mute: bool,
    revocations: Revocations,
    introduction: Introduction,
    book: Book,
    local: LocalReport,
    voter: Voter,
    voting: Voting,
    holder: Holder,
    leading: Leading,
    wish: Option<Wish>,
    handing: Option<Handing>,
    asks: Asks,
    reporting: Reporting,
    /// While this node leads consensus and knows all that is agreed upon.
    controller: Option<Controller>,
    damping: Damping,
    /// When this node last handed consensus on.
    transferred_ms: Option<u64>,
    told: Told,
    /// What the core of consensus wants and did not get yet.
    wanted: Vec<raft::Action>,
    /// What this node says to itself.
    inbox: VecDeque<Message>,
    decisions: Vec<Decision>,
}

impl Control {
    /// A datagram came, unsealed.
    pub fn on_datagram(
        &mut self,
        now_ms: u64,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<Action>,
    ) {
        if !self.mute {
            self.receive(now_ms, from, bytes, out);
            self.settle(now_ms, out);
        }
    }

    /// What [`Action::Persist`] asked for is synced, and everything before it.
    pub fn on_persisted(&mut self, now_ms: u64, ticket: Ticket, out: &mut Vec<Action>) {
        if !self.mute
            && let Some(ticket) = self.tickets.of_raft(ticket)
        {
            self.raft.on_persisted(now_ms, ticket, &mut self.wanted);
            self.settle(now_ms, out);
        }
    }

    /// [`Control::deadline`] has come.
    pub fn on_timeout(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if !self.mute {
            self.raft.on_timeout(now_ms, &mut self.wanted);
            self.settle(now_ms, out);
        }
    }

    /// The replication side stands elsewhere than before.
    pub fn on_local(&mut self, now_ms: u64, report: LocalReport, out: &mut Vec<Action>) {
        self.local = report;
        self.settle(now_ms, out);
    }

    /// This node, leading in `epoch`, wants this set and rule; answered by [`Action::Electable`]. One at
    /// a time: a newer wish takes the place of the one before.
    pub fn propose_electable(
        &mut self,
        now_ms: u64,
        epoch: Epoch,
        electable: BTreeSet<NodeId>,
        acks: Acks,
        out: &mut Vec<Action>,
    ) {
        self.wish_for(Wish::new(now_ms, epoch, electable, acks));
        self.settle(now_ms, out);
    }

    /// A node that is alone is about to begin this epoch.
    pub fn advance(&mut self, now_ms: u64, epoch: Epoch, out: &mut Vec<Action>) {
        self.leading.advance_to(epoch);
        self.settle(now_ms, out);
    }

    /// Asks the raft leader for something; answered by [`Action::Answer`].
    pub fn request(&mut self, now_ms: u64, request: Request, out: &mut Vec<Action>) -> RequestId {
        let id = self.ask(now_ms, request, Origin::Person);
        self.settle(now_ms, out);
        id
    }

    /// This node acknowledges nothing more in `epoch`, ever; its log ends at `end`. Said until the epoch
    /// is revoked.
    pub fn resign(
        &mut self,
        now_ms: u64,
        epoch: Epoch,
        end: Position,
        to: Option<NodeId>,
        reason: ResignReason,
        out: &mut Vec<Action>,
    ) {
        self.give_back(now_ms, epoch, end, to, reason);
        self.settle(now_ms, out);
    }

    /// This node could not hand over, and leads on.
    pub fn keep_leading(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        self.keep(out);
        self.settle(now_ms, out);
    }

    /// What is agreed upon, as far as this node knows.
    #[must_use]
    pub fn state(&self) -> &ControlState {
        &self.state
    }

    /// The shard, if anything is agreed upon.
    fn own_shard(&self) -> Option<&Shard> {
        self.state.shards.get(&self.shard)
    }

    /// Its epoch; the first one if nothing is agreed upon.
    fn epoch(&self) -> Epoch {
        self.own_shard().map_or(Epoch::default(), |shard| shard.epoch)
    }

    /// Panics where an invariant of this or of a part is broken. For tests.
    #[cfg(test)]
    fn validate(&self) {
        self.raft.validate();
        self.state.validate();
        assert_eq!(self.applied, self.raft.committed(), "what is agreed upon is applied at once");
        if let Some(shard) = self.own_shard()
            && self.holder.until_ms() > 0
        {
            assert_eq!(shard.leader, self.own.node, "a lease is held by a leader");
        }
    }
}
