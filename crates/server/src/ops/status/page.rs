//! The page itself.

use super::super::names::{short, shortened};
use super::super::paint::{Look, Tone, usual};
use super::super::units::{bytes, span, utc};
use super::model::{Health, Keyspace, Member, Promise, Status};

/// The page, for a terminal or for a pipe. Ends with a line end.
pub(super) fn page(status: &Status, look: Look) -> String {
    let mut text = headline(status, look);
    alerts(status, look, &mut text);
    heading(look, "MEMBERS", &mut text);
    text.push_str(&members(status, look));
    heading(look, "KEYSPACES", &mut text);
    text.push_str(&keyspaces(status, look));
    if let Some(promise) = &status.promise {
        heading(look, "PROMISE IN FORCE", &mut text);
        text.push_str(&said(promise));
    }
    text
}

fn heading(look: Look, title: &str, text: &mut String) {
    text.push_str(&format!("\n{}\n", look.paint(Tone::Strong, title)));
}

fn tone(health: Health) -> Tone {
    match health {
        Health::Healthy => Tone::Good,
        Health::Degraded => Tone::Warning,
        Health::Down => Tone::Bad,
    }
}

fn headline(status: &Status, look: Look) -> String {
    let word = match status.health {
        Health::Healthy => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Down => "DOWN",
    };
    let word = look.paint(tone(status.health), word);
    let answering = status.members.iter().filter(|member| member.trouble.is_none()).count();
    let all = status.members.len();
    let about = format!(
        "cluster {}, seen from {}, {}",
        if status.cluster.is_empty() { "of an unknown name" } else { short(&status.cluster) },
        status.asked,
        utc(status.at_ms)
    );
    let decides = decides(status);
    format!(
        "{word}  {answering} of {all} nodes answer; {decides}\n{}\n",
        look.paint(Tone::Faint, &about)
    )
}

fn decides(status: &Status) -> String {
    let control = &status.control;
    match (&control.leader, status.managed) {
        (_, false) if status.members.len() > 1 => "leaders are made by hand (REPLICAOF)".into(),
        (_, false) => "it is alone".into(),
        (None, true) => "the control plane has no leader".into(),
        (Some(leader), true) => {
            let voters = control.voters.len();
            format!(
                "node {} leads the control plane of {voters} voters, term {}",
                short(leader),
                control.term
            )
        }
    }
}

fn alerts(status: &Status, look: Look, text: &mut String) {
    if status.alerts.is_empty() {
        return;
    }
    heading(look, "ALERTS", text);
    for alert in &status.alerts {
        let word = match alert.health {
            Health::Healthy => "note",
            Health::Degraded => "warning",
            Health::Down => "critical",
        };
        let tone = if alert.health == Health::Healthy { Tone::Strong } else { tone(alert.health) };
        let word = look.paint(tone, &format!("{word:<8}"));
        text.push_str(&format!("{word}  {}\n", alert.text));
        if !alert.advice.is_empty() {
            text.push_str(&look.paint(Tone::Faint, &format!("          {}", alert.advice)));
            text.push('\n');
        }
    }
}

fn members(status: &Status, look: Look) -> String {
    let row = |member: &Member| {
        let place = [&member.region, &member.zone].map(String::as_str).join("/");
        [
            usual(short(&member.node)),
            usual(if member.address.is_empty() { "-" } else { &member.address }),
            role(member),
            usual(if member.vote.is_empty() { "-" } else { &member.vote }),
            state(member),
            usual(lag(member)),
            usual(if place == "/" { "-" } else { place.trim_matches('/') }),
            usual(member.memory.map_or("-".into(), bytes)),
            usual(member.uptime_s.map_or("-".into(), |s| span(s * 1_000))),
        ]
    };
    let rows: Vec<_> = status.members.iter().map(row).collect();
    look.table(["node", "clients", "role", "vote", "state", "lag", "place", "memory", "up"], &rows)
}

fn role(member: &Member) -> (Tone, String) {
    match member.kind.as_str() {
        _ if member.leads => (Tone::Strong, "leader".into()),
        "witness" => usual("witness"),
        _ => usual(member.role.as_deref().filter(|role| *role != "leader").unwrap_or("follower")),
    }
}

fn state(member: &Member) -> (Tone, String) {
    if member.trouble.is_some() {
        return match member.silent_ms {
            Some(ms) => (Tone::Bad, format!("away for {}", span(ms))),
            None => (Tone::Bad, "no answer".into()),
        };
    }
    if member.lapsed_ms.is_some() {
        return (Tone::Bad, "no majority".into());
    }
    match &member.lag {
        _ if member.leads || member.kind == "witness" => (Tone::Good, "ok".into()),
        None => (Tone::Warning, "detached".into()),
        Some(lag) if lag.state != "streaming" => {
            let percent = lag.snapshot_percent.map_or(String::new(), |it| format!(" {it} %"));
            (Tone::Warning, format!("{}{percent}", lag.state))
        }
        Some(lag) if lag.over => (Tone::Warning, "lagging".into()),
        Some(_) if member.electable => (Tone::Good, "in sync".into()),
        Some(_) => (Tone::Good, "streaming".into()),
    }
}

fn lag(member: &Member) -> String {
    let Some(lag) = member.lag.as_ref().filter(|_| !member.leads) else { return "-".into() };
    let time = lag.ms.map_or(String::new(), |ms| format!(", {}", span(ms)));
    match lag.records {
        0 => format!("0{time}"),
        records => format!("{records} rec, {}{time}", bytes(lag.bytes)),
    }
}

fn keyspaces(status: &Status, look: Look) -> String {
    let row = |keyspace: &Keyspace| {
        let leader = match &keyspace.leader {
            Some(leader) => (Tone::Strong, short(leader).to_owned()),
            None => (Tone::Bad, "nobody".into()),
        };
        let epoch = match keyspace.since_ms {
            Some(ms) => format!("{}, {} old", keyspace.epoch, span(ms)),
            None => keyspace.epoch.to_string(),
        };
        let electable: Vec<&str> = keyspace.electable.iter().map(|node| short(node)).collect();
        let electable = match keyspace.reports_needed {
            Some(needed) => format!("{} ({needed} to elect)", electable.join(" ")),
            None => "-".into(),
        };
        let acks = match keyspace.acks.as_str() {
            "async" => "async".into(),
            acks => format!("{acks} {}, else {}", keyspace.ack_level, keyspace.on_lost_acks),
        };
        let failover = match (&keyspace.failover, keyspace.max_loss) {
            _ if status.members.len() < 2 => "-".to_owned(),
            (None, _) => "by hand".to_owned(),
            (Some(_), _) if !status.managed => "by hand".to_owned(),
            (Some(failover), None) => failover.clone(),
            (Some(failover), Some(max_loss)) => format!("{failover}, max-loss {max_loss}"),
        };
        [
            usual(&keyspace.name),
            leader,
            usual(epoch),
            usual(electable),
            usual(acks),
            usual(failover),
            usual(keyspace.fsync.as_deref().unwrap_or("-")),
            usual(keyspace.keys.map_or("-".into(), |keys| keys.to_string())),
        ]
    };
    let rows: Vec<_> = status.keyspaces.iter().map(row).collect();
    look.table(["name", "leader", "epoch", "electable", "acks", "failover", "fsync", "keys"], &rows)
}

fn said(promise: &Promise) -> String {
    let mut text =
        format!("writes are {}; acknowledged {}\n", promise.writes, promise.acknowledgements);
    for sentence in &promise.acknowledged_writes_survive {
        text.push_str(&format!("- {}\n", shortened(sentence)));
    }
    let loss = |records: Option<u64>, ms: Option<u64>| match (records, ms) {
        (None, _) => None,
        (Some(0), _) => Some("nothing".to_owned()),
        (Some(records), Some(ms)) => Some(format!("{records} records, of the last {}", span(ms))),
        (Some(records), None) => Some(format!("{records} records")),
    };
    let power =
        loss(promise.may_be_lost_on_power_loss_records, promise.may_be_lost_on_power_loss_ms);
    let failover =
        loss(promise.may_be_lost_on_failover_records, promise.may_be_lost_on_failover_ms);
    let parts: Vec<String> = [("the leader's power loss", power), ("a failover", failover)]
        .into_iter()
        .filter_map(|(what, lost)| Some(format!("{what}: {}", lost?)))
        .collect();
    if !parts.is_empty() {
        text.push_str(&format!("could be lost now by {}\n", parts.join("; by ")));
    }
    text
}
