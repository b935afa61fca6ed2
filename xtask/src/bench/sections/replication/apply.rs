//! How fast a follower applies, and how old what it shows is.
//!
//! Two cores are not enough for a leader, a load generator and a follower that each run at full speed.
//! So the question whether a follower applies as fast as a leader can write is asked twice: each alone
//! on its core, one after the other; and together, where the follower shares the generator's core.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::lag_probe::{lags_of_clients, percentile};
use super::pair::Pair;
use crate::bench::figures::Figures;
use crate::bench::load::{self, ClientCore, Load, Under};
use crate::bench::process::Signal;
use crate::bench::sections::{EVERY_SECOND, Plan, Section};
use crate::bench::servers::Server;

const SECTION: Section = Section::Apply;

/// Requests on the way per connection at the leader's maximum.
const PIPELINE: u32 = 64;

/// Longest load while the follower stands still: what it misses has to stay within what leaders keep.
const STILL_SECONDS_MAX: f64 = 2.0;

/// How often both are asked how far they are.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// The share of its own maximum at which lag is measured.
const RATE_SHARE: f64 = 0.5;

/// Applying and lag.
pub(in crate::bench::sections) fn apply(
    plan: &Plan,
    server: Server,
    into: &mut Figures,
) -> Result<()> {
    let pair = Pair::filled(plan, server, EVERY_SECOND, plan.scale.keys)?;
    each_alone(plan, server, &pair, into)?;
    together(plan, server, &pair, into)?;
    at_half_load(plan, server, &pair, into)?;
    pair.stop()
}

/// The leader writes while the follower stands still; then the follower applies what it missed.
fn each_alone(plan: &Plan, server: Server, pair: &Pair, into: &mut Figures) -> Result<()> {
    let seconds = plan.scale.seconds.min(STILL_SECONDS_MAX);
    let load = Load { warmup_seconds: 0.0, ..Load::sets(PIPELINE, plan.scale.keys, seconds) };
    pair.tell_follower(Signal::Stop)?;
    let written = load::run(&pair.leader, &load);
    let began = Instant::now();
    pair.tell_follower(Signal::Continue)?;
    pair.await_caught_up()?;
    let took = began.elapsed().as_secs_f64();
    let written = written?;
    let (rate, share) = (written.requests_per_second, written.client_share);
    into.add_throughput(SECTION, "written, the follower stands still", server, rate, share);
    let applied = written.requests / took;
    into.add(SECTION, "applied, the leader is idle", "records/s", server, applied);
    into.add(SECTION, "applied over written, each alone", "x", server, applied / rate);
    Ok(())
}

/// How far both were at one moment, in the server's own measure.
#[derive(Clone, Copy)]
struct Sample {
    written: f64,
    applied: f64,
}

impl Sample {
    fn lag(self) -> f64 {
        (self.written - self.applied).max(0.0)
    }
}

/// The leader writes as fast as it can, and the follower applies meanwhile.
fn together(plan: &Plan, server: Server, pair: &Pair, into: &mut Figures) -> Result<()> {
    let load =
        Load { warmup_seconds: 0.0, ..Load::sets(PIPELINE, plan.scale.keys, plan.scale.seconds) };
    let begin = pair.written(&mut pair.leader.connect()?)?;
    let mut under = load::start(&pair.leader, &load)?;
    let samples = sampled(pair, &mut under)?;
    let ended = Instant::now();
    pair.await_caught_up()?;
    let until_zero = ended.elapsed();
    let measured = under.measured()?;
    let end = pair.written(&mut pair.leader.connect()?)?;
    // Bytes in Valkey's case: all figures are shown as records.
    let per_record = (end - begin) / measured.requests;
    let lags: Vec<f64> = samples.iter().map(|sample| sample.lag() / per_record).collect();
    let (rate, share) = (measured.requests_per_second, measured.client_share);
    into.add_throughput(SECTION, "written, both at work", server, rate, share);
    into.add(
        SECTION,
        "greatest lag under full load",
        "records",
        server,
        lags.iter().copied().fold(0.0, f64::max),
    );
    into.add(
        SECTION,
        "lag when the full load ends",
        "records",
        server,
        lags.last().copied().unwrap_or(0.0),
    );
    into.add(SECTION, "until the lag is zero", "ms", server, until_zero.as_secs_f64() * 1e3);
    let growth = growth_percent(&lags, measured.requests).context("the load was too short")?;
    into.add(SECTION, "growth of the lag under full load", "%", server, growth);
    Ok(())
}

/// Asks both until the load ends: the follower first, so that the lag is never shown too small.
fn sampled(pair: &Pair, under: &mut Under) -> Result<Vec<Sample>> {
    let (mut leader, mut follower) = (pair.leader.connect()?, pair.follower.connect()?);
    let mut samples = Vec::new();
    while !under.has_ended()? {
        let applied = pair.applied(&mut follower)?;
        samples.push(Sample { applied, written: pair.written(&mut leader)? });
        std::thread::sleep(SAMPLE_EVERY);
    }
    Ok(samples)
}

/// By how much the lag in the last third of a load is above that in the first third, on average, in
/// percent of what was written in between: 100 for a follower that does nothing.
fn growth_percent(lags: &[f64], written: f64) -> Option<f64> {
    let third = lags.len() / 3;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let grown = mean(&lags[lags.len() - third..]) - mean(&lags[..third]);
    // From the middle of the first third to the middle of the last.
    (third > 0).then(|| (100.0 * grown / (written * 2.0 / 3.0)).max(0.0))
}

/// Lag at half the leader's maximum: what clients see, then what the server tells.
fn at_half_load(plan: &Plan, server: Server, pair: &Pair, into: &mut Figures) -> Result<()> {
    let (keys, seconds) = (plan.scale.keys, plan.scale.seconds);
    let most = load::run(&pair.leader, &Load::sets(1, keys, seconds))?;
    pair.await_caught_up()?;
    let rate = (most.requests_per_second * RATE_SHARE).round();
    let half = Load {
        rate: Some(rate),
        core: ClientCore::SharedWithPrecedence,
        ..Load::sets(1, keys, 3.0 * seconds + 2.0)
    };
    let mut under = load::start(&pair.leader, &half)?;
    std::thread::sleep(Duration::from_secs_f64(half.warmup_seconds));
    let seen = lags_of_clients(pair, server, 3.0 * seconds)?;
    let told = lags_of_server(pair, server, &mut under)?;
    under.measured()?;
    into.add(SECTION, "writes at half load", "requests/s", server, rate);
    for (percent, name) in [(50.0, "p50"), (99.0, "p99")] {
        let name = |who| format!("lag that {who} at half load, {name}");
        into.add(SECTION, &name("clients see"), "ms", server, percentile(&seen, percent)?);
        if server == Server::Trefoil {
            into.add(SECTION, &name("the server tells"), "ms", server, percentile(&told, percent)?);
        }
    }
    Ok(())
}

/// `lag-ms` of the follower's row in REPLICATION LAG until the load ends, sorted.
fn lags_of_server(pair: &Pair, server: Server, under: &mut Under) -> Result<Vec<f64>> {
    let mut lags = Vec::new();
    let mut leader = pair.leader.connect()?;
    while !under.has_ended()? {
        if server == Server::Trefoil {
            let text = leader.call(&["REPLICATION", "LAG"])?;
            let mut words = text.lines().skip_while(|line| *line != "lag-ms");
            let millis = words.nth(1).and_then(|word| word.parse().ok());
            lags.push(millis.context("a follower that is attached has a lag")?);
        }
        std::thread::sleep(SAMPLE_EVERY);
    }
    lags.sort_by(f64::total_cmp);
    Ok(lags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_that_does_nothing_grows_by_all_that_is_written() {
        let lags: Vec<f64> = (0..=900).map(f64::from).collect();
        let growth = growth_percent(&lags, 900.0).expect("enough samples");
        assert!((growth - 100.0).abs() < 1.0, "{growth}");
    }

    #[test]
    fn a_lag_that_goes_up_and_down_does_not_grow() {
        let lags: Vec<f64> = (0..900).map(|n| f64::from(n % 10)).collect();
        assert_eq!(growth_percent(&lags, 1e6), Some(0.0));
        assert_eq!(growth_percent(&[1.0, 2.0], 1e6), None);
    }
}
