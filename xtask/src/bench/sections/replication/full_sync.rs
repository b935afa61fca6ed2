//! A follower that joins with nothing while the leader takes writes at half its maximum.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::pair::Pair;
use crate::bench::connection::Connection;
use crate::bench::figures::Figures;
use crate::bench::load::{self, ClientCore, Load};
use crate::bench::sections::{EVERY_SECOND, Plan, Section};
use crate::bench::servers::{Running, Server};

/// The share of its own maximum that a leader is offered.
const RATE_SHARE: f64 = 0.5;

/// The load is ended when the follower has caught up, which takes less than this, in seconds.
const LONGEST_SECONDS: f64 = 150.0;

/// How often the leader's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Time, memory and latency of a full synchronisation.
pub(in crate::bench::sections) fn full_sync(
    plan: &Plan,
    server: Server,
    into: &mut Figures,
) -> Result<()> {
    let keys = plan.scale.many_keys;
    let pair = Pair::apart(plan, server, EVERY_SECOND)?;
    load::preload(&pair.leader, keys)?;
    if server == Server::Trefoil {
        forget_the_log(&pair.leader)?;
    }
    let most = load::run(&pair.leader, &Load::sets(1, keys, plan.scale.seconds))?;
    let rate = (most.requests_per_second * RATE_SHARE).round();
    let half = Load {
        rate: Some(rate),
        core: ClientCore::SharedWithPrecedence,
        ..Load::sets(1, keys, 3.0 * plan.scale.seconds)
    };
    let before = load::run(&pair.leader, &half)?;

    let long = Load { seconds: LONGEST_SECONDS, ..half };
    let under = load::start(&pair.leader, &long)?;
    // Only what is after the load's warm-up counts.
    std::thread::sleep(Duration::from_secs_f64(long.warmup_seconds));
    let joined = join_and_watch(&pair, server);
    under.interrupt()?;
    let during = under.measured()?;
    let (seconds, grown) = joined?;
    if pair.leader.connect()?.info_number("stats", "sync_full")? == 0.0 {
        bail!("the follower got the log, not a snapshot");
    }

    let section = Section::FullSync;
    into.add(section, "writes offered", "requests/s", server, rate);
    let (answered, share) = (during.requests_per_second, during.client_share);
    into.add_throughput(section, "writes answered during the sync", server, answered, share);
    into.add(section, "full sync", "s", server, seconds);
    into.add(section, "leader's extra memory", "MB", server, grown / 1e6);
    into.add(section, "p99 before", "us", server, before.p99_us);
    into.add(section, "p99 during", "us", server, during.p99_us);
    into.add(section, "p99 during over before", "x", server, during.p99_us / before.p99_us);
    pair.stop()
}

/// A leader whose log still begins with its first record would send that instead of a snapshot.
fn forget_the_log(leader: &Running) -> Result<()> {
    let mut connection = leader.connect()?;
    connection.call(&["CONFIG", "SET", "max-retained-log", "1mb"])?;
    connection.call(&["SAVE"]).map(drop)
}

/// Seconds until the follower has caught up, and by how many bytes the leader grew at most.
fn join_and_watch(pair: &Pair, server: Server) -> Result<(f64, f64)> {
    let before = pair.leader.resident_bytes()?;
    std::thread::scope(|scope| {
        let began = Instant::now();
        let sync = scope.spawn(move || -> Result<f64> {
            pair.join()?;
            pair.await_caught_up()?;
            Ok(began.elapsed().as_secs_f64())
        });
        let mut most = before;
        while !sync.is_finished() {
            most = most.max(pair.leader.resident_bytes()?);
            std::thread::sleep(LOOK_EVERY);
        }
        let seconds = sync.join().expect("waiting for a follower does not panic")?;
        let copied = if server == Server::Valkey { copied_on_write(&pair.leader)? } else { 0.0 };
        Ok((seconds, most - before + copied))
    })
}

/// What Valkey's child copied: pages that were written while it sent them.
fn copied_on_write(leader: &Running) -> Result<f64> {
    let mut connection: Connection = leader.connect()?;
    connection.info_number("persistence", "rdb_last_cow_size").context("the child's memory")
}
