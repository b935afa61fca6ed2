//! What a leader does with messages: each handler is a ladder of early exits.

use trefoil_clock::{Epoch, EpochTable, Lsn, NodeId, Position};
use trefoil_wire::peer::{Ack, Fence, Follow, Message, RefuseReason, Welcome};

use super::fence::{Verdict, judge};
use super::flow::Flow;
use super::progress::Stage;
use super::{CloseReason, Leader, LeaderAction, LeaderEvent, refuse};
use crate::LinkId;
use crate::commit::Acked;
use crate::fork::{Fork, fork};

impl Leader {
    /// A message came over a link.
    pub fn on_message(
        &mut self,
        now_ms: u64,
        link: LinkId,
        fence: &Fence,
        message: &Message<'_>,
        out: &mut Vec<LeaderAction>,
    ) {
        if self.deposed_by.is_some() {
            // Nothing is acknowledged, welcomed or answered by who leads no more.
            return;
        }
        let Some(&node) = self.links.get(&link) else {
            // The link was closed, its last messages are of no interest.
            return;
        };
        match judge(&self.fence(), node, fence, message) {
            Verdict::Accept => {}
            Verdict::Drop(reason) => return self.close(now_ms, link, reason, out),
            Verdict::Refuse(why, reason) => {
                refuse(link, why, "this node belongs to another cluster", out);
                return self.close(now_ms, link, reason, out);
            }
            Verdict::Deposed(epoch) => return self.step_down(now_ms, link, epoch, out),
        }
        if let Some(attached) = self.attached_by(link) {
            attached.heard_at_ms = now_ms;
        }
        match message {
            Message::Follow(follow) => self.on_follow(now_ms, link, fence, follow, out),
            Message::Ack(ack) => self.on_ack(now_ms, link, *ack, out),
            Message::Probe { id } => self.on_probe(link, *id, out),
            Message::Fetch { snapshot, offset } => {
                self.on_fetch(now_ms, link, *snapshot, *offset, out);
            }
            // Said to a recovering leader that had what it needed by then.
            Message::Pulled { .. } | Message::Append(_) => {}
            Message::Welcome(_)
            | Message::Refuse(_)
            | Message::Heartbeat(_)
            | Message::ProbeAnswer { .. }
            | Message::Offer(_)
            | Message::Chunk(_)
            | Message::Pull { .. }
            | Message::Restart
            | Message::Publish(_) => self.close(now_ms, link, CloseReason::Malformed, out),
        }
    }

    fn step_down(&mut self, now_ms: u64, link: LinkId, epoch: Epoch, out: &mut Vec<LeaderAction>) {
        refuse(link, RefuseReason::StaleLeader, "a newer epoch than this leader's exists", out);
        self.deposed_by = Some(epoch);
        out.push(LeaderAction::StepDown { epoch });
        self.close(now_ms, link, CloseReason::NewerEpoch, out);
    }

    fn on_follow(
        &mut self,
        now_ms: u64,
        link: LinkId,
        fence: &Fence,
        follow: &Follow,
        out: &mut Vec<LeaderAction>,
    ) {
        let own_history = fence.cluster == self.options.cluster;
        let theirs = EpochTable::from_entries(follow.epochs.clone());
        let Some(theirs) = theirs.filter(|theirs| theirs.position(follow.end.lsn) == follow.end)
        else {
            return self.close(now_ms, link, CloseReason::Malformed, out);
        };
        let fork = if own_history {
            fork(&self.epochs, self.log.end, &theirs, follow.end.lsn)
        } else {
            Fork { at: Position::default(), two_leaders: None }
        };
        let floor = self.log.floor;
        let Some(progress) = self.progress_by(link) else { return };
        progress.client_port = follow.client_port;
        progress.acked = Acked::default();
        progress.holds = fork.at.lsn;
        let node = progress.node;
        report_fork(node, &fork, follow.end, out);
        if fork.at.lsn < floor {
            self.begin_snapshot(now_ms, link, out);
        } else {
            self.welcome(now_ms, link, fork.at, out);
        }
        self.advance(now_ms, out);
    }

    fn welcome(&mut self, now_ms: u64, link: LinkId, fork: Position, out: &mut Vec<LeaderAction>) {
        let (target, commit) = (self.log.end, self.marks.commit());
        let Some(progress) = self.progress_by(link) else { return };
        progress.is_lost = false;
        progress.wants_snapshot = false;
        let Some(attached) = progress.attached_mut() else { return };
        attached.told_commit = commit;
        let flow = Flow::starting_after(fork.lsn);
        attached.stage = Stage::CatchingUp { flow, target, since_ms: now_ms };
        let welcome = Welcome {
            fork,
            epochs: self.epochs.entries().to_vec(),
            commit,
            client_port: self.options.client_port,
        };
        out.push(LeaderAction::Send { link, message: Message::Welcome(welcome) });
        self.release_unused_snapshot(out);
        self.pump(link, out);
    }

    fn on_ack(&mut self, now_ms: u64, link: LinkId, ack: Ack, out: &mut Vec<LeaderAction>) {
        let of_this_history = self.epochs.holds(ack.received, self.log.end);
        let answered_beat = ack.heartbeat.min(self.beats.last_id());
        let Some(progress) = self.progress_by(link) else { return };
        progress.answered_beat = progress.answered_beat.max(answered_beat);
        let Some(flow) = progress.flow() else {
            // It has no part in the log yet.
            return;
        };
        let received = ack.received.lsn;
        let possible =
            received <= flow.sent() && ack.flushed <= received && ack.applied <= received;
        if !of_this_history || !possible {
            return self.close(now_ms, link, CloseReason::ImpossibleAck, out);
        }
        let acked = &mut progress.acked;
        acked.received = acked.received.max(received);
        acked.flushed = acked.flushed.max(ack.flushed);
        acked.applied = acked.applied.max(ack.applied);
        progress.holds = progress.holds.max(acked.received);
        let flow = progress.attached_mut().and_then(|attached| attached.stage.flow_mut());
        if let Some(flow) = flow {
            flow.on_received(received);
        }
        self.judge_round(now_ms, link, received, out);
        self.advance(now_ms, out);
        self.pump(link, out);
    }

    /// A follower has caught up when what was missing at the beginning of a round came in short time;
    /// under load there is always something missing.
    fn judge_round(
        &mut self,
        now_ms: u64,
        link: LinkId,
        received: Lsn,
        out: &mut Vec<LeaderAction>,
    ) {
        let (end, round_ms) = (self.log.end, self.options.catch_up_round_ms);
        let Some(progress) = self.progress_by(link) else { return };
        let node = progress.node;
        let Some(attached) = progress.attached_mut() else { return };
        let Stage::CatchingUp { flow, target, since_ms } = &mut attached.stage else { return };
        if received < *target {
            return;
        }
        if received < end && now_ms.saturating_sub(*since_ms) > round_ms {
            (*target, *since_ms) = (end, now_ms);
            return;
        }
        attached.stage = Stage::Streaming { flow: std::mem::take(flow) };
        progress.end_seeding();
        self.rules.want_member(node);
        out.push(LeaderAction::Event(LeaderEvent::CaughtUp { node }));
    }

    /// Answered at once, or when this leader knows what its predecessor committed.
    fn on_probe(&mut self, link: LinkId, id: u64, out: &mut Vec<LeaderAction>) {
        let (settled, commit) = (self.marks.is_settled(), self.marks.commit());
        let Some(attached) = self.attached_by(link) else { return };
        if settled {
            out.push(LeaderAction::Send { link, message: Message::ProbeAnswer { id, commit } });
        } else {
            attached.probe = attached.probe.max(Some(id));
        }
    }
}

fn report_fork(node: NodeId, fork: &Fork, end: Position, out: &mut Vec<LeaderAction>) {
    if let Some((epoch, leader)) = fork.two_leaders {
        out.push(LeaderAction::Event(LeaderEvent::TwoLeaders { node, epoch, leader }));
    }
    if fork.at.lsn < end.lsn {
        out.push(LeaderAction::Event(LeaderEvent::Diverged { node, fork: fork.at, end }));
    }
}
