//! A node that leads: the shell around the leader's core.

use trefoil_clock::{Epoch, EpochEntry, Lsn, NodeId, Position};
use trefoil_replication::{
    AckLevel, Acks, CloseReason, Leader, LeaderAction, LeaderEvent, LeaderOptions, LeaderStart,
    LinkId, LogState,
};
use trefoil_wire::peer::{Append, Chunk, Fence, Heartbeat, Message, SnapshotId};

use super::agenda::MS;
use super::disk::Disk;
use super::process::{Leading, Queued, Role, Todo};
use super::record::{Change, RECORD_BYTES, Record, encode_runs};
use super::sabotage::Defect;
use super::task::Task;
use super::world::World;
use crate::invariants::Committed;

impl World {
    /// Calls the leader's core, if the node leads, and carries out what it wants done.
    pub(crate) fn with_leader(
        &mut self,
        slot: usize,
        call: impl FnOnce(&mut Leader, u64, &mut Vec<LeaderAction>),
    ) {
        let now = self.local_ms(slot);
        let Some(process) = &mut self.nodes[slot].process else { return };
        let Role::Leading(leading) = &mut process.role else { return };
        let mut out = Vec::new();
        call(&mut leading.core, now, &mut out);
        leading.core.validate();
        leading.todo.actions.extend(out);
        if std::mem::replace(&mut leading.todo.running, true) {
            return;
        }
        while let Some(action) = self.next_leader_action(slot) {
            self.carry_out_leader(slot, action);
        }
        self.set_tick(slot);
    }

    fn next_leader_action(&mut self, slot: usize) -> Option<LeaderAction> {
        let process = self.nodes[slot].process.as_mut()?;
        let Role::Leading(leading) = &mut process.role else { return None };
        let next = leading.todo.actions.pop_front();
        leading.todo.running = next.is_some();
        next
    }

    fn carry_out_leader(&mut self, slot: usize, action: LeaderAction) {
        match action {
            LeaderAction::Send { link, message: Message::ProbeAnswer { id, commit } } => {
                self.answer_probe(slot, link, id, commit);
            }
            LeaderAction::Send { link, message } => {
                self.trace(format_args!("n{slot} > l{} {message:?}", link.0));
                let fence = self.leader_fence(slot);
                self.send_message(link.0 as usize, slot, &fence, &message);
            }
            LeaderAction::Heartbeat { link, id, end, commit, safe } => {
                let clock = self.wall(slot);
                let fence = self.leader_fence(slot);
                let message = Message::Heartbeat(Heartbeat { id, end, commit, safe, clock });
                self.send_message(link.0 as usize, slot, &fence, &message);
            }
            LeaderAction::Stream { link, prev, up_to, bytes_max, commit } => {
                let flush = self.policy_of(slot).level != AckLevel::Received;
                let head = Append { prev, commit, clock: self.wall(slot), flush, runs: &[] };
                self.stream(slot, link, &head, up_to, bytes_max);
            }
            LeaderAction::TakeSnapshot { start_min } => {
                self.met.event("snapshots asked for by followers");
                if let Role::Leading(leading) = &mut self.process(slot).role {
                    leading.wanted = Some(start_min);
                }
                if !self.offer_snapshot(slot) {
                    self.begin_snapshot(slot);
                }
            }
            LeaderAction::SendChunk { link, snapshot, offset, bytes_max } => {
                self.send_chunk(slot, link, snapshot, offset, bytes_max);
            }
            LeaderAction::ReleaseSnapshot { snapshot } => {
                if let Role::Leading(leading) = &mut self.process(slot).role {
                    leading.offered.remove(&snapshot.0);
                }
            }
            LeaderAction::Watermarks { commit, released } => {
                self.on_watermarks(slot, commit, released);
            }
            LeaderAction::PersistMembers { members } if self.is_managed(slot) => {
                self.publish_members(slot, members);
            }
            LeaderAction::PersistMembers { members } => {
                let after = self.dice.below(5 * MS);
                self.task(slot, after, Task::Members(members));
            }
            LeaderAction::Waive => self.waive(slot),
            LeaderAction::Close { link, reason } => {
                self.note_close(slot, link, reason);
                self.close(link.0 as usize, slot);
            }
            LeaderAction::StepDown { epoch } => {
                self.trace(format_args!("n{slot} steps down: epoch {epoch}"));
                self.met.event("leaders that stepped down");
                self.leave_role(slot, "unknown: stepped down");
                self.process(slot).role = Role::Fenced;
            }
            LeaderAction::Event(event) => self.note_leader_event(slot, event),
        }
    }

    fn note_close(&mut self, slot: usize, link: LinkId, reason: CloseReason) {
        self.trace(format_args!("n{slot} closes l{}: {reason:?}", link.0));
        self.met.event(match reason {
            CloseReason::Silent => "closed: follower silent",
            CloseReason::StaleEpoch | CloseReason::NewerEpoch => "closed: epoch of a follower",
            CloseReason::WrongCluster | CloseReason::WrongShard | CloseReason::WrongSender => {
                "closed: wrong fence of a follower"
            }
            CloseReason::ImpossibleAck => "closed: impossible ack",
            CloseReason::Replaced => "closed: replaced by a newer link",
            CloseReason::Flapping => "closed: flapping",
            _ => "closed: other reasons of a leader",
        });
    }

    fn note_leader_event(&mut self, slot: usize, event: LeaderEvent) {
        self.trace(format_args!("n{slot} {event:?}"));
        self.operator.two_leaders |= matches!(event, LeaderEvent::TwoLeaders { .. });
        self.met.event(match event {
            LeaderEvent::CaughtUp { .. } => "followers that caught up",
            LeaderEvent::Lost { .. } => "followers lost",
            LeaderEvent::Diverged { .. } => "divergence seen by leaders",
            LeaderEvent::TwoLeaders { .. } => "two leaders in an epoch detected",
            LeaderEvent::MemberAdded { .. } => "members added",
            LeaderEvent::MemberForgotten { .. } => "members forgotten",
            LeaderEvent::Blocked => "blocked",
            LeaderEvent::Degraded => "degraded",
            _ => "other events of leaders",
        });
    }

    fn leader_fence(&mut self, slot: usize) -> Fence {
        match &self.process(slot).role {
            Role::Leading(leading) => leading.core.fence(),
            _ => unreachable!("only a leader carries out a leader's actions"),
        }
    }

    /// Where the leader's log stands.
    pub(crate) fn log_state(&self, slot: usize) -> LogState {
        let log = &self.nodes[slot].disk.log;
        LogState {
            end: log.end().lsn,
            durable: log.durable,
            floor: log.floor.lsn,
            end_bytes: log.end().lsn.0 * RECORD_BYTES,
            floor_bytes: log.floor.lsn.0 * RECORD_BYTES,
        }
    }

    /// Reads records from the log and sends them.
    fn stream(&mut self, slot: usize, link: LinkId, head: &Append<'_>, up_to: Lsn, bytes_max: u64) {
        let log = &self.nodes[slot].disk.log;
        if head.prev.lsn < log.floor.lsn {
            self.with_leader(slot, |core, now, out| core.on_gone(now, link, out));
            return;
        }
        let most = (bytes_max / RECORD_BYTES).max(1);
        let last = Lsn(up_to.0.min(head.prev.lsn.0 + most));
        let lsns = head.prev.lsn.0 + 1..=last.0;
        let records: Vec<Record> = lsns.map_while(|lsn| log.record(Lsn(lsn)).copied()).collect();
        let last = records.last().map(|record| record.lsn);
        assert_eq!(
            last,
            Some(up_to.min(last.unwrap_or_default())),
            "what is asked for is in the log"
        );
        let Some(last) = last else { return };
        let mut runs = Vec::new();
        encode_runs(&records, &mut runs);
        let bytes = runs.len() as u64;
        self.trace(format_args!(
            "n{slot} > l{} {:?}..{last} commit {}",
            link.0, head.prev, head.commit
        ));
        let fence = self.leader_fence(slot);
        let message = Message::Append(Append { runs: &runs, ..head.clone() });
        self.send_message(link.0 as usize, slot, &fence, &message);
        self.with_leader(slot, |core, now, out| core.on_streamed(now, link, last, bytes, out));
    }

    fn send_chunk(
        &mut self,
        slot: usize,
        link: LinkId,
        snapshot: SnapshotId,
        offset: u64,
        bytes_max: u64,
    ) {
        let fence = self.leader_fence(slot);
        let Role::Leading(leading) = &self.process(slot).role else { return };
        let Some(file) = leading.offered.get(&snapshot.0) else { return };
        let rest = &file[(offset as usize).min(file.len())..];
        let bytes = rest[..rest.len().min(bytes_max as usize)].to_vec();
        self.trace(format_args!("n{slot} > l{} chunk at {offset} +{}", link.0, bytes.len()));
        let message = Message::Chunk(Chunk { snapshot, offset, bytes: &bytes });
        self.send_message(link.0 as usize, slot, &fence, &message);
        let sent = bytes.len() as u64;
        self.with_leader(slot, |core, now, out| core.on_chunk_sent(now, link, sent, out));
    }

    /// The watermarks rose: what became committed is noted under the rule in force, and answers leave.
    fn on_watermarks(&mut self, slot: usize, commit: Lsn, released: Lsn) {
        self.trace(format_args!("n{slot} commit {commit} released {released}"));
        let (cluster, steady) = (self.nodes[slot].disk.identity.cluster, self.plan.steady);
        let process = self.process(slot);
        let (epochs, end) = (process.epochs.clone(), process.end);
        let Role::Leading(leading) = &mut process.role else { return };
        let strict = leading.policy.acks != Acks::Async && !leading.core.is_degraded();
        let strictly = if steady && strict { commit } else { leading.core.safe() };
        let before = (leading.commit, leading.released);
        (leading.commit, leading.released) = (commit, released);
        let node = self.nodes[slot].disk.identity.node;
        self.judge.on_watermarks(slot, before, (commit, released), end.lsn);
        self.judge.on_commit((cluster, &epochs), node, strictly, Committed::Strictly);
        self.judge.on_commit((cluster, &epochs), node, commit, Committed::ByItself);
        self.judge.note_commit(self.now, epochs.last(), commit);
        self.check_rule(slot);
        self.release(slot);
        self.check_snapshots(slot);
    }

    fn tail_id(&mut self, slot: usize) -> u64 {
        let cluster = self.nodes[slot].disk.identity.cluster;
        let process = self.process(slot);
        let (end, epochs) = (process.end.lsn, process.epochs.clone());
        self.judge.id_at(cluster, &epochs, end)
    }

    /// Makes a record: numbers it, shows it, hands it to the log.
    pub(crate) fn write(&mut self, slot: usize, change: Change) -> Record {
        let parent = self.tail_id(slot);
        let identity = self.nodes[slot].disk.identity;
        let process = self.process(slot);
        let entry = process.epochs.last().expect("a leader has begun an epoch");
        let position = Position { epoch: entry.epoch, lsn: process.end.lsn.next() };
        let id = self.judge.on_record(identity, position, parent, change);
        let record = Record { epoch: position.epoch, lsn: position.lsn, id, change };
        let process = self.process(slot);
        process.end = position;
        process.store.apply(&record);
        let digest = process.store.digest();
        self.judge.check_state(slot, id, digest);
        self.enqueue(slot, Queued::Record(record));
        record
    }

    /// The node leads from here on, in this epoch: a new one begins with a synced note and a barrier.
    pub(crate) fn lead(&mut self, slot: usize, epoch: Epoch, begins: Begins, committed: Lsn) {
        self.flush_queue(slot);
        // An epoch is begun once: a log that was lost does not bring the old ones back.
        let disk = &mut self.nodes[slot].disk;
        let epoch = if begins == Begins::Epoch { epoch.max(disk.began.next()) } else { epoch };
        disk.began = epoch;
        let identity = self.nodes[slot].disk.identity;
        let process = self.process(slot);
        if begins == Begins::Epoch {
            let first_lsn = process.end.lsn.next();
            process.epochs.push(EpochEntry { epoch, leader: identity.node, first_lsn });
            let epochs = process.epochs.clone();
            let log = &mut self.nodes[slot].disk.log;
            log.epochs = epochs;
            log.sync_all();
            if self.judge.on_epoch(identity.cluster, epoch, identity.node) {
                self.met.event("epochs with two leaders");
                self.judge_two_leaders(slot, epoch);
            }
        }
        self.check_store(slot);
        self.met.event("terms of leaders");
        self.trace(format_args!("n{slot} leads in {epoch}, committed {committed}"));
        let options = self.leader_options(slot);
        let members = self.nodes[slot].disk.members.clone();
        let log = self.log_state(slot);
        let policy = self.first_policy(slot);
        let (local, now) = (self.plan.local, self.local_ms(slot));
        let omits_barrier = self.defect == Defect::NoBarrier;
        let process = self.process(slot);
        let start = LeaderStart { epochs: process.epochs.clone(), log, committed, members };
        let mut core = Leader::new(options, start, policy, local, now);
        let has_barrier = begins == Begins::Epoch && !omits_barrier;
        if has_barrier {
            core.begin_epoch(process.end.lsn.next());
        }
        process.received.clear();
        process.whole_from = Lsn::ZERO;
        let (commit, released) = (core.commit(), core.released());
        process.role = Role::Leading(Box::new(Leading {
            core,
            todo: Todo::default(),
            commit,
            released,
            policy,
            unanswered: std::collections::BTreeMap::new(),
            wanted: None,
            offered: std::collections::BTreeMap::new(),
        }));
        self.on_lead_taken(slot);
        if has_barrier {
            self.write(slot, Change::Barrier);
        }
        self.tell_log(slot);
    }

    fn leader_options(&self, slot: usize) -> LeaderOptions {
        let Disk { identity, .. } = &self.nodes[slot].disk;
        LeaderOptions {
            heartbeat_ms: 40,
            link_timeout_ms: 400,
            window_bytes: self.plan.window_bytes,
            stream_bytes_max: self.plan.stream_bytes_max,
            chunk_bytes_max: self.plan.chunk_bytes_max,
            retained_bytes_max: self.plan.retained_bytes_max,
            transfer_timeout_ms: 1_000,
            install_timeout_ms: 2_000,
            catch_up_round_ms: 200,
            flap_ms: 50,
            flap_hold_max_ms: 300,
            forget_after_ms: 5_000,
            ..LeaderOptions::new(identity.node, identity.cluster, super::SHARD)
        }
    }

    pub(crate) fn on_members_written(&mut self, slot: usize, members: Vec<NodeId>) {
        if !matches!(self.process(slot).role, Role::Leading(_)) {
            return;
        }
        if self.defect != Defect::NonMemberCounts {
            self.nodes[slot].disk.members.clone_from(&members);
        }
        self.with_leader(slot, |core, now, out| core.on_members_persisted(now, &members, out));
    }

    /// A message for the leader, after what the defect makes of it.
    pub(crate) fn on_leader_message(
        &mut self,
        slot: usize,
        link: usize,
        fence: &Fence,
        message: &Message<'_>,
    ) {
        let (mut fence, mut message) = (*fence, message.clone());
        let own = self.leader_fence(slot);
        if self.defect == Defect::OldEpochAccepted
            && fence.epoch != own.epoch
            && let Message::Ack(ack) = &mut message
        {
            (fence.epoch, ack.received.epoch) = (own.epoch, own.epoch);
        }
        let id = LinkId(link as u64);
        self.with_leader(slot, |core, now, out| core.on_message(now, id, &fence, &message, out));
    }
}

/// Whether a term begins a new epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begins {
    /// Yes.
    Epoch,
    /// No: the node had stopped cleanly, or a defect says so.
    Nothing,
}
