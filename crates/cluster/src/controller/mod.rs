//! The raft leader's part: it notices that a shard's leader is gone, revokes, elects, grants; it looks
//! after the voters, and does what members ask.
//!
//! Built anew whenever this node begins to lead the control plane, so it holds nothing that must last:
//! what must is agreed upon. Facts are told to it as they come; `Controller::step` then looks at all of
//! them and decides. It sends nothing and proposes nothing itself.
//!
//! Invariants:
//! * A leader is revoked if a majority of the voters is silent about it, if it resigned, or if a person
//!   said so; never by this node's view alone.
//! * A grant is proposed when the lease of the epoch before has run out since this controller learned of
//!   the revocation, or the old leader has proved that it does not use it any more.
//! * One revocation, grant or change of members is under way at a time.

mod choose;
mod damping;
mod decision;
mod elect;
mod handover;
mod join;
mod options;
mod plan;
mod planning;
mod requests;
mod stage;
mod upkeep;
mod watch;

use std::collections::BTreeMap;

use trefoil_clock::{Epoch, NodeId, ShardId};

use crate::control::{Event, RequestError};
use crate::message::{Heard, Report, Resign};
use crate::raft::Index;
use crate::state::{Command, Granted, Refusal};

pub(crate) use damping::Damping;
pub(crate) use decision::{Decision, Purpose, Sight};
pub use options::ControllerOptions;
pub use plan::{Fitness, Outcome, Plan, PlanRow};
pub use stage::{Lack, Stage};

use elect::Fence;
use handover::Order;
use requests::Desk;
use upkeep::Upkeep;

/// See the module.
#[derive(Debug)]
pub(crate) struct Controller {
    options: ControllerOptions,
    own: NodeId,
    shard: ShardId,
    /// A lease and the drift of clocks over it.
    wait_ms: u64,
    /// Since when this node leads the control plane and knows all that was agreed upon.
    since_ms: u64,
    /// What voters said of the shard's leader, and when it came.
    heard: BTreeMap<NodeId, Told<Heard>>,
    /// Where members stand, and when they said it.
    reports: BTreeMap<NodeId, Told<Report>>,
    /// A leader's resignation, of the newest epoch of which one came.
    resigned: Option<Resign>,
    fence: Option<Fence>,
    order: Option<Order>,
    /// A revocation or a grant is under way.
    proposed: Option<Index>,
    /// Members whose start is being agreed upon.
    joining: BTreeMap<NodeId, Index>,
    desk: Desk,
    upkeep: Upkeep,
    stage: Stage,
    /// When to look again.
    next_ms: Option<u64>,
}

/// A message, and when it came.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Told<T> {
    what: T,
    at_ms: u64,
}

impl Controller {
    /// Of a node that begins to lead the control plane; it handed that on last at `transferred_ms`.
    pub(crate) fn new(
        options: ControllerOptions,
        own: NodeId,
        shard: ShardId,
        lease_ms: u64,
        now_ms: u64,
        transferred_ms: Option<u64>,
    ) -> Controller {
        Controller {
            options,
            own,
            shard,
            wait_ms: lease_ms.saturating_add(options.drift_ms),
            since_ms: now_ms,
            heard: BTreeMap::new(),
            reports: BTreeMap::new(),
            resigned: None,
            fence: None,
            order: None,
            proposed: None,
            joining: BTreeMap::new(),
            desk: Desk::default(),
            upkeep: Upkeep::new(now_ms, transferred_ms),
            stage: Stage::Watching,
            next_ms: None,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// When `Controller::step` has something to do though nothing was told.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.next_ms
    }

    /// A voter says how long it has not answered the shard's leader.
    pub(crate) fn on_heard(&mut self, now_ms: u64, from: NodeId, heard: Heard) {
        if heard.shard == self.shard {
            self.heard.insert(from, Told { what: heard, at_ms: now_ms });
        }
    }

    /// A member says where it stands. Of its reports the newest counts, in whatever order they come.
    pub(crate) fn on_report(&mut self, now_ms: u64, from: NodeId, report: Report) {
        let order = |report: &Report| (report.generation, report.seq);
        let is_old =
            self.reports.get(&from).is_some_and(|known| order(&known.what) >= order(&report));
        if report.shard == self.shard && !is_old {
            self.reports.insert(from, Told { what: report, at_ms: now_ms });
        }
    }

    /// A leader has given its lease back.
    pub(crate) fn on_resign(&mut self, from: NodeId, resign: Resign, sight: &Sight<'_>) {
        let Some(shard) = sight.state.shards.get(&self.shard) else { return };
        let is_leaders = resign.shard == self.shard
            && shard.leader == from
            && shard.epoch == resign.epoch
            && sight.state.members.get(&from).is_some_and(|it| it.generation <= resign.generation);
        if is_leaders && self.resigned.is_none_or(|known| newer(&resign, &known)) {
            self.resigned = Some(resign);
        }
    }

    /// An entry of the log is agreed upon, and this is what it did.
    pub(crate) fn on_applied(
        &mut self,
        index: Index,
        result: &Result<(), Refusal>,
        out: &mut Vec<Decision>,
    ) {
        self.proposed.take_if(|proposed| *proposed <= index);
        self.joining.retain(|_, joining| *joining > index);
        let result = result.clone().map_err(RequestError::from);
        self.desk.on_applied(index, result, out);
    }

    /// What became of a proposal: where it stands in the log. None: it was not taken, and is decided
    /// upon anew.
    pub(crate) fn on_proposed(&mut self, purpose: Purpose, index: Option<Index>) {
        match (purpose, index) {
            (Purpose::Failover, index) => self.proposed = index,
            (Purpose::Joining(node), Some(index)) => {
                self.joining.insert(node, index);
            }
            (Purpose::Joining(_), None) => {}
            (Purpose::Asked(id), index) => self.desk.on_proposed(id, index),
        }
    }

    /// What became of a change of members.
    pub(crate) fn on_reconfigured(
        &mut self,
        asker: Option<crate::control::RequestId>,
        result: Result<Index, RequestError>,
        out: &mut Vec<Decision>,
    ) {
        if let Some(id) = asker {
            match result {
                Ok(index) => self.desk.on_proposed(id, Some(index)),
                Err(error) => self.desk.answer(id, Err(error), out),
            }
        }
    }

    /// Leadership of the control plane is being handed on.
    pub(crate) fn on_transferring(&mut self, now_ms: u64) {
        self.upkeep.on_transferring(now_ms);
    }

    /// Looks at everything, and decides.
    pub(crate) fn step(&mut self, sight: &Sight<'_>, out: &mut Vec<Decision>) {
        self.next_ms = None;
        let Some(shard) = sight.state.shards.get(&self.shard) else { return };
        self.close_order(shard, out);
        let before = self.stage;
        match shard.granted {
            Granted::Yes => self.watch(sight, shard, out),
            Granted::Revoked => self.elect(sight, shard, out),
        }
        if before != self.stage {
            self.tell_stage(sight, out);
        }
        self.keep_up(sight, out);
    }

    fn tell_stage(&self, sight: &Sight<'_>, out: &mut Vec<Decision>) {
        let shard = self.shard;
        match self.stage {
            Stage::Electing(lack) if lack != Lack::Settling => {
                out.push(Decision::Event(Event::ElectionWaits { shard, lack }));
            }
            Stage::Damped { until_ms } => {
                let hold_ms = until_ms.saturating_sub(sight.now_ms);
                out.push(Decision::Event(Event::Damped { shard, hold_ms }));
            }
            _ => {}
        }
    }

    fn propose_failover(&mut self, command: Command, out: &mut Vec<Decision>) {
        out.push(Decision::Propose { command, purpose: Purpose::Failover });
    }

    /// Wants `Controller::step` then.
    fn wake(&mut self, at_ms: u64) {
        self.next_ms = Some(self.next_ms.map_or(at_ms, |next_ms| next_ms.min(at_ms)));
    }

    /// The resignation of the leader of this epoch.
    fn resigned(&self, epoch: Epoch) -> Option<&Resign> {
        self.resigned.as_ref().filter(|resign| resign.epoch == epoch)
    }
}

fn newer(resign: &Resign, known: &Resign) -> bool {
    (resign.epoch, resign.generation) > (known.epoch, known.generation)
}
