//! Pages and alerts of clusters as they may be.

use trefoil_wire::resp::client::Value;

use super::super::paint::Look;
use super::super::testing::{map, name, number, text, texts};
use super::gather::Answer;
use super::model::{Health, Status};
use super::page::page;

fn address(digits: &str) -> String {
    format!("127.0.0.1:70{digits}")
}

fn member(digits: &str, kind: &str, silent_ms: Option<i64>) -> Value {
    map([
        ("node", text(&name(digits))),
        ("kind", text(kind)),
        ("vote", text("voter")),
        ("address", text(&address(digits))),
        ("peers", text("127.0.0.1:9000")),
        ("region", text("eu")),
        ("zone", text("a")),
        ("generation", number(2)),
        ("silent-ms", silent_ms.map_or(Value::Null, number)),
    ])
}

fn view(own: &str, granted: i64, members: Vec<Value>) -> Value {
    map([
        ("own", text(&name(own))),
        ("cluster", text(&name("cc"))),
        ("managed", number(1)),
        ("raft-leader", text(&name("11"))),
        ("term", number(3)),
        ("index", number(9)),
        ("voters-wanted", number(3)),
        ("voters", texts([&name("11"), &name("22"), &name("33")])),
        ("stage", text(if granted == 1 { "watching" } else { "electing" })),
        (
            "stage-detail",
            text(if granted == 1 { "" } else { "no node that may be elected is heard" }),
        ),
        ("members", Value::Array(members)),
        (
            "keyspaces",
            Value::Array(vec![map([
                ("name", text("default")),
                ("acks", text("semi-sync:1")),
                ("ack-level", text("received")),
                ("on-lost-acks", text("block")),
                ("failover", text("automatic")),
                ("max-loss", Value::Null),
            ])]),
        ),
        (
            "shards",
            Value::Array(vec![map([
                ("shard", number(0)),
                ("epoch", number(4)),
                ("leader", text(&name("11"))),
                ("granted", number(granted)),
                ("since-ms", number(61_000)),
                ("electable", texts([&name("11"), &name("22")])),
                ("acks", text("semi-sync:1")),
                ("reports-needed", number(1)),
            ])]),
        ),
    ])
}

fn row(digits: &str, state: &str) -> Value {
    map([
        ("node", text(&name(digits))),
        ("address", text(&address(digits))),
        ("state", text(state)),
        ("lag-records", number(3)),
        ("lag-bytes", number(2_500)),
        ("lag-ms", number(12)),
        ("lagging", number(0)),
    ])
}

fn info(digits: &str, role: &str) -> Vec<(String, String)> {
    let node = name(digits);
    let pairs = [
        ("role", if role == "leader" { "master" } else { "slave" }),
        ("trefoil_role", role),
        ("trefoil_node", node.as_str()),
        ("trefoil_version", "0.1.0"),
        ("uptime_in_seconds", "90"),
        ("used_memory", "1500000"),
        ("aof_last_write_status", "ok"),
        ("epoch", "4"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn three() -> Vec<Value> {
    vec![
        member("11", "data", None),
        member("22", "data", Some(20)),
        member("33", "witness", Some(30)),
    ]
}

fn answer(digits: &str, role: &str, members: Vec<Value>) -> Answer {
    Answer {
        address: address(digits),
        view: Some(view(digits, 1, members)),
        info: info(digits, role),
        ..Answer::default()
    }
}

fn well() -> Vec<Answer> {
    let promise = map([
        ("acknowledgements", text("by the own log and followers")),
        ("writes", text("accepted")),
        (
            "acknowledged-writes-survive",
            texts(["P4: an acknowledged write survives the loss of the leader"]),
        ),
        ("may-be-lost-on-power-loss-records", number(7)),
        ("may-be-lost-on-power-loss-ms", number(1_000)),
        ("may-be-lost-on-failover-records", number(0)),
    ]);
    let keyspace =
        map([("name", text("default")), ("fsync", text("everysec")), ("keys", number(5))]);
    let leader = Answer {
        promise: Some(promise),
        keyspace: Some(keyspace),
        lag: Some(Value::Array(vec![row("22", "streaming")])),
        ..answer("11", "leader", three())
    };
    vec![answer("22", "follower", three()), leader, answer("33", "witness", three())]
}

#[test]
fn a_cluster_that_is_well_fits_on_a_page() {
    let status = Status::of(&well(), 0);
    assert_eq!((status.health, status.alerts.len()), (Health::Healthy, 0), "{:?}", status.alerts);
    let expected = "\
HEALTHY  3 of 3 nodes answer; node 11000000 leads the control plane of 3 voters, term 3
cluster cc000000, seen from 127.0.0.1:7022, 1970-01-01 00:00:00 UTC

MEMBERS
node       clients          role       vote    state     lag                    place   memory   up
11000000   127.0.0.1:7011   leader     voter   ok        -                      eu/a    1.5 MB   90 s
22000000   127.0.0.1:7022   follower   voter   in sync   3 rec, 2.5 kB, 12 ms   eu/a    1.5 MB   90 s
33000000   127.0.0.1:7033   witness    voter   ok        -                      eu/a    1.5 MB   90 s

KEYSPACES
name      leader     epoch       electable                       acks                               failover    fsync      keys
default   11000000   4, 61 s old   11000000 22000000 (1 to elect)   semi-sync:1 received, else block   automatic   everysec   5

PROMISE IN FORCE
writes are accepted; acknowledged by the own log and followers
- P4: an acknowledged write survives the loss of the leader
could be lost now by the leader's power loss: 7 records, of the last 1.0 s; by a failover: nothing
";
    let squeezed = |page: &str| {
        page.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(squeezed(&page(&status, Look::Plain)), squeezed(expected));
}

#[test]
fn programs_get_all_of_it() {
    let json = serde_json::to_value(Status::of(&well(), 7)).expect("it is plain data");
    assert_eq!(json["health"], "healthy");
    assert_eq!(json["keyspaces"][0]["electable"][1], name("22"));
    assert_eq!(json["members"][1]["lag"]["records"], 3);
    assert_eq!(json["promise"]["may-be-lost-on-failover-records"], 0);
    assert_eq!(json["at-ms"], 7);
}

/// The health, and that this is said.
#[track_caller]
fn check(answers: &[Answer], health: Health, part: &str) {
    let status = Status::of(answers, 0);
    assert_eq!(status.health, health, "{:?}", status.alerts);
    let page = page(&status, Look::Plain);
    assert!(page.contains(part), "{part:?} in {page}");
}

#[test]
fn what_is_wrong_is_said_the_worst_first() {
    let mut answers = well();
    answers[1].trouble = Some("nobody listens there".into());
    check(
        &answers,
        Health::Down,
        "critical  the leader of default, node 11000000, does not answer",
    );

    let mut answers = well();
    for (answer, digits) in answers.iter_mut().zip(["22", "11", "33"]) {
        answer.view = Some(view(digits, 0, three()));
    }
    check(&answers, Health::Down, "nobody leads default: no node that may be elected is heard");

    let mut answers = well();
    answers[1].lag = Some(Value::Array(vec![row("22", "snapshot")]));
    check(&answers, Health::Degraded, "warning   node 22000000 does not follow yet: snapshot");

    let mut answers = well();
    answers[1].lag = None;
    check(&answers, Health::Degraded, "node 22000000 is not attached to the leader");

    let mut answers = well();
    answers.pop();
    let members = vec![
        member("11", "data", None),
        member("22", "data", Some(1)),
        member("33", "witness", Some(5_000)),
    ];
    answers[1].view = Some(view("11", 1, members));
    check(&answers, Health::Degraded, "node 33000000 was not heard for 5.0 s");

    let mut answers = well();
    answers[0].diverged = 2;
    check(&answers, Health::Degraded, "trefoil diverged list --port 7022");
}

#[test]
fn nodes_that_are_led_by_hand_have_a_page_too() {
    let keyspace = map([("name", text("default")), ("acks", text("async")), ("epoch", number(2))]);
    let solo = |digits: &str, role: &str| Answer {
        address: address(digits),
        info: info(digits, role),
        keyspace: Some(keyspace.clone()),
        ..Answer::default()
    };
    let lag = Some(Value::Array(vec![row("22", "streaming")]));
    let leader = Answer { lag, ..solo("11", "leader") };
    check(&[leader.clone(), solo("22", "follower")], Health::Healthy, "leaders are made by hand");
    check(&[solo("11", "leader")], Health::Healthy, "it is alone");
    check(
        &[leader, solo("22", "leader")],
        Health::Degraded,
        "node 22000000 says that it leads, too",
    );
    check(&[solo("22", "follower")], Health::Down, "nobody leads default");
}
