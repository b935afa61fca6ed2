//! FAILOVER PLAN: for each candidate what it lacks, whether it may be elected, and why not.

use trefoil_cluster::control::{ControlView, Done, Request};
use trefoil_cluster::controller::{Fitness, Outcome, Plan, PlanRow, Stage};
use trefoil_commands::CommandError;

use crate::families::asked;
use crate::families::fields::Fields;
use crate::families::keyspace::check_name;
use crate::handler::{Flow, NodeCall};
use crate::topology::client_address;

/// `FAILOVER PLAN [keyspace]`.
pub(super) fn plan(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    check_name(call, 2)?;
    let view = asked::view_of_cluster(call)?;
    let Some(done) = asked::ask(call, || Request::Plan)? else { return Ok(Flow::Retry) };
    let Done::Plan(plan) = done else {
        return Err(CommandError::Other("ERR another answer came than that to FAILOVER PLAN"));
    };
    let now_ms = call.worker.node.agreement.lease.now_ms();
    described(&plan, &view, now_ms).write(&mut call.reply());
    Ok(Flow::Continue)
}

fn described(plan: &Plan, view: &ControlView, now_ms: u64) -> Fields {
    let mut fields = Fields::default();
    fields.text("leader", plan.leader.to_string());
    fields.number("epoch", plan.epoch.0);
    fields.text("leader-end", format!("{}:{}", plan.leader_end.epoch, plan.leader_end.lsn));
    let (stage, detail) = said(plan.stage, now_ms);
    fields.text("stage", stage);
    fields.text("stage-detail", detail);
    fields.number("reports-needed", plan.reports_needed as u64);
    let (next, is_lossless) = match plan.outcome {
        Outcome::Leads(node) => (Some(node), true),
        Outcome::LeadsLacking(node) => (Some(node), false),
        Outcome::Nobody(_) => (None, false),
    };
    fields.text("next", next.map_or(String::new(), |node| node.to_string()));
    fields.flag("lossless", is_lossless);
    fields.text("outcome", plan.outcome.to_string());
    fields.maps("candidates", plan.rows.iter().map(|row| candidate(row, view)).collect());
    fields
}

fn candidate(row: &PlanRow, view: &ControlView) -> Fields {
    let member = view.state.members.get(&row.node);
    let mut fields = Fields::default();
    fields.text("node", row.node.to_string());
    fields.text("address", member.map(client_address).unwrap_or_default());
    let end = row.end.map(|end| format!("{}:{}", end.epoch, end.lsn));
    fields.text("end", end.unwrap_or_default());
    fields.perhaps("lacks", row.lacks);
    fields.perhaps("silent-ms", row.silent_ms);
    fields.flag("may-be-elected", row.fitness == Fitness::Fit);
    fields.text("fitness", row.fitness.to_string());
    fields
}

/// What the raft leader is doing: a word for programs, a sentence for people.
pub(in crate::families) fn said(stage: Stage, now_ms: u64) -> (&'static str, String) {
    let left = |until_ms: u64| until_ms.saturating_sub(now_ms);
    match stage {
        Stage::Learning => ("learning", "it learns what was agreed upon before".into()),
        Stage::Watching => ("watching", String::new()),
        Stage::Manual => ("manual", "the leader is silent; a person decides who leads".into()),
        Stage::Damped { until_ms } => {
            ("damped", format!("the next failover waits {} ms, after so many", left(until_ms)))
        }
        Stage::HandingOver { to } => ("handing-over", format!("to node {to}")),
        Stage::Revoking => ("revoking", "the leader's epoch is being revoked".into()),
        Stage::LeaseRuns { until_ms } => {
            ("lease-runs", format!("the old lease may run for {} ms more", left(until_ms)))
        }
        Stage::Electing(lack) => ("electing", lack.to_string()),
        Stage::Granting { to } => ("granting", format!("node {to} is elected")),
    }
}
