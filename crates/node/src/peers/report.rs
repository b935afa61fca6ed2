//! What commands, metrics and people are told of the links.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::Lsn;
use trefoil_log::Disk;
use trefoil_replication::{
    CloseReason, FollowerCloseReason, FollowerEvent, FollowerState as CoreState, LeaderEvent,
    LinkId, RowState,
};
use trefoil_wire::peer::{Fence, Message, RefuseReason};

use super::{Part, Peers};
use crate::replication::{FollowerRow, FollowerState, LeaderLink, LinkState};

/// How often rows are renewed though nothing came.
const REPORT_MS: u64 = 100;

impl<D: Disk> Peers<D> {
    /// Renews what everybody may know.
    pub(super) fn report(&mut self) {
        if self.now_ms >= self.report_at_ms {
            self.report_at_ms = self.now_ms + REPORT_MS;
        }
        match &self.part {
            Part::Idle | Part::Recovering(_) => {}
            Part::Leading(_) => self.report_followers(),
            Part::Following(_) if self.is_fenced() => self.node.replication.forget_leader(),
            Part::Following(_) => self.report_leader(),
        }
    }

    fn report_followers(&mut self) {
        let Part::Leading(leading) = &self.part else { return };
        let (mut rows, mut links) = (Vec::new(), Vec::new());
        for row in leading.core.rows(self.now_ms) {
            if matches!(row.state, RowState::CatchingUp | RowState::Streaming) {
                links.extend(row.link);
            }
            let inbound = row.link.and_then(|link| self.inbound.get(&link));
            rows.push(FollowerRow {
                node: row.node,
                ip: inbound.and_then(|inbound| inbound.ip),
                port: row.client_port,
                state: match row.state {
                    RowState::Snapshot { sent, bytes } => FollowerState::Snapshot { sent, bytes },
                    RowState::Connecting | RowState::CatchingUp => FollowerState::CatchingUp,
                    RowState::Streaming => FollowerState::Streaming,
                    RowState::Lost => FollowerState::Lost,
                    RowState::Gone => FollowerState::Detached,
                },
                is_member: row.member,
                sent: row.sent,
                received: row.received,
                flushed: row.flushed,
                applied: row.applied,
                lag_records: row.lag_records,
                lag_bytes: row.lag_bytes.unwrap_or(0),
                lag_ms: row.lag_ms,
                is_lagging: false,
                silent_ms: inbound
                    .map_or(u64::MAX, |link| self.now_ms.saturating_sub(link.heard_ms)),
            });
        }
        let limits = self.node.settings.replication.lag_limits();
        let events = self.lag_watch.look(&mut rows, &limits);
        self.node.announce_lag(&events);
        self.node.replication.set_followers(rows);
        let floor = self.log_state().floor;
        self.node.replication.set_log_floor(floor);
        self.publish_watermarks();
        self.send_publications(&links);
    }

    /// Whether this message asks for what is behind a follower's own log, all of which is of this
    /// history.
    pub(super) fn knows_all_of(&self, link: LinkId, fence: &Fence, message: &Message<'_>) -> bool {
        let Message::Follow(follow) = message else { return false };
        let replication = &self.node.replication;
        // What a snapshot brought that came over this link is no log of its own.
        self.row_state(link) == Some(RowState::Connecting)
            && fence.cluster == replication.identity().cluster
            && follow.end.lsn > Lsn::ZERO
            && replication.epochs().holds(follow.end, self.log_end())
    }

    /// Such a follower goes on from its log, unless this one does not reach back so far.
    pub(super) fn count_welcomed(&self, link: LinkId) {
        if matches!(self.row_state(link), Some(RowState::CatchingUp | RowState::Streaming)) {
            self.node.replication.partial_syncs.fetch_add(1, Relaxed);
        }
    }

    fn row_state(&self, link: LinkId) -> Option<RowState> {
        let Part::Leading(leading) = &self.part else { return None };
        let mut rows = leading.core.rows(self.now_ms).into_iter();
        rows.find(|row| row.link == Some(link)).map(|row| row.state)
    }

    fn report_leader(&self) {
        let Part::Following(following) = &self.part else { return };
        if !following.core.is_ready() {
            // It says so when it is; what makes it doubt again has no event of its own.
            self.node.replication.set_ready(false);
        }
        let state = match following.core.state() {
            CoreState::Detached if following.link().is_none() && following.trouble.is_some() => {
                LinkState::Down
            }
            CoreState::Detached
            | CoreState::Asking
            | CoreState::Cutting
            | CoreState::GivingTail => LinkState::Connecting,
            CoreState::Fetching { written, bytes } => {
                LinkState::Loading { received: written, bytes }
            }
            CoreState::Installing => LinkState::Loading { received: 1, bytes: 1 },
            CoreState::Streaming => LinkState::Streaming,
        };
        let port = following.leader_client_port.unwrap_or(following.leader.port);
        let is_news = following.leader_node.is_some()
            && self.node.replication.leader().and_then(|before| before.node)
                != following.leader_node;
        self.node.replication.set_leader(Some(LeaderLink {
            host: following.leader.host.clone(),
            port,
            state,
            node: following.leader_node,
            end: following.core.leader_end().max(Lsn::ZERO),
            heard_ms: following.heard_ms,
            trouble: following.trouble.clone(),
        }));
        if is_news {
            // Commands wait for somebody who leads.
            self.node.post.wake_waiting();
        }
    }
}

/// Tells people what happened.
pub(super) fn say(event: &LeaderEvent) {
    let text = match event {
        LeaderEvent::CaughtUp { node } => format!("node {node} has caught up and follows"),
        LeaderEvent::Lost { node } => format!(
            "node {node} is further behind than max-retained-log: once the log it needs is gone, it \
             loads a snapshot"
        ),
        LeaderEvent::Detached { node } => format!("the link to node {node} is gone"),
        LeaderEvent::Diverged { node, fork, end } => format!(
            "node {node} holds records {} to {} that are not of this history: it archives and cuts them",
            fork.lsn.next(),
            end.lsn
        ),
        LeaderEvent::TwoLeaders { node, epoch, leader } => format!(
            "node {node} knows {leader} as another leader of epoch {epoch}: two nodes were promoted; \
             what only one of them has is archived by whoever follows the other"
        ),
        LeaderEvent::MemberAdded { node } => format!("node {node} is electable from now on"),
        LeaderEvent::MemberForgotten { node } => format!("node {node} is not electable any more"),
        LeaderEvent::Blocked => "too few followers are attached: writes are refused".to_string(),
        LeaderEvent::Unblocked => "enough followers are attached again".to_string(),
        LeaderEvent::Degraded => {
            "too few followers are attached for too long: the own log is enough from now on"
                .to_string()
        }
        LeaderEvent::Restored => "followers acknowledge again what is written".to_string(),
        LeaderEvent::LagAlert { .. } | LeaderEvent::LagOver { .. } => return,
    };
    eprintln!("trefoil: {text}");
}

/// Why a leader closes a link, for people.
pub(super) fn closed_because(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Replaced => "it has a newer one",
        CloseReason::WrongCluster => "it belongs to another cluster",
        CloseReason::WrongShard => "it speaks of another shard",
        CloseReason::WrongSender => "it is not who it said it was",
        CloseReason::StaleEpoch => "it speaks of an epoch that is over",
        CloseReason::NewerEpoch => "it speaks of an epoch that nobody led here",
        CloseReason::ImpossibleAck => "it acknowledges what it was not sent",
        CloseReason::Malformed => "it sent what makes no sense",
        CloseReason::Silent => "nothing was heard of it for too long",
        CloseReason::Flapping => "it came and went too often; it may come back later",
        CloseReason::TransferStalled => "its snapshot made no progress",
        CloseReason::SnapshotsInVain => "every snapshot came too late for it",
        CloseReason::NoSnapshot => "no snapshot could be taken for it",
    }
}

/// Why a follower closes its link, for people.
pub(super) fn left_because(reason: FollowerCloseReason) -> String {
    match reason {
        FollowerCloseReason::WrongCluster
        | FollowerCloseReason::Refused(RefuseReason::OtherCluster) => {
            "it belongs to another cluster. If its data is to replace what is here, say REPLICAOF again"
                .into()
        }
        FollowerCloseReason::Refused(RefuseReason::NotLeader) => "it does not lead now".into(),
        FollowerCloseReason::Refused(RefuseReason::StaleLeader) => {
            "it does not know the epoch that is known here".into()
        }
        FollowerCloseReason::Refused(RefuseReason::Busy) => "it asks to come back later".into(),
        FollowerCloseReason::WrongShard => "it speaks of another shard".into(),
        FollowerCloseReason::WrongSender => "it is not who it said it was".into(),
        FollowerCloseReason::StaleEpoch => "it leads in an epoch that is over".into(),
        FollowerCloseReason::NewerEpoch => "a newer epoch began".into(),
        FollowerCloseReason::TwoLeaders => "two nodes lead in this epoch".into(),
        FollowerCloseReason::Malformed => "it sent what makes no sense".into(),
        FollowerCloseReason::BadRuns => "it sent records that do not follow each other".into(),
        FollowerCloseReason::WouldLoseCommitted => {
            "its history lacks acknowledged writes that are here; nothing is cut. Promote this node \
             (REPLICAOF NO ONE) if it is the newer one"
                .into()
        }
        FollowerCloseReason::InstallFailed => "its snapshot could not be installed".into(),
        FollowerCloseReason::Silent => "nothing was heard of it for too long".into(),
    }
}

/// What happened to a follower, for people.
pub(super) fn follower_says(event: &FollowerEvent) -> String {
    match event {
        FollowerEvent::Following { leader, epoch } => {
            format!("this node follows node {leader} in epoch {epoch}")
        }
        FollowerEvent::Diverged { fork, end } => format!(
            "records {} to {} are not of the leader's history: they are archived (REPLICATION \
             DIVERGED LIST) and cut off",
            fork.lsn.next(),
            end.lsn
        ),
        FollowerEvent::WouldLoseCommitted { leader, fork, safe } => format!(
            "node {leader} leads, but its history ends agreeing with ours at record {fork}, and \
             records up to {safe} were acknowledged: nothing is cut, a person has to decide"
        ),
        FollowerEvent::TwoLeaders { epoch, known, other } => {
            format!("nodes {known} and {other} both lead in epoch {epoch}")
        }
        FollowerEvent::Reseeding { bytes, from } => {
            format!("a snapshot of {bytes} bytes is loaded from the leader, {from} bytes are here")
        }
    }
}
