//! Sections about the disk: writes that wait for it, starting from it, snapshots to it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::serving::MIX;
use super::{EVERY_SECOND, Plan, Section};
use crate::bench::figures::Figures;
use crate::bench::load::{self, Load, Under};
use crate::bench::servers::{Durability, Fsync, Running, Server};

/// The share of the open loop's rate that is offered while snapshots are written: Valkey's child
/// process has to share the server's core.
const SNAPSHOT_RATE_SHARE: f64 = 0.5;

/// How often memory and the snapshot's state are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Throughput with every write on disk before its reply.
pub(super) fn always(plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
    let keys = plan.scale.few_keys;
    let running = plan.filled(server, Durability::Log(Fsync::Always), keys)?;
    for pipeline in [1, 16] {
        let load = Load::sets(pipeline, keys, plan.scale.seconds);
        let measured = load::run(&running, &load)?;
        let row = format!("SET, fsync always, pipeline {pipeline}: throughput");
        let (rate, share) = (measured.requests_per_second, measured.client_share);
        into.add_throughput(Section::Always, &row, server, rate, share);
    }
    running.stop()
}

/// Time until a full server serves again, from what its SAVE wrote.
pub(super) fn restart(plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
    let keys = plan.scale.many_keys;
    let running = plan.filled(server, Durability::SnapshotOnly, keys)?;
    running.connect()?.call(&["SAVE"])?;
    running.stop()?;

    let began = Instant::now();
    let running = server.start(&plan.folder(server), Durability::SnapshotOnly)?;
    let seconds = began.elapsed().as_secs_f64();
    let found = running.connect()?.call(&["DBSIZE"])?;
    if found != keys.to_string() {
        bail!("after its restart {server} has {found} of {keys} keys");
    }
    into.add(Section::Restart, "start until the first reply", "s", server, seconds);
    running.stop()
}

/// Latency and memory while a snapshot is written.
pub(super) fn snapshot(plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
    let keys = plan.scale.many_keys;
    let running = plan.filled(server, EVERY_SECOND, keys)?;
    let rate = into.rate().context("the rate is found before")? * SNAPSHOT_RATE_SHARE;
    let seconds = 3.0 * plan.scale.seconds;
    let load = Load { command: MIX, rate: Some(rate), ..Load::sets(1, keys, seconds) };
    let without = load::run(&running, &load)?;

    let before = running.resident_bytes()?;
    let mut under = load::start(&running, &load)?;
    let extra = keep_saving(&running, server, &mut under)?;
    let with = under.measured()?;

    let section = Section::Snapshot;
    into.add(section, "p99 without a snapshot", "us", server, without.p99_us);
    into.add(section, "p99 with a snapshot", "us", server, with.p99_us);
    into.add(section, "p99 with over without", "x", server, with.p99_us / without.p99_us);
    into.add(section, "extra memory of a snapshot", "%", server, 100.0 * extra / before);
    running.stop()
}

/// Starts one snapshot after the other until the load ends; returns the most memory they took.
fn keep_saving(running: &Running, server: Server, under: &mut Under) -> Result<f64> {
    let mut connection = running.connect()?;
    let before = running.resident_bytes()?;
    let mut grown: f64 = 0.0;
    let mut started = 0;
    while !under.has_ended()? {
        if connection.info_number("persistence", "rdb_bgsave_in_progress")? == 0.0 {
            connection.call(&["BGSAVE"])?;
            started += 1;
        }
        grown = grown.max(running.resident_bytes()? - before);
        std::thread::sleep(LOOK_EVERY);
    }
    if started == 0 {
        bail!("the load ended before a snapshot began");
    }
    if server == Server::Valkey {
        // Its snapshot is a forked child: what it costs are the pages that were written meanwhile.
        while connection.info_number("persistence", "rdb_bgsave_in_progress")? != 0.0 {
            std::thread::sleep(LOOK_EVERY);
        }
        grown = connection.info_number("persistence", "rdb_last_cow_size")?;
    }
    Ok(grown)
}
