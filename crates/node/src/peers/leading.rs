//! Leading: carries out what the leader's core wants.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::{EpochTable, Hlc, Identity, Lsn, NodeId, Position};
use trefoil_log::{Disk, TailError, TailReader, put_run};
use trefoil_replication::{
    CloseReason, Leader, LeaderAction, LeaderEvent, LeaderOptions, LeaderStart, LinkId, LocalRule,
    LogState,
};
use trefoil_wire::peer::{Append, Fence, Heartbeat, Message, Publish};

use super::link::Inbound;
use super::snapshots::HeldSnapshot;
use super::{Part, Peers, SavedMembers, save_members};
use crate::log::{Fsync, SHARD, stream};
use crate::node::Node;
use crate::pubsub::hub::Kind;
use crate::replication::{AckLevel, AckPolicy, Acks, Order};

/// So long a new leader keeps the log for followers of the one before it, milliseconds.
const KEEPS_LOG_MS: u64 = 60_000;

/// Bytes that wait for a slow link, from which on it gets no more published messages.
const PUBLISHED_UNSENT_MAX: usize = 32 << 20;

/// See the module.
pub(super) struct Leading<D: Disk> {
    pub(super) core: Leader,
    readers: BTreeMap<LinkId, TailReader<D>>,
    pub(super) snapshot: Option<HeldSnapshot<D>>,
    /// A snapshot is wanted that starts here or later.
    pub(super) wanted: Option<Lsn>,
    /// Up to here replies were let go.
    released: Lsn,
    /// Probes that wait for the lease: the newest of each link.
    unanswered: BTreeMap<LinkId, u64>,
    runs: Vec<u8>,
}

impl<D: Disk> Leading<D> {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.core.deadline()
    }
}

/// A leader's settings.
pub(super) fn leader_options(node: &Node, identity: Identity) -> LeaderOptions {
    let settings = &node.settings.replication;
    LeaderOptions {
        link_timeout_ms: settings.repl_timeout_seconds.load(Relaxed).max(1) * 1_000,
        retained_bytes_max: settings.max_retained_log.load(Relaxed),
        ..LeaderOptions::new(identity.node, identity.cluster, SHARD)
    }
}

/// The rule after which a restarted leader hears more of its members: for as long as needed, if not for
/// nothing.
fn careful(one: Acks, other: Acks, members: usize) -> Acks {
    match (one, other) {
        (Acks::Async, rule) | (rule, Acks::Async) => rule,
        _ => one.more_careful(other, members),
    }
}

impl<D: Disk> Peers<D> {
    /// Leads in the last epoch of the table. `committed`: up to there it is known to be; `barrier`: the
    /// first record of a new epoch, without which nothing counts.
    pub(super) fn begin_leading(
        &mut self,
        epochs: EpochTable,
        committed: Lsn,
        barrier: Option<Lsn>,
    ) {
        let identity = self.node.replication.identity();
        let options = LeaderOptions {
            client_port: self.options.client_port,
            ..leader_options(&self.node, identity)
        };
        let start = LeaderStart {
            epochs: epochs.clone(),
            log: self.log_state(),
            committed,
            members: self.members.nodes.clone(),
        };
        let policy = self.first_policy();
        let mut core = Leader::new(options, start, policy, self.local_rule(), self.now_ms);
        if let Some(barrier) = barrier {
            core.begin_epoch(barrier);
            // Who followed the leader before this one has not come yet.
            self.keeps_log = (self.now_ms + KEEPS_LOG_MS, self.log_state().floor);
        }
        self.node.log.set_epochs(epochs.clone());
        self.node.replication.set_epochs(epochs);
        self.node.replication.set_members(self.members.nodes.clone());
        self.node.replication.set_leader(None);
        self.node.replication.set_ready(true);
        self.part = Part::Leading(Box::new(Leading {
            released: core.released(),
            core,
            readers: BTreeMap::new(),
            snapshot: None,
            wanted: None,
            unanswered: BTreeMap::new(),
            runs: Vec::new(),
        }));
        self.keep_acks();
        self.meet_followers();
        self.publish_watermarks();
        self.tell_leader_progress();
    }

    /// The policy that a leader begins with: by the rule that elections go by now, if the policy's own one
    /// would have them hear more members. That one comes into force once it is agreed upon (rule 10).
    fn first_policy(&mut self) -> AckPolicy {
        let policy = self.policy();
        let SavedMembers { acks, nodes } = &self.members;
        if !self.is_managed() || acks.more_careful(policy.acks, nodes.len()) == *acks {
            return policy;
        }
        self.node.replication.orders.put(Order::Reconfigure);
        AckPolicy { acks: *acks, ..policy }
    }

    /// Whoever learned sooner than this node that it leads has connected already.
    fn meet_followers(&mut self) {
        let greeted = |(&link, inbound): (&LinkId, &Inbound)| {
            let waits = inbound.greeting.is_none() && !inbound.dialled;
            inbound.peer.filter(|_| waits).map(|peer| (link, peer))
        };
        let links: Vec<(LinkId, NodeId)> = self.inbound.iter().filter_map(greeted).collect();
        for (link, peer) in links {
            self.on_follower_link(link, peer);
        }
    }

    pub(super) fn lead(&mut self, tell: impl FnOnce(&mut Leader, u64, &mut Vec<LeaderAction>)) {
        let mut actions = Vec::new();
        let Part::Leading(leading) = &mut self.part else { return };
        tell(&mut leading.core, self.now_ms, &mut actions);
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            let mut more = Vec::new();
            self.carry_out_leading(action, &mut more);
            queue.extend(more);
        }
    }

    fn carry_out_leading(&mut self, action: LeaderAction, more: &mut Vec<LeaderAction>) {
        match action {
            LeaderAction::Send { link, message: Message::ProbeAnswer { id, commit } } => {
                self.answer_probe(link, id, commit);
            }
            LeaderAction::Send { link, message } => {
                if matches!(message, Message::Offer(_)) {
                    self.node.replication.full_syncs.fetch_add(1, Relaxed);
                }
                self.put_as_leader(link, &message);
            }
            LeaderAction::Heartbeat { link, id, end, commit, safe } => {
                let clock = self.clock();
                let beat = Heartbeat { id, end, commit, safe, clock };
                self.put_as_leader(link, &Message::Heartbeat(beat));
            }
            LeaderAction::Stream { link, prev, up_to, bytes_max, commit } => {
                self.stream(link, (prev, up_to), bytes_max, commit, more);
            }
            LeaderAction::TakeSnapshot { start_min } => self.want_snapshot(start_min, more),
            LeaderAction::SendChunk { link, snapshot, offset, bytes_max } => {
                self.send_chunk(link, snapshot, (offset, bytes_max), more);
            }
            LeaderAction::ReleaseSnapshot { snapshot } => self.release_snapshot(snapshot),
            LeaderAction::Watermarks { .. } => self.publish_watermarks(),
            LeaderAction::PersistMembers { members } => self.persist_members(members, more),
            LeaderAction::Waive => self.waive(more),
            LeaderAction::Close { link, reason } => {
                self.say_closed(link, reason);
                self.close_link(link);
            }
            LeaderAction::StepDown { epoch } => {
                eprintln!(
                    "trefoil: another node leads in epoch {epoch}: this node stops serving until it \
                     is told whom to follow (REPLICAOF host port)"
                );
                self.depose(epoch);
            }
            LeaderAction::Event(event) => self.on_leader_event(event),
        }
    }

    /// Says what was acknowledged by now. Without its lease a leader doesn't know what others acknowledge.
    fn answer_probe(&mut self, link: LinkId, id: u64, commit: Lsn) {
        // Without a gate it may not even be written yet.
        let last = self.node.keyspace.sequencer().last_lsn();
        let commit = if self.node.is_gated() { commit } else { commit.max(last) };
        // After all else: what counts is that nobody else led until then.
        if self.node.agreement.lease.holds() {
            self.put_as_leader(link, &Message::ProbeAnswer { id, commit });
        } else if let Part::Leading(leading) = &mut self.part {
            leading.unanswered.insert(link, id);
        }
    }

    /// Answers what had to wait for the lease. An answer counts for earlier probes of its link, too.
    fn answer_late_probes(&mut self) {
        let Part::Leading(leading) = &mut self.part else { return };
        let commit = leading.core.commit();
        for (link, id) in std::mem::take(&mut leading.unanswered) {
            self.answer_probe(link, id, commit);
        }
    }

    pub(super) fn put_as_leader(&mut self, link: LinkId, message: &Message<'_>) {
        let Part::Leading(leading) = &self.part else { return };
        let fence = leading.core.fence();
        if let Some(out) = self.outbound.get_mut(&link) {
            out.put(&fence, message);
        }
    }

    /// Reads records from the log's files and puts them on the link.
    fn stream(
        &mut self,
        link: LinkId,
        (prev, up_to): (Position, Lsn),
        bytes_max: u64,
        commit: Lsn,
        more: &mut Vec<LeaderAction>,
    ) {
        let (clock, flush, now_ms) = (self.clock(), self.wants_flush(), self.now_ms);
        let identity = self.node.replication.identity();
        let Some(written) = self.node.log.written_end() else { return };
        let Part::Leading(leading) = &mut self.part else { return };
        let Leading { core, readers, runs, .. } = &mut **leading;
        let reader = readers
            .entry(link)
            .or_insert_with(|| TailReader::new(self.disk.clone(), identity, stream()));
        runs.clear();
        let mut last = prev.lsn;
        let mut read = || -> Result<(), TailError> {
            if reader.after() != prev.lsn || prev.lsn == Lsn::ZERO {
                reader.seek(&written, prev.lsn)?;
            }
            loop {
                let read = reader.read(&written, up_to, bytes_max, |run| {
                    put_run(&run, runs);
                    last = run.header.last_lsn();
                })?;
                if read.runs > 0 || !read.more {
                    return Ok(());
                }
            }
        };
        if let Err(error) = read() {
            readers.remove(&link);
            if !matches!(error, TailError::Gone { .. }) {
                eprintln!("trefoil: the log can't be read back for a follower: {error}");
            }
            core.on_gone(now_ms, link, more);
            return;
        }
        if runs.is_empty() {
            // Nothing is there that the core knew to be there: it asks again when the log moves.
            core.on_streamed(now_ms, link, last, 0, more);
            return;
        }
        let append = Append { prev, commit, clock, flush, runs };
        if let Some(out) = self.outbound.get_mut(&link) {
            out.put_large(&core.fence(), &Message::Append(append));
        }
        core.on_streamed(now_ms, link, last, runs.len() as u64, more);
    }

    /// Sends what clients published to all followers that take it.
    pub(super) fn send_publications(&mut self, links: &[LinkId]) {
        let Part::Leading(leading) = &self.part else { return };
        self.node.outbox.set_wanted(!links.is_empty());
        let fence = leading.core.fence();
        while let Some(posted) = self.node.outbox.take(Lsn(u64::MAX)) {
            let (channel, payload) = (&*posted.channel, &*posted.payload);
            let sharded = posted.kind == Kind::Shard;
            let publish = Publish { after: posted.after, sharded, channel, payload };
            for link in links {
                let Some(out) = self.outbound.get_mut(link) else { continue };
                if out.unsent().len() < PUBLISHED_UNSENT_MAX {
                    out.put_large(&fence, &Message::Publish(publish));
                } else {
                    self.node.outbox.dropped.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// Whether followers are to sync what comes at once.
    fn wants_flush(&self) -> bool {
        let policy = self.node.settings.policy();
        policy.acks != Acks::Async && policy.level != AckLevel::Received
    }

    /// The time by which keys expire: never behind the last record's.
    pub(super) fn clock(&self) -> Hlc {
        let last = self.node.keyspace.sequencer().last().hlc;
        last.max(Hlc::from_millis((self.options.wall_ms)()))
    }

    fn persist_members(&mut self, members: Vec<NodeId>, more: &mut Vec<LeaderAction>) {
        let acks = match self.is_managed() {
            true => self.members.acks.more_careful(self.rule(), members.len()),
            false => careful(self.members.acks, self.acks(), members.len()),
        };
        let saved = SavedMembers { acks, nodes: members };
        if self.is_managed() {
            return self.publish(saved);
        }
        if let Err(error) = save_members(&self.disk, &saved) {
            eprintln!(
                "trefoil: the electable followers could not be kept, it is tried again: {error}"
            );
            self.unsaved_members = Some(saved.nodes);
            return;
        }
        self.unsaved_members = None;
        self.node.replication.set_members(saved.nodes.clone());
        self.members = saved;
        let now_ms = self.now_ms;
        if let Part::Leading(leading) = &mut self.part {
            leading.core.on_members_persisted(now_ms, &self.members.nodes, more);
        }
    }

    /// Elections of a managed node go by what is agreed upon, so that has to come first.
    fn waive(&mut self, more: &mut Vec<LeaderAction>) {
        if self.is_managed() && self.members.acks != Acks::Async {
            return self.save_acks(Acks::Async);
        }
        let now_ms = self.now_ms;
        if let Part::Leading(leading) = &mut self.part {
            leading.core.on_waived(now_ms, more);
        }
    }

    /// The rule that elections are to go by: while the own log is enough, they can't rely on more.
    fn rule(&self) -> Acks {
        match &self.part {
            Part::Leading(leading) if self.is_managed() && leading.core.is_degrading() => {
                Acks::Async
            }
            _ => self.acks(),
        }
    }

    /// The rule of acknowledgements is kept with the members: a restart needs it. While one gives way to
    /// the next, what either acknowledged has to be found.
    fn keep_acks(&mut self) {
        let Part::Leading(leading) = &self.part else { return };
        let acks = match leading.core.is_policy_in_force() {
            true => self.rule(),
            false => self.careful_acks(),
        };
        self.save_acks(acks);
    }

    /// The rule of which more members have to be heard: the one kept, or the one that is to come.
    pub(super) fn careful_acks(&self) -> Acks {
        let (before, after) = (self.members.acks, self.rule());
        let members = self.members.nodes.len();
        if self.is_managed() {
            // An election knows how many it has heard: where nobody was waited for, all are needed.
            before.more_careful(after, members)
        } else {
            careful(before, after, members)
        }
    }

    fn save_acks(&mut self, acks: Acks) {
        if self.is_managed() {
            let nodes = match &self.agreed.wanted {
                Some(wanted) => wanted.nodes.clone(),
                None => self.members.nodes.clone(),
            };
            return self.publish(SavedMembers { acks, nodes });
        }
        if self.members.nodes.is_empty() || self.members.acks == acks {
            return;
        }
        let saved = SavedMembers { acks, nodes: self.members.nodes.clone() };
        match save_members(&self.disk, &saved) {
            Ok(()) => self.members = saved,
            Err(error) => {
                eprintln!("trefoil: the rule of acknowledgements could not be kept: {error}");
            }
        }
    }

    /// Lets replies go that may.
    pub(super) fn publish_watermarks(&mut self) {
        let wanted = self.acks();
        let Part::Leading(leading) = &mut self.part else { return };
        let Leading { core, released, .. } = &mut **leading;
        // The rule before is in force until elections know of the next one.
        let waits = wanted != Acks::Async || core.policy().acks != Acks::Async;
        let replication = &self.node.replication;
        let more = core.released().0 - std::mem::replace(released, core.released()).0;
        if core.is_degraded() {
            replication.degraded_acks.fetch_add(more, Relaxed);
        }
        replication.set_commit(core.commit());
        let was_blocked = replication.is_blocked();
        replication.set_restrained(self.node.refuses_writes(), core.is_degraded());
        self.node.restrain(replication.is_blocked());
        self.node.log.set_urgent(waits || self.node.agreement.lease.is_required());
        let unblocked = was_blocked && !replication.is_blocked();
        if replication.set_remote(waits.then(|| core.released())) || unblocked {
            self.node.post.wake_waiting();
        }
    }

    /// What the core has to know of the own log.
    pub(super) fn log_state(&self) -> LogState {
        let log = &self.node.log;
        let Some(extent) = log.extent() else {
            let end = log.appended();
            return LogState {
                end,
                durable: log.durable(),
                floor: end,
                end_bytes: 0,
                floor_bytes: 0,
            };
        };
        let end = extent.end.lsn;
        let floor = Lsn(extent.end.floor.lsn.0.saturating_sub(1)).min(end);
        let (end_bytes, floor_bytes) = (extent.end_bytes, extent.floor_bytes);
        LogState { end, durable: log.durable().min(end), floor, end_bytes, floor_bytes }
    }

    fn local_rule(&self) -> LocalRule {
        match self.node.log.fsync() {
            Fsync::Always => LocalRule::Durable,
            Fsync::Everysec | Fsync::No => LocalRule::Appended,
        }
    }

    pub(super) fn tell_leader_progress(&mut self) {
        let state = self.log_state();
        self.lead(|core, now_ms, out| core.on_log(now_ms, state, out));
        let Part::Leading(leading) = &self.part else { return };
        let followed = !leading.core.members().is_empty() || !self.inbound.is_empty();
        let needed = followed.then(|| leading.core.needed_after());
        let (until_ms, from) = self.keeps_log;
        let kept = (self.now_ms < until_ms).then_some(from);
        self.node.log.set_needed_after(needed.into_iter().chain(kept).min());
    }

    pub(super) fn on_leader_timeout(&mut self) {
        if let Some(members) = self.unsaved_members.take_if(|_| self.now_ms >= self.report_at_ms) {
            let mut more = Vec::new();
            self.persist_members(members, &mut more);
            self.lead(|_, _, out| out.append(&mut more));
        }
        let Part::Leading(leading) = &self.part else { return };
        if leading.core.deadline().is_some_and(|deadline| deadline <= self.now_ms) {
            self.lead(|core, now_ms, out| core.on_timeout(now_ms, out));
            self.answer_late_probes();
            self.keep_acks();
            self.publish_watermarks();
        }
    }

    pub(super) fn on_follower_link(&mut self, link: LinkId, peer: NodeId) {
        self.lead(|core, now_ms, out| core.on_link(now_ms, link, peer, out));
    }

    pub(super) fn on_follower_message(
        &mut self,
        link: LinkId,
        fence: &Fence,
        message: &Message<'_>,
    ) {
        let goes_on = self.knows_all_of(link, fence, message);
        self.lead(|core, now_ms, out| core.on_message(now_ms, link, fence, message, out));
        if goes_on {
            self.count_welcomed(link);
        }
    }

    pub(super) fn on_follower_gone(&mut self, link: LinkId) {
        if let Part::Leading(leading) = &mut self.part {
            leading.readers.remove(&link);
            leading.unanswered.remove(&link);
        }
        self.lead(|core, now_ms, out| core.on_link_down(now_ms, link, out));
        self.publish_watermarks();
    }

    fn close_link(&mut self, link: LinkId) {
        if let Some(out) = self.outbound.get_mut(&link) {
            out.close();
        }
    }

    /// Whether the log still lacks records that were acknowledged while nobody waited for followers.
    /// The old rule commits those, so that they can be read under the new one.
    pub(super) fn is_behind_old_rule(&mut self) -> bool {
        if !matches!(self.part, Part::Leading(_)) || self.acks() == Acks::Async {
            self.waits_from = None;
            return false;
        }
        if self.waits_from.is_none() {
            if self.node.replication.gates() {
                return false;
            }
            // From here on replies wait, by the old rule until the new one is in force.
            self.publish_watermarks();
            self.waits_from = Some(self.node.keyspace.sequencer().last_lsn());
        }
        self.waits_from = self.waits_from.filter(|&lsn| self.node.log.appended() < lsn);
        self.waits_from.is_some()
    }

    pub(super) fn reconfigure(&mut self) {
        let configuration = self.node.replication.configuration();
        // What was acknowledged under the old rule is committed by it.
        self.tell_leader_progress();
        let (policy, local) = (self.policy(), self.local_rule());
        // Before the first record is acknowledged by the new rule.
        self.save_acks(self.careful_acks());
        let options = leader_options(&self.node, self.node.replication.identity());
        self.lead(|core, now_ms, out| {
            core.set_retained_bytes_max(options.retained_bytes_max, out);
            core.set_local(now_ms, local, out);
            core.set_policy(now_ms, policy, out);
        });
        self.keep_acks();
        self.publish_watermarks();
        self.node.replication.set_configured(configuration);
    }

    pub(super) fn order_forget(&mut self, node: NodeId) {
        self.lead(|core, now_ms, out| {
            if let Err(error) = core.forget(now_ms, node, out) {
                eprintln!("trefoil: node {node} is not forgotten: {error:?}");
            }
        });
        self.publish_watermarks();
    }

    fn say_closed(&self, link: LinkId, reason: CloseReason) {
        if reason == CloseReason::Flapping {
            // Why it went was said each time.
            return;
        }
        let who = self.inbound.get(&link).and_then(|inbound| inbound.peer);
        let who = who.map_or_else(|| "a node".to_string(), |node| format!("node {node}"));
        eprintln!(
            "trefoil: the link to {who} is closed: {}",
            super::report::closed_because(reason)
        );
    }

    fn on_leader_event(&mut self, event: LeaderEvent) {
        super::report::say(&event);
        if matches!(
            event,
            LeaderEvent::Blocked
                | LeaderEvent::Unblocked
                | LeaderEvent::Degraded
                | LeaderEvent::Restored
        ) {
            self.publish_watermarks();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_rule_gives_way_a_restart_goes_by_the_one_that_hears_more_members() {
        let (sync, one, two) = (Acks::Sync, Acks::SemiSync(1), Acks::SemiSync(2));
        for (a, b, careful_one) in
            [(one, sync, one), (two, one, one), (Acks::Async, sync, sync), (sync, sync, sync)]
        {
            assert_eq!(careful(a, b, 3), careful_one);
            assert_eq!(careful(b, a, 3), careful_one);
        }
        assert_eq!(careful(Acks::Async, Acks::Async, 3), Acks::Async);
    }
}
