//! How a control begins: from what was written down, by founding a cluster of one, or by giving that up.

use std::collections::VecDeque;
use std::net::SocketAddr;

use trefoil_clock::ClusterId;

use super::asks::Asks;
use super::book::Book;
use super::consensus::Tickets;
use super::introduce::Introduction;
use super::lead::Leading;
use super::learn::Revocations;
use super::report::Reporting;
use super::settle::Told;
use super::vote::Voting;
use super::{Action, Control, ControlOptions, ControlStart, ControlWrite, LocalReport, snapshot};
use crate::controller::Damping;
use crate::lease::{Holder, Voter};
use crate::raft::{Index, Options, Raft, Start, StartError};
use crate::state::{Command, ControlState};

impl Control {
    /// A control that goes on from what was written down, or founds a cluster of one.
    ///
    /// # Errors
    /// What was written down makes no sense.
    pub fn new(
        options: ControlOptions,
        start: ControlStart,
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Result<Control, StartError> {
        let own = start.own.clone();
        let mut tickets = Tickets::default();
        // A node that was to be taken in and got nothing yet has at most a term.
        let found =
            start.raft.as_ref().filter(|it| it.snapshot.is_some() || !it.entries.is_empty());
        let (written, state) = match found {
            Some(written) => (written.clone(), state_of(written, start.cluster)?),
            None => {
                let state = founded(&start)?;
                let written = Start::founding(own.node, snapshot::encode(&state));
                let write = ControlWrite::Raft(written.write());
                out.push(Action::Persist { ticket: tickets.begin_anew(), write });
                (written, state)
            }
        };
        let shard = start.shard;
        let (generation, node) = (own.generation, own.node);
        let applied = written.snapshot.as_ref().map_or(Index::ZERO, |snapshot| snapshot.index);
        let revocations = Revocations::new(shard, &written);
        let book = Book::new(&written);
        let raft = Raft::new(Options::new(node, options.seed), written, now_ms)?;
        let mut control = Control {
            raft,
            tickets,
            state,
            applied,
            informed: false,
            mute: false,
            revocations,
            introduction: Introduction::new(now_ms),
            book,
            local: LocalReport::default(),
            voter: Voter::default(),
            voting: Voting::default(),
            holder: Holder::new(node, shard, generation, options.renew_ms, options.lease_ms),
            leading: Leading::default(),
            wish: None,
            handing: None,
            asks: Asks::default(),
            reporting: Reporting::default(),
            controller: None,
            damping: Damping::default(),
            transferred_ms: None,
            told: Told::default(),
            wanted: Vec::new(),
            inbox: VecDeque::new(),
            decisions: Vec::new(),
            options,
            own,
            shard,
        };
        control.settle(now_ms, out);
        Ok(control)
    }

    /// Gives up the cluster of one and asks these to be taken in. Nothing happens to a member of a
    /// cluster of several.
    pub fn join(&mut self, now_ms: u64, seeds: Vec<SocketAddr>, out: &mut Vec<Action>) {
        let is_alone = self.raft.config().members().count() <= 1 && !self.state.is_managed();
        if self.mute || self.introduction.is_joining() || !is_alone {
            return;
        }
        let ticket = self.tickets.begin_anew();
        out.push(Action::Persist { ticket, write: ControlWrite::Reset });
        let seed = self.options.seed.rotate_left(1);
        self.raft = Raft::new(Options::new(self.own.node, seed), Start::default(), now_ms)
            .expect("a log without entries lacks none");
        self.become_nobody(self.state.cluster);
        self.introduction.join(now_ms, seeds);
        self.settle(now_ms, out);
    }

    /// Nothing is known of what that cluster agreed upon.
    pub(super) fn become_nobody(&mut self, cluster: ClusterId) {
        self.state = ControlState::new(cluster);
        self.applied = Index::ZERO;
        self.informed = false;
        self.revocations = Revocations::new(self.shard, &Start::default());
        self.voter = Voter::default();
        self.leading = Leading::default();
        (self.wish, self.handing, self.controller) = (None, None, None);
        self.damping = Damping::default();
        self.wanted.clear();
        self.inbox.clear();
        self.decisions.clear();
    }
}

/// The cluster of one.
fn founded(start: &ControlStart) -> Result<ControlState, StartError> {
    let ControlStart { own, cluster, shard, epoch, policy, .. } = start;
    let (member, shard, epoch, policy) = (own.clone(), *shard, *epoch, *policy);
    let mut state = ControlState::new(*cluster);
    state
        .apply(&Command::Found { member, shard, epoch, policy })
        .map_err(|_| StartError::LongName)?;
    Ok(state)
}

/// What was agreed upon before the entries that are kept.
fn state_of(start: &Start, cluster: ClusterId) -> Result<ControlState, StartError> {
    match &start.snapshot {
        None => Ok(ControlState::new(cluster)),
        Some(kept) => snapshot::decode(&kept.data).ok_or(StartError::Unreadable(kept.index)),
    }
}
