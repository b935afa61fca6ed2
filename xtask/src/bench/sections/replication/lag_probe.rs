//! Lag as clients see it: a stamp is written on the leader and awaited on the follower.
//!
//! A lag counts from the moment at which the leader acknowledged the stamp to the moment at which a
//! read on the follower shows it. While a stamp is awaited no other is written; each that would have
//! been due meanwhile is counted as if it had waited from when it was due.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::pair::Pair;
use crate::bench::load::PRECEDENCE;
use crate::bench::servers::{CLIENT_CORE, Server};
use crate::workspace;

/// One stamp per millisecond.
const PERIOD: Duration = Duration::from_millis(1);

/// A stamp that is not seen for so long ends the run.
const LIMIT: Duration = Duration::from_secs(30);

const KEY: &str = "lag-probe";

/// Lags in milliseconds of a run of `seconds`, sorted.
pub(super) fn lags_of_clients(pair: &Pair, server: Server, seconds: f64) -> Result<Vec<f64>> {
    // The thread ends with its privileges.
    let probe = || -> Result<Vec<f64>> {
        go_first()?;
        probe(pair, server, seconds)
    };
    let mut lags =
        std::thread::scope(|scope| scope.spawn(probe).join().expect("the probe does not panic"))?;
    lags.sort_by(f64::total_cmp);
    Ok(lags)
}

/// What so many of a hundred do not exceed.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> Result<f64> {
    let at = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().context("nothing was sampled")
}

fn probe(pair: &Pair, server: Server, seconds: f64) -> Result<Vec<f64>> {
    let mut leader = pair.leader.connect()?;
    let mut follower = pair.follower.connect()?;
    if server == Server::Trefoil {
        // Else the follower would answer for the leader when it is behind.
        follower.call(&["CONSISTENCY", "eventual"])?;
    }
    let began = Instant::now();
    let mut due = began;
    let mut lags = Vec::new();
    for stamp in 1_u64.. {
        if due.duration_since(began).as_secs_f64() > seconds {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        leader.call(&["SET", KEY, &stamp.to_string()])?;
        let acknowledged = Instant::now();
        while follower.call(&["GET", KEY])?.parse() != Ok(stamp) {
            if acknowledged.elapsed() > LIMIT {
                bail!("the follower did not show a write for {LIMIT:?}");
            }
        }
        let seen = Instant::now();
        lags.push((seen - acknowledged).as_secs_f64() * 1e3);
        due += PERIOD;
        while due < seen {
            lags.push((seen - due).as_secs_f64() * 1e3);
            due += PERIOD;
        }
    }
    Ok(lags)
}

/// Puts this thread on the load generator's core, and before the follower there: a late reader would
/// see a lag that is its own.
fn go_first() -> Result<()> {
    let path = std::fs::read_link("/proc/thread-self").context("cannot read /proc/thread-self")?;
    let thread =
        path.file_name().and_then(|name| name.to_str()).context("a thread has a number")?;
    let [program, policy, priority] = PRECEDENCE;
    for words in [
        ["taskset", "--cpu-list", "--pid", CLIENT_CORE, thread],
        [program, policy, "--pid", priority, thread],
    ] {
        workspace::run(Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()))?;
    }
    Ok(())
}
