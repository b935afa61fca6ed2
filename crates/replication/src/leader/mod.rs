//! The leader's side: what each follower has, what goes to it next, what is committed.
//!
//! It knows positions and bytes under way, never a record. One instance leads in one epoch.
//!
//! Invariants:
//! * Commit and released never go back, and `safe <= commit`, `released <= commit <= end of the log`.
//! * An acknowledgement counts if it fits the fence, is of this history, and was sent to its sender.
//! * A follower that gets a snapshot finds the log behind it still there, unless the log failed to keep
//!   what [`Leader::needed_after`] said; then a newer one is made, a bounded number of times.

mod action;
mod fence;
mod flow;
mod lag;
mod members;
mod options;
mod progress;
mod receive;
mod report;
mod row;
mod snapshots;
mod timer;
mod transfer;
mod watermarks;

pub use action::{CloseReason, LeaderAction, LeaderEvent};
pub use options::{LeaderOptions, LeaderStart, LogState, MaxLag, SnapshotReady};
pub use row::{FollowerRow, RowState};

use std::collections::BTreeMap;

use trefoil_clock::{Epoch, EpochTable, Lsn, NodeId};
use trefoil_wire::peer::{Fence, Message, Refuse, RefuseReason};

use crate::{AckPolicy, LinkId, LocalRule};
use lag::{Beats, LogMeter};
use members::Rules;
use progress::{Attached, Place, Progress, Stage};
use snapshots::Source;
use watermarks::Watermarks;

/// Why a node can't be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForgetError {
    /// It is not in the electable set.
    NotAMember,
    /// It is attached: it would be back at once.
    Attached,
}

/// See the module.
#[derive(Debug)]
pub struct Leader {
    options: LeaderOptions,
    /// The last entry is this node's own epoch.
    epochs: EpochTable,
    log: LogState,
    meter: LogMeter,
    policy: AckPolicy,
    local: LocalRule,
    rules: Rules,
    marks: Watermarks,
    followers: BTreeMap<NodeId, Progress>,
    /// Links that are up, each of one follower.
    links: BTreeMap<LinkId, NodeId>,
    snapshots: Source,
    beats: Beats,
    next_beat_ms: u64,
    /// Somebody leads in this newer epoch.
    deposed_by: Option<Epoch>,
}

impl Leader {
    /// A leader in the last epoch of `start.epochs`. To begin, [`Leader::begin_epoch`] if that epoch is
    /// new, then [`Leader::on_log`].
    ///
    /// # Panics
    /// If that epoch is not this node's.
    #[must_use]
    pub fn new(
        options: LeaderOptions,
        start: LeaderStart,
        policy: AckPolicy,
        local: LocalRule,
        now_ms: u64,
    ) -> Leader {
        let LeaderStart { epochs, log, committed, mut members } = start;
        // A node that was promoted finds itself in the set that it could be elected from.
        members.retain(|&node| node != options.node);
        let own = epochs.last().expect("a leader has an epoch");
        assert_eq!(own.leader, options.node, "a node leads in its own epoch");
        let away = |&node: &NodeId| (node, Progress::away(node, log.floor, now_ms));
        Leader {
            options,
            epochs,
            log,
            meter: LogMeter::new(&log),
            policy,
            local,
            rules: Rules::new(policy, &members),
            marks: Watermarks::new(committed, log.end),
            followers: members.iter().map(away).collect(),
            links: BTreeMap::new(),
            snapshots: Source::None,
            beats: Beats::default(),
            next_beat_ms: now_ms,
            deposed_by: None,
        }
    }

    /// What stands in front of everything that this leader says.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence {
            cluster: self.options.cluster,
            shard: self.options.shard,
            epoch: self.epoch(),
            sender: self.options.node,
        }
    }

    /// The epoch in which it leads.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epochs.last().expect("a leader has an epoch").epoch
    }

    /// A link to a follower is up, after the greeting. An older one of the same node is closed.
    pub fn on_link(
        &mut self,
        now_ms: u64,
        link: LinkId,
        node: NodeId,
        out: &mut Vec<LeaderAction>,
    ) {
        if let Some(old) = self.attached(node).map(|attached| attached.link) {
            self.close(now_ms, old, CloseReason::Replaced, out);
        }
        let held = self.followers.get(&node).is_some_and(|known| known.flaps.is_held(now_ms));
        if held {
            let text = "this link came and went too often; try again in a few seconds";
            refuse(link, RefuseReason::Busy, text, out);
            out.push(LeaderAction::Close { link, reason: CloseReason::Flapping });
            return;
        }
        let end = self.log.end;
        let progress =
            self.followers.entry(node).or_insert_with(|| Progress::away(node, end, now_ms));
        progress.place = Place::Attached(Attached {
            link,
            up_at_ms: now_ms,
            heard_at_ms: now_ms,
            told_commit: Lsn::ZERO,
            probe: None,
            stage: Stage::Connecting,
        });
        self.links.insert(link, node);
    }

    /// A link is gone. Nothing happens if this core closed it.
    pub fn on_link_down(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<LeaderAction>) {
        let Some(node) = self.links.remove(&link) else { return };
        let progress = self.followers.get_mut(&node).expect("a link is of a follower");
        let up_at_ms = progress.attached().map_or(now_ms, |attached| attached.up_at_ms);
        let lived_ms = now_ms.saturating_sub(up_at_ms);
        let (flap_ms, max_ms) = (self.options.flap_ms, self.options.flap_hold_max_ms);
        progress.flaps.on_link_down(now_ms, lived_ms, flap_ms, max_ms);
        progress.place = Place::Away { since_ms: now_ms };
        self.rules.on_detached(node);
        out.push(LeaderAction::Event(LeaderEvent::Detached { node }));
        self.advance(now_ms, out);
    }

    /// The log stands elsewhere than before: more was appended or synced, or old records went.
    pub fn on_log(&mut self, now_ms: u64, log: LogState, out: &mut Vec<LeaderAction>) {
        self.log = log;
        self.meter.on_log(&log);
        self.beats.on_end(now_ms, log.end);
        self.followers.values_mut().filter_map(Progress::attached_mut).for_each(|attached| {
            if let Some(flow) = attached.stage.flow_mut() {
                flow.retry();
            }
        });
        self.find_lost(out);
        self.advance(now_ms, out);
        self.pump_all(out);
    }

    /// Records up to `last` are on the link, in so many bytes; what a stream asked for. To be reported
    /// before the next message of the link is handed in. None could be read: `last` as before.
    pub fn on_streamed(
        &mut self,
        _now_ms: u64,
        link: LinkId,
        last: Lsn,
        bytes: u64,
        out: &mut Vec<LeaderAction>,
    ) {
        let Some(attached) = self.attached_by(link) else { return };
        let told = attached.stage.flow_mut().and_then(|flow| flow.on_streamed(last, bytes));
        attached.told_commit = attached.told_commit.max(told.unwrap_or_default());
        self.pump(link, out);
    }

    /// The log does not hold what the stream of a link asked for.
    pub fn on_gone(&mut self, now_ms: u64, link: LinkId, out: &mut Vec<LeaderAction>) {
        let streams = self.attached_by(link).is_some_and(|it| it.stage.flow().is_some());
        if streams {
            self.begin_snapshot(now_ms, link, out);
        }
    }

    /// Another rule for acknowledgements. Until the commit satisfies it the one before applies as well.
    pub fn set_policy(&mut self, now_ms: u64, policy: AckPolicy, out: &mut Vec<LeaderAction>) {
        self.policy = policy;
        self.rules.want_policy(policy.acks, policy.level);
        self.advance(now_ms, out);
    }

    /// What the own log must have done with a record before it can be committed.
    pub fn set_local(&mut self, now_ms: u64, local: LocalRule, out: &mut Vec<LeaderAction>) {
        self.local = local;
        self.advance(now_ms, out);
    }

    /// Other thresholds of the lag alert.
    pub fn set_max_lag(&mut self, max_lag: MaxLag) {
        self.options.max_lag = max_lag;
    }

    /// Another limit to the log that is kept for followers.
    pub fn set_retained_bytes_max(&mut self, bytes: u64, out: &mut Vec<LeaderAction>) {
        self.options.retained_bytes_max = bytes;
        self.find_lost(out);
    }

    /// A node that is away is not to be electable any more; takes effect once that is written down.
    ///
    /// # Errors
    /// If it is no member, or attached.
    pub fn forget(
        &mut self,
        now_ms: u64,
        node: NodeId,
        out: &mut Vec<LeaderAction>,
    ) -> Result<(), ForgetError> {
        if self.attached(node).is_some() {
            return Err(ForgetError::Attached);
        }
        if !self.rules.want_no_member(node) {
            return Err(ForgetError::NotAMember);
        }
        self.advance(now_ms, out);
        Ok(())
    }

    /// The electable set was written down.
    pub fn on_members_persisted(
        &mut self,
        now_ms: u64,
        members: &[NodeId],
        out: &mut Vec<LeaderAction>,
    ) {
        let Some(before) = self.rules.on_persisted(members) else { return };
        for &node in members.iter().filter(|node| !before.contains(node)) {
            out.push(LeaderAction::Event(LeaderEvent::MemberAdded { node }));
        }
        for node in before.into_iter().filter(|node| !members.contains(node)) {
            out.push(LeaderAction::Event(LeaderEvent::MemberForgotten { node }));
            if self.attached(node).is_none() {
                self.followers.remove(&node);
            }
        }
        self.release_unused_snapshot(out);
        self.advance(now_ms, out);
    }

    fn attached(&self, node: NodeId) -> Option<&Attached> {
        self.followers.get(&node).and_then(Progress::attached)
    }

    fn attached_by(&mut self, link: LinkId) -> Option<&mut Attached> {
        self.progress_by(link).and_then(Progress::attached_mut)
    }

    fn progress_by(&mut self, link: LinkId) -> Option<&mut Progress> {
        let node = self.links.get(&link)?;
        self.followers.get_mut(node)
    }

    /// Closes a link and forgets it.
    fn close(
        &mut self,
        now_ms: u64,
        link: LinkId,
        reason: CloseReason,
        out: &mut Vec<LeaderAction>,
    ) {
        out.push(LeaderAction::Close { link, reason });
        self.on_link_down(now_ms, link, out);
    }

    fn pump_all(&mut self, out: &mut Vec<LeaderAction>) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.pump(link, out);
        }
    }

    /// Gives a link what it can take: records, or, if there are none, the news of a commit.
    fn pump(&mut self, link: LinkId, out: &mut Vec<LeaderAction>) {
        if self.deposed_by.is_some() {
            return;
        }
        let (end, commit, window) = (self.log.end, self.marks.commit(), self.options.window_bytes);
        let stream_max = self.options.stream_bytes_max;
        let Some(attached) = self.attached_by(link) else { return };
        let told = attached.told_commit;
        let Some(flow) = attached.stage.flow_mut() else { return };
        if let Some(room) = flow.room(end, window) {
            let (prev, bytes_max) = (flow.sent(), room.min(stream_max));
            flow.begin(commit);
            let prev = self.epochs.position(prev);
            out.push(LeaderAction::Stream { link, prev, up_to: end, bytes_max, commit });
        } else if flow.is_idle(end) && told < commit {
            let id = self.beats.last_id();
            self.send_heartbeat(link, id, out);
        }
    }

    fn send_heartbeat(&mut self, link: LinkId, id: u64, out: &mut Vec<LeaderAction>) {
        let (end, commit, safe) = (self.log.end, self.marks.commit(), self.marks.safe());
        if let Some(attached) = self.attached_by(link) {
            attached.told_commit = commit;
            out.push(LeaderAction::Heartbeat { link, id, end, commit, safe });
        }
    }
}

/// Tells a node that it can't follow.
fn refuse(link: LinkId, reason: RefuseReason, text: &'static str, out: &mut Vec<LeaderAction>) {
    let message = Message::Refuse(Refuse { reason, text });
    out.push(LeaderAction::Send { link, message });
}
