//! The checked form of the arguments: whoever holds a [`Plan`] need not check anything again.

use std::time::Duration;

use anyhow::{bail, ensure};

use crate::args::{Arrival, BenchArgs, Distribution, Ratio, ValueSize};
use crate::report::ConfigReport;
use crate::workload::Mix;

/// The longest batch that is encoded at once, in bytes.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// The longest warm-up, measurement or timeout, in seconds: a week.
const SECONDS_MAX: f64 = 604_800.0;

/// Where the server is and how to log in.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: u32,
    /// 2 or 3.
    pub(crate) resp: u8,
}

impl Target {
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Requests over connections for some time.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) mix: Mix,
    pub(crate) keys: u64,
    pub(crate) distribution: Distribution,
    pub(crate) value_size: ValueSize,
    pub(crate) seed: u64,
    /// At least `threads`.
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// At least 1.
    pub(crate) pipeline: u32,
    /// A command that closes each batch; none in open loop.
    pub(crate) closing: Option<Closing>,
    pub(crate) warmup_ns: u64,
    pub(crate) length: Length,
    pub(crate) open: Option<OpenLoop>,
    pub(crate) timeout: Duration,
}

/// A command behind each batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closing {
    pub(crate) words: Vec<String>,
    pub(crate) when: ClosingTime,
}

/// When a closing command is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClosingTime {
    /// With its batch, in one write.
    AtOnce,
    /// When the batch is answered.
    Answered,
}

/// When a measurement ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Requests(u64),
    Nanoseconds(u64),
}

/// The settings of an open loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenLoop {
    /// Requests per second over all threads, above 0.
    pub(crate) rate: f64,
    pub(crate) arrival: Arrival,
    /// Requests that may wait on one connection, at least the pipeline.
    pub(crate) outstanding_max: u32,
    pub(crate) waiting: Waiting,
}

/// How an open loop passes the time until a request is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Sleeps on a timer; the kernel may wake it tens of microseconds late.
    Sleep,
    /// Looks at the clock again and again.
    Spin,
    /// Sleeps for this long between two looks, whatever happens.
    Rest(Duration),
}

/// Everything a run needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) load: Load,
    pub(crate) preload: bool,
    pub(crate) preload_only: bool,
    pub(crate) expect_hits: bool,
    pub(crate) server_pid: Option<u32>,
}

impl Plan {
    pub(crate) fn from_args(args: &BenchArgs) -> anyhow::Result<Self> {
        let load = load(args)?;
        let longest = load.mix.request_bytes_max(load.value_size);
        ensure!(
            longest.saturating_mul(load.pipeline as usize) <= BATCH_BYTES_MAX,
            "{} requests of up to {longest} bytes in one batch are more than {BATCH_BYTES_MAX} bytes: lower --pipeline or --value-size",
            load.pipeline
        );
        Ok(Self {
            target: Target {
                host: args.host.clone(),
                port: args.port,
                user: args.user.clone(),
                password: args.password.clone(),
                db: args.db,
                resp: args.resp,
            },
            load,
            preload: args.preload,
            preload_only: args.preload_only,
            expect_hits: args.expect_hits,
            server_pid: args.server_pid,
        })
    }

    /// What the report says about the settings; never the password.
    pub(crate) fn describe(&self) -> ConfigReport {
        let load = &self.load;
        ConfigReport {
            server: self.target.address(),
            resp: self.target.resp,
            db: self.target.db,
            commands: load.mix.describe(),
            keys: load.keys,
            distribution: load.distribution.to_string(),
            value_size: load.value_size.to_string(),
            connections: load.connections,
            threads: load.threads,
            pipeline: load.pipeline,
            closing: load.closing.as_ref().map(|closing| closing.words.join(" ")),
            closing_apart: load
                .closing
                .as_ref()
                .is_some_and(|closing| closing.when == ClosingTime::Answered),
            seed: load.seed,
            warmup_s: load.warmup_ns as f64 / 1e9,
            seconds: match load.length {
                Length::Nanoseconds(ns) => Some(ns as f64 / 1e9),
                Length::Requests(_) => None,
            },
            requests: match load.length {
                Length::Requests(requests) => Some(requests),
                Length::Nanoseconds(_) => None,
            },
            expect_hits: self.expect_hits,
        }
    }
}

fn load(args: &BenchArgs) -> anyhow::Result<Load> {
    ensure!(
        args.threads <= args.connections,
        "{} threads cannot share {} connections: lower --threads or raise --connections",
        args.threads,
        args.connections
    );
    Ok(Load {
        mix: mix(args)?,
        keys: args.keys,
        distribution: args.distribution,
        value_size: args.value_size,
        seed: args.seed,
        connections: args.connections,
        threads: args.threads,
        pipeline: args.pipeline,
        closing: closing(args)?,
        warmup_ns: nanoseconds("--warmup", args.warmup)?,
        length: length(args)?,
        open: open_loop(args)?,
        timeout: Duration::from_nanos(nanoseconds("--timeout", args.timeout)?.max(1_000_000)),
    })
}

fn mix(args: &BenchArgs) -> anyhow::Result<Mix> {
    if !args.template.is_empty() {
        return Ok(Mix::single(args.template.clone()));
    }
    match (&args.command, args.ratio) {
        (Some(command), _) => Mix::parse(command),
        (None, ratio) => Ok(Mix::ratio(ratio.unwrap_or(Ratio { reads: 9, writes: 1 }))),
    }
}

fn closing(args: &BenchArgs) -> anyhow::Result<Option<Closing>> {
    let Some(text) = &args.then else { return Ok(None) };
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    ensure!(!words.is_empty(), "--then needs a command, as in --then \"WAIT 1 0\"");
    let when = if args.then_apart { ClosingTime::Answered } else { ClosingTime::AtOnce };
    Ok(Some(Closing { words, when }))
}

fn length(args: &BenchArgs) -> anyhow::Result<Length> {
    if let Some(requests) = args.requests {
        ensure!(requests > 0, "--requests must be at least 1");
        return Ok(Length::Requests(requests));
    }
    let ns = nanoseconds("--seconds", args.seconds.unwrap_or(10.0))?;
    ensure!(ns > 0, "--seconds must be above 0");
    Ok(Length::Nanoseconds(ns))
}

fn open_loop(args: &BenchArgs) -> anyhow::Result<Option<OpenLoop>> {
    let Some(rate) = args.rate else { return Ok(None) };
    if !(rate > 0.0 && rate <= 1e9) {
        bail!("--rate must be above 0 and at most 1e9 requests per second");
    }
    ensure!(
        args.pipeline <= args.outstanding,
        "a batch of {} requests never fits --outstanding {}",
        args.pipeline,
        args.outstanding
    );
    Ok(Some(OpenLoop {
        rate,
        arrival: args.arrival,
        outstanding_max: args.outstanding,
        waiting: match args.rest {
            _ if args.spin => Waiting::Spin,
            Some(micros) => Waiting::Rest(Duration::from_micros(micros.into())),
            None => Waiting::Sleep,
        },
    }))
}

fn nanoseconds(flag: &str, seconds: f64) -> anyhow::Result<u64> {
    ensure!(
        (0.0..=SECONDS_MAX).contains(&seconds),
        "{flag} must be between 0 and {SECONDS_MAX} seconds"
    );
    Ok((seconds * 1e9) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn plan(words: &[&str]) -> anyhow::Result<Plan> {
        let words = ["bench"].iter().chain(words);
        Plan::from_args(&Cli::try_parse_from(words)?.bench)
    }

    #[test]
    fn defaults_are_ten_seconds_of_mostly_reads() {
        let plan = plan(&[]).expect("defaults are valid");
        assert_eq!(plan.load.length, Length::Nanoseconds(10_000_000_000));
        assert_eq!(plan.load.mix.describe(), "GET __key__ x9, SET __key__ __value__ x1");
    }

    #[test]
    fn a_template_may_hold_words_that_look_like_options() {
        let plan = plan(&["-P", "4", "SET", "__key__", "-1", "--x"]).expect("valid");
        assert_eq!(plan.load.mix.describe(), "SET __key__ -1 --x");
        assert_eq!(plan.load.pipeline, 4);
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for words in [
            &["-c", "2", "-t", "3"][..],
            &["-n", "0"],
            &["-s", "-1"],
            &["-s", "NaN"],
            &["-n", "1", "-s", "1"],
            &["--rate", "0"],
            &["--rate", "10", "-P", "8", "--outstanding", "4"],
            &["--ratio", "1:1", "--command", "get"],
            &["--command", "set", "--value-size", "1000000", "-P", "10000"],
            &["--preload-only"],
            &["--user", "joe"],
            &["--then", " "],
            &["--then", "WAIT 1 0", "--rate", "10"],
            &["--then-apart"],
            &["--rest", "50"],
            &["--rate", "10", "--spin", "--rest", "50"],
            &["--resp", "4"],
            &["--keys", "0"],
        ] {
            assert!(plan(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_password_stays_out_of_the_report() {
        let plan = plan(&["--password", "sesame"]).expect("valid");
        let json = serde_json::to_string(&plan.describe()).expect("plain data");
        assert!(!json.contains("sesame"), "{json}");
    }
}
