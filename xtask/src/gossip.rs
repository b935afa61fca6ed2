//! `cargo xtask gossip`: how fast gossip is, measured on simulated clusters of 3 to 1,000 nodes.
//!
//! Nothing here takes real time into account: one seed makes one page, on any machine. A curve up to 300
//! nodes or more rewrites docs/gossip.md and docs/gossip-rounds.svg, a shorter one is only printed.

mod page;
mod plot;
mod theory;

use std::num::NonZeroUsize;
use std::sync::Mutex;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use trefoil_cluster::gossip::Options as Times;
use trefoil_cluster::gossip::rehearsal::{Measured, measure};

use crate::terminal::{heading, table};
use crate::workspace;

/// Options of `cargo xtask gossip`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The largest cluster; 1,000 nodes take most of an hour, and the page is rewritten from 300 on
    #[arg(long, default_value_t = 1_000)]
    nodes_max: usize,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Nodes, runs, and how long each is watched while nothing happens.
const SIZES: [(usize, u64, u64); 6] = [
    (3, 40, 60_000),
    (10, 40, 60_000),
    (30, 20, 60_000),
    (100, 10, 60_000),
    (300, 4, 30_000),
    (1_000, 2, 10_000),
];

/// A shorter curve is not worth a page.
const PAGE_NODES_MIN: usize = 300;

/// Datagrams lost, of a thousand.
const LOSSES: [u64; 4] = [0, 10, 50, 200];

/// All runs of one size and loss.
pub(crate) struct Cell {
    nodes: usize,
    loss_per_mille: u64,
    runs: Vec<Measured>,
}

impl Cell {
    /// Mean and greatest of a time, in probe periods; None: a run did not get there.
    fn rounds(&self, time: impl Fn(&Measured) -> Option<u64>) -> Option<(f64, f64)> {
        let times: Option<Vec<f64>> =
            self.runs.iter().map(|run| Some(rounds(time(run)?))).collect();
        let times = times?;
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        Some((mean, times.iter().copied().fold(0.0, f64::max)))
    }

    fn mean(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        self.runs.iter().map(of).sum::<f64>() / self.runs.len() as f64
    }
}

/// Milliseconds as probe periods.
fn rounds(ms: u64) -> f64 {
    ms as f64 / Times::default().probe_period_ms as f64
}

/// Measures, prints, and writes the page.
pub(crate) fn run(options: &Options) -> Result<()> {
    heading("gossip in virtual time");
    let sizes: Vec<_> = SIZES.into_iter().filter(|size| size.0 <= options.nodes_max).collect();
    let mut cells = measure_all(&sizes, options.seed)?;
    cells.sort_by_key(|cell| (cell.nodes, cell.loss_per_mille));
    let mut shown = table(page::COLUMNS);
    for cell in &cells {
        shown.add_row(page::row(cell));
    }
    println!("{shown}");
    if options.nodes_max >= PAGE_NODES_MIN {
        let docs = workspace::root().join("docs");
        for (name, text) in [
            ("gossip.md", page::page(&cells, options.seed)),
            ("gossip-rounds.svg", plot::svg(&cells)),
        ] {
            let path = docs.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("wrote docs/{name}");
        }
    }
    Ok(())
}

/// Measures all, the largest first, on all cores.
fn measure_all(sizes: &[(usize, u64, u64)], seed: u64) -> Result<Vec<Cell>> {
    let mut jobs = Vec::new();
    for (cell, (size, loss)) in
        sizes.iter().flat_map(|size| LOSSES.map(|loss| (size, loss))).enumerate()
    {
        jobs.extend((0..size.1).map(|run| (cell, *size, loss, seed + run)));
    }
    let weight = |nodes: usize| (nodes * nodes) as u64;
    let progress = ProgressBar::new(jobs.iter().map(|job| weight(job.1.0)).sum());
    let style = "{wide_bar} {percent:>3}%  {elapsed} gone, {eta} to go  {msg}";
    progress.set_style(ProgressStyle::with_template(style)?);
    let cell = |(nodes, _, _): &(usize, u64, u64), loss_per_mille| Cell {
        nodes: *nodes,
        loss_per_mille,
        runs: Vec::new(),
    };
    let cells = sizes.iter().flat_map(|size| LOSSES.map(|loss| cell(size, loss)));
    let shared = Mutex::new((jobs, cells.collect::<Vec<Cell>>()));
    let work = || {
        while let Some((cell, (nodes, _, quiet_ms), loss, seed)) = take(&shared) {
            let measured = measure(nodes, loss, seed, quiet_ms);
            shared.lock().expect("no thread panics with it").1[cell].runs.push(measured);
            progress.inc(weight(nodes));
            progress.set_message(format!("{nodes} nodes"));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    progress.finish_and_clear();
    Ok(shared.into_inner().expect("no thread panics with it").1)
}

/// A cell, its size, its loss and a seed.
type Job = (usize, (usize, u64, u64), u64, u64);

fn take(shared: &Mutex<(Vec<Job>, Vec<Cell>)>) -> Option<Job> {
    shared.lock().expect("no thread panics with it").0.pop()
}
