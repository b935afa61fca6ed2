//! The text of a scrape, and the documentation that has to say the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use trefoil_clock::{Lsn, NodeId};

use super::metric::Kind;
use super::{CHAPTERS, exposition};
use crate::harness::TestNode;
use crate::replication::{FollowerRow, FollowerState, LeaderLink, LinkState};

/// Where docs/METRICS.md is; asked at run time, because a build may be used from another folder.
fn document_path() -> String {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the test");
    format!("{package}/../../docs/METRICS.md")
}

/// What docs/METRICS.md has to be.
fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         `GET /metrics` on a node's HTTP address (parameter `http`) answers them in the OpenMetrics text format, which \
         Prometheus scrapes as it is.\nThis page is written from the code: a test compares it, and rewrites it with \
         `TREFOIL_WRITE_DOCS=1 cargo test -p trefoil-node metrics`.\n\n\
         Counters start again at 0 with the process, some with CONFIG RESETSTAT. While a node loads its data only the \
         first chapter is there.\n",
    );
    for (title, metrics) in CHAPTERS {
        text.push_str(&format!(
            "\n## {title}\n\n| name | type | labels | meaning |\n|---|---|---|---|\n"
        ));
        for metric in *metrics {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let (name, labels) = (metric.full_name(), labels.join(", "));
            text.push_str(&format!("| `{name}` | {kind} | {labels} | {} |\n", metric.help));
        }
    }
    text
}

#[test]
fn the_documentation_names_every_metric() {
    if std::env::var_os("TREFOIL_WRITE_DOCS").is_some() {
        std::fs::write(document_path(), document()).expect("docs/METRICS.md can be written");
    }
    let written = std::fs::read_to_string(document_path()).expect("docs/METRICS.md is there");
    assert!(written == document(), "docs/METRICS.md is out of date; it says how to write it anew");
}

#[test]
fn names_are_well_formed_and_nobody_else_s() {
    let mut names = BTreeSet::new();
    for metric in CHAPTERS.iter().flat_map(|(_, metrics)| *metrics) {
        let name = metric.full_name();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(name.starts_with("trefoil_") || name.starts_with("process_"), "{name}");
        assert!(!metric.name.ends_with("_total"), "{name}: the kind adds that");
        assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}");
        assert_eq!(metric.kind == Kind::Info, name.ends_with("_info"), "{name}");
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
}

/// The value of a sample as the text has it.
fn value<'a>(text: &'a str, sample: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
}

#[test]
fn what_happened_is_told() {
    let mut node = TestNode::new();
    let mut client = node.client();
    for line in ["SET a 1 EX 100", "GET a", "GET b", "INCR a x", "SET s x", "INCR s", "SELECT 3"] {
        node.run(&mut client, line);
    }
    node.run(&mut client, "SET c 1");
    node.run(&mut client, "CLIENT SETNAME me");
    let text = exposition(Some(&node.node), 1_700_000_000_000);
    for (sample, expected) in [
        ("trefoil_ready", "1"),
        (r#"trefoil_keys{db="0"}"#, "2"),
        (r#"trefoil_keys{db="3"}"#, "1"),
        (r#"trefoil_keys_expiring{db="0"}"#, "1"),
        ("trefoil_keyspace_hits_total", "1"),
        ("trefoil_keyspace_misses_total", "1"),
        (r#"trefoil_command_calls_total{command="get"}"#, "2"),
        (r#"trefoil_command_calls_total{command="client|setname"}"#, "1"),
        (r#"trefoil_error_replies_total{error="ERR"}"#, "2"),
        (r#"trefoil_log_fsync{policy="everysec"}"#, "1"),
        (r#"trefoil_log_fsync{policy="always"}"#, "0"),
        (r#"trefoil_replication_role{role="leader"}"#, "1"),
        (r#"trefoil_replication_role{role="follower"}"#, "0"),
        ("trefoil_replication_released_lsn", "3"),
        ("trefoil_log_last_lsn", "3"),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample}");
    }
    let used = node.node.keyspace.memory().to_string();
    assert_eq!(value(&text, "trefoil_memory_used_bytes"), Some(used.as_str()));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn every_sample_belongs_to_a_metric_that_was_announced() {
    let mut node = TestNode::new();
    let mut client = node.client();
    node.run(&mut client, "SET a 1");
    let text = exposition(Some(&node.node), 1);
    let announced: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, number) = line.rsplit_once(' ').expect("a name and a value");
        let name = sample.split('{').next().expect("a name");
        let family = name.strip_suffix("_total").or(name.strip_suffix("_info")).unwrap_or(name);
        assert!(announced.contains(family), "{line}");
        assert!(number.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(announced.len(), CHAPTERS.iter().flat_map(|(_, metrics)| *metrics).count());
}

#[test]
fn links_are_told_by_follower_and_by_state() {
    let node = TestNode::new().node;
    node.replication.set_followers(vec![FollowerRow {
        node: NodeId(7),
        ip: Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        port: 6380,
        state: FollowerState::Streaming,
        is_member: true,
        sent: Lsn(12),
        received: Lsn(11),
        flushed: Lsn(10),
        applied: Lsn(9),
        lag_records: 3,
        lag_bytes: 300,
        lag_ms: Some(1_500),
        is_lagging: false,
        silent_ms: 20,
    }]);
    node.replication.set_leader(Some(LeaderLink {
        host: "h".into(),
        port: 1,
        state: LinkState::Loading { received: 5, bytes: 50 },
        node: None,
        end: Lsn(40),
        heard_ms: 9_000,
        trouble: None,
    }));
    let text = exposition(Some(&node), 10_000);
    let of = r#"{node="00000000000000000000000000000007",address="127.0.0.1:6380""#;
    for (sample, expected) in [
        (format!("trefoil_follower_applied_lsn{of}}}"), "9"),
        (format!("trefoil_follower_lag_bytes{of}}}"), "300"),
        (format!("trefoil_follower_lag_seconds{of}}}"), "1.5"),
        (format!(r#"trefoil_follower_state{of},state="streaming"}}"#), "1"),
        (format!(r#"trefoil_follower_state{of},state="lost"}}"#), "0"),
        (r#"trefoil_leader_link_state{state="loading"}"#.to_string(), "1"),
        ("trefoil_leader_silent_seconds".to_string(), "1.0"),
        ("trefoil_leader_snapshot_size_bytes".to_string(), "50"),
    ] {
        assert_eq!(value(&text, &sample), Some(expected), "{sample}");
    }
}

#[test]
fn while_data_is_loaded_the_process_can_be_seen() {
    let text = exposition(None, 1);
    assert_eq!(value(&text, "trefoil_ready"), Some("0"));
    assert!(value(&text, "process_cpu_seconds_total").is_some());
    assert!(!text.contains("trefoil_keys"));
}
