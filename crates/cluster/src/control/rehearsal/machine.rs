//! A node: its process, its disk, its clock.

use std::collections::VecDeque;
use std::net::SocketAddr;

use trefoil_clock::{ClusterId, Epoch, NodeId, ShardId};
use trefoil_replication::{AckPolicy, Acks};

use super::defect::Defect;
use super::replica::Replica;
use crate::control::{
    Action, Control, ControlOptions, ControlStart, ControlWrite, LocalReport, Ticket,
};
use crate::controller::ControllerOptions;
use crate::raft::Start;
use crate::state::{Addresses, KeyspacePolicy, Member, MemberKind, Place};

pub(super) const SHARD: ShardId = ShardId(0);
const FIRST_PORT: u16 = 7_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) node: NodeId,
    generation: u64,
    /// None: it is down.
    pub(super) control: Option<Control>,
    disk: Start,
    unsynced: VecDeque<(Ticket, ControlWrite)>,
    /// The sync that runs: when it is done, and what it covers.
    pub(super) sync: Option<(u64, Ticket)>,
    /// Its clock shows this at time 0, and runs at so many thousandths of the true pace.
    offset_ms: u64,
    pace: u64,
    pub(super) paused_until_ms: u64,
    pub(super) next_tick_ms: u64,
    /// By its own clock.
    pub(super) lease_until_ms: u64,
    pub(super) replica: Replica,
    /// By true time: when the replica of another node was heard.
    pub(super) heard_ms: std::collections::BTreeMap<NodeId, u64>,
}

pub(super) fn address(node: NodeId) -> SocketAddr {
    ([127, 0, 0, 1], FIRST_PORT + u16::try_from(node.0).expect("few nodes")).into()
}

pub(super) fn node_at(address: SocketAddr) -> NodeId {
    NodeId(u128::from(address.port() - FIRST_PORT))
}

impl Machine {
    pub(super) fn new(node: NodeId, offset_ms: u64, pace: u64) -> Machine {
        Machine {
            node,
            generation: 0,
            control: None,
            disk: Start::default(),
            unsynced: VecDeque::new(),
            sync: None,
            offset_ms,
            pace,
            paused_until_ms: 0,
            next_tick_ms: 0,
            lease_until_ms: 0,
            replica: Replica::default(),
            heard_ms: std::collections::BTreeMap::new(),
        }
    }

    /// What its clock shows.
    pub(super) fn clock_ms(&self, now_ms: u64) -> u64 {
        self.offset_ms + now_ms * self.pace / 1_000
    }

    /// The time at which its clock shows that.
    fn time_of(&self, clock_ms: u64) -> u64 {
        (clock_ms.saturating_sub(self.offset_ms) * 1_000).div_ceil(self.pace)
    }

    /// When it does something by itself.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let control = self.control.as_ref()?;
        let timer_ms = control.deadline().map(|at_ms| self.time_of(at_ms));
        let sync_ms = self.sync.map(|(at_ms, _)| at_ms);
        let soonest = timer_ms.into_iter().chain(sync_ms).chain([self.next_tick_ms]).min();
        soonest.map(|at_ms| at_ms.max(self.paused_until_ms))
    }

    pub(super) fn holds_lease(&self, now_ms: u64) -> bool {
        self.control.is_some() && self.clock_ms(now_ms) < self.lease_until_ms
    }

    pub(super) fn start(
        &mut self,
        (now_ms, seed): (u64, u64),
        acks: Acks,
        controller: ControllerOptions,
        defect: Defect,
    ) -> Vec<Action> {
        self.generation += 1;
        let mut options = ControlOptions { seed, controller, ..ControlOptions::default() };
        options.compact_entries = 8 + seed % 32;
        let policy = KeyspacePolicy::alone();
        let policy = KeyspacePolicy { acks: AckPolicy { acks, ..policy.acks }, ..policy };
        let own = Member {
            node: self.node,
            generation: self.generation,
            kind: MemberKind::Data,
            addresses: Addresses {
                peers: address(self.node),
                client_host: "127.0.0.1".into(),
                client_port: 1,
            },
            place: Place::default(),
        };
        let start = ControlStart {
            own,
            raft: Some(self.disk.clone()),
            cluster: ClusterId(self.node.0),
            shard: SHARD,
            epoch: Epoch(1),
            policy,
        };
        let (mut out, clock_ms) = (Vec::new(), self.clock_ms(now_ms));
        let mut control =
            Control::new(options, start, clock_ms, &mut out).expect("a disk holds a log");
        // Only who founded it does not have to ask to be taken in.
        if self.node != NodeId(1) {
            control.join(clock_ms, vec![address(NodeId(1)), address(NodeId(2))], &mut out);
        }
        if defect == Defect::GrantWithoutWait {
            (control.options.lease_ms, control.options.controller.drift_ms) = (0, 0);
        }
        self.control = Some(control);
        self.next_tick_ms = now_ms;
        out
    }

    /// It ends at once; so many of the writes that wait reach the disk all the same.
    pub(super) fn crash(&mut self, survive: usize) {
        let survive: Vec<_> = self.unsynced.drain(..).take(survive).collect();
        survive.into_iter().for_each(|(_, write)| self.apply(write));
        (self.control, self.sync, self.lease_until_ms, self.paused_until_ms) = (None, None, 0, 0);
        self.heard_ms.clear();
        self.replica.crash();
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub(super) fn write(&mut self, ticket: Ticket, write: ControlWrite) {
        self.unsynced.push_back((ticket, write));
    }

    /// The newest write that waits.
    pub(super) fn last_write(&self) -> Option<Ticket> {
        self.unsynced.back().map(|(ticket, _)| *ticket)
    }

    pub(super) fn on_synced(&mut self, ticket: Ticket) {
        while let Some((_, write)) = self.unsynced.pop_front_if(|(of, _)| *of <= ticket) {
            self.apply(write);
        }
    }

    fn apply(&mut self, write: ControlWrite) {
        match write {
            ControlWrite::Reset => self.disk = Start::default(),
            ControlWrite::Raft(write) => self.disk.apply(write),
        }
    }

    pub(super) fn report(&self) -> LocalReport {
        LocalReport {
            led: self.replica.led(),
            fenced: self.replica.fenced,
            end: self.replica.end(),
            applied: self.replica.end().lsn,
            whole: true,
            intact: true,
            healthy: true,
            caught_up: self
                .replica
                .reign
                .as_ref()
                .map_or_else(Default::default, |reign| reign.rule.members.clone()),
        }
    }
}
