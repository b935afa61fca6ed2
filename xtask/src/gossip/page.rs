//! docs/gossip.md: what gossip does, and the table of what it was measured to take.

use std::fmt::Write;

use trefoil_cluster::gossip::Options;

use super::{Cell, theory};

/// The table's columns.
pub(super) const COLUMNS: [&str; 11] = [
    "nodes",
    "lost",
    "news",
    "newcomer seen",
    "newcomer informed",
    "first says dead",
    "all say dead",
    "false suspicions",
    "false deaths",
    "datagrams/s",
    "KB/s",
];

/// A row of it.
pub(super) fn row(cell: &Cell) -> [String; 11] {
    let time = |time: Option<(f64, f64)>| match time {
        Some((mean, longest)) => format!("{mean:.1} ({longest:.1})"),
        None => "not within two minutes".to_owned(),
    };
    [
        cell.nodes.to_string(),
        format!("{}%", cell.loss_per_mille as f64 / 10.0),
        time(cell.rounds(|run| run.updated_ms)),
        time(cell.rounds(|run| run.joined_ms)),
        time(cell.rounds(|run| run.informed_ms)),
        time(cell.rounds(|run| run.detected_ms)),
        time(cell.rounds(|run| run.mourned_ms)),
        format!("{:.2}", cell.mean(|run| run.false_suspicions)),
        format!("{:.4}", cell.mean(|run| run.false_deaths)),
        format!("{:.0}", cell.mean(|run| run.datagrams)),
        format!("{:.1}", cell.mean(|run| run.bytes) / 1_000.0),
    ]
}

fn markdown(rows: impl Iterator<Item = Vec<String>>, columns: &[&str]) -> String {
    let mut text = format!("| {} |\n|{}\n", columns.join(" | "), "--:|".repeat(columns.len()));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("a string takes all");
    }
    text
}

/// The whole page.
pub(super) fn page(cells: &[Cell], seed: u64) -> String {
    let times = Options::default();
    let measured = markdown(cells.iter().map(|cell| row(cell).to_vec()), &COLUMNS);
    let (period, gossip, fanout) =
        (times.probe_period_ms, times.gossip_interval_ms, times.gossip_fanout);
    let (timeout, sync) = (times.probe_timeout_ms, times.sync_interval_ms);
    let compared = compared(cells);
    let runs: Vec<String> = cells
        .iter()
        .filter(|cell| cell.loss_per_mille == 0)
        .map(|cell| format!("{} runs of {} nodes", cell.runs.len(), cell.nodes))
        .collect();
    let runs = runs.join(", ");
    format!(
        "<!-- Written by `cargo xtask gossip --seed {seed}`; change xtask/src/gossip/page.rs instead. -->\n\
# Gossip: who is there, and how fast all know it

Each node probes a random member every {period} ms. One that does not answer within {timeout} ms is asked for through three others; if that
fails, too, it is *suspect*. It has 2 to 7 seconds (4 periods, growing with log2 of the cluster's size) to hear of it and to refute, else it is *down*. News are
appended to probes, and sent to {fanout} random members every {gossip} ms while there are any, 4 + 2 log2 N times by each node. What that
misses is found by comparing versions with a random member every {sync} ms. Gossip decides nothing: failover has leases, which are faster
and safer ([ADR 17](adr/0017-gossip-with-foca.md)).

![Rounds until all know, against the size of the cluster](gossip-rounds.svg)

## Measured
Simulated clusters (the real core; datagrams take 1 to 5 ms, every hundredth comes twice). Times are **rounds**, that is probe periods of {period} ms: the mean of
all runs, and the longest in brackets. {runs}; seed {seed}.

* *news*: from a change of what a node says about itself until all hold it
* *newcomer seen*: from a node's first word to its seed, of which it knows only the address, until all see it; *informed*: until it sees all, and what they say
* *first says dead*, *all say dead*: from a death without a word
* *false suspicions*, *false deaths*: of living nodes, per node and minute, while nothing happened; a false suspicion is refuted, a false death costs a new generation
* *datagrams/s*, *KB/s*: sent by a node while nothing happened (sealing adds 28 bytes or so to each)

{measured}
## Compared with theory
A rumour that each who knows it sends to k = {fanout} others per tick, q of the datagrams arriving, reaches all of N in ln N / ln(1 + kq) + ln N / kq
ticks (Pittel 1987 has k = q = 1: log2 N + ln N). A tick is {gossip} ms, {tick:.1} rounds. A death is noticed by somebody in a round in the mean, whatever N
(section 3.1 of the SWIM paper), takes another until the probe is given up, then the time to refute, then the spreading. In rounds:

{compared}
What is measured grows with log N as it should. News are somewhat faster than the line because they travel with probes and answers as well. Deaths come later
than the line with heavy loss: a prober that hears that it is itself suspected stretches its own times.

## Sources
* Abhinandan Das, Indranil Gupta, Ashish Motivala: *SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol* (DSN 2002)
* Armon Dadgar, James Phillips, Jon Currey: *Lifeguard: Local Health Awareness for More Accurate Failure Detection* (DSN 2018)
* Boris Pittel: *On Spreading a Rumor* (SIAM Journal on Applied Mathematics 47, 1987)
",
        tick = gossip as f64 / period as f64,
    )
}

fn compared(cells: &[Cell]) -> String {
    let rows = cells.iter().filter(|cell| [0, 200].contains(&cell.loss_per_mille)).map(|cell| {
        let mean =
            |time: Option<(f64, f64)>| time.map_or("-".into(), |(mean, _)| format!("{mean:.1}"));
        let (nodes, loss) = (cell.nodes, cell.loss_per_mille);
        vec![
            nodes.to_string(),
            format!("{}%", loss / 10),
            mean(cell.rounds(|run| run.updated_ms)),
            format!("{:.1}", theory::spreading(nodes, loss)),
            mean(cell.rounds(|run| run.mourned_ms)),
            format!("{:.1}", theory::death(nodes, loss)),
        ]
    });
    markdown(rows, &["nodes", "lost", "news", "expected", "all say dead", "expected"])
}
