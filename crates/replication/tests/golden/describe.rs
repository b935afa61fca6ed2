//! Actions in the words of the scripts.

use trefoil_clock::{EpochEntry, NodeId, Position};
use trefoil_replication::{
    AfterCut, FollowerAction, FollowerEvent, FollowerRow, LeaderAction, LeaderEvent,
};
use trefoil_wire::peer::{Message, SnapshotId};

pub(crate) fn leader_action(action: &LeaderAction) -> String {
    match action {
        LeaderAction::Send { link, message } => format!("{} <- {}", link.0, message_text(message)),
        LeaderAction::Heartbeat { link, id, end, commit, safe } => {
            format!("{} <- heartbeat {id} end={end} commit={commit} safe={safe}", link.0)
        }
        LeaderAction::Stream { link, prev, up_to, bytes_max, commit } => {
            let (link, prev) = (link.0, position(*prev));
            format!("{link} <- stream behind {prev} to {up_to}, {bytes_max} bytes, commit={commit}")
        }
        LeaderAction::TakeSnapshot { start_min } => {
            format!("take a snapshot that starts at {start_min} or later")
        }
        LeaderAction::SendChunk { link, snapshot, offset, bytes_max } => {
            format!("{} <- chunk of {} at {offset}, {bytes_max} bytes", link.0, name(*snapshot))
        }
        LeaderAction::ReleaseSnapshot { snapshot } => format!("release {}", name(*snapshot)),
        LeaderAction::Watermarks { commit, released } => {
            format!("commit={commit} released={released}")
        }
        LeaderAction::PersistMembers { members } => format!("write down members {}", all(members)),
        LeaderAction::Waive => "write down that acknowledgements are waived".to_owned(),
        LeaderAction::Close { link, reason } => format!("close {}: {reason:?}", link.0),
        LeaderAction::StepDown { epoch } => format!("step down, epoch {epoch} is newer"),
        LeaderAction::Event(event) => format!("event: {}", leader_event(event)),
    }
}

fn leader_event(event: &LeaderEvent) -> String {
    match event {
        LeaderEvent::CaughtUp { node } => format!("{} caught up", letter(*node)),
        LeaderEvent::Lost { node } => format!("{} is lost", letter(*node)),
        LeaderEvent::Detached { node } => format!("{} is away", letter(*node)),
        LeaderEvent::Diverged { node, fork, end } => {
            let (node, fork, end) = (letter(*node), position(*fork), position(*end));
            format!("{node} parts at {fork}, its log ended at {end}")
        }
        LeaderEvent::TwoLeaders { node, epoch, leader } => {
            let (node, leader) = (letter(*node), letter(*leader));
            format!("{node} knows {leader} as the leader of epoch {epoch}")
        }
        LeaderEvent::MemberAdded { node } => format!("{} is a member", letter(*node)),
        LeaderEvent::MemberForgotten { node } => format!("{} is no member", letter(*node)),
        LeaderEvent::LagAlert { node } => format!("{} lags", letter(*node)),
        LeaderEvent::LagOver { node } => format!("{} does not lag any more", letter(*node)),
        LeaderEvent::Blocked
        | LeaderEvent::Unblocked
        | LeaderEvent::Degraded
        | LeaderEvent::Restored => format!("{event:?}").to_lowercase(),
    }
}

pub(crate) fn row(row: &FollowerRow) -> String {
    let known = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
    let role = if row.member { "member" } else { "guest" };
    format!(
        "{} {role} {:?} sent={} received={} flushed={} applied={} lag={} records, {} bytes, {} ms{}",
        letter(row.node),
        row.state,
        row.sent,
        row.received,
        row.flushed,
        row.applied,
        row.lag_records,
        known(row.lag_bytes),
        known(row.lag_ms),
        if row.alert { ", alert" } else { "" },
    )
}

pub(crate) fn follower_action(action: &FollowerAction) -> String {
    match action {
        FollowerAction::Send { message } => format!("<- {}", message_text(message)),
        FollowerAction::Append { last } => format!("append to {last}"),
        FollowerAction::Epochs(table) => format!("epochs {}", epochs(table.entries())),
        FollowerAction::Adopt { cluster } => format!("archive all, be of cluster {}", cluster.0),
        FollowerAction::Cut { to, then } => {
            let rebuild = if *then == AfterCut::Rebuild { ", load the store again" } else { "" };
            format!("archive and cut behind {}{rebuild}", position(*to))
        }
        FollowerAction::CommitTo(lsn) => format!("apply to {lsn}"),
        FollowerAction::Clock(clock) => format!("clock {}", clock.0),
        FollowerAction::Deliver { after } => format!("deliver after {after}"),
        FollowerAction::BeginInstall { offer, from } => {
            format!("fetch {} into a file that has {from} bytes", name(offer.snapshot))
        }
        FollowerAction::WriteChunk { offset, bytes } => format!("write {bytes} bytes at {offset}"),
        FollowerAction::FinishInstall { offer } => format!("install {}", name(offer.snapshot)),
        FollowerAction::SendTail { prev, up_to } => {
            format!("<- tail behind {} to {up_to}", position(*prev))
        }
        FollowerAction::Ready => "ready".to_owned(),
        FollowerAction::ProbeAnswered { id, commit } => format!("probe {id}: commit={commit}"),
        FollowerAction::ProbeLost { id } => format!("probe {id} is lost"),
        FollowerAction::Close { reason } => format!("close: {reason:?}"),
        FollowerAction::Event(event) => format!("event: {}", follower_event(event)),
    }
}

fn follower_event(event: &FollowerEvent) -> String {
    match event {
        FollowerEvent::Following { leader, epoch } => {
            format!("follows {} in epoch {epoch}", letter(*leader))
        }
        FollowerEvent::Diverged { fork, end } => {
            format!("parts at {}, the log ended at {}", position(*fork), position(*end))
        }
        FollowerEvent::WouldLoseCommitted { leader, fork, safe } => {
            let leader = letter(*leader);
            format!("{leader} has it up to {fork} and lacks what is safe up to {safe}")
        }
        FollowerEvent::TwoLeaders { epoch, known, other } => {
            let (known, other) = (letter(*known), letter(*other));
            format!("{known} and {other} both lead in epoch {epoch}")
        }
        FollowerEvent::Reseeding { bytes, from } => {
            format!("seeded with {bytes} bytes from {from}")
        }
    }
}

fn message_text(message: &Message<'_>) -> String {
    match message {
        Message::Follow(follow) => format!(
            "follow end={} epochs={} flushed={} applied={}{}{}",
            position(follow.end),
            epochs(&follow.epochs),
            follow.flushed,
            follow.applied,
            follow.partial.map_or(String::new(), |it| format!(" partial={}+{}", name(it.0), it.1)),
            if follow.adopts { " adopts" } else { "" },
        ),
        Message::Welcome(welcome) => {
            let (fork, epochs) = (position(welcome.fork), epochs(&welcome.epochs));
            format!("welcome fork={fork} epochs={epochs} commit={}", welcome.commit)
        }
        Message::Refuse(refuse) => format!("refuse {:?}: {}", refuse.reason, refuse.text),
        Message::Ack(ack) => format!(
            "ack received={} flushed={} applied={} beat={}",
            position(ack.received),
            ack.flushed,
            ack.applied,
            ack.heartbeat
        ),
        Message::Probe { id } => format!("probe {id}"),
        Message::ProbeAnswer { id, commit } => format!("answer {id} commit={commit}"),
        Message::Offer(offer) => {
            let (start, epochs) = (position(offer.start), epochs(&offer.epochs));
            let (name, end, bytes) = (name(offer.snapshot), offer.end, offer.bytes);
            format!("offer {name} start={start} end={end} bytes={bytes} epochs={epochs}")
        }
        Message::Fetch { snapshot, offset } => format!("fetch {} {offset}", name(*snapshot)),
        Message::Pulled { end } => format!("pulled {}", position(*end)),
        other => format!("{other:?}"),
    }
}

fn position(position: Position) -> String {
    format!("{}:{}", position.epoch, position.lsn)
}

fn epochs(entries: &[EpochEntry]) -> String {
    let entry =
        |entry: &EpochEntry| format!("{}{}{}", entry.epoch, letter(entry.leader), entry.first_lsn);
    let texts: Vec<String> = entries.iter().map(entry).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

fn name(snapshot: SnapshotId) -> String {
    format!("s{}", snapshot.0)
}

fn letter(node: NodeId) -> char {
    u8::try_from(node.0).map_or('?', char::from)
}

pub(crate) fn all(nodes: &[NodeId]) -> String {
    let letters: Vec<String> = nodes.iter().map(|node| letter(*node).to_string()).collect();
    if letters.is_empty() { "-".to_owned() } else { letters.join(",") }
}
