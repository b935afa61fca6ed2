//! The result of a run as data: what `--json` prints and what the table is made from.
//!
//! Field names are part of the interface: scripts read them. Latencies are microseconds.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::Arrival;
use crate::cpu::{spent_ns, tick_ns};
use crate::plan::{Plan, Waiting};
use crate::run::Outcome;
use crate::stats::Stats;

/// Above this share of its core the client is what was measured.
const CLIENT_CPU_SHARE_HIGH: f64 = 0.9;

/// The result of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Settings as they were understood.
    pub config: ConfigReport,
    /// What `--preload` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload: Option<PreloadReport>,
    /// Requests measured and answered, errors included.
    pub requests: u64,
    /// From the start of measuring to the last reply.
    pub elapsed_seconds: f64,
    /// `requests` / `elapsed_seconds`.
    pub requests_per_second: f64,
    /// From sending, or in open loop from being due, to the reply.
    pub latency_us: Latency,
    /// Nulls in replies, at any depth: misses of GET and MGET, empty pops.
    pub misses: u64,
    /// Error replies.
    pub errors_total: u64,
    /// Error replies by message; at most 32 different ones, the rest together.
    pub errors: BTreeMap<String, u64>,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of replies.
    pub bytes_received: u64,
    /// What the load itself cost.
    pub client: ClientCost,
    /// What the server spent; with `--server-pid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerCost>,
    /// How well the schedule was kept; with `--rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_loop: Option<OpenLoopReport>,
    /// Ended early by Ctrl-C.
    pub interrupted: bool,
    /// What makes the figures doubtful, in sentences.
    pub warnings: Vec<String>,
    /// Why the run counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigReport {
    /// host:port.
    pub server: String,
    /// Protocol version.
    pub resp: u8,
    /// Database number.
    pub db: u32,
    /// Command templates with their weights.
    pub commands: String,
    /// Size of the key space.
    pub keys: u64,
    /// As `--distribution` takes it.
    pub distribution: String,
    /// As `--value-size` takes it.
    pub value_size: String,
    /// Connections over all threads.
    pub connections: u32,
    /// Client threads.
    pub threads: u32,
    /// Requests per batch.
    pub pipeline: u32,
    /// The command after each batch, which is not counted as a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing: Option<String>,
    /// It is sent once the batch is answered, not in the same write.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closing_apart: bool,
    /// Start of the random sequences.
    pub seed: u64,
    /// Unmeasured seconds at the start.
    pub warmup_s: f64,
    /// Seconds asked for, or none.
    pub seconds: Option<f64>,
    /// Requests asked for, or none.
    pub requests: Option<u64>,
    /// Whether a miss fails the run.
    pub expect_hits: bool,
}

/// What `--preload` did.
#[derive(Debug, Clone, Serialize)]
pub struct PreloadReport {
    /// Keys written, all of them confirmed.
    pub keys: u64,
    /// How long it took.
    pub seconds: f64,
    /// `keys` / `seconds`.
    pub keys_per_second: f64,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Smallest.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 of 100 were at most this.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p99_9: f64,
    /// 9999 of 10,000.
    pub p99_99: f64,
    /// Largest.
    pub max: f64,
    /// The whole curve, finer towards its end.
    pub percentiles: Vec<PercentilePoint>,
}

/// A point of the latency curve.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PercentilePoint {
    /// 0 to 100.
    pub percentile: f64,
    /// Latency in microseconds that so many percent did not exceed.
    pub us: f64,
    /// Requests up to here.
    pub requests: u64,
}

/// CPU of the load generator.
#[derive(Debug, Clone, Serialize)]
pub struct ClientCost {
    /// CPU time of all client threads while measuring.
    pub cpu_seconds: f64,
    /// The same per request.
    pub cpu_us_per_request: f64,
    /// The busiest thread's share of one core, 0 to 1.
    pub core_share_max: f64,
}

/// CPU and memory of the server process while measuring.
#[derive(Debug, Clone, Serialize)]
pub struct ServerCost {
    /// Process id.
    pub pid: u32,
    /// CPU time of all threads.
    pub cpu_seconds: f64,
    /// The same per request.
    pub cpu_us_per_request: f64,
    /// Cores in use on average.
    pub cores: f64,
    /// Live threads at the end.
    pub threads: usize,
    /// Resident memory when measuring began.
    pub rss_before_bytes: u64,
    /// Resident memory when it ended.
    pub rss_after_bytes: u64,
}

/// How well an open loop kept its schedule.
#[derive(Debug, Clone, Serialize)]
pub struct OpenLoopReport {
    /// Requests per second asked for.
    pub rate: f64,
    /// `poisson` or `constant`.
    pub arrival: &'static str,
    /// `sleep`, `spin` or `rest`.
    pub waiting: &'static str,
    /// The bound on requests under way per connection.
    pub outstanding_max: u32,
    /// How often all connections reached that bound.
    pub bound_hits: u64,
    /// Requests due before the end that could not be sent.
    pub unsent: u64,
    /// How late batches were sent. It is part of the latencies above.
    pub send_lag_us: SendLag,
}

/// Microseconds between being due and being sent.
#[derive(Debug, Clone, Serialize)]
pub struct SendLag {
    /// Median.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        preload: Option<PreloadReport>,
        outcome: Option<&Outcome>,
    ) -> Self {
        let empty = Stats::new();
        let stats = outcome.map_or(&empty, |outcome| &outcome.stats);
        let elapsed_seconds = outcome.map_or(0.0, |outcome| outcome.elapsed_ns as f64 / 1e9);
        let mut report = Self {
            config: plan.describe(),
            preload,
            requests: stats.completed,
            elapsed_seconds,
            requests_per_second: ratio(stats.completed as f64, elapsed_seconds),
            latency_us: latency(&stats.latency),
            misses: stats.tally.nulls,
            errors_total: stats.tally.errors.total(),
            errors: stats.tally.errors.iter().map(|(text, n)| (text.to_owned(), n)).collect(),
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            client: client_cost(stats),
            server: outcome.and_then(|outcome| server_cost(plan, outcome)),
            open_loop: open_loop(plan, stats),
            interrupted: outcome.is_some_and(|outcome| outcome.interrupted),
            warnings: Vec::new(),
            failure: None,
        };
        if outcome.is_some() {
            report.warnings = report.doubts();
            report.failure = report.verdict(plan.expect_hits);
        }
        report
    }

    /// Whether there is more to show than settings.
    pub(crate) fn has_figures(&self) -> bool {
        self.requests > 0
    }

    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let spins = self.open_loop.as_ref().is_some_and(|open| open.waiting == "spin");
        if self.client.core_share_max > CLIENT_CPU_SHARE_HIGH && !spins {
            doubts.push(format!(
                "a client thread used {:.0}% of its core: throughput and latency are the client's, quote only CPU per request, or add --threads on a machine with more cores",
                self.client.core_share_max * 100.0
            ));
        }
        if let Some(open) = &self.open_loop {
            if open.unsent > 0 {
                doubts.push(format!(
                    "{} requests were due and could not be sent in time: the server does not keep up with --rate, true latencies are higher",
                    open.unsent
                ));
            }
            let keeps_up = open.unsent == 0 && open.bound_hits == 0;
            if keeps_up && open.send_lag_us.p50 * 3.0 > self.latency_us.p50 {
                let advice = if spins { "add --threads" } else { "see --spin" };
                doubts.push(format!(
                    "requests were sent late by {:.0} us at the median, a large part of the latencies is the client's: {advice}",
                    open.send_lag_us.p50
                ));
            }
            if open.bound_hits > 0 {
                doubts.push(format!(
                    "all connections were full {} times ({} requests each): see --outstanding and --connections",
                    open.bound_hits, open.outstanding_max
                ));
            }
        }
        if self.errors_total > 0 {
            doubts.push(format!("{} replies were errors", self.errors_total));
        }
        doubts
    }

    fn verdict(&self, expect_hits: bool) -> Option<String> {
        if self.requests == 0 {
            return Some("no request was measured: the run was too short".into());
        }
        if self.errors_total >= self.requests {
            let first = self.errors.keys().next().map_or("", String::as_str);
            return Some(format!("every reply was an error: {first}"));
        }
        if expect_hits && self.misses > 0 {
            return Some(format!(
                "{} misses in {} requests, although --expect-hits is set: fill the key space with --preload and the same --keys",
                self.misses, self.requests
            ));
        }
        None
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |quantile| us(histogram.value_at_quantile(quantile));
    let curve = if histogram.is_empty() { None } else { Some(histogram.iter_quantiles(5)) };
    let mut requests = 0;
    let percentiles = curve.into_iter().flatten().map(|step| {
        requests += step.count_since_last_iteration();
        PercentilePoint {
            percentile: step.quantile_iterated_to() * 100.0,
            us: us(step.value_iterated_to()),
            requests,
        }
    });
    Latency {
        percentiles: percentiles.collect(),
        min: us(histogram.min()),
        mean: histogram.mean() / 1e3,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        p99_99: at(0.9999),
        max: us(histogram.max()),
    }
}

fn client_cost(stats: &Stats) -> ClientCost {
    ClientCost {
        cpu_seconds: stats.cpu_ns as f64 / 1e9,
        cpu_us_per_request: ratio(stats.cpu_ns as f64 / 1e3, stats.completed as f64),
        core_share_max: stats.cpu_share_max,
    }
}

fn server_cost(plan: &Plan, outcome: &Outcome) -> Option<ServerCost> {
    let (before, after) = outcome.server.as_ref()?;
    let cpu_ns = spent_ns(before, after, tick_ns()) as f64;
    Some(ServerCost {
        pid: plan.server_pid?,
        cpu_seconds: cpu_ns / 1e9,
        cpu_us_per_request: ratio(cpu_ns / 1e3, outcome.stats.completed as f64),
        cores: ratio(cpu_ns, outcome.elapsed_ns as f64),
        threads: after.thread_count(),
        rss_before_bytes: before.rss_bytes,
        rss_after_bytes: after.rss_bytes,
    })
}

fn open_loop(plan: &Plan, stats: &Stats) -> Option<OpenLoopReport> {
    let open = plan.load.open.as_ref()?;
    let at = |quantile| stats.send_lag.value_at_quantile(quantile) as f64 / 1e3;
    Some(OpenLoopReport {
        rate: open.rate,
        arrival: match open.arrival {
            Arrival::Poisson => "poisson",
            Arrival::Constant => "constant",
        },
        waiting: match open.waiting {
            Waiting::Sleep => "sleep",
            Waiting::Spin => "spin",
            Waiting::Rest(_) => "rest",
        },
        outstanding_max: open.outstanding_max,
        bound_hits: stats.bound_hits,
        unsent: stats.unsent,
        send_lag_us: SendLag {
            p50: at(0.5),
            p99: at(0.99),
            max: stats.send_lag.max() as f64 / 1e3,
        },
    })
}
