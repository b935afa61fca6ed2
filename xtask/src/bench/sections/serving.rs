//! Sections about serving from memory: CPU, throughput, latency, resident memory.

use anyhow::{Context, Result, bail};

use super::{EVERY_SECOND, Plan, Section};
use crate::bench::connection::Connection;
use crate::bench::figures::Figures;
use crate::bench::load::{self, Load};
use crate::bench::process;
use crate::bench::servers::{Running, Server};

/// Requests on the way per connection.
const PIPELINES: [u32; 3] = [1, 16, 64];

/// Reads and writes in equal parts.
pub(super) const MIX: &str = "get:1,set:1";

/// CPU, throughput and memory of GET and SET.
pub(super) fn spine(plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
    let running = plan.filled(server, EVERY_SECOND, plan.scale.keys)?;
    let megabytes = running.resident_bytes()? / 1e6;
    into.add(Section::Spine, "resident memory after preload", "MB", server, megabytes);
    for pipeline in PIPELINES {
        for (name, command) in [("GET", "get"), ("SET", "set")] {
            let load = closed(plan, command, pipeline);
            let measured = load::run(&running, &load)?;
            let row = format!("{name}, pipeline {pipeline}: server CPU");
            into.add(Section::Spine, &row, "us/request", server, measured.cpu_us);
            let row = format!("{name}, pipeline {pipeline}: throughput");
            let (rate, share) = (measured.requests_per_second, measured.client_share);
            into.add_throughput(Section::Spine, &row, server, rate, share);
        }
    }
    running.stop()
}

/// The same seen by redis-benchmark.
pub(super) fn cross_check(plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
    let running = plan.filled(server, EVERY_SECOND, plan.scale.keys)?;
    // About as long as our own loads take.
    let requests = (plan.scale.seconds * 500_000.0) as u64;
    for (name, command) in [("GET", "get"), ("SET", "set")] {
        let (rate, cpu_us) =
            load::redis_benchmark(&running, command, 16, requests, plan.scale.keys)?;
        let row = format!("redis-benchmark {name}, pipeline 16: server CPU");
        into.add(Section::CrossCheck, &row, "us/request", server, cpu_us);
        let row = format!("redis-benchmark {name}, pipeline 16: throughput");
        into.add(Section::CrossCheck, &row, "requests/s", server, rate);
    }
    running.stop()
}

/// Finds Valkey's maximum, of which the open loops offer a share.
pub(in crate::bench) fn find_rate(plan: &Plan, into: &mut Figures) -> Result<()> {
    let running = plan.filled(Server::Valkey, EVERY_SECOND, plan.scale.keys)?;
    let load = closed(plan, MIX, 1);
    into.set_valkey_max_rate(load::run(&running, &load)?.requests_per_second);
    running.stop()
}

/// Latency at a rate that all servers can serve.
pub(super) fn open_loop(plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
    let running = plan.filled(server, EVERY_SECOND, plan.scale.keys)?;
    let rate = into.rate().context("the rate is found before")?;
    let load = Load { rate: Some(rate), seconds: 3.0 * plan.scale.seconds, ..closed(plan, MIX, 1) };
    let measured = load::run(&running, &load)?;
    into.add(Section::OpenLoop, "p99 at the common rate", "us", server, measured.p99_us);
    into.add(Section::OpenLoop, "p99.9 at the common rate", "us", server, measured.p99_9_us);
    into.add(
        Section::OpenLoop,
        "server CPU at the common rate",
        "us/request",
        server,
        measured.cpu_us,
    );
    running.stop()
}

/// Memory of idle connections.
pub(super) fn idle(plan: &Plan, server: Server, into: &mut Figures) -> Result<()> {
    let count = plan.scale.idle_connections;
    let needed = u64::from(count) + 200;
    if process::open_files_max()? < needed {
        bail!(
            "{count} connections need more open files: `ulimit -n {}`",
            needed.next_power_of_two()
        );
    }
    // Empty: memory that a preload freed again would be taken for theirs.
    let running = plan.fresh(server, EVERY_SECOND)?;
    let before = running.resident_bytes()?;
    let connections = greeted(&running, count)?;
    let after = running.resident_bytes()?;
    drop(connections);
    let each = (after - before) / f64::from(count);
    into.add(Section::Idle, "memory of an idle connection", "bytes", server, each);
    running.stop()
}

/// Connections that were of use once: a server that allocates at the first command has done so.
fn greeted(running: &Running, count: u32) -> Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = running.connect()?;
        connection.call(&["PING"])?;
        connections.push(connection);
    }
    Ok(connections)
}

fn closed(plan: &Plan, command: &'static str, pipeline: u32) -> Load {
    let Plan { scale, .. } = plan;
    Load { command, ..Load::sets(pipeline, scale.keys, scale.seconds) }
}
