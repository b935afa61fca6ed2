//! Holds the recorded history and the last contents against the promises.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_check::{
    Action, End, Findings, Operation, Reply, Violation, bounded, counter, durable, linearizable,
    session,
};

use super::contents::Contents;
use super::record::{Entry, View};
use super::terms::Term;
use super::workload::{group_name, joined};

/// In `async` a write is acknowledged before it is in the log's file, which is written to within
/// milliseconds; what is older than this is never lost with the process alone.
const LOG_DELAY_US: u64 = 1_000_000;

/// What is judged.
pub(super) struct Case<'a> {
    pub(super) entries: &'a [Entry],
    /// What the leader holds after everything had healed.
    pub(super) last: &'a Contents,
    /// When that was.
    pub(super) ended_us: u64,
    pub(super) terms: &'a [Term],
    /// Whether losses are allowed at the end of a term.
    pub(super) lossy: bool,
    /// What is in archives of diverged tails: keys and values.
    pub(super) archived: &'a BTreeSet<(String, String)>,
}

/// Runs all checkers; each with its name.
pub(super) fn judge(case: &Case<'_>) -> Vec<(&'static str, Findings)> {
    let operations = |wanted: &dyn Fn(&Entry) -> bool| -> Vec<Operation> {
        case.entries.iter().filter(|e| wanted(e)).map(|e| e.operation.clone()).collect()
    };
    let writes = operations(&|entry| entry.operation.is_write());
    let sessions = operations(&|entry| entry.view == View::Session);
    let moments = operations(&|entry| entry.view == View::Moment);
    let mut results = vec![
        ("sessions (P7)", session::check(&sessions)),
        ("moments (rule 16)", moments_of_one(&moments)),
        ("transactions", transactions(case)),
    ];
    if case.lossy {
        results.push(("suffix of terms (P2, P5)", suffixes(case)));
        return results;
    }
    // What is written once and never read is a matter of durability alone.
    let is_once = |entry: &Entry| entry.operation.key.starts_with("once:");
    let is_linear = |e: &Entry| e.view == View::Linear || e.operation.is_write();
    let mut linear = operations(&|entry| is_linear(entry) && !is_once(entry));
    linear.extend(last_reads(case, &linear));
    results.push(("linearizable (P3, P6)", linearizable::check(&linear, Default::default())));
    results.push(("durable (P1, P4)", durable::check(&writes, &last_values(case, &writes))));
    let sums = case.last.iter().filter_map(|(key, value)| Some((key.clone(), value.parse().ok()?)));
    results.push(("counters (rule 31)", counter::check(&writes, &sums.collect())));
    results.push(("sums (rule 31)", counter::check_replies(&writes)));
    for (ms, reads) in bounded_reads(case.entries) {
        results.push(("bounded (P8)", bounded::check(&writes, &reads, ms * 1_000)));
    }
    results
}

fn bounded_reads(entries: &[Entry]) -> BTreeMap<u64, Vec<Operation>> {
    let mut reads: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    for entry in entries {
        if let View::Bounded { ms } = entry.view {
            reads.entry(ms).or_default().push(entry.operation.clone());
        }
    }
    reads
}

/// The last contents, groups joined into one register each.
fn last_registers(last: &Contents) -> BTreeMap<String, String> {
    let mut registers = BTreeMap::new();
    for (key, value) in last {
        let Some(name) = group_name(key) else {
            registers.insert(key.clone(), value.clone());
            continue;
        };
        let part = |part| last.get(&format!("{name}:{part}")).cloned();
        if let Some(value) = joined(&[part("a"), part("b")]) {
            registers.insert(name.to_owned(), value);
        }
    }
    registers
}

/// What the keys that were written hold in the end.
fn last_values(case: &Case<'_>, writes: &[Operation]) -> BTreeMap<String, Option<String>> {
    let registers = last_registers(case.last);
    let keys: BTreeSet<&String> = writes.iter().map(|write| &write.key).collect();
    keys.into_iter().map(|key| (key.clone(), registers.get(key).cloned())).collect()
}

/// The last contents as reads at the end of the history.
fn last_reads(case: &Case<'_>, history: &[Operation]) -> Vec<Operation> {
    let read = |(key, value): (String, Option<String>)| Operation {
        client: 0,
        node: 0,
        key,
        action: Action::Get,
        invoked_us: case.ended_us,
        end: End::Returned { at_us: case.ended_us + 1, reply: Reply::Value(value) },
    };
    last_values(case, history).into_iter().map(read).collect()
}

/// Reads of several keys at a follower show one moment of the leader's order.
fn moments_of_one(reads: &[Operation]) -> Findings {
    let mut findings =
        Findings { histories: 1, operations: reads.len() as u64, ..Findings::default() };
    for read in reads {
        if let Some(Reply::Value(Some(value))) = read.reply()
            && value.contains('|')
        {
            let text = format!("a follower showed half of a transaction:\n    {read}");
            findings.violations.push(Violation { promise: "rule 16", text });
        }
    }
    findings
}

/// Writes to keys that are written once, and what became of them.
fn written<'a>(case: &'a Case<'_>) -> impl Iterator<Item = durable::Written<'a>> {
    case.entries.iter().filter(|entry| entry.operation.key.starts_with("once:")).map(|entry| {
        let operation = &entry.operation;
        let survived = matches!(&operation.action, Action::Set(value)
            if case.last.get(&operation.key) == Some(value));
        durable::Written { operation, order: None, transaction: entry.transaction, survived }
    })
}

/// Transactions are there as a whole or not at all, whatever was acknowledged.
fn transactions(case: &Case<'_>) -> Findings {
    let parts: Vec<_> = written(case).filter(|write| write.transaction.is_some()).collect();
    let mut findings = durable::check_suffix("P2", &parts, None);
    findings.violations.retain(|violation| violation.text.contains("half a transaction"));
    findings
}

/// What is lost of each term is its end, not older than the log's delay if the same node led on, and
/// archived if another one did.
fn suffixes(case: &Case<'_>) -> Findings {
    let mut findings = Findings::default();
    for term in case.terms {
        let ended_us = term.ended_us.unwrap_or(u64::MAX);
        let of_term: Vec<_> = written(case)
            .filter(|write| {
                let span = (write.operation.invoked_us, write.operation.returned_us());
                span.0 >= term.begun_us && span.1.is_some_and(|at| at <= ended_us)
            })
            .collect();
        let kept_before_us = match (term.ended_us, term.failed_over) {
            (Some(_), true) => None,
            (Some(ended_us), false) => Some(ended_us.saturating_sub(LOG_DELAY_US)),
            (None, _) => Some(u64::MAX),
        };
        let promise = if term.failed_over { "P5" } else { "P2" };
        findings.merge(durable::check_suffix(promise, &of_term, kept_before_us));
        if term.failed_over {
            let lost: Vec<&Operation> = of_term
                .iter()
                .filter(|write| {
                    !write.survived && write.operation.invoked_us + LOG_DELAY_US < ended_us
                })
                .map(|write| write.operation)
                .collect();
            findings.merge(durable::check_archived(&lost, case.archived));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
