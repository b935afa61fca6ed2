//! Runs a load generator on its own core and reads what it measured.
//!
//! Ours (crates/bench) for everything; redis-benchmark for a cross-check: a tool that others wrote
//! should see the same differences.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::process::{self, Signal};
use super::servers::{CLIENT_CORE, Running};
use crate::{peers, workspace};

/// Connections of every load.
pub(super) const CONNECTIONS: u32 = 50;

/// Runs what follows before all normal threads of its core, as soon as it has something to do.
pub(super) const PRECEDENCE: [&str; 3] = ["chrt", "--fifo", "1"];

/// How long a generator that shares its core rests.
pub(super) const REST_MICROSECONDS: u32 = 50;

/// One load.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// As `--command` takes it.
    pub(super) command: &'static str,
    pub(super) pipeline: u32,
    pub(super) keys: u64,
    pub(super) seconds: f64,
    /// Requests per second; closed loop without.
    pub(super) rate: Option<f64>,
    /// A command behind each batch, whose reply its requests wait for and that is not counted.
    pub(super) then: Option<Then>,
    pub(super) warmup_seconds: f64,
    pub(super) core: ClientCore,
}

/// A command behind each batch of requests.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// In the same write as the batch.
    InOneWrite(&'static str),
    /// By itself, when the batch is answered.
    Apart(&'static str),
}

/// With whom the load generator has its core.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientCore {
    /// Nobody: an open loop watches the clock, because sleeping until a request is due would add the
    /// kernel's wake-up to what is blamed on the server.
    Own,
    /// A follower: the generator rests between looks at what is due, and goes first when it looks.
    SharedWithPrecedence,
}

impl Load {
    /// Writes of one key each, as fast as they are answered.
    pub(super) fn sets(pipeline: u32, keys: u64, seconds: f64) -> Load {
        Load {
            command: "set",
            pipeline,
            keys,
            seconds,
            rate: None,
            then: None,
            warmup_seconds: 1.0,
            core: ClientCore::Own,
        }
    }
}

/// What a load measured.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    /// How many, without the warm-up's.
    pub(super) requests: f64,
    pub(super) requests_per_second: f64,
    /// Server CPU per request, all threads, in microseconds.
    pub(super) cpu_us: f64,
    pub(super) p99_us: f64,
    pub(super) p99_9_us: f64,
    /// The load generator's share of its core, 0 to 1.
    pub(super) client_share: f64,
}

/// A generator under way.
pub(super) struct Under {
    child: Child,
    shown: String,
}

/// Writes all keys, 64 bytes each, and checks that they are there.
pub(super) fn preload(server: &Running, keys: u64) -> Result<()> {
    let keys = keys.to_string();
    spawn(server, &["--preload", "--preload-only", "--keys", &keys])?.finish().map(drop)
}

/// Starts a load.
pub(super) fn start(server: &Running, load: &Load) -> Result<Under> {
    let mut words = vec![
        "--command".to_owned(),
        load.command.to_owned(),
        "--expect-hits".to_owned(),
        format!("--keys={}", load.keys),
        format!("--pipeline={}", load.pipeline),
        format!("--connections={CONNECTIONS}"),
        format!("--seconds={}", load.seconds),
        format!("--warmup={}", load.warmup_seconds),
        format!("--server-pid={}", server.pid()),
    ];
    match load.then {
        None => {}
        Some(Then::InOneWrite(command)) => words.push(format!("--then={command}")),
        Some(Then::Apart(command)) => {
            words.extend([format!("--then={command}"), "--then-apart".to_owned()]);
        }
    }
    if let Some(rate) = load.rate {
        words.push(format!("--rate={rate}"));
        words.push(match load.core {
            ClientCore::Own => "--spin".to_owned(),
            ClientCore::SharedWithPrecedence => format!("--rest={REST_MICROSECONDS}"),
        });
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match load.core {
        ClientCore::Own => spawn(server, &words),
        ClientCore::SharedWithPrecedence => spawn_with(&PRECEDENCE, server, &words),
    }
}

/// Runs a load to its end.
pub(super) fn run(server: &Running, load: &Load) -> Result<Measured> {
    start(server, load)?.measured()
}

fn spawn(server: &Running, words: &[&str]) -> Result<Under> {
    spawn_with(&[], server, words)
}

/// Each program in front replaces itself by the next, so that the child is the generator.
fn spawn_with(front: &[&str], server: &Running, words: &[&str]) -> Result<Under> {
    let pinned = ["taskset", "-c", CLIENT_CORE];
    let mut line = front.iter().chain(&pinned);
    let mut command = Command::new(line.next().expect("taskset is there"));
    command
        .args(line)
        .arg(workspace::root().join("target/release/examples/bench"))
        .args(["--json", "--value-size=64", &format!("--port={}", server.port)])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let shown = workspace::show(&command);
    let child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
    Ok(Under { child, shown })
}

impl Under {
    /// Waits for the end and reads the figures.
    pub(super) fn measured(self) -> Result<Measured> {
        let shown = self.shown.clone();
        let report = self.finish()?;
        let number = |pointer: &str| {
            let value = report.pointer(pointer).and_then(Value::as_f64);
            value.with_context(|| format!("`{shown}` reported no {pointer}"))
        };
        let errors = number("/errors_total")?;
        if errors > 0.0 {
            bail!("`{shown}`: {errors} replies were errors: {}", report["errors"]);
        }
        Ok(Measured {
            requests: number("/requests")?,
            requests_per_second: number("/requests_per_second")?,
            cpu_us: number("/server/cpu_us_per_request")?,
            p99_us: number("/latency_us/p99")?,
            p99_9_us: number("/latency_us/p99_9")?,
            client_share: number("/client/core_share_max")?,
        })
    }

    /// Ends it early; it reports what it measured until then.
    pub(super) fn interrupt(&self) -> Result<()> {
        process::tell(self.child.id(), Signal::Interrupt)
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn finish(self) -> Result<Value> {
        let output = self.child.wait_with_output()?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("`{}` failed ({}): {complaint}", self.shown, output.status);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`{}` printed no JSON", self.shown))
    }
}

/// Requests per second and server CPU per request in microseconds, as redis-benchmark sees them.
pub(super) fn redis_benchmark(
    server: &Running,
    command: &str,
    pipeline: u32,
    requests: u64,
    keys: u64,
) -> Result<(f64, f64)> {
    let before = process::cpu_seconds(server.pid())?;
    let text = workspace::output_of(
        Command::new("taskset")
            .args(["-c", CLIENT_CORE])
            .arg(peers::redis_benchmark()?)
            .args(["--csv", "-d", "64", "-c", &CONNECTIONS.to_string(), "-t", command])
            .args(["-p", &server.port.to_string(), "-P", &pipeline.to_string()])
            .args(["-n", &requests.to_string(), "-r", &keys.to_string()]),
    )?;
    let spent = process::cpu_seconds(server.pid())? - before;
    let rate = text.lines().last().and_then(|line| line.split('"').nth(3)?.parse().ok());
    let rate = rate.with_context(|| format!("redis-benchmark printed {text:?}"))?;
    Ok((rate, spent * 1e6 / requests as f64))
}
