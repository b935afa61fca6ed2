//! INFO replication, and what INFO stats says of it. Offsets are LSNs: they count records, not bytes.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::{Epoch, Lsn};

use super::sections::Seen;
use super::text::Lines;
use crate::families::role;
use crate::node::Node;
use crate::replication::{FollowerRow, FollowerState, LeaderLink, LinkState, good_followers};

pub(super) fn replication(seen: &Seen<'_>, lines: &mut Lines) {
    let node = seen.node;
    let is_master = role::is_master(&node.replication);
    let last = node.keyspace.sequencer().last_lsn();
    lines.field("role", if is_master { "master" } else { "slave" });
    if !is_master {
        as_slave(seen, lines);
    }
    followers(node, lines);
    super::cluster::failover(node, lines);
    let end = if is_master { last } else { node.log.appended() };
    history(node, end, lines);
    backlog(node, end, lines);
    own(node, last, lines);
}

/// A history of an epoch, as 40 hexadecimal digits: the cluster, then the epoch.
fn id(node: &Node, epoch: Epoch) -> String {
    format!("{}{:08x}", node.replication.cluster(), epoch.0 as u32)
}

/// The history now, and the one that it grew out of.
fn history(node: &Node, end: Lsn, lines: &mut Lines) {
    let epochs = node.replication.epochs();
    let mut newest = epochs.entries().iter().rev();
    let last = newest.next();
    let before = newest.next();
    let replid = id(node, last.map_or(Epoch::default(), |entry| entry.epoch));
    lines.field("master_replid", replid);
    lines.field("master_replid2", before.map_or("0".repeat(40), |entry| id(node, entry.epoch)));
    lines.field("master_repl_offset", end);
    let began = before.and(last).map(|entry| entry.first_lsn.to_string());
    lines.field("second_repl_offset", began.unwrap_or("-1".into()));
}

fn followers(node: &Node, lines: &mut Lines) {
    let rows = node.replication.followers();
    let attached = || rows.iter().filter(|row| row.state.is_attached());
    lines.field("connected_slaves", attached().count());
    let settings = &node.settings.replication;
    let max_lag_seconds = settings.min_replicas_max_lag_seconds.load(Relaxed);
    if settings.min_replicas_to_write.load(Relaxed) > 0 && max_lag_seconds > 0 {
        lines.field("min_slaves_good_slaves", good_followers(&rows, max_lag_seconds));
    }
    for (index, row) in attached().enumerate() {
        let FollowerRow { port, applied, silent_ms, .. } = row;
        let (ip, state) = (role::ip(row.ip), role::state_for_info(row.state));
        let lag = silent_ms / 1_000;
        let line =
            format!("ip={ip},port={port},state={state},offset={applied},lag={lag},type=replica");
        lines.field(&format!("slave{index}"), line);
    }
    let waiting = attached().filter(|row| matches!(row.state, FollowerState::Snapshot { .. }));
    lines.field("replicas_waiting_psync", waiting.count());
}

fn as_slave(seen: &Seen<'_>, lines: &mut Lines) {
    let node = seen.node;
    let link = node.replication.leader();
    let since_s = link
        .as_ref()
        .filter(|link| link.heard_ms > 0)
        .map_or(-1, |link| (seen.now_ms.saturating_sub(link.heard_ms) / 1_000).cast_signed());
    let state = link.as_ref().map_or(LinkState::Down, |link| link.state);
    let is_up = state == LinkState::Streaming;
    lines.field("master_host", link.as_ref().map_or("", |link| link.host.as_str()));
    lines.field("master_port", link.as_ref().map_or(0, |link| link.port));
    lines.field("master_link_status", if is_up { "up" } else { "down" });
    lines.field("master_last_io_seconds_ago", if is_up { since_s } else { -1 });
    lines.field("master_sync_in_progress", u8::from(matches!(state, LinkState::Loading { .. })));
    lines.field("slave_read_repl_offset", node.log.appended());
    lines.field("slave_repl_offset", role::applied(node));
    if let LinkState::Loading { received, bytes } = state {
        sync_progress((received, bytes), since_s, lines);
    }
    if !is_up {
        lines.field("master_link_down_since_seconds", since_s);
    }
    if let Some(LeaderLink { trouble: Some(trouble), .. }) = &link {
        lines.field("master_link_trouble", trouble.replace(['\r', '\n'], " "));
    }
    let settings = &node.settings.replication;
    lines.field("slave_priority", settings.replica_priority.load(Relaxed));
    lines.field("slave_read_only", 1);
    lines.field("replica_announced", 1);
}

fn sync_progress((received, bytes): (u64, u64), since_s: i64, lines: &mut Lines) {
    let percent = if bytes == 0 { 0.0 } else { received as f64 * 100.0 / bytes as f64 };
    lines.field("master_sync_total_bytes", bytes);
    lines.field("master_sync_read_bytes", received);
    lines.field("master_sync_left_bytes", bytes.saturating_sub(received));
    lines.field("master_sync_perc", format_args!("{percent:.2}"));
    lines.field("master_sync_last_io_seconds_ago", since_s);
}

/// What Redis calls the backlog is the log that is kept.
fn backlog(node: &Node, end: Lsn, lines: &mut Lines) {
    let floor = node.replication.log_floor();
    lines.field("repl_backlog_active", u8::from(end > floor));
    lines.field("repl_backlog_size", node.settings.replication.max_retained_log.load(Relaxed));
    lines.field(
        "repl_backlog_first_byte_offset",
        if end > floor { floor.next() } else { Lsn::ZERO },
    );
    lines.field("repl_backlog_histlen", end.0.saturating_sub(floor.0));
}

/// What Redis has no word for.
fn own(node: &Node, last: Lsn, lines: &mut Lines) {
    let (replication, policy) = (&node.replication, node.settings.policy());
    let rows = replication.followers();
    let is_witness = node.settings.replication.is_witness();
    lines.field("trefoil_role", if is_witness { "witness" } else { replication.role().name() });
    lines.field("trefoil_node", replication.identity().node);
    lines.field("trefoil_cluster", replication.cluster());
    lines.field("epoch", replication.epoch());
    lines.field("commit_lsn", replication.commit().min(last));
    lines.field("released_lsn", node.released().min(last));
    lines.field("acks", policy.acks);
    lines.field("ack_level", policy.level.name());
    lines.field("on_lost_acks", policy.on_lost.name());
    lines.field("acks_blocked", u8::from(replication.is_blocked()));
    lines.field("acks_degraded", u8::from(replication.is_degraded()));
    lines.field("members", replication.members().len());
    lines.field("lagging_slaves", rows.iter().filter(|row| row.is_lagging).count());
}

/// The part of INFO stats.
pub(super) fn stats(node: &Node, lines: &mut Lines) {
    let replication = &node.replication;
    lines.field("sync_full", replication.full_syncs.load(Relaxed));
    lines.field("sync_partial_ok", replication.partial_syncs.load(Relaxed));
    lines.field("replies_unknown", replication.unknown.load(Relaxed));
    lines.field("writes_acknowledged_degraded", replication.degraded_acks.load(Relaxed));
    lines.field("lag_alerts", replication.lag_alerts.load(Relaxed));
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{EpochEntry, EpochTable, NodeId};

    use super::*;
    use crate::harness::{START_MS, TestNode};
    use crate::replication::Role;
    use crate::replication::testing::row;

    #[track_caller]
    fn check(node: &mut TestNode, section: &str, lines: &[&str]) {
        let mut client = node.client();
        let info = node.run(&mut client, &format!("INFO {section}"));
        for line in lines {
            assert!(info.split(' ').any(|word| word == *line), "{line}: {info}");
        }
    }

    #[test]
    fn a_leader_tells_of_its_followers_and_its_history() {
        let mut node = TestNode::new();
        let mut client = node.client();
        node.check(&mut client, &[("SET k v", "+OK"), ("CONFIG SET min-slaves-to-write 1", "+OK")]);
        let entry = |epoch, first| EpochEntry {
            epoch: Epoch(epoch),
            leader: NodeId(1),
            first_lsn: Lsn(first),
        };
        let replication = &node.node.replication;
        replication
            .set_epochs(EpochTable::from_entries(vec![entry(1, 1), entry(3, 2)]).expect("ok"));
        replication.full_syncs.store(4, Relaxed);
        replication.set_followers(vec![
            FollowerRow { silent_ms: 2_500, ..row(1) },
            FollowerRow { state: FollowerState::Detached, ..row(2) },
            FollowerRow { state: FollowerState::Snapshot { sent: 1, bytes: 9 }, ..row(3) },
        ]);
        let (cluster, zeros) = ("0".repeat(31) + "2", "0".repeat(7));
        check(
            &mut node,
            "replication",
            &[
                "role:master",
                "connected_slaves:2",
                "min_slaves_good_slaves:1",
                "slave0:ip=127.0.0.1,port=7001,state=online,offset=10,lag=2,type=replica",
                "slave1:ip=127.0.0.1,port=7003,state=send_bulk,offset=10,lag=0,type=replica",
                "replicas_waiting_psync:1",
                &format!("master_replid:{cluster}{zeros}3"),
                &format!("master_replid2:{cluster}{zeros}1"),
                "master_repl_offset:1",
                "second_repl_offset:2",
                "repl_backlog_histlen:1",
                "trefoil_role:leader",
                "epoch:3",
                "released_lsn:1",
                "acks:async",
            ],
        );
        check(&mut node, "stats", &["sync_full:4", "sync_partial_ok:0", "replies_unknown:0"]);
    }

    #[test]
    fn a_follower_tells_of_its_leader() {
        let mut node = TestNode::new();
        let heard_ms = START_MS - 3_000;
        let link = |state| LeaderLink {
            host: "db.example".into(),
            port: 6379,
            state,
            node: None,
            end: Lsn(9),
            heard_ms,
            trouble: Some("refused".into()),
        };
        node.node.replication.set_role(Role::Following);
        node.node.log.set_progress(Lsn(8), Lsn(7));
        node.node.replication.set_leader(Some(link(LinkState::Streaming)));
        check(
            &mut node,
            "replication",
            &[
                "role:slave",
                "master_host:db.example",
                "master_port:6379",
                "master_link_status:up",
                "master_last_io_seconds_ago:3",
                "master_sync_in_progress:0",
                "slave_read_repl_offset:8",
                "slave_repl_offset:0",
                "slave_read_only:1",
                "master_repl_offset:8",
                "second_repl_offset:-1",
                "trefoil_role:follower",
            ],
        );
        let loading = LinkState::Loading { received: 25, bytes: 100 };
        node.node.replication.set_leader(Some(link(loading)));
        check(
            &mut node,
            "replication",
            &[
                "master_link_status:down",
                "master_last_io_seconds_ago:-1",
                "master_sync_in_progress:1",
                "master_sync_perc:25.00",
                "master_link_down_since_seconds:3",
                "master_link_trouble:refused",
            ],
        );
    }
}
