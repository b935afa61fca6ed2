//! P3 and P6: every key behaves as if its operations had happened one after another, each at some
//! moment between its request and its answer.
//!
//! The search follows Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the
//! just-in-time order and the memory of Lowe ("Testing for Linearizability", 2017): answers are taken
//! by time, and each must be explained by operations that were open then. Keys are independent, so
//! each is searched alone.
//!
//! Invariants:
//! * An operation without an answer may take place at any time after its request, or never.
//! * The search is bounded; what it could not decide is reported, and is not a pass.

mod configurations;
mod model;
mod search;

use std::collections::BTreeMap;

use crate::excerpt::excerpt;
use crate::findings::Findings;
use crate::history::{Action, End, Operation, Reply};
use search::{Outcome, Search, Stuck};

/// How far a search may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Configurations visited per key.
    pub configurations_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { configurations_max: 5_000_000 }
    }
}

/// Checks each key of a history.
pub fn check(history: &[Operation], limits: Limits) -> Findings {
    let mut findings = Findings::default();
    for (key, operations) in by_key(history) {
        findings.count(operations.len());
        match Search::new(&operations, limits.configurations_max).run() {
            Outcome::Explained => {}
            Outcome::Stuck(stuck) => findings.broken("P6", explain(key, &operations, &stuck)),
            Outcome::GaveUp { answers } => findings.undecided.push(format!(
                "key {key}: {} operations, gave up after {answers} answers and {} configurations",
                operations.len(),
                limits.configurations_max
            )),
        }
    }
    findings
}

/// What matters, per key, by time of the request.
fn by_key(history: &[Operation]) -> BTreeMap<&str, Vec<&Operation>> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        // A read without an answer tells nothing and changes nothing.
        let silent_read = !operation.is_write() && operation.reply().is_none();
        if operation.end != End::Refused && !silent_read {
            keys.entry(&operation.key).or_default().push(operation);
        }
    }
    for operations in keys.values_mut() {
        drop_unseen(operations);
        operations.sort_by_key(|operation| operation.invoked_us);
    }
    keys
}

/// Where there are only SET and GET, a SET without an answer whose value nobody read explains nothing.
fn drop_unseen(operations: &mut Vec<&Operation>) {
    let plain = |o: &&Operation| matches!(o.action, Action::Set(_) | Action::Get);
    if !operations.iter().all(plain) {
        return;
    }
    let seen: std::collections::HashSet<String> = operations
        .iter()
        .filter_map(|operation| match operation.reply() {
            Some(Reply::Value(value)) => value.clone(),
            _ => None,
        })
        .collect();
    operations.retain(|operation| match &operation.action {
        Action::Set(value) => operation.end != End::Unknown || seen.contains(value),
        _ => true,
    });
}

/// The operation that no order explains, and those that stand against it.
fn explain(key: &str, operations: &[&Operation], stuck: &Stuck) -> String {
    let failed = operations[stuck.operation];
    let values: Vec<String> =
        stuck.values.iter().map(|v| Reply::Value(v.clone()).to_string()).collect();
    let mut chosen = vec![failed];
    let writes = |operation: &Operation, value: &str| match &operation.action {
        Action::Set(written) | Action::Append(written) => written == value,
        _ => false,
    };
    let read = match failed.reply() {
        Some(Reply::Value(Some(value))) => Some(value),
        _ => None,
    };
    for operation in operations.iter().copied() {
        let wrote_one = stuck.values.iter().flatten().chain(read).any(|v| writes(operation, v));
        let overlaps = operation.invoked_us <= failed.returned_us().unwrap_or(u64::MAX)
            && operation.returned_us().is_none_or(|at| at >= failed.invoked_us);
        if wrote_one || operation.is_write() && overlaps {
            chosen.push(operation);
        }
    }
    let mut before: Vec<&Operation> = operations
        .iter()
        .copied()
        .filter(|o| o.returned_us().is_some_and(|at| at < failed.invoked_us))
        .collect();
    before.sort_by_key(|operation| std::cmp::Reverse(operation.returned_us()));
    chosen.extend(before.into_iter().take(4));
    let plain = operations
        .iter()
        .all(|o| matches!(o.action, Action::Set(_) | Action::Get | Action::Delete));
    let writer = match read {
        Some(value) if plain && !operations.iter().any(|o| writes(o, value)) => "; nobody wrote it",
        _ => "",
    };
    format!(
        "no order of the operations on {key} explains this answer{writer}:\n    {failed}\n  \
         before it the value could only be {}; the operations around it:{}",
        values.join(" or "),
        excerpt(chosen)
    )
}

#[cfg(test)]
mod tests;
