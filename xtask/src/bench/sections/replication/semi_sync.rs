//! Throughput and CPU when a follower acknowledges each write before its client hears of it.
//!
//! Valkey's clients ask for that themselves: a WAIT behind each write, or behind each batch.

use anyhow::Result;

use super::pair::Pair;
use crate::bench::figures::Figures;
use crate::bench::load::{Load, Then};
use crate::bench::sections::{EVERY_SECOND, Plan, Section};
use crate::bench::servers::{Durability, Fsync, Server};

/// Requests on the way per connection.
const PIPELINES: [u32; 2] = [1, 16];

/// Valkey's counterpart of `received`: the replica has it in memory.
const WAIT: Then = Then::InOneWrite("WAIT 1 0");

/// The same as clients without pipelines do it: SET, its reply, WAIT, its reply.
const WAIT_APART: Then = Then::Apart("WAIT 1 0");

/// Valkey's counterpart of `flushed`: the replica has it on disk.
const WAIT_FOR_DISK: Then = Then::InOneWrite("WAITAOF 0 1 0");

/// A row's beginning, for Trefoil's level and what Valkey is measured with beside it.
const RECEIVED: &str = "SET, received";
const RECEIVED_BESIDE_APART: &str = "SET, received (Valkey: WAIT apart)";
const FLUSHED: &str = "SET, flushed";
const FLUSHED_BESIDE_APART: &str = "SET, flushed (Valkey: WAIT apart)";
const FLUSHED_BESIDE_WAITAOF: &str = "SET, flushed (Valkey: WAITAOF)";

/// Semi-synchronous writes.
pub(in crate::bench::sections) fn semi_sync(
    plan: &Plan,
    server: Server,
    into: &mut Figures,
) -> Result<()> {
    let mut fill = |pair: &Pair, then, rows: &[&str]| measure(plan, server, pair, then, rows, into);
    let pair = Pair::filled(plan, server, EVERY_SECOND, plan.scale.keys)?;
    if server == Server::Valkey {
        fill(&pair, Some(WAIT), &[RECEIVED, FLUSHED])?;
        fill(&pair, Some(WAIT_APART), &[RECEIVED_BESIDE_APART, FLUSHED_BESIDE_APART])?;
        pair.stop()?;
        let always = Durability::Log(Fsync::Always);
        let pair = Pair::filled(plan, server, always, plan.scale.keys)?;
        fill(&pair, Some(WAIT_FOR_DISK), &[FLUSHED_BESIDE_WAITAOF])?;
        return pair.stop();
    }
    pair.set_acks("semi-sync:1", "received")?;
    fill(&pair, None, &[RECEIVED, RECEIVED_BESIDE_APART])?;
    pair.set_acks("semi-sync:1", "flushed")?;
    fill(&pair, None, &[FLUSHED, FLUSHED_BESIDE_APART, FLUSHED_BESIDE_WAITAOF])?;
    pair.stop()
}

fn measure(
    plan: &Plan,
    server: Server,
    pair: &Pair,
    then: Option<Then>,
    rows: &[&str],
    into: &mut Figures,
) -> Result<()> {
    let section = Section::SemiSync;
    for pipeline in PIPELINES {
        let load = Load { then, ..Load::sets(pipeline, plan.scale.keys, plan.scale.seconds) };
        let cost = pair.cost(&load)?;
        for row in rows {
            let name = |what| format!("{row}, pipeline {pipeline}: {what}");
            let (rate, share) = (cost.measured.requests_per_second, cost.measured.client_share);
            into.add_throughput(section, &name("throughput"), server, rate, share);
            into.add(section, &name("leader CPU"), "us/request", server, cost.leader_us);
            into.add(section, &name("follower CPU"), "us/request", server, cost.follower_us);
        }
    }
    Ok(())
}
