//! How links stand: each follower as its leader sees it, and the leader as its follower sees it.

use std::fmt;

use super::metric::{Metric, Number, Samples, Seen, gauge, seconds};
use crate::replication::{FollowerRow, FollowerState, LeaderLink, LinkState};

const FOLLOWER: &[&str] = &["node", "address"];
const FOLLOWER_STATE: &[&str] = &["node", "address", "state"];

pub(super) const OF_FOLLOWERS: &[Metric] = &[
    gauge("trefoil_follower_state", "1 for what the follower does.", |seen, out| {
        for row in &*seen.followers {
            let (node, address) = labels(row);
            out.put_state(&[&node, &address], &follower_states(), row.state.name())?;
        }
        Ok(())
    })
    .labels(FOLLOWER_STATE),
    gauge("trefoil_follower_member", "1 if its acknowledgements count.", |seen, out| {
        each(seen, out, |row| Some(row.is_member.into()))
    })
    .labels(FOLLOWER),
    gauge("trefoil_follower_sent_lsn", "The last record sent to it.", |seen, out| {
        each(seen, out, |row| Some(row.sent.0.into()))
    })
    .labels(FOLLOWER),
    gauge(
        "trefoil_follower_received_lsn",
        "The last record that its operating system has.",
        |seen, out| each(seen, out, |row| Some(row.received.0.into())),
    )
    .labels(FOLLOWER),
    gauge(
        "trefoil_follower_flushed_lsn",
        "The last record that survives its power loss.",
        |seen, out| each(seen, out, |row| Some(row.flushed.0.into())),
    )
    .labels(FOLLOWER),
    gauge("trefoil_follower_applied_lsn", "The last record that its readers see.", |seen, out| {
        each(seen, out, |row| Some(row.applied.0.into()))
    })
    .labels(FOLLOWER),
    gauge("trefoil_follower_lag_records", "Records that it has not applied.", |seen, out| {
        each(seen, out, |row| Some(row.lag_records.into()))
    })
    .labels(FOLLOWER),
    gauge(
        "trefoil_follower_lag",
        "About how many bytes of log it has not applied.",
        |seen, out| each(seen, out, |row| Some(row.lag_bytes.into())),
    )
    .bytes()
    .labels(FOLLOWER),
    gauge(
        "trefoil_follower_lag",
        "How old what its readers see may be; not shown while it is not attached.",
        |seen, out| each(seen, out, |row| row.lag_ms.map(|millis| seconds(millis).into())),
    )
    .seconds()
    .labels(FOLLOWER),
    gauge(
        "trefoil_follower_lagging",
        "1 while its lag is beyond max-lag-records, max-lag-bytes or max-lag-ms.",
        |seen, out| each(seen, out, |row| Some(row.is_lagging.into())),
    )
    .labels(FOLLOWER),
    gauge("trefoil_follower_silent", "Time since its last message.", |seen, out| {
        each(seen, out, |row| Some(seconds(row.silent_ms).into()))
    })
    .seconds()
    .labels(FOLLOWER),
    gauge("trefoil_follower_snapshot_sent", "How much of its snapshot it has.", |seen, out| {
        each(seen, out, |row| match row.state {
            FollowerState::Snapshot { sent, .. } => Some(sent.into()),
            _ => None,
        })
    })
    .bytes()
    .labels(FOLLOWER),
    gauge("trefoil_follower_snapshot_size", "How long its snapshot is.", |seen, out| {
        each(seen, out, |row| match row.state {
            FollowerState::Snapshot { bytes, .. } => Some(bytes.into()),
            _ => None,
        })
    })
    .bytes()
    .labels(FOLLOWER),
];

pub(super) const OF_LEADER: &[Metric] = &[
    gauge("trefoil_leader_link_state", "1 for how the link to the leader stands.", |seen, out| {
        let all = ["connecting", "loading", "streaming", "down"];
        seen.leader.as_ref().map_or(Ok(()), |leader| {
            let now = match leader.state {
                LinkState::Connecting => all[0],
                LinkState::Loading { .. } => all[1],
                LinkState::Streaming => all[2],
                LinkState::Down => all[3],
            };
            out.put_state(&[], &all, now)
        })
    })
    .labels(&["state"]),
    gauge(
        "trefoil_leader_end_lsn",
        "The last record that the leader is known to have.",
        |seen, out| of_leader(seen, out, |leader| Some(leader.end.0.into())),
    ),
    gauge(
        "trefoil_leader_silent",
        "Time since the leader's last message; not shown before the first one.",
        |seen, out| {
            let silent_ms = |heard_ms| seen.now_ms.saturating_sub(heard_ms);
            let heard_ms = seen.leader.as_ref().map_or(0, |leader| leader.heard_ms);
            if heard_ms == 0 { Ok(()) } else { out.put(seconds(silent_ms(heard_ms))) }
        },
    )
    .seconds(),
    gauge("trefoil_leader_snapshot_received", "How much of the snapshot came.", |seen, out| {
        of_leader(seen, out, |leader| match leader.state {
            LinkState::Loading { received, .. } => Some(received.into()),
            _ => None,
        })
    })
    .bytes(),
    gauge("trefoil_leader_snapshot_size", "How long the snapshot is.", |seen, out| {
        of_leader(seen, out, |leader| match leader.state {
            LinkState::Loading { bytes, .. } => Some(bytes.into()),
            _ => None,
        })
    })
    .bytes(),
];

fn follower_states() -> [&'static str; 5] {
    use FollowerState::{CatchingUp, Detached, Lost, Snapshot, Streaming};
    [Snapshot { sent: 0, bytes: 0 }, CatchingUp, Streaming, Detached, Lost].map(FollowerState::name)
}

fn labels(row: &FollowerRow) -> (String, String) {
    let ip = row.ip.map(|ip| ip.to_string()).unwrap_or_default();
    (row.node.to_string(), format!("{ip}:{}", row.port))
}

/// One sample per follower for which there is a value.
fn each(
    seen: &Seen<'_>,
    out: &mut Samples<'_>,
    value: fn(&FollowerRow) -> Option<Number>,
) -> fmt::Result {
    for row in &*seen.followers {
        if let Some(value) = value(row) {
            let (node, address) = labels(row);
            out.put_for(&[&node, &address], value)?;
        }
    }
    Ok(())
}

fn of_leader(
    seen: &Seen<'_>,
    out: &mut Samples<'_>,
    value: fn(&LeaderLink) -> Option<Number>,
) -> fmt::Result {
    match seen.leader.as_ref().and_then(value) {
        Some(value) => out.put(value),
        None => Ok(()),
    }
}
