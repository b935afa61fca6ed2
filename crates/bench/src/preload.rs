//! Filling the key space before a measurement: each key once, in order, and proof that it worked.
//!
//! One connection, so that every server gets the keys in the same order.

use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::args::{Distribution, Ratio};
use crate::greeting;
use crate::plan::{Length, Load, Plan, Target};
use crate::report::PreloadReport;
use crate::run::drive;
use crate::workload::Mix;

/// Bytes and requests in one batch: large enough to be fast, small enough for any server's limits.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_REQUESTS: usize = 256;

/// Writes all keys and checks that the server holds them.
pub(crate) fn preload(plan: &Plan) -> anyhow::Result<PreloadReport> {
    let load = filling(&plan.load);
    let started = Instant::now();
    let outcome = drive("preload", &plan.target, &load, None)?;
    let seconds = started.elapsed().as_secs_f64();
    if outcome.interrupted {
        bail!("interrupted after {} of {} keys", outcome.stats.completed, load.keys);
    }
    if let Some((message, count)) = outcome.stats.tally.errors.iter().next() {
        bail!("{count} of {} writes of --preload failed: {message}", load.keys);
    }
    ensure!(outcome.stats.completed == load.keys, "every key is answered once");
    let held = key_count(&plan.target)?;
    ensure!(
        held >= load.keys,
        "after --preload the server holds {held} of {} keys: does it evict (maxmemory), or does somebody delete?",
        load.keys
    );
    Ok(PreloadReport { keys: load.keys, seconds, keys_per_second: load.keys as f64 / seconds })
}

fn filling(load: &Load) -> Load {
    let mix = Mix::ratio(Ratio { reads: 0, writes: 1 });
    let longest = mix.request_bytes_max(load.value_size).max(1);
    Load {
        mix,
        keys: load.keys,
        distribution: Distribution::Sequential,
        value_size: load.value_size,
        seed: load.seed,
        connections: 1,
        threads: 1,
        pipeline: (BATCH_BYTES / longest).clamp(1, BATCH_REQUESTS) as u32,
        closing: None,
        warmup_ns: 0,
        length: Length::Requests(load.keys),
        open: None,
        timeout: load.timeout,
    }
}

fn key_count(target: &Target) -> anyhow::Result<u64> {
    let mut stream = greeting::open(target)?;
    let reply =
        greeting::ask(&mut stream, &["DBSIZE"]).context("cannot count the keys after --preload")?;
    let text = String::from_utf8_lossy(&reply);
    text.strip_prefix(':')
        .and_then(|number| number.trim_end().parse().ok())
        .with_context(|| format!("DBSIZE answered {text:?} instead of a number"))
}
