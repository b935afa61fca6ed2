//! A node that follows: the shell around the follower's core.

use trefoil_clock::{EpochTable, Lsn, NodeId, Position};
use trefoil_replication::{
    Follower, FollowerAction, FollowerCloseReason, FollowerEvent, FollowerLog, FollowerOptions,
    RunHead,
};
use trefoil_wire::peer::{Append, Fence, Message};

use super::agenda::MS;
use super::disk::{Duty, Incoming};
use super::process::{Following, InHand, Queued, Role, Todo};
use super::record::{Record, encode_runs};
use super::sabotage::Defect;
use super::store::Store;
use super::task::Task;
use super::world::World;

impl World {
    /// Calls the follower's core, if the node follows, and carries out what it wants done.
    pub(crate) fn with_follower(
        &mut self,
        slot: usize,
        call: impl FnOnce(&mut Follower, u64, &mut Vec<FollowerAction>),
    ) {
        let now = self.local_ms(slot);
        let Some(process) = &mut self.nodes[slot].process else { return };
        let Role::Following(following) = &mut process.role else { return };
        let mut out = Vec::new();
        call(&mut following.core, now, &mut out);
        following.core.validate();
        following.todo.actions.extend(out);
        if std::mem::replace(&mut following.todo.running, true) {
            return;
        }
        while let Some(action) = self.next_follower_action(slot) {
            self.carry_out_follower(slot, action);
        }
        self.set_tick(slot);
    }

    fn next_follower_action(&mut self, slot: usize) -> Option<FollowerAction> {
        let process = self.nodes[slot].process.as_mut()?;
        let Role::Following(following) = &mut process.role else { return None };
        let next = following.todo.actions.pop_front();
        following.todo.running = next.is_some();
        next
    }

    fn carry_out_follower(&mut self, slot: usize, action: FollowerAction) {
        match action {
            FollowerAction::Send { message } => self.send_to_leader(slot, &message),
            FollowerAction::Append { last, .. } => self.take_records(slot, last),
            FollowerAction::Epochs(epochs) => {
                self.process(slot).epochs = epochs.clone();
                self.enqueue(slot, Queued::Epochs(epochs));
            }
            FollowerAction::Adopt { cluster } => {
                self.trace(format_args!("n{slot} adopts {cluster}"));
                self.met.event("histories given up for another");
                self.flush_queue(slot);
                let disk = &mut self.nodes[slot].disk;
                disk.wipe();
                disk.identity.cluster = cluster;
                let process = self.process(slot);
                (process.end, process.epochs) = (Position::default(), EpochTable::default());
                process.store = Store::default();
                process.received.clear();
                let disk = &mut self.nodes[slot].disk;
                if let Duty::Follow { adopts, .. } = &mut disk.duty {
                    *adopts = false;
                }
            }
            FollowerAction::Cut { to, then } => {
                self.trace(format_args!("n{slot} cuts behind {to:?}, {then:?}"));
                let after = self.dice.below(5 * MS);
                self.task(slot, after, Task::Archive { to, then });
            }
            FollowerAction::CommitTo(lsn) => {
                if let Role::Following(following) = &mut self.process(slot).role {
                    let before = std::mem::replace(&mut following.commit_to, lsn);
                    self.judge.on_commit_to(slot, before, lsn);
                }
                self.wake_applier(slot);
                self.check_snapshots(slot);
            }
            FollowerAction::Clock(_) | FollowerAction::Deliver { .. } => {}
            FollowerAction::BeginInstall { offer, from } => {
                self.met.event(if from > 0 { "transfers resumed" } else { "transfers begun" });
                let incoming = &mut self.nodes[slot].disk.incoming;
                let mut bytes = incoming.take().map(|old| old.bytes).unwrap_or_default();
                bytes.truncate(from as usize);
                *incoming = Some(Incoming { offer, bytes });
            }
            FollowerAction::WriteChunk { offset, .. } => self.write_chunk(slot, offset),
            FollowerAction::FinishInstall { offer } => {
                let after = self.dice.below(10 * MS);
                self.task(slot, after, Task::MarkInstall(offer));
            }
            FollowerAction::SendTail { prev, up_to } => self.send_tail(slot, prev, up_to),
            FollowerAction::Ready => {
                self.trace(format_args!("n{slot} is ready"));
                self.look_again(slot);
            }
            FollowerAction::ProbeAnswered { id, commit } => {
                self.on_probe_answered(slot, id, commit);
            }
            FollowerAction::ProbeLost { id } => self.on_probe_lost(slot, id),
            FollowerAction::Close { reason } => self.close_to_leader(slot, reason),
            FollowerAction::Event(event) => self.note_follower_event(slot, event),
        }
    }

    fn note_follower_event(&mut self, slot: usize, event: FollowerEvent) {
        self.trace(format_args!("n{slot} {event:?}"));
        self.operator.two_leaders |= matches!(event, FollowerEvent::TwoLeaders { .. });
        self.met.event(match event {
            FollowerEvent::Following { .. } => "followings begun",
            FollowerEvent::Diverged { .. } => "tails that diverged",
            FollowerEvent::WouldLoseCommitted { .. } => "refused to lose what was committed",
            FollowerEvent::TwoLeaders { .. } => "two leaders in an epoch detected",
            FollowerEvent::Reseeding { .. } => "reseedings",
        });
    }

    fn close_to_leader(&mut self, slot: usize, reason: FollowerCloseReason) {
        self.trace(format_args!("n{slot} closes its link: {reason:?}"));
        self.met.event(match reason {
            FollowerCloseReason::Silent => "closed: leader silent",
            FollowerCloseReason::StaleEpoch | FollowerCloseReason::NewerEpoch => {
                "closed: epoch of a leader"
            }
            FollowerCloseReason::Refused(_) => "closed: refused by the leader",
            FollowerCloseReason::TwoLeaders => "closed: two leaders",
            FollowerCloseReason::WouldLoseCommitted => "closed: would lose what was committed",
            FollowerCloseReason::BadRuns | FollowerCloseReason::Malformed => "closed: bad message",
            _ => "closed: other reasons of a follower",
        });
        let Role::Following(following) = &mut self.process(slot).role else { return };
        if let Some(link) = following.link.take() {
            self.close(link, slot);
        }
        self.dial_later(slot);
    }

    /// The node dials its leader after a pause.
    pub(crate) fn dial_later(&mut self, slot: usize) {
        let after = (10 + self.dice.below(60)) * MS;
        self.task(slot, after, Task::Dial);
    }

    pub(crate) fn on_dial(&mut self, slot: usize) {
        let Role::Following(following) = &self.process(slot).role else { return };
        let (whom, old) = (following.whom, following.link);
        if old.is_some() || whom == slot || self.is_fenced(slot) {
            return;
        }
        let link = self.dial(slot, whom);
        let process = self.process(slot);
        process.links.push(link);
        if let Role::Following(following) = &mut process.role {
            (following.link, following.connected) = (Some(link), false);
        }
        // A dial that is never answered is given up.
        self.trace(format_args!("n{slot} dials n{whom} l{link}"));
        self.task(slot, 500 * MS, Task::DialTimeout(link));
    }

    pub(crate) fn on_dial_timeout(&mut self, slot: usize, link: usize) {
        let Role::Following(following) = &mut self.process(slot).role else { return };
        if following.link == Some(link) && !following.connected {
            following.link = None;
            self.close(link, slot);
            self.dial_later(slot);
        }
    }

    /// The leader answered the dial.
    pub(crate) fn on_connected(&mut self, slot: usize, link: usize, leader: NodeId) {
        let Role::Following(following) = &mut self.process(slot).role else { return };
        if following.link == Some(link) {
            following.connected = true;
            self.with_follower(slot, |core, now, out| core.on_link(now, leader, out));
        }
    }

    pub(crate) fn follower_options(&self, slot: usize, adopts: Adopts) -> FollowerOptions {
        let identity = self.nodes[slot].disk.identity;
        FollowerOptions {
            node: identity.node,
            cluster: identity.cluster,
            shard: super::SHARD,
            adopts: adopts == Adopts::Yes,
            client_port: 0,
            link_timeout_ms: 400,
        }
    }

    /// The process follows a node from here on.
    pub(crate) fn follow(&mut self, slot: usize, whom: usize, safe: Lsn, needs_commit_to: Lsn) {
        let adopts = match self.nodes[slot].disk.duty {
            Duty::Follow { adopts: true, .. } => Adopts::Yes,
            _ => Adopts::No,
        };
        let options = self.follower_options(slot, adopts);
        let disk = &self.nodes[slot].disk;
        let partial = disk.incoming.as_ref().map(|i| (i.offer.snapshot, i.bytes.len() as u64));
        let flushed = disk.log.durable;
        let process = self.process(slot);
        let whole_from = process.whole_from;
        let log = FollowerLog {
            end: process.end,
            epochs: process.epochs.clone(),
            flushed,
            applied: process.store.applied,
            safe,
            whole_from,
            needs_commit_to,
            partial,
        };
        self.trace(format_args!("n{slot} follows n{whom}: {log:?}"));
        let process = self.process(slot);
        process.role = Role::Following(Box::new(Following {
            core: Follower::new(options, log),
            todo: Todo::default(),
            whom,
            link: None,
            connected: false,
            commit_to: Lsn::ZERO,
            stale_links: Vec::new(),
        }));
        self.with_follower(slot, |core, now, out| core.on_timeout(now, out));
        self.dial_later(slot);
    }

    fn send_to_leader(&mut self, slot: usize, message: &Message<'static>) {
        let Role::Following(following) = &self.process(slot).role else { return };
        let (fence, link) = (following.core.fence(), following.link);
        let stale = following.stale_links.clone();
        self.trace(format_args!("n{slot} > {message:?}"));
        if let Some(link) = link {
            self.send_message(link, slot, &fence, message);
        }
        if matches!(message, Message::Ack(_)) {
            for link in stale {
                self.send_message(link, slot, &fence, message);
            }
        }
    }

    /// A message for the follower, after what the defect makes of it.
    pub(crate) fn on_follower_message(
        &mut self,
        slot: usize,
        link: usize,
        fence: &Fence,
        message: &Message<'_>,
    ) {
        let Role::Following(following) = &self.process(slot).role else { return };
        if following.link != Some(link) {
            return;
        }
        let (heads, records) = match message {
            Message::Append(append) => {
                super::record::decode_runs(append.runs).expect("runs are read as they were written")
            }
            _ => Default::default(),
        };
        let chunk = match message {
            Message::Chunk(chunk) => chunk.bytes.to_vec(),
            _ => Vec::new(),
        };
        if self.defect == Defect::PreviousNotChecked {
            return self.take_without_previous(slot, fence, message, records);
        }
        self.hand_over(slot, fence, message, &heads, InHand { records, chunk });
    }

    fn hand_over(
        &mut self,
        slot: usize,
        fence: &Fence,
        message: &Message<'_>,
        heads: &[RunHead],
        in_hand: InHand,
    ) {
        self.process(slot).in_hand = in_hand;
        self.with_follower(slot, |core, now, out| core.on_message(now, fence, message, heads, out));
        self.process(slot).in_hand = InHand::default();
    }

    /// The defect: a welcome that asks for a cut is read as if nothing had to be cut, and Appends as if
    /// they followed whatever is there.
    fn take_without_previous(
        &mut self,
        slot: usize,
        fence: &Fence,
        message: &Message<'_>,
        mut records: Vec<Record>,
    ) {
        let end = self.process(slot).end;
        match message {
            Message::Welcome(welcome) if welcome.fork.lsn < end.lsn => {
                // As if the leader's history agreed with the own one up to its end.
                let mut welcome = welcome.clone();
                let mut epochs = self.process(slot).epochs.clone();
                if let Some(present) = welcome.epochs.last().copied()
                    && epochs.last().is_none_or(|last| last.epoch < present.epoch)
                {
                    let first_lsn = present.first_lsn.max(end.lsn.next());
                    epochs.push(trefoil_clock::EpochEntry { first_lsn, ..present });
                    welcome.epochs = epochs.entries().to_vec();
                    welcome.fork = end;
                    welcome.commit = welcome.commit.max(end.lsn);
                }
                self.hand_over(slot, fence, &Message::Welcome(welcome), &[], InHand::default());
            }
            Message::Append(append) => {
                records.retain(|record| record.lsn > end.lsn);
                if records.first().is_none_or(|first| first.lsn != end.lsn.next()) {
                    return;
                }
                let mut runs = Vec::new();
                encode_runs(&records, &mut runs);
                let (heads, records) =
                    super::record::decode_runs(&runs).expect("runs are read as they were written");
                let message = Message::Append(Append { prev: end, runs: &runs, ..append.clone() });
                self.hand_over(
                    slot,
                    fence,
                    &message,
                    &heads,
                    InHand { records, chunk: Vec::new() },
                );
            }
            Message::Chunk(chunk) => {
                let in_hand = InHand { records, chunk: chunk.bytes.to_vec() };
                self.hand_over(slot, fence, message, &[], in_hand);
            }
            _ => self.hand_over(slot, fence, message, &[], InHand::default()),
        }
    }

    /// Takes the records of the message in hand into log and apply queue.
    pub(crate) fn take_records(&mut self, slot: usize, last: Lsn) {
        let cluster = self.nodes[slot].disk.identity.cluster;
        let process = self.process(slot);
        let records = std::mem::take(&mut process.in_hand.records);
        let wanted: Vec<Record> =
            records.into_iter().filter(|r| r.lsn > process.end.lsn && r.lsn <= last).collect();
        let (end, epochs) = (process.end, process.epochs.clone());
        self.judge.on_append(slot, cluster, &epochs, end, &wanted);
        for record in wanted {
            let process = self.process(slot);
            process.end = record.position();
            process.received.push_back(record);
            self.enqueue(slot, Queued::Record(record));
        }
        self.wake_applier(slot);
    }

    /// Sends the own tail to a leader that recovers.
    fn send_tail(&mut self, slot: usize, prev: Position, up_to: Lsn) {
        self.flush_queue(slot);
        self.met.event("tails sent to recovering leaders");
        let log = &self.nodes[slot].disk.log;
        let lsns: Vec<Lsn> = (prev.lsn.0 + 1..=up_to.0).map(Lsn).collect();
        let records: Vec<Record> =
            lsns.iter().filter_map(|lsn| log.record(*lsn).copied()).collect();
        let clock = self.wall(slot);
        let mut before = prev;
        for part in records.chunks(5) {
            let mut runs = Vec::new();
            encode_runs(part, &mut runs);
            let append =
                Append { prev: before, commit: Lsn::ZERO, clock, flush: false, runs: &runs };
            let Role::Following(following) = &self.process(slot).role else { return };
            let (fence, link) = (following.core.fence(), following.link);
            if let Some(link) = link {
                self.send_message(link, slot, &fence, &Message::Append(append));
            }
            before = part[part.len() - 1].position();
        }
        self.with_follower(slot, |core, now, out| core.on_tail_sent(now, out));
    }

    /// The history of a follower, for its readers.
    pub(crate) fn history(&mut self, slot: usize) -> EpochTable {
        self.process(slot).epochs.clone()
    }
}

/// Whether a node may give its own history up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Adopts {
    Yes,
    No,
}
