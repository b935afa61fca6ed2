//! What wants to be looked at, and what to do about it: rules over what is known, the worst first.

use super::super::names::{short, shortened};
use super::super::units::span;
use super::model::{Alert, Health, Keyspace, Member, Status};

/// A member that the control plane has not heard for so long is away, milliseconds.
const SILENT_MS: u64 = 1_000;

/// All that is to be said, the worst first.
pub(super) fn alerts(status: &Status) -> Vec<Alert> {
    let mut found = Found::default();
    for keyspace in &status.keyspaces {
        leadership(status, keyspace, &mut found);
    }
    writes(status, &mut found);
    if status.managed {
        control_plane(status, &mut found);
    }
    for member in &status.members {
        about_member(status, member, &mut found);
    }
    versions(status, &mut found);
    found.0.sort_by_key(|alert| std::cmp::Reverse(alert.health));
    found.0
}

#[derive(Default)]
struct Found(Vec<Alert>);

impl Found {
    fn add(&mut self, health: Health, text: String, advice: impl Into<String>) {
        self.0.push(Alert { health, text: shortened(&text), advice: advice.into() });
    }
}

fn leadership(status: &Status, keyspace: &Keyspace, found: &mut Found) {
    let name = &keyspace.name;
    let Some(leader) = &keyspace.leader else {
        let text = match &status.control.stage_detail {
            Some(detail) => format!("nobody leads {name}: {detail}"),
            None => format!("nobody leads {name}"),
        };
        let advice = match status.managed {
            true => "trefoil failover --plan tells who could",
            false => "REPLICAOF NO ONE makes a node lead; choose the one that has most",
        };
        return found.add(Health::Down, text, advice);
    };
    let row = status.members.iter().find(|member| member.node == *leader);
    if let Some(why) = row.and_then(|row| row.trouble.as_ref()) {
        let text = format!("the leader of {name}, node {leader}, does not answer: {why}");
        let advice = match status.managed {
            true => "it is replaced by itself if a majority of the voters miss it, too",
            false => "if it is gone for good, REPLICAOF NO ONE makes a follower lead",
        };
        found.add(Health::Down, text, advice);
    }
    let stage = status.control.stage.as_deref().filter(|stage| *stage != "watching");
    if let Some(stage) = stage.filter(|_| status.managed) {
        let detail = status.control.stage_detail.as_deref().unwrap_or(stage);
        found.add(
            Health::Degraded,
            format!("a failover of {name} is under way: {detail}"),
            "trefoil failover --plan",
        );
    }
    if keyspace.rule != keyspace.acks && status.managed {
        let text = format!(
            "{name} is to have acks {}; in force for elections is {} until enough followers have caught up",
            keyspace.acks, keyspace.rule
        );
        found.add(Health::Healthy, text, "");
    }
}

fn writes(status: &Status, found: &mut Found) {
    let Some(promise) = &status.promise else { return };
    if promise.writes.starts_with("refused") {
        let advice =
            "attach followers (the members below tell why they are not), or trefoil keyspace alter";
        found.add(Health::Down, format!("writes are {}", promise.writes), advice);
    }
    if promise.acknowledgements.starts_with("degraded") {
        let text = format!(
            "writes are acknowledged with less than was asked for: {}",
            promise.acknowledgements
        );
        found.add(Health::Degraded, text, "once enough followers are attached it ends by itself");
    }
}

fn control_plane(status: &Status, found: &mut Found) {
    let control = &status.control;
    let voters = control.voters.len();
    let answering =
        status.members.iter().filter(|it| it.vote == "voter" && it.trouble.is_none()).count();
    if control.leader.is_none() {
        let text =
            format!("the control plane has no leader; {answering} of {voters} voters answer");
        let advice =
            format!("{} of its voters are needed: start those that are missing", voters / 2 + 1);
        found.add(Health::Down, text, advice);
    } else if answering * 2 <= voters && voters > 0 {
        let text = format!("only {answering} of {voters} voters answer here");
        found.add(
            Health::Degraded,
            text,
            "from where they can't be reached nothing can be changed",
        );
    }
    if let Some(ms) = control.damped_ms {
        let text = format!("after so many failovers the next one waits {}", span(ms));
        found.add(Health::Degraded, text, "look into the nodes' logs why leaders go away");
    }
    if voters == 2 {
        let text = "of two voters neither may go away: nobody could be elected".to_owned();
        found.add(
            Health::Healthy,
            text,
            "add a third node, or one that only votes: trefoil witness --help",
        );
    }
}

fn about_member(status: &Status, member: &Member, found: &mut Found) {
    let name = short(&member.node);
    let silent_ms = member.silent_ms.filter(|&ms| ms >= SILENT_MS);
    match (&member.trouble, silent_ms) {
        (_, Some(ms)) => {
            let advice =
                format!("start it again; if it is gone for good: trefoil cluster remove {name}");
            found.add(
                Health::Degraded,
                format!("node {name} was not heard for {}", span(ms)),
                advice,
            );
        }
        (Some(why), None) if !member.leads && !member.address.is_empty() => {
            let text = format!("node {name} at {} does not answer: {why}", member.address);
            found.add(Health::Degraded, text, "is it running, and can it be reached from here?");
        }
        _ => {}
    }
    if let Some("suspect" | "down") = member.gossip.as_deref()
        && member.trouble.is_none()
        && silent_ms.is_none()
    {
        let text = format!("node {name} answers here, but other members do not reach it");
        found.add(Health::Degraded, text, "look at the network between it and the other nodes");
    }
    if let Some(ms) = member.lapsed_ms {
        let text = format!(
            "node {name} has had no contact with a majority for {}: it serves nothing",
            span(ms)
        );
        found.add(Health::Degraded, text, "look at the network between it and the other nodes");
    }
    if member.log_ok == Some(false) {
        found.add(
            Health::Degraded,
            format!("node {name} can't write its log"),
            "look at its disk and its output",
        );
    }
    if member.trouble.is_none() && silent_ms.is_none() {
        following(status, member, found);
    }
    if member.diverged > 0 {
        let (text, address) = (
            format!("node {name} keeps {} that were cut off from its log", tails(member.diverged)),
            &member.address,
        );
        let port = address.rsplit_once(':').map_or("", |(_, port)| port);
        found.add(
            Health::Degraded,
            text,
            format!("trefoil diverged list --port {port}: apply what is wanted, drop the rest"),
        );
    }
}

fn tails(count: u64) -> String {
    if count == 1 { "a tail of writes".into() } else { format!("{count} tails of writes") }
}

fn following(status: &Status, member: &Member, found: &mut Found) {
    let name = short(&member.node);
    if member.leads || member.kind == "witness" {
        return;
    }
    if member.role.as_deref() == Some("leader") {
        let text = format!("node {name} says that it leads, too");
        let advice = "one of them is to follow the other: REPLICAOF; what only it has is archived";
        found.add(
            Health::Degraded,
            text,
            if status.managed { "it will be told who does" } else { advice },
        );
        return;
    }
    // Only the leader knows.
    let leader_answers = status.members.iter().any(|it| it.leads && it.trouble.is_none());
    match &member.lag {
        None if !leader_answers => {}
        None => {
            let text = format!("node {name} is not attached to the leader");
            found.add(Health::Degraded, text, "its output tells why");
        }
        Some(lag) if lag.state != "streaming" => {
            let percent = lag.snapshot_percent.map_or(String::new(), |it| format!(", {it} %"));
            let text = format!("node {name} does not follow yet: {}{percent}", lag.state);
            found.add(
                Health::Degraded,
                text,
                "it catches up by itself; its output tells what it does",
            );
        }
        Some(lag) if lag.over => {
            let text =
                format!("node {name} is {} records behind, more than is allowed", lag.records);
            found.add(Health::Degraded, text, "see max-lag-records, max-lag-bytes and max-lag-ms");
        }
        Some(_) if status.managed && !member.electable => {
            let text = format!("node {name} follows and is not electable yet");
            found.add(
                Health::Degraded,
                text,
                "it is, once it has caught up and that is agreed upon",
            );
        }
        Some(_) => {}
    }
}

fn versions(status: &Status, found: &mut Found) {
    let mut versions: Vec<&str> =
        status.members.iter().filter_map(|it| it.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        let text = format!("the nodes are of different releases: {}", versions.join(", "));
        found.add(Health::Healthy, text, "finish the upgrade");
    }
}
