//! Prints the tables, and writes them to docs/BENCHMARKS.md with what is needed to repeat them.
//!
//! What stands in the document from `## Notes` on was written by hand and is kept.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use super::figures::{Figures, Row};
use super::load::CONNECTIONS;
use super::sections::{Scale, Section};
use super::servers::{Durability, Fsync, Server};
use super::targets;
use crate::terminal::table;
use crate::{peers, workspace};

const DOCUMENT: &str = "docs/BENCHMARKS.md";
const RAW: &str = "target/bench/samples.json";
const NOTES: &str = "## Notes";

const LIMITED_BY_CLIENT: &str =
    "† The load generator used more than 90% of its core: its speed was measured, compare CPU.";

/// How the sections on replication are measured.
const REPLICATION: &str = "\
* Replication: one leader on core 0, one follower on core 1 beside the load generator; both with a log \
or AOF that is flushed every second; the follower has joined, and Valkey's replica has ended its \
rewrite, before anything is measured. More options: Trefoil `--peer 127.0.0.1:PORT --http off`; Valkey \
`--repl-diskless-sync-delay 0 --client-output-buffer-limit \"replica 0 0 0\"`, so that its sync starts at \
once and a replica that is behind is not dropped. CPU is that of all threads from the first request \
until the follower has the last.
* Acknowledged: Trefoil with `acks semi-sync:1` and the level in the row's name. Valkey's clients send \
`WAIT 1 0` in the same write behind each SET (pipeline 1) or behind 16 of them; \"WAIT apart\": when \
those are answered, as clients do that send one command at a time; beside `flushed` also \
`WAITAOF 0 1 0`, in the same write, with `appendfsync always` on the replica. Only SETs are counted, and \
not before the reply of WAIT.
* Full sync: the leader, on its own, is offered half the SETs that it can take at pipeline 1. Trefoil's \
leader has made a snapshot after the keys were written, and keeps no older log (`max-retained-log 1mb`): \
the follower gets that snapshot and the log after it. Valkey makes one for its replica. The time \
is from REPLICAOF until the follower, whose link is up, shows all that the leader had when it came up. \
Extra memory is what the leader's resident memory grew by, for Valkey with what its child copied on \
write. p99 is that of the writes before, and from REPLICAOF until the end of the sync.
* Applying: first the leader writes at pipeline 64 for at most 2 s while the follower is stopped by a \
signal, and then the follower goes on alone; then both at once, where the lag is sampled 50 times a \
second and its growth is the mean of the last third above that of the first, in percent of what was \
written in between.
* Lag that clients see: at half the SETs that the leader can take at pipeline 1, 1,000 stamps a second \
are written to the leader and read from the follower (Trefoil: `CONSISTENCY eventual`) again and again \
until it shows them; the lag counts from the leader's acknowledgement, and for stamps that fell due \
meanwhile from then. Lag that the server tells: `lag-ms` in REPLICATION LAG on the leader.
* Where an open loop shares its core with a follower it runs with SCHED_FIFO and rests 50 us between two \
looks at what is due and what has come.
";

const HEADER: [&str; 9] =
    ["median of", "unit", "Trefoil", "Valkey", "kevy", "/Valkey", "/kevy", "target", "met"];

/// Prints one table per section.
pub(super) fn print(figures: &Figures) {
    for (section, rows) in by_section(figures) {
        println!("\n{}", title(section));
        println!("{}", filled(table(HEADER), &rows));
        if rows.iter().any(|row| Server::ALL.iter().any(|server| row.is_client_bound(*server))) {
            println!("{LIMITED_BY_CLIENT}");
        }
    }
}

/// Keeps every sample under target/, for a closer look.
pub(super) fn write_raw(figures: &Figures) -> Result<()> {
    let rows = figures.rows().iter().map(|row| {
        let samples: Map<String, Value> =
            row.samples().map(|(server, samples)| (server.to_string(), json!(samples))).collect();
        json!({
            "section": row.section.to_string(),
            "name": row.name,
            "unit": row.unit,
            "samples": samples,
        })
    });
    let text = serde_json::to_string_pretty(&json!({ "rows": rows.collect::<Vec<_>>() }))?;
    std::fs::write(workspace::root().join(RAW), text).with_context(|| format!("writing {RAW}"))?;
    println!("\nall samples: {RAW}");
    Ok(())
}

/// Rewrites the document.
pub(super) fn write_document(figures: &Figures, rounds: u32, scale: &Scale) -> Result<()> {
    let path = workspace::root().join(DOCUMENT);
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let mut text = introduction(figures, rounds, scale)?;
    for (section, rows) in by_section(figures) {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(HEADER);
        text.push_str(&format!("## {}\n\n{}\n\n", title(section), filled(table, &rows)));
    }
    text.push_str(notes_of(&old));
    std::fs::write(&path, text).with_context(|| format!("writing {DOCUMENT}"))?;
    println!("{DOCUMENT} is rewritten");
    Ok(())
}

fn by_section(figures: &Figures) -> Vec<(Section, Vec<&Row>)> {
    let rows_of =
        |section| figures.rows().iter().filter(|row| row.section == section).collect::<Vec<_>>();
    let sections = Section::ALL.into_iter().map(|section| (section, rows_of(section)));
    sections.filter(|(_, rows)| !rows.is_empty()).collect()
}

fn filled(mut table: Table, rows: &[&Row]) -> Table {
    for row in rows {
        table.add_row(cells(row));
    }
    table
}

fn cells(row: &Row) -> [String; 9] {
    let figure = |server| {
        let mark = if row.is_client_bound(server) { " †" } else { "" };
        row.median(server).map_or("-".to_owned(), |value| shown(value, row.unit) + mark)
    };
    let ratio = |server| row.ratio_to(server).map_or("-".to_owned(), |value| format!("{value:.2}"));
    let targets = targets::of(row);
    let bounds: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let verdicts: Vec<&str> = targets
        .iter()
        .map(|target| match target.is_met(row) {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        })
        .collect();
    [
        row.name.clone(),
        row.unit.to_owned(),
        figure(Server::Trefoil),
        figure(Server::Valkey),
        figure(Server::Kevy),
        ratio(Server::Valkey),
        ratio(Server::Kevy),
        bounds.join(", "),
        verdicts.join(", "),
    ]
}

fn shown(value: f64, unit: &str) -> String {
    match unit {
        "requests/s" | "records/s" | "records" | "bytes" => thousands(value.round() as i64),
        "us" => format!("{value:.0}"),
        "MB" | "%" => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

fn title(section: Section) -> &'static str {
    match section {
        Section::Spine => "GET and SET: CPU, throughput, memory",
        Section::CrossCheck => "Cross-check with redis-benchmark",
        Section::OpenLoop => "Latency at the same rate for all, open loop",
        Section::Always => "Every write on disk before its reply",
        Section::Idle => "Idle connections",
        Section::Restart => "Start with a full data set",
        Section::Snapshot => "While snapshots are written",
        Section::SemiSync => "Replication: a follower acknowledges each write",
        Section::Async => "Replication: what a follower costs the leader",
        Section::FullSync => "Replication: an empty follower joins while the leader is written to",
        Section::Apply => "Replication: applying, and lag",
    }
}

fn introduction(figures: &Figures, rounds: u32, scale: &Scale) -> Result<String> {
    let date = workspace::output_of(Command::new("date").args(["-u", "+%F"]))?;
    let commit = workspace::output_of(
        Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(workspace::root()),
    )?;
    let rate = figures.rate().map_or("-".to_owned(), |rate| thousands(rate as i64));
    let mut text = format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench --rounds {rounds}` on {date} at commit {commit}; only the notes \
         at the end are written by hand.\n\n\
         Machine: {}.\n\n\
         | server | version | command line |\n|---|---|---|\n",
        machine()?
    );
    for server in Server::ALL {
        let words =
            server.command_line(6379, Path::new("DIR"), Durability::Log(Fsync::EverySecond));
        let line: Vec<String> =
            words.into_iter().map(|w| if w.is_empty() { "\"\"".to_owned() } else { w }).collect();
        let version = peers::first_version(&server.binary()?)?;
        text.push_str(&format!("| {server} | {version} | `{}` |\n", line.join(" ")));
    }
    text.push_str(&method(rounds, scale, &rate));
    Ok(text)
}

fn method(rounds: u32, scale: &Scale, rate: &str) -> String {
    format!(
        "\nkevy's configuration file: AOF on, `appendfsync = \"everysec\"`, no automatic rewrite.\n\n\
         ## Method\n\n\
         * Figures are medians of {rounds} rounds. In a round the servers take turns, one runs at a \
         time; each round starts with another one.\n\
         * The server is pinned to core 0, the load generator to core 1; nothing else runs. CPU is that \
         of all threads of the server.\n\
         * {keys} keys of 16 bytes with values of 64 bytes are written in order before anything is \
         measured; a read that misses fails the run. Keys are drawn evenly. {CONNECTIONS} connections.\n\
         * No automatic snapshots and rewrites. Log and AOF are flushed every second unless the table \
         says otherwise.\n\
         * {LIMITED_BY_CLIENT}\n\
         * Open loop: {rate} requests/s, half GET and half SET, 60% of Valkey's maximum; a latency \
         counts from the moment at which the request was due. With snapshots half of that.\n\
         * Start: {many} keys, from what SAVE wrote (Valkey: RDB alone), until PING is answered.\n\
         * Snapshots: {many} keys, BGSAVE again and again while the load runs. Extra memory is what the \
         process grew by; for Valkey, which forks, what it reports as copied on write. Its child shares \
         core 0, as do the threads of the others.\n\
         * Idle: {idle} connections that sent one PING each; growth of resident memory.\n\
         {REPLICATION}\n",
        keys = thousands(scale.keys as i64),
        many = thousands(scale.many_keys as i64),
        idle = thousands(i64::from(scale.idle_connections)),
    )
}

fn machine() -> Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |line| line.trim_start_matches([' ', '\t', ':']));
    let detail =
        |name| cpus.lines().find_map(|line: &str| line.strip_prefix(name)?.rsplit(' ').next());
    let family = detail("cpu family").zip(detail("model\t"));
    let family = family.map_or(String::new(), |(f, m)| format!(" (family {f}, model {m})"));
    let cores = std::thread::available_parallelism()?;
    let kernel = workspace::output_of(Command::new("uname").arg("-r"))?;
    // Without the suffix of whoever built it.
    let kernel = kernel.split('-').next().unwrap_or_default();
    Ok(format!("{model}{family}, {cores} cores, Linux {kernel}"))
}

/// The part of the document that was written by hand.
fn notes_of(old: &str) -> &str {
    old.find(NOTES).map_or("## Notes\n\nNone yet.\n", |at| &old[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(-999), "-999");
        assert_eq!(thousands(100_000), "100,000");
    }

    #[test]
    fn notes_survive_a_new_run() {
        assert_eq!(notes_of("# Benchmarks\n\n## Notes\n\nMine.\n"), "## Notes\n\nMine.\n");
        assert!(notes_of("").contains("None yet"));
    }

    #[test]
    fn a_missed_target_is_shouted_and_a_client_bound_figure_is_marked() {
        let mut figures = Figures::default();
        let name = "GET, pipeline 1: throughput";
        figures.add_throughput(Section::Spine, name, Server::Trefoil, 90_000.0, 0.95);
        figures.add_throughput(Section::Spine, name, Server::Valkey, 100_000.0, 0.80);
        let cells = cells(&figures.rows()[0]);
        assert_eq!(cells[2..6], ["90,000 †", "100,000", "-", "0.90"]);
        assert_eq!(cells[7..], ["≥ 1.00 Valkey", "NO"]);
    }
}
