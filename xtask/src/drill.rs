//! `cargo xtask drill`: two regions lose sight of each other for 43 seconds while clients write on both
//! sides; then the network heals, and every write is accounted for.
//!
//! It is the course of GitHub's incident of October 2018: there a new leader came up across the country
//! while the old one held writes that nobody else had, and it took a day to tell who had what. Here the
//! report at the end is the tale: what each side took and refused, who led when, what was cut off and
//! archived, and how soon all was well.

mod regions;
mod report;
mod tale;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::chaos::Acks;
use crate::failover::{
    Audit, Cluster, Habits, Load, Recipe, WHOLE_PATIENCE, Watch, binary, found, heed_signals, rest,
    wait_until, wait_until_whole, whole,
};
use crate::hosts::{Hosts, between};
use crate::terminal::{heading, warn};
use crate::workspace;
use regions::{LeaderSide, Regions};
use tale::{Phases, Tale};

/// Clients write so long before the cut and after everything is well again.
const LEAD: Duration = Duration::from_secs(3);
/// What was under way when clients are told to rest has ended after so long.
const LEAD_OUT: Duration = Duration::from_millis(1_500);

/// Options of `cargo xtask drill`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long the regions do not see each other
    #[arg(long, value_name = "S", default_value_t = 43.0)]
    seconds: f64,
    /// Size of the cluster: one region has one node more than the other
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=9))]
    nodes: u8,
    /// In which region the first leader is, east: with most nodes, or with fewer
    #[arg(long, value_name = "SIDE", value_enum, default_value = "minority")]
    leader: LeaderSide,
    /// When a write is acknowledged: async, semi-sync:K or sync
    #[arg(long, value_name = "MODE", default_value = "semi-sync:1")]
    acks: Acks,
    /// Threads that write, half of them in each region
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,
    /// Writes per second of each of them
    #[arg(long, value_name = "N", default_value_t = 100)]
    rate: u32,
    /// Clients wait so long for an answer
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    client_timeout: u64,
    /// What reaches the western hosts is so much later, all the time
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u32,
    /// The executable to test, instead of one that is built now
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// More parameters for each node, as for `trefoil server`
    #[arg(last = true, value_name = "--NAME VALUE")]
    parameters: Vec<String>,
}

/// Runs the drill once.
pub(crate) fn run(options: &Options) -> Result<()> {
    heed_signals()?;
    let count = usize::from(options.nodes);
    if count.is_multiple_of(2) {
        bail!("--nodes {count}: it takes an odd number, so that one region has more");
    }
    let regions = Regions::new(count, options.leader);
    let binary = binary(options.binary.as_deref())?;
    heading(&format!("drill: {regions}, {} s apart, acks {}", options.seconds, options.acks));
    let dir = workspace::root().join("target/drill");
    let parameters = options.parameters.clone();
    let recipe = Recipe { binary, acks: options.acks.to_string(), parameters };
    let hosts = Hosts::build(count)?;
    if options.delay > 0 {
        regions.west().iter().try_for_each(|host| hosts.delay(*host, options.delay))?;
    }
    let mut cluster = Cluster::on_hosts(recipe, &dir, hosts, &regions.labels())?;
    let outcome = play(&mut cluster, &regions, options);
    drop(cluster);
    let wrong = outcome.with_context(|| format!("the nodes' folders are in {}", dir.display()))?;
    if wrong.is_empty() {
        println!("every write is accounted for");
        return Ok(std::fs::remove_dir_all(&dir)?);
    }
    wrong.iter().for_each(|text| warn(text));
    bail!("{} things are wrong; nodes: {}", wrong.len(), dir.display());
}

/// Cuts, heals, reports; returns what is wrong.
fn play(cluster: &mut Cluster, regions: &Regions, options: &Options) -> Result<Vec<String>> {
    found(cluster)?;
    let addresses = cluster.addresses();
    let habits = Habits {
        reach: regions.reach(options.clients),
        rate: options.rate,
        patience: Duration::from_millis(options.client_timeout),
        retry_for: Duration::ZERO,
    };
    let load = Load::start(addresses.clone(), habits)?;
    let watch = Watch::start(&addresses, load.start_instant())?;
    load.go();
    rest(LEAD)?;
    let phases = part_and_heal(cluster, regions, &load, options.seconds)?;
    rest(LEAD)?;
    load.rest();
    rest(LEAD_OUT)?;
    let (leader, _) = wait_until_whole(cluster)?;
    let changes = watch.end();
    let mut audit = Audit::new(options.acks, load.clients());
    audit.finish(&addresses, leader, &load.outcomes())?;
    let samples = load.samples();
    let tale = Tale { regions, phases, samples: &samples, changes: &changes, audit: &audit };
    report::print(&tale, &load.errors());
    Ok(report::wrong(&tale))
}

/// The cut and the way back. An outage that does not end is told by the report.
fn part_and_heal(
    cluster: &mut Cluster,
    regions: &Regions,
    load: &Load,
    seconds: f64,
) -> Result<Phases> {
    let cut_us = load.now_us();
    cluster.hosts()?.cut(between(regions.east(), regions.west()))?;
    println!("the regions are cut off from each other");
    rest(Duration::from_secs_f64(seconds))?;
    let healed_us = load.now_us();
    cluster.hosts()?.heal()?;
    println!("the network is healed");
    let addresses = cluster.addresses();
    let mut whole_us = None;
    let normal = wait_until("all is well again", WHOLE_PATIENCE, || {
        if whole_us.is_none() && whole(&addresses)?.is_some() {
            whole_us = Some(load.now_us());
        }
        let writing_us = tale::all_write_us(&load.samples(), healed_us, load.clients());
        Ok(whole_us.zip(writing_us))
    });
    cluster.check_alive()?;
    let (whole_us, writing_us) = normal?;
    Ok(Phases { cut_us, healed_us, whole_us, writing_us })
}
