//! A cluster as its members' answers show it: what the page and the JSON are made of.

use serde::Serialize;

use super::super::record::Record;
use super::alerts::alerts;
use super::gather::Answer;
use super::members::members;

/// How it is, the worst that is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Health {
    Healthy,
    /// It serves, and something wants to be looked at.
    Degraded,
    /// Nobody leads, or writes are refused.
    Down,
}

impl Health {
    pub(super) fn code(self) -> u8 {
        self as u8
    }
}

/// What wants to be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Alert {
    /// What it makes of the cluster's health. `Healthy`: good to know.
    pub(super) health: Health,
    pub(super) text: String,
    /// What to do about it.
    pub(super) advice: String,
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Status {
    pub(super) health: Health,
    /// Which node was asked first.
    pub(super) asked: String,
    /// When, Unix milliseconds.
    pub(super) at_ms: u64,
    pub(super) cluster: String,
    /// Whether the cluster decides who leads.
    pub(super) managed: bool,
    pub(super) alerts: Vec<Alert>,
    pub(super) control: ControlPlane,
    pub(super) members: Vec<Member>,
    pub(super) keyspaces: Vec<Keyspace>,
    /// Said by the leader.
    pub(super) promise: Option<Promise>,
}

/// Who decides.
#[derive(Clone, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ControlPlane {
    pub(super) leader: Option<String>,
    pub(super) term: u64,
    pub(super) voters: Vec<String>,
    pub(super) voters_wanted: u64,
    /// What it is doing, a word.
    pub(super) stage: Option<String>,
    /// The same for people.
    pub(super) stage_detail: Option<String>,
    /// The next automatic failover waits so long.
    pub(super) damped_ms: Option<u64>,
}

/// A node.
#[derive(Clone, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Member {
    pub(super) node: String,
    /// For clients.
    pub(super) address: String,
    /// For other nodes.
    pub(super) peers: String,
    /// `data` or `witness`; `by-hand`: no member, it follows because somebody told it to.
    pub(super) kind: String,
    /// `voter`, `learner` or empty.
    pub(super) vote: String,
    pub(super) region: String,
    pub(super) zone: String,
    pub(super) generation: u64,
    /// Why it does not answer this program.
    pub(super) trouble: Option<String>,
    /// As it says itself.
    pub(super) role: Option<String>,
    pub(super) leads: bool,
    pub(super) electable: bool,
    /// As gossip has it: `alive`, `suspect`, `down` or `left`.
    pub(super) gossip: Option<String>,
    /// For how long the leader of the control plane has not heard it.
    pub(super) silent_ms: Option<u64>,
    /// For how long its lease is over.
    pub(super) lapsed_ms: Option<u64>,
    pub(super) lag: Option<Lag>,
    pub(super) version: Option<String>,
    pub(super) uptime_s: Option<u64>,
    pub(super) memory: Option<u64>,
    pub(super) clients: Option<u64>,
    /// Whether its log can be written.
    pub(super) log_ok: Option<bool>,
    /// Tails that were cut off from its log, and are kept.
    pub(super) diverged: u64,
}

/// How far a follower is, as its leader sees it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Lag {
    pub(super) state: String,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) ms: Option<u64>,
    /// More than the configuration allows.
    pub(super) over: bool,
    /// Of a snapshot that it loads.
    pub(super) snapshot_percent: Option<u64>,
}

/// A keyspace, and who leads it.
#[derive(Clone, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Keyspace {
    pub(super) name: String,
    pub(super) leader: Option<String>,
    pub(super) epoch: u64,
    pub(super) granted: bool,
    pub(super) since_ms: Option<u64>,
    /// The in-sync set: who may be elected, the leader among them.
    pub(super) electable: Vec<String>,
    /// The rule in force for elections.
    pub(super) rule: String,
    /// So many of the set have to report before one is elected.
    pub(super) reports_needed: Option<u64>,
    pub(super) acks: String,
    pub(super) ack_level: String,
    pub(super) on_lost_acks: String,
    pub(super) failover: Option<String>,
    pub(super) max_loss: Option<u64>,
    pub(super) fsync: Option<String>,
    pub(super) keys: Option<u64>,
}

/// What holds for acknowledged writes now.
#[derive(Clone, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Promise {
    pub(super) acknowledgements: String,
    pub(super) writes: String,
    pub(super) acknowledged_writes_survive: Vec<String>,
    pub(super) may_be_lost_on_power_loss_records: Option<u64>,
    pub(super) may_be_lost_on_power_loss_ms: Option<u64>,
    pub(super) may_be_lost_on_failover_records: Option<u64>,
    pub(super) may_be_lost_on_failover_ms: Option<u64>,
}

impl Status {
    /// What the answers add up to; the first is that of the node that was named.
    pub(super) fn of(answers: &[Answer], at_ms: u64) -> Status {
        let view = best_view(answers);
        let leader = leader(answers, view);
        let mut status = Status {
            health: Health::Healthy,
            asked: answers.first().map_or(String::new(), |first| first.address.clone()),
            at_ms,
            cluster: cluster(answers, view),
            managed: view.is_some_and(|view| view.flag("managed")),
            alerts: Vec::new(),
            control: view.map(control_plane).unwrap_or_default(),
            members: members(answers, view, leader.as_ref()),
            keyspaces: keyspaces(answers, view, leader.as_ref()),
            promise: leader.as_ref().and_then(|leader| promise(leader.answer?)),
        };
        status.alerts = alerts(&status);
        status.health = status.alerts.iter().map(|it| it.health).max().unwrap_or(Health::Healthy);
        status
    }
}

/// Who leads, and what it says.
pub(super) struct Leader<'a> {
    pub(super) node: String,
    /// None: it does not answer.
    pub(super) answer: Option<&'a Answer>,
}

/// The newest view; of two that are as new that of the raft leader, who knows more.
fn best_view(answers: &[Answer]) -> Option<Record<'_>> {
    let views = answers.iter().filter_map(|answer| answer.view.as_ref().map(Record::new));
    let rank = |view: &Record<'_>| {
        let leads = view.said("raft-leader").is_some_and(|leader| leader == view.text("own"));
        (view.number("term"), leads, view.number("index"))
    };
    views.max_by_key(rank)
}

fn leader<'a>(answers: &'a [Answer], view: Option<Record<'_>>) -> Option<Leader<'a>> {
    let by_node = |node: &str| {
        answers.iter().find(|it| it.trouble.is_none() && it.node().as_deref() == Some(node))
    };
    if let Some(view) = view.filter(|view| view.flag("managed")) {
        let shards = view.records("shards");
        let node = shards.first().filter(|shard| shard.flag("granted"))?.said("leader")?;
        let answer = by_node(&node);
        return Some(Leader { node, answer });
    }
    // By hand: who says so, in the newest epoch.
    let leads = |answer: &&Answer| {
        answer.info("role") == Some("master") && answer.info("trefoil_role") != Some("deposed")
    };
    // Of several the one that was asked first.
    let answer = answers.iter().rev().filter(leads).max_by_key(|answer| answer.number("epoch"))?;
    Some(Leader { node: answer.node().unwrap_or_default(), answer: Some(answer) })
}

fn cluster(answers: &[Answer], view: Option<Record<'_>>) -> String {
    let told = view.and_then(|view| view.said("cluster"));
    told.or_else(|| answers.iter().find_map(|it| it.info("trefoil_cluster").map(str::to_owned)))
        .unwrap_or_default()
}

fn control_plane(view: Record<'_>) -> ControlPlane {
    ControlPlane {
        leader: view.said("raft-leader"),
        term: view.number("term").unwrap_or(0),
        voters: view.texts("voters"),
        voters_wanted: view.number("voters-wanted").unwrap_or(0),
        stage: view.said("stage"),
        stage_detail: view.said("stage-detail"),
        damped_ms: view.number("damped-ms"),
    }
}

fn keyspaces(
    answers: &[Answer],
    view: Option<Record<'_>>,
    leader: Option<&Leader<'_>>,
) -> Vec<Keyspace> {
    let told = leader.and_then(|leader| leader.answer).or(answers.first());
    let info = told.and_then(|it| it.keyspace.as_ref()).map(Record::new);
    let from_info = |keyspace: &mut Keyspace| {
        let Some(info) = info.filter(|info| info.text("name") == keyspace.name) else { return };
        keyspace.fsync = info.said("fsync");
        keyspace.keys = info.number("keys");
    };
    if let Some(view) = view.filter(|view| view.flag("managed")) {
        let shards = view.records("shards");
        let with_shard = |policy: Record<'_>| {
            let mut keyspace = policy_of(policy);
            if let Some(shard) = shards.first() {
                put_shard(&mut keyspace, *shard);
            }
            from_info(&mut keyspace);
            keyspace
        };
        return view.records("keyspaces").into_iter().map(with_shard).collect();
    }
    let Some(info) = info else { return Vec::new() };
    let mut keyspace = policy_of(info);
    keyspace.leader = leader.map(|leader| leader.node.clone());
    keyspace.granted = leader.is_some();
    keyspace.epoch = info.number("epoch").unwrap_or(0);
    keyspace.rule = keyspace.acks.clone();
    from_info(&mut keyspace);
    vec![keyspace]
}

fn policy_of(record: Record<'_>) -> Keyspace {
    Keyspace {
        name: record.text("name"),
        acks: record.text("acks"),
        ack_level: record.text("ack-level"),
        on_lost_acks: record.text("on-lost-acks"),
        failover: record.said("failover"),
        max_loss: record.number("max-loss"),
        ..Keyspace::default()
    }
}

fn put_shard(keyspace: &mut Keyspace, shard: Record<'_>) {
    keyspace.granted = shard.flag("granted");
    keyspace.leader = shard.said("leader").filter(|_| keyspace.granted);
    keyspace.epoch = shard.number("epoch").unwrap_or(0);
    keyspace.since_ms = shard.number("since-ms");
    keyspace.electable = shard.texts("electable");
    keyspace.rule = shard.text("acks");
    keyspace.reports_needed = shard.number("reports-needed");
}

fn promise(leader: &Answer) -> Option<Promise> {
    let told = Record::new(leader.promise.as_ref()?);
    Some(Promise {
        acknowledgements: told.text("acknowledgements"),
        writes: told.text("writes"),
        acknowledged_writes_survive: told.texts("acknowledged-writes-survive"),
        may_be_lost_on_power_loss_records: told.number("may-be-lost-on-power-loss-records"),
        may_be_lost_on_power_loss_ms: told.number("may-be-lost-on-power-loss-ms"),
        may_be_lost_on_failover_records: told.number("may-be-lost-on-failover-records"),
        may_be_lost_on_failover_ms: told.number("may-be-lost-on-failover-ms"),
    })
}
