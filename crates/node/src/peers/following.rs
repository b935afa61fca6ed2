//! Following: carries out what the follower's core wants.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::{ClusterId, Identity, Lsn, NodeId, Origin};
use trefoil_log::{Disk, RunList};
use trefoil_replication::{
    AfterCut, Follower, FollowerAction, FollowerCloseReason, FollowerEvent, FollowerLog,
    FollowerOptions, LinkId, RunHead,
};
use trefoil_store::record::Stamp;
use trefoil_wire::peer::{Append, Fence, Message, RefuseReason};

use super::change::Change;
use super::snapshots::Incoming;
use super::tail::Tail;
use super::{Dial, LeaderAddress, Part, Peers, SavedRole};
use crate::applier::{Received, ReceivedRun};
use crate::log::SHARD;
use crate::pubsub::Posted;
use crate::pubsub::hub::Kind;

/// Pauses before a leader is dialled again, milliseconds: one that is about to lead does so soon.
const REDIAL_MS_MIN: u64 = 5;
const REDIAL_MS_MAX: u64 = 250;

/// See the module.
pub(super) struct Following<D: Disk> {
    pub(super) core: Follower,
    pub(super) leader: LeaderAddress,
    link: Option<LinkId>,
    /// The shell was asked to dial and has not answered.
    dialling: bool,
    dial_at_ms: u64,
    /// How long the next pause is.
    redial_ms: u64,
    pub(super) trouble: Option<String>,
    pub(super) heard_ms: u64,
    pub(super) leader_node: Option<NodeId>,
    /// Where clients reach it, as it says itself.
    pub(super) leader_client_port: Option<u16>,
    /// What was published of how fresh its data is, as the core has it.
    fresh_at: Option<u64>,
    incoming: Option<Incoming<D>>,
    /// What a recovering leader gets of our log.
    pub(super) tail: Option<Tail<D>>,
    /// The history that this node is about to join.
    pub(super) adopting: Option<ClusterId>,
    /// What the core was told last: received, flushed, applied.
    told: (Lsn, Lsn, Lsn),
    heads: Vec<RunHead>,
}

impl<D: Disk> Following<D> {
    pub(super) fn deadline(&self) -> Option<u64> {
        let dial = (self.link.is_none() && !self.dialling).then_some(self.dial_at_ms);
        [dial, self.core.deadline()].into_iter().flatten().min()
    }

    pub(super) fn dial(&mut self, now_ms: u64) -> Option<Dial> {
        if self.link.is_some() || self.dialling || now_ms < self.dial_at_ms {
            return None;
        }
        self.dialling = true;
        Some(Dial { leader: self.leader.clone() })
    }

    pub(super) fn on_connected(&mut self, link: LinkId) {
        self.dialling = false;
        self.link = Some(link);
    }

    pub(super) fn on_trouble(&mut self, now_ms: u64, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            let LeaderAddress { host, port, .. } = &self.leader;
            eprintln!("trefoil: the leader at {host}:{port} can't be followed: {trouble}");
        }
        self.trouble = Some(trouble);
        self.hang_up(now_ms);
    }

    /// The link, or the attempt to make one, is over.
    pub(super) fn hang_up(&mut self, now_ms: u64) {
        self.dialling = false;
        self.dial_at_ms = now_ms + self.redial_ms;
        self.redial_ms = (2 * self.redial_ms).min(REDIAL_MS_MAX);
    }

    pub(super) fn is_dialled(&self, link: LinkId) -> bool {
        self.link == Some(link)
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        self.link
    }
}

impl<D: Disk> Peers<D> {
    /// Follows from what log and store hold.
    pub(super) fn begin_following(&mut self, leader: LeaderAddress, adopts: bool) {
        let node = &self.node;
        let Identity { node: me, cluster } = node.replication.identity();
        let epochs = node.replication.epochs();
        let (end, flushed) = (node.log.appended(), node.log.durable());
        let applied = node.applier.applied();
        let options = FollowerOptions {
            node: me,
            cluster,
            shard: SHARD,
            adopts,
            client_port: self.options.client_port,
            link_timeout_ms: super::leading::leader_options(node, node.replication.identity())
                .link_timeout_ms,
        };
        let log = FollowerLog {
            end: epochs.position(end),
            epochs: epochs.clone(),
            flushed,
            applied,
            safe: Lsn::ZERO,
            whole_from: self.options.ready_after,
            needs_commit_to: applied.max(self.options.ready_after),
            partial: None,
        };
        node.log.set_epochs(epochs);
        node.log.set_needed_after(None);
        node.log.set_urgent(true);
        node.outbox.set_wanted(false);
        node.replication.set_remote(None);
        node.replication.set_ready(false);
        node.replication.set_followers(Vec::new());
        self.part = Part::Following(Box::new(Following {
            core: Follower::new(options, log),
            leader,
            link: None,
            dialling: false,
            dial_at_ms: self.now_ms,
            redial_ms: REDIAL_MS_MIN,
            trouble: None,
            heard_ms: 0,
            leader_node: None,
            leader_client_port: None,
            incoming: None,
            tail: None,
            adopting: None,
            fresh_at: None,
            told: (end, flushed, applied),
            heads: Vec::new(),
        }));
        self.node.applier.resume();
    }

    pub(super) fn follow(
        &mut self,
        current: Option<&Message<'_>>,
        tell: impl FnOnce(&mut Follower, u64, &mut Vec<FollowerAction>),
    ) {
        let mut actions = Vec::new();
        let Part::Following(following) = &mut self.part else { return };
        tell(&mut following.core, self.now_ms, &mut actions);
        let mut at = 0;
        while at < actions.len() {
            let action = actions[at].clone();
            self.carry_out_following(action, current, &mut actions);
            at += 1;
        }
    }

    fn carry_out_following(
        &mut self,
        action: FollowerAction,
        current: Option<&Message<'_>>,
        more: &mut Vec<FollowerAction>,
    ) {
        match action {
            FollowerAction::Send { message } => self.put_as_follower(&message),
            FollowerAction::Append { .. } => {
                if let Some(Message::Append(append)) = current {
                    self.take_in(append);
                }
            }
            FollowerAction::Epochs(table) => {
                self.node.log.set_epochs(table.clone());
                self.node.replication.set_epochs(table);
            }
            FollowerAction::Adopt { cluster } => {
                if let Part::Following(following) = &mut self.part {
                    following.adopting = Some(cluster);
                }
            }
            FollowerAction::Cut { to, then } => self.begin_cut(to, then),
            FollowerAction::CommitTo(lsn) => {
                self.node.replication.set_commit(lsn);
                self.node.applier.set_commit(lsn);
            }
            FollowerAction::Clock(clock) => {
                self.node.replication.observe_stream_ms(clock.millis());
            }
            FollowerAction::Deliver { after } => {
                if let Some(Message::Publish(publish)) = current {
                    let kind = if publish.sharded { Kind::Shard } else { Kind::Plain };
                    let (channel, payload) = (publish.channel.into(), publish.payload.into());
                    self.node.outbox.put(Posted { kind, channel, payload, after });
                    self.deliver();
                }
            }
            FollowerAction::BeginInstall { offer, from } => {
                self.node.replication.full_syncs.fetch_add(1, Relaxed);
                if let Err(error) = self.open_incoming(from) {
                    eprintln!(
                        "trefoil: there is no place for the leader's snapshot ({} bytes): {error}",
                        offer.bytes
                    );
                    self.fail_install(more);
                }
            }
            FollowerAction::WriteChunk { offset, .. } => self.write_chunk(offset, current, more),
            FollowerAction::FinishInstall { offer } => {
                if let Part::Following(following) = &mut self.part {
                    following.incoming = None;
                }
                self.begin_install(offer);
            }
            FollowerAction::SendTail { prev, up_to } => self.begin_tail(prev.lsn, up_to),
            FollowerAction::Ready => self.on_ready(),
            FollowerAction::ProbeAnswered { id, commit } => self.on_probe(id, Some(commit)),
            FollowerAction::ProbeLost { id } => self.on_probe(id, None),
            FollowerAction::Close { reason } => {
                let busy = reason == FollowerCloseReason::Refused(RefuseReason::Busy);
                let Part::Following(following) = &self.part else { return };
                // A leader that wants to be left alone for a while has said why before.
                let known = following.trouble.clone().filter(|_| busy);
                self.leave_leader(known.unwrap_or_else(|| super::report::left_because(reason)));
            }
            FollowerAction::Event(event) => self.on_follower_event(&event),
        }
    }

    /// Hands out the messages whose records are visible.
    fn deliver(&self) {
        let applied = self.node.applier.applied();
        while let Some(posted) = self.node.outbox.take(applied) {
            let message = (&*posted.channel, &*posted.payload);
            self.node.hub.publish(&*self.node.post, posted.kind, message, Lsn::ZERO);
        }
    }

    pub(super) fn put_as_follower(&mut self, message: &Message<'_>) {
        let Part::Following(following) = &self.part else { return };
        let fence = following.core.fence();
        if let Some(out) = following.link.and_then(|link| self.outbound.get_mut(&link)) {
            out.put(&fence, message);
        }
    }

    /// Hands records to the log and to the applier.
    fn take_in(&mut self, append: &Append<'_>) {
        let received = Arc::new(received(append.runs));
        self.node.log.push_received(Arc::clone(&received));
        self.node.applier.push(received);
        if append.flush {
            self.node.log.want_sync();
        }
    }

    fn open_incoming(&mut self, keep: u64) -> std::io::Result<()> {
        let incoming = Incoming::open(&self.disk, keep)?;
        if let Part::Following(following) = &mut self.part {
            following.incoming = Some(incoming);
        }
        Ok(())
    }

    fn write_chunk(
        &mut self,
        offset: u64,
        current: Option<&Message<'_>>,
        more: &mut Vec<FollowerAction>,
    ) {
        let now_ms = self.now_ms;
        let (Part::Following(following), Some(Message::Chunk(chunk))) = (&mut self.part, current)
        else {
            return;
        };
        let Some(incoming) = &following.incoming else { return };
        match incoming.write(offset, chunk.bytes) {
            Ok(()) => {
                let written = offset + chunk.bytes.len() as u64;
                following.core.on_chunk_written(now_ms, written, more);
            }
            Err(error) => {
                eprintln!("trefoil: the leader's snapshot can't be written: {error}");
                self.fail_install(more);
            }
        }
    }

    pub(super) fn fail_install(&mut self, more: &mut Vec<FollowerAction>) {
        let now_ms = self.now_ms;
        if let Part::Following(following) = &mut self.part {
            following.incoming = None;
            following.core.on_install_failed(now_ms, more);
        }
    }

    pub(super) fn on_leader_link(&mut self, peer: NodeId) {
        self.follow(None, |core, now_ms, out| core.on_link(now_ms, peer, out));
    }

    pub(super) fn on_leader_message(&mut self, fence: &Fence, message: &Message<'_>) {
        let now_ms = self.now_ms;
        let Part::Following(following) = &mut self.part else { return };
        following.heard_ms = now_ms;
        if let Message::Welcome(welcome) = message {
            following.leader_client_port = Some(welcome.client_port).filter(|&port| port != 0);
        }
        let mut heads = std::mem::take(&mut following.heads);
        heads.clear();
        if let Message::Append(append) = message
            && !read_heads(append.runs, &mut heads)
        {
            self.leave_leader("it sent records that make no sense".into());
            return;
        }
        self.follow(Some(message), |core, now_ms, out| {
            core.on_message(now_ms, fence, message, &heads, out);
        });
        if let Part::Following(following) = &mut self.part {
            following.heads = heads;
        }
    }

    pub(super) fn on_leader_gone(&mut self, link: LinkId) {
        let now_ms = self.now_ms;
        let Part::Following(following) = &mut self.part else { return };
        if following.link != Some(link) {
            return;
        }
        following.link = None;
        following.tail = None;
        following.hang_up(now_ms);
        self.follow(None, |core, now_ms, out| core.on_link_down(now_ms, out));
    }

    /// Closes the link; it is dialled again after a while.
    pub(super) fn leave_leader(&mut self, trouble: String) {
        let now_ms = self.now_ms;
        let Part::Following(following) = &mut self.part else { return };
        following.on_trouble(now_ms, trouble);
        if let Some(out) = following.link.and_then(|link| self.outbound.get_mut(&link)) {
            out.close();
        }
    }

    pub(super) fn tell_follower_progress(&mut self) {
        self.go_on_with_tail();
        let log = &self.node.log;
        let now = (log.appended(), log.durable(), self.node.applier.applied());
        let Part::Following(following) = &mut self.part else { return };
        let told = std::mem::replace(&mut following.told, now);
        if (told.0, told.1) != (now.0, now.1) {
            self.follow(None, |core, now_ms, out| core.on_log(now_ms, now.0, now.1, out));
        }
        if told.2 != now.2 {
            self.follow(None, |core, now_ms, out| core.on_applied(now_ms, now.2, out));
            self.deliver();
            self.publish_freshness();
            self.allow_snapshots();
        }
    }

    pub(super) fn on_follower_timeout(&mut self) {
        let Part::Following(following) = &self.part else { return };
        if following.core.deadline().is_some_and(|deadline| deadline <= self.now_ms) {
            self.follow(None, |core, now_ms, out| core.on_timeout(now_ms, out));
        }
    }

    pub(super) fn probe(&mut self) {
        let node = Arc::clone(&self.node);
        self.follow(None, |core, now_ms, out| {
            if let Some(id) = core.probe(now_ms, out) {
                node.sessions.probes.on_sent(id);
            }
        });
    }

    /// What is here is known to be committed.
    fn on_ready(&self) {
        self.node.replication.set_ready(true);
        self.node.post.wake_waiting();
    }

    /// A probe was answered, or (None) is lost.
    fn on_probe(&mut self, id: u64, acknowledged: Option<Lsn>) {
        match acknowledged {
            Some(acknowledged) => self.node.sessions.probes.on_answered(id, acknowledged),
            None => self.node.sessions.probes.on_lost(id),
        }
        self.publish_freshness();
        self.node.post.wake_waiting();
    }

    fn publish_freshness(&mut self) {
        let Part::Following(following) = &mut self.part else { return };
        let fresh_at = following.core.fresh_at();
        if fresh_at == following.fresh_at {
            return;
        }
        following.fresh_at = fresh_at;
        let Some(fresh_at) = fresh_at else { return };
        // Workers compare it with a clock that people may set, this thread's only goes on.
        let age_ms = self.now_ms.saturating_sub(fresh_at) + 1;
        let fresh_at_ms = (self.options.wall_ms)().saturating_sub(age_ms);
        self.node.replication.set_fresh_at_ms(fresh_at_ms);
        self.node.post.wake_waiting();
    }

    fn begin_cut(&mut self, to: trefoil_clock::Position, then: AfterCut) {
        if to.lsn == Lsn::ZERO {
            // What it acknowledged comes back with the leader.
            self.doubt_log();
        }
        let Part::Following(following) = &mut self.part else { return };
        self.change = Some(match following.adopting.take() {
            Some(cluster) => Change::adopt(cluster),
            None => Change::cut(to.lsn, then == AfterCut::Rebuild),
        });
    }

    fn begin_install(&mut self, _offer: trefoil_wire::peer::Offer) {
        let Part::Following(following) = &mut self.part else { return };
        self.change = Some(Change::install(following.adopting.take()));
    }

    fn on_follower_event(&mut self, event: &FollowerEvent) {
        eprintln!("trefoil: {}", super::report::follower_says(event));
        if let FollowerEvent::Following { leader, .. } = event {
            let Part::Following(following) = &mut self.part else { return };
            following.leader_node = Some(*leader);
            following.trouble = None;
            following.redial_ms = REDIAL_MS_MIN;
            let role = SavedRole::Follower { leader: following.leader.clone(), adopts: false };
            if self.role != role {
                self.save_role(role);
            }
        }
    }
}

/// The heads of runs. False: the bytes make no sense.
fn read_heads(bytes: &[u8], heads: &mut Vec<RunHead>) -> bool {
    let mut list = RunList::new(bytes);
    for run in &mut list {
        let header = run.header;
        if header.shard != SHARD || header.origin != Origin::LEADER {
            return false;
        }
        heads.push(RunHead { epoch: header.epoch, first: header.base_lsn, count: header.count });
    }
    !list.is_broken()
}

/// A copy of a message's records, for log and applier.
pub(super) fn received(bytes: &[u8]) -> Received {
    let mut list = RunList::new(bytes);
    let mut runs = Vec::new();
    while let Some(run) = list.next() {
        let end = list.used();
        runs.push(ReceivedRun {
            epoch: run.header.epoch,
            base: Stamp { lsn: run.header.base_lsn, hlc: run.header.base_hlc },
            count: run.header.count,
            range: end - run.payload.len()..end,
        });
    }
    Received { runs, bytes: bytes.to_vec() }
}

/// The same for those that only want the heads.
pub(super) fn heads(bytes: &[u8]) -> Option<Vec<RunHead>> {
    let mut heads = Vec::new();
    read_heads(bytes, &mut heads).then_some(heads)
}
