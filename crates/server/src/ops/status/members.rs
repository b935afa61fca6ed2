//! The rows of the members: what is agreed about each, what it says itself, what its leader says of it.

use super::super::record::{Record, rows};
use super::gather::Answer;
use super::model::{Lag, Leader, Member};

/// All members, and who follows by hand.
pub(super) fn members(
    answers: &[Answer],
    view: Option<Record<'_>>,
    leader: Option<&Leader<'_>>,
) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    if let Some(view) = view {
        members.extend(view.records("members").into_iter().map(agreed));
        let shards = view.records("shards");
        let electable = shards.first().map(|shard| shard.texts("electable")).unwrap_or_default();
        let gossip = answers.iter().find_map(|answer| answer.members.as_ref()).map(rows);
        let gossip = gossip.unwrap_or_default();
        for member in &mut members {
            member.electable = electable.contains(&member.node);
            let row = gossip.iter().find(|row| row.text("node") == member.node);
            member.gossip = row.and_then(|row| row.said("state"));
        }
    }
    let rows = leader.and_then(|it| it.answer?.lag.as_ref()).map(rows).unwrap_or_default();
    // Solo nodes know only themselves: who follows by hand is told by its leader, who leads by itself.
    for answer in answers {
        if let Some(node) = answer.node().filter(|node| members.iter().all(|it| it.node != *node)) {
            let address = answer.address.clone();
            members.push(Member { node, address, kind: "by-hand".into(), ..Member::default() });
        }
    }
    for row in &rows {
        let node = row.text("node");
        if members.iter().all(|it| it.node != node) {
            let (kind, address) = ("by-hand".into(), row.text("address"));
            members.push(Member { node, address, kind, ..Member::default() });
        }
    }
    for member in &mut members {
        member.leads = leader.is_some_and(|leader| leader.node == member.node);
        member.lag = rows.iter().find(|row| row.text("node") == member.node).map(|row| lag(*row));
        let is_its = |answer: &&Answer| match answer.node() {
            Some(node) => node == member.node,
            None => answer.address == member.address,
        };
        match answers.iter().find(is_its) {
            Some(answer) => put_answer(member, answer),
            None if member.address.is_empty() => {
                member.trouble = Some("it serves no clients".into());
            }
            None => member.trouble = Some("it was not asked".into()),
        }
    }
    members
}

fn agreed(record: Record<'_>) -> Member {
    Member {
        node: record.text("node"),
        address: record.text("address"),
        peers: record.text("peers"),
        kind: record.text("kind"),
        vote: record.text("vote"),
        region: record.text("region"),
        zone: record.text("zone"),
        generation: record.number("generation").unwrap_or(0),
        silent_ms: record.number("silent-ms"),
        ..Member::default()
    }
}

fn lag(row: Record<'_>) -> Lag {
    let sent = row.number("snapshot-sent-bytes").zip(row.number("snapshot-bytes"));
    let percent =
        |(sent, bytes): (u64, u64)| sent.saturating_mul(100).checked_div(bytes).unwrap_or(0);
    Lag {
        state: row.text("state"),
        records: row.number("lag-records").unwrap_or(0),
        bytes: row.number("lag-bytes").unwrap_or(0),
        ms: row.number("lag-ms"),
        over: row.flag("lagging"),
        snapshot_percent: sent.map(percent),
    }
}

fn put_answer(member: &mut Member, answer: &Answer) {
    member.trouble = answer.trouble.clone();
    member.role = answer.info("trefoil_role").map(str::to_owned);
    member.version = answer.info("trefoil_version").map(str::to_owned);
    member.uptime_s = answer.number("uptime_in_seconds");
    member.memory = answer.number("used_memory");
    member.clients = answer.number("connected_clients");
    member.log_ok = answer.info("aof_last_write_status").map(|status| status == "ok");
    member.diverged = answer.diverged as u64;
    member.lapsed_ms = answer.view.as_ref().and_then(|view| Record::new(view).number("lapsed-ms"));
}
