//! What a follower costs a leader that does not wait for it.

use anyhow::Result;

use super::pair::Pair;
use crate::bench::figures::Figures;
use crate::bench::load::Load;
use crate::bench::sections::{EVERY_SECOND, Plan, Section};
use crate::bench::servers::Server;

/// Requests on the way per connection.
const PIPELINES: [u32; 3] = [1, 16, 64];

/// CPU per write, until the follower has it.
pub(in crate::bench::sections) fn asynchronous(
    plan: &Plan,
    server: Server,
    into: &mut Figures,
) -> Result<()> {
    let pair = Pair::filled(plan, server, EVERY_SECOND, plan.scale.keys)?;
    for pipeline in PIPELINES {
        let cost = pair.cost(&Load::sets(pipeline, plan.scale.keys, plan.scale.seconds))?;
        let name = |what| format!("SET, pipeline {pipeline}: {what}");
        into.add(Section::Async, &name("leader CPU"), "us/request", server, cost.leader_us);
        into.add(Section::Async, &name("follower CPU"), "us/request", server, cost.follower_us);
    }
    pair.stop()
}
