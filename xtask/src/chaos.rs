//! `cargo xtask chaos`: a real cluster, real faults, real clients, and judges over what they recorded.
//!
//! Simulators have blind spots (pitfall 35): here are processes that are killed and stopped, sockets
//! that are cut and stalled, and clients that know nothing of the insides. A broken promise ends the
//! run with the seed and leaves the history and the nodes' folders behind.

mod archive;
mod contents;
mod failover;
mod judge;
mod nemesis;
mod nodes;
mod observer;
mod proxy;
mod record;
mod resp;
mod terms;
mod workload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use trefoil_check::Findings;

use crate::terminal::{heading, table, warn};
use crate::workspace;
use failover::Acks;
use judge::Case;
use nemesis::Nemesis;
use nodes::Nodes;
use observer::Observer;
use record::Entry;
use terms::Terms;
use workload::Arena;

/// Options of `cargo xtask chaos`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Draws the faults and what clients do; without it a new one is chosen and printed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long faults go on
    #[arg(long, value_name = "M", default_value_t = 1.0)]
    minutes: f64,
    /// Size of the cluster
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// When a write is acknowledged: async, semi-sync:K or sync
    #[arg(long, value_name = "MODE", default_value = "semi-sync:1")]
    acks: Acks,
    /// The executable to test, instead of one that is built now
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl Options {
    /// A short run with a fixed seed, for every change.
    pub(crate) fn brief(binary: PathBuf) -> Options {
        let (seed, acks) = (Some(BRIEF_SEED), Acks::SemiSync(1));
        Options { seed, minutes: BRIEF_MINUTES, nodes: 3, acks, binary: Some(binary) }
    }
}

const BRIEF_SEED: u64 = 1;
const BRIEF_MINUTES: f64 = 0.4;

/// What a run left behind.
struct Outcome {
    entries: Vec<Entry>,
    findings: Vec<(&'static str, Findings)>,
    /// Nodes that died by themselves or disagree: no promise has a number for that.
    broken: Vec<String>,
}

/// Runs chaos once.
pub(crate) fn run(options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(rand::random);
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    heading(&format!("chaos: {} nodes, acks {}, seed {seed}", options.nodes, options.acks));
    let folder = workspace::root().join("target/chaos");
    let dir = folder.join(seed.to_string());
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    let outcome = cause(options, seed, &binary, &dir);
    let history = folder.join(format!("{seed}.jsonl"));
    let outcome = outcome.with_context(|| {
        format!("the run could not be judged; the nodes' folders are in {}", dir.display())
    })?;
    record::save(&history, &outcome.entries)?;
    report(&outcome.findings);
    let broken = outcome.broken.len()
        + outcome.findings.iter().filter(|(_, findings)| !findings.holds()).count();
    if broken == 0 {
        println!("every promise was kept; seed {seed}");
        std::fs::remove_dir_all(&dir)?;
        return Ok(());
    }
    for text in &outcome.broken {
        warn(text);
    }
    for (name, findings) in outcome.findings.iter().filter(|(_, findings)| !findings.holds()) {
        warn(&format!("{name}:\n{findings}"));
    }
    bail!(
        "{broken} checks failed; history: {}, nodes: {}\n\
         the same faults again: cargo xtask chaos --seed {seed} --minutes {} --nodes {} --acks {}",
        history.display(),
        dir.display(),
        options.minutes,
        options.nodes,
        options.acks
    );
}

fn build() -> Result<PathBuf> {
    workspace::run(&mut workspace::cargo(&["build", "--release", "-p", "trefoil-server"]))?;
    Ok(workspace::root().join("target/release/trefoil"))
}

/// Starts the cluster, plagues it, mends it, and judges.
fn cause(options: &Options, seed: u64, binary: &Path, dir: &Path) -> Result<Outcome> {
    let lossy = options.acks == Acks::Async;
    let nodes = Arc::new(Nodes::new(binary, dir, usize::from(options.nodes), options.acks)?);
    start(&nodes)?;
    let arena = Arc::new(Arena::new(Arc::clone(&nodes), lossy));
    let observer = Observer::start(Arc::clone(&nodes))?;
    let clients = workload::start(&arena, seed)?;
    let mut nemesis =
        Nemesis::new(Arc::clone(&nodes), seed, options.acks, Terms::new(Arc::clone(&arena)));
    let progress = progress();
    let plagued = nemesis.plague(Duration::from_secs_f64(options.minutes * 60.0), |fault| {
        progress.set_message(fault.to_owned());
        progress.tick();
    });
    progress.finish_and_clear();
    arena.stop();
    let mut entries = Vec::new();
    for client in clients {
        entries.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?);
    }
    entries.sort_by_key(|entry| entry.operation.invoked_us);
    let mut broken: Vec<String> =
        plagued.err().map(|error| format!("{error:#}")).into_iter().collect();
    broken.extend(nodes.deaths());
    nodes.clear_links();
    let (seen, epochs) = observer.end();
    tell_numbers(&entries, &nemesis, &arena, seen);
    let mut findings = vec![("epochs (P9)", epochs)];
    if broken.is_empty() {
        let last = agree(&nodes, &mut broken);
        let archived = archive::read(&nodes)?;
        let case = Case {
            entries: &entries,
            last: &last.unwrap_or_default(),
            ended_us: arena.now_us(),
            terms: &nemesis.terms.list,
            lossy,
            archived: &archived,
        };
        if broken.is_empty() {
            findings.extend(judge::judge(&case));
        }
        let stopped = (0..nodes.count()).map(|node| nodes.stop(node));
        broken.extend(stopped.filter_map(Result::err).map(|error| format!("{error:#}")));
    }
    if let (false, Some(lost)) = (lossy, arena.errors().get("LOSTBRANCH")) {
        let first = lost.first.join("\n    ");
        broken.push(format!(
            "a branch is lost, where nothing may be lost, {} times:\n    {first}",
            lost.count
        ));
    }
    Ok(Outcome { entries, findings, broken })
}

/// Node 0 leads, the others join it over their links; clients come when all have caught up.
fn start(nodes: &Nodes) -> Result<()> {
    nodes.start(0, None)?;
    let answers = |node| move || nodes.ask(node, &["PING"]).map(|_| Some(()));
    nodes.wait_until("the first node answers", Duration::from_secs(20), answers(0))?;
    for node in 1..nodes.count() {
        nodes.start(node, Some(0))?;
    }
    for node in 1..nodes.count() {
        nodes.wait_until("a follower answers", Duration::from_secs(20), answers(node))?;
    }
    contents::converge(nodes)
}

/// Waits until all nodes hold the same, and returns it.
fn agree(nodes: &Nodes, broken: &mut Vec<String>) -> Option<contents::Contents> {
    let leader = nodes.leader();
    let read = |node| contents::read(nodes, node);
    let ours = match contents::converge(nodes).and_then(|()| read(leader)) {
        Ok(ours) => ours,
        Err(error) => {
            broken.push(format!("the nodes do not agree: {error:#}"));
            return None;
        }
    };
    for follower in nodes.followers() {
        match read(follower) {
            Ok(theirs) => {
                let differences = contents::differences(&ours, &theirs);
                if !differences.is_empty() {
                    let few =
                        differences.iter().take(10).cloned().collect::<Vec<_>>().join("\n    ");
                    let count = differences.len();
                    broken.push(format!(
                        "the leader, node {leader}, and node {follower} differ in {count} keys:\n    {few}"
                    ));
                }
            }
            Err(error) => broken.push(format!("node {follower} can't be read: {error:#}")),
        }
    }
    println!("{} keys in the end, on each of {} nodes", ours.len(), nodes.count());
    Some(ours)
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// What happened.
fn tell_numbers(
    entries: &[Entry],
    nemesis: &Nemesis,
    arena: &Arena,
    (states, epochs): (usize, usize),
) {
    let answered = entries.iter().filter(|entry| entry.operation.reply().is_some()).count();
    let refused = entries.iter().filter(|e| e.operation.end == trefoil_check::End::Refused).count();
    println!(
        "{} operations: {answered} answered, {refused} refused, {} unknown",
        entries.len(),
        entries.len() - answered - refused
    );
    let mut faults = table(["fault", "times"]);
    for (fault, times) in &nemesis.faults {
        faults.add_row([fault.name().to_owned(), times.to_string()]);
    }
    println!("{faults}");
    println!("{states} distinct states of the cluster and {epochs} epochs were seen");
    let errors: Vec<String> =
        arena.errors().iter().map(|(word, errors)| format!("{word} {}", errors.count)).collect();
    println!(
        "error replies: {}",
        if errors.is_empty() { "none".into() } else { errors.join(", ") }
    );
}

fn report(findings: &[(&'static str, Findings)]) {
    let mut rows = table(["check", "histories", "operations", "result"]);
    for (name, found) in findings {
        let result = match (found.violations.len(), found.undecided.len()) {
            (0, 0) => "kept".to_owned(),
            (0, undecided) => format!("{undecided} UNDECIDED"),
            (broken, _) => format!("{broken} BROKEN"),
        };
        rows.add_row([
            (*name).to_owned(),
            found.histories.to_string(),
            found.operations.to_string(),
            result,
        ]);
    }
    println!("{rows}");
}
