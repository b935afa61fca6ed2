//! `cargo xtask failover`: takes the leader away from a real cluster, again and again, and measures how
//! long clients cannot write. Every acknowledged write is looked for afterwards.
//!
//! It knows nothing of how a new leader is found: it asks nodes for their role and reads the clients'
//! books. What chaos proves under many faults at once is measured here under one.

mod archive;
mod audit;
mod cluster;
mod faults;
mod figures;
pub(crate) mod ledger;
mod load;
mod patience;
mod report;
mod rounds;
mod views;
mod watch;

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::chaos::Acks;
use crate::hosts::Hosts;
use crate::terminal::{heading, warn};
use crate::workspace;
pub(crate) use audit::Audit;
pub(crate) use cluster::{Cluster, Recipe};
use faults::{Demand, Fault};
pub(crate) use load::{Habits, Load};
pub(crate) use patience::{heed_signals, rest, wait_until};
use rounds::{Round, Rules};
pub(crate) use rounds::{WHOLE_PATIENCE, to_ms, wait_until_whole};
pub(crate) use views::whole;
pub(crate) use watch::{Change, SILENT, Watch, check as check_epochs, leaders};

/// Faults of the leader are so far apart by default, seconds: a leadership that changes more than three
/// times a minute is held back, which is not what is measured here.
const APART_SECONDS: f64 = 21.0;
/// A client that tries again gives a write up after so long.
const RETRY_FOR: Duration = Duration::from_secs(10);
/// The first start of a cluster may take so long.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Options of `cargo xtask failover`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What happens to the leader
    #[arg(long, value_name = "FAULT", value_enum, default_value = "kill")]
    fault: Fault,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 200)]
    rounds: usize,
    /// Size of the cluster
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: u8,
    /// When a write is acknowledged: async, semi-sync:K or sync
    #[arg(long, value_name = "MODE", default_value = "semi-sync:1")]
    acks: Acks,
    /// Draws the moments; without it a new one is chosen and printed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads that write, spread over all nodes
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,
    /// Writes per second of each of them
    #[arg(long, value_name = "N", default_value_t = 250)]
    rate: u32,
    /// Clients wait so long for an answer
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    client_timeout: u64,
    /// How long a pause or a cut lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    hold: f64,
    /// From one fault to the next at least; clients rest meanwhile [default: 21 if it
    /// takes the leader away, else 0]
    #[arg(long, value_name = "SECONDS")]
    apart: Option<f64>,
    /// Promote by REPLICAOF, as a person with a script does: the figure to compare with
    #[arg(long)]
    by_hand: bool,
    /// The executable to test, instead of one that is built now
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// More parameters for each node, as for `trefoil server`
    #[arg(last = true, value_name = "--NAME VALUE")]
    parameters: Vec<String>,
}

impl Options {
    fn apart(&self) -> Duration {
        let is_held_back = self.fault.demand() == Demand::AnotherLeader && !self.by_hand;
        let default = if is_held_back { APART_SECONDS } else { 0.0 };
        Duration::from_secs_f64(self.apart.unwrap_or(default))
    }

    fn habits(&self) -> Habits {
        let retry_for = match self.fault {
            Fault::Restart => RETRY_FOR,
            _ => Duration::ZERO,
        };
        Habits {
            reach: Habits::spread(self.clients, usize::from(self.nodes)),
            rate: self.rate,
            patience: Duration::from_millis(self.client_timeout),
            retry_for,
        }
    }
}

/// Runs all rounds.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.by_hand {
        rounds::check_by_hand(options.fault)?;
    }
    heed_signals()?;
    let seed = options.seed.unwrap_or_else(rand::random);
    let binary = binary(options.binary.as_deref())?;
    let Options { rounds, nodes, acks, fault, .. } = options;
    heading(&format!(
        "failover: {rounds} x {}, {nodes} nodes, acks {acks}, seed {seed}",
        fault.name()
    ));
    let folder = workspace::root().join("target/failover");
    let dir = folder.join(seed.to_string());
    let parameters = options.parameters.clone();
    let recipe = Recipe { binary, acks: acks.to_string(), parameters };
    let nodes = usize::from(*nodes);
    let mut cluster = match fault.needs_hosts() {
        true => Cluster::on_hosts(recipe, &dir, Hosts::build(nodes)?, &vec![None; nodes])?,
        false => Cluster::on_this_host(recipe, &dir, nodes)?,
    };
    let outcome = measure(&mut cluster, options, seed, &folder);
    drop(cluster);
    let wrong = outcome.with_context(|| format!("the nodes' folders are in {}", dir.display()))?;
    if wrong.is_empty() {
        println!("nothing was lost and every target was met; seed {seed}");
        return Ok(std::fs::remove_dir_all(&dir)?);
    }
    wrong.iter().for_each(|text| warn(text));
    bail!("{} things are wrong; nodes: {}, seed {seed}", wrong.len(), dir.display());
}

/// The given executable, or one that is built now.
pub(crate) fn binary(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(binary) = given {
        return std::path::absolute(binary).context("the executable has no path");
    }
    workspace::run(&mut workspace::cargo(&["build", "--release", "-p", "trefoil-server"]))?;
    Ok(workspace::root().join("target/release/trefoil"))
}

/// Node 0 founds the cluster, the others join; returns when it is whole.
pub(crate) fn found(cluster: &mut Cluster) -> Result<()> {
    cluster.start(0, None)?;
    let first = cluster.address(0);
    let answers = || views::view(first).map(Some);
    let answered = wait_until("the first node answers", START_PATIENCE, answers);
    cluster.check_alive()?;
    answered?;
    for node in 1..cluster.count() {
        cluster.start(node, Some(0))?;
    }
    wait_until_whole(cluster).map(drop)
}

/// All rounds, figures and checks; returns what is wrong.
fn measure(
    cluster: &mut Cluster,
    options: &Options,
    seed: u64,
    folder: &Path,
) -> Result<Vec<String>> {
    found(cluster)?;
    let addresses = cluster.addresses();
    let load = Load::start(addresses.clone(), options.habits())?;
    let watch = Watch::start(&addresses, load.start_instant())?;
    let mut audit = Audit::new(options.acks, load.clients());
    let mut rounds = Vec::new();
    let played = play_all(cluster, &load, options, seed, &mut audit, &mut rounds);
    load.rest();
    let changes = watch.end();
    save(&folder.join(format!("{seed}.jsonl")), &rounds)?;
    report::print_figures(options.fault, &rounds);
    let mut wrong: Vec<String> =
        played.err().map(|error| format!("{error:#}")).into_iter().collect();
    if wrong.is_empty() {
        let (leader, _) = wait_until_whole(cluster)?;
        audit.finish(&addresses, leader, &load.outcomes())?;
    }
    report::print_account(&load.outcomes(), &load.errors(), &audit);
    wrong.extend(audit.complaints());
    let epochs = check_epochs(&changes);
    println!("{} epochs were seen", leaders(&changes).len());
    if !epochs.holds() {
        wrong.push(epochs.to_string());
    }
    if !options.by_hand {
        wrong.extend(report::missed(options.fault, &rounds));
    }
    Ok(wrong)
}

fn play_all(
    cluster: &mut Cluster,
    load: &Load,
    options: &Options,
    seed: u64,
    audit: &mut Audit,
    rounds: &mut Vec<Round>,
) -> Result<()> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let hold = Duration::from_secs_f64(options.hold);
    let rules = Rules { fault: options.fault, hold, by_hand: options.by_hand };
    let progress = progress(options.rounds);
    for number in 1..=options.rounds {
        let begun = Instant::now();
        let round = rounds::play(cluster, load, &rules, &mut rng)
            .with_context(|| format!("round {number}"))?;
        audit.advance(&cluster.addresses(), round.leader, &load.outcomes())?;
        let line = line(options.fault, &round, audit);
        rounds.push(round);
        if std::io::stdout().is_terminal() {
            progress.set_message(line);
            progress.inc(1);
        } else {
            println!("round {number}/{}: {line}", options.rounds);
        }
        if number < options.rounds {
            rest(options.apart().saturating_sub(begun.elapsed()))?;
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// A round in a line.
fn line(fault: Fault, round: &Round, audit: &Audit) -> String {
    let Round { victim, leader, epoch, longest_ms, whole_ms, acked, .. } = round;
    let ms = |ms: Option<f64>| ms.map_or("never".to_owned(), |ms| format!("{ms:.0} ms"));
    let times = match fault.demand() {
        Demand::AnotherLeader => {
            format!("first {}, all {}, ", ms(round.first_ms), ms(round.all_ms))
        }
        Demand::NoFailure | Demand::NoNotice => String::new(),
    };
    let failed = round.refused + round.unknown;
    let lost = audit.lost();
    format!(
        "node {victim}, then {leader} leads in epoch {epoch}: {times}longest {longest_ms:.0} ms, \
         whole {whole_ms:.0} ms, {acked} acked, {failed} failed, {lost} lost so far"
    )
}

fn save(path: &Path, rounds: &[Round]) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    for round in rounds {
        serde_json::to_writer(&mut out, round)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

fn progress(rounds: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(rounds).unwrap_or(0));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
