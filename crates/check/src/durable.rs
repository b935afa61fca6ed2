//! P1, P2, P4 and P5: what was acknowledged is there, or what is missing is a suffix, archived.
//!
//! [`check`] compares the last state with a history in which nothing may be lost. [`check_suffix`]
//! looks at a term of one leader of which the end may be lost: it must be an end, without holes and
//! without halves of transactions. [`check_archived`] looks for what was lost in the archive.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::excerpt::excerpt;
use crate::findings::Findings;
use crate::history::{Action, End, Operation, Reply};

/// Checks that no acknowledged SET or DEL is missing in the last state (P1, P4).
///
/// `last` tells each key's value after everything had healed; keys that are not in it are not judged,
/// nor are keys with other writes than SET and DEL.
pub fn check(history: &[Operation], last: &BTreeMap<String, Option<String>>) -> Findings {
    let mut findings = Findings::default();
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|operation| operation.is_write()) {
        keys.entry(&operation.key).or_default().push(operation);
    }
    for (key, writes) in keys {
        let plain = |o: &&Operation| matches!(o.action, Action::Set(_) | Action::Delete);
        let Some(found) = last.get(key).filter(|_| writes.iter().all(plain)) else { continue };
        findings.count(writes.len());
        if let Some(text) = loss(key, &writes, found.as_deref()) {
            findings.broken("P1/P4", text);
        }
    }
    findings
}

/// Says which write of a key is missing, if one is.
fn loss(key: &str, writes: &[&Operation], found: Option<&str>) -> Option<String> {
    let shown = Reply::Value(found.map(str::to_owned));
    // Who may have written last what was found there.
    let makes_it = |operation: &Operation| match &operation.action {
        Action::Set(value) => found == Some(value),
        _ => found.is_none(),
    };
    let makers: Vec<&Operation> =
        writes.iter().copied().filter(|o| makes_it(o) && o.end != End::Refused).collect();
    let untouched = found.is_none() && makers.is_empty();
    if makers.is_empty() && !untouched {
        let around = excerpt(writes.iter().copied());
        return Some(format!("{key} holds {shown} in the end, which nobody wrote:{around}"));
    }
    // The maker must be able to stand behind all that was acknowledged.
    let overwrites = |operation: &&&Operation| {
        operation.is_acknowledged_write()
            && !makes_it(operation)
            && makers.iter().all(|m| m.returned_us().is_some_and(|at| at < operation.invoked_us))
    };
    let lost = writes.iter().filter(overwrites).max_by_key(|operation| operation.invoked_us)?;
    let around = excerpt(makers.iter().copied().rev().take(3).chain([*lost]));
    Some(format!("{key} holds {shown} in the end, an acknowledged write is lost:{around}"))
}

/// A write to a key of its own, during one leader's term.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// The write.
    pub operation: &'a Operation,
    /// Its place in the leader's order, where it is known.
    pub order: Option<u64>,
    /// The transaction that it belongs to, if any.
    pub transaction: Option<u64>,
    /// Whether it is there after the failover or the restart.
    pub survived: bool,
}

/// Checks that what was lost is a suffix of the leader's order (P2, P5): whatever came surely behind a
/// lost write is lost as well, transactions are lost or kept as a whole, and nothing that was
/// acknowledged before `kept_before_us` is lost.
pub fn check_suffix(
    promise: &'static str,
    writes: &[Written<'_>],
    kept_before_us: Option<u64>,
) -> Findings {
    let mut findings = Findings::default();
    findings.count(writes.len());
    let lost = || writes.iter().filter(|w| !w.survived && w.operation.reply().is_some());
    let returned = |w: &&Written<'_>| w.operation.returned_us();
    if let Some(first) = lost().min_by_key(returned) {
        let survivor = writes.iter().find(|later| {
            later.survived && Some(later.operation.invoked_us) > first.operation.returned_us()
        });
        if let Some(later) = survivor {
            findings.broken(promise, hole("asked later", first, later));
        }
        if kept_before_us > first.operation.returned_us() {
            let text =
                format!("a write is lost that is too old for that:\n    {}", first.operation);
            findings.broken(promise, text);
        }
    }
    let ordered =
        |survived: bool| writes.iter().filter(move |w| w.survived == survived && w.order.is_some());
    let first_lost = ordered(false).min_by_key(|w| w.order);
    let last_kept = ordered(true).max_by_key(|w| w.order);
    if let (Some(lost), Some(kept)) = (first_lost, last_kept)
        && lost.order < kept.order
    {
        findings.broken(promise, hole("that the leader did later", lost, kept));
    }
    for half in halves(writes) {
        findings.broken(promise, half);
    }
    findings
}

fn hole(later: &str, lost: &Written<'_>, kept: &Written<'_>) -> String {
    let both = excerpt([lost.operation, kept.operation]);
    let key = &lost.operation.key;
    format!("the write to {key} is lost, but one {later} is there: a hole, not a suffix:{both}")
}

/// Transactions of which a part is there and a part is not.
fn halves(writes: &[Written<'_>]) -> Vec<String> {
    let mut transactions: BTreeMap<u64, Vec<&Written<'_>>> = BTreeMap::new();
    for write in writes {
        if let Some(transaction) = write.transaction {
            transactions.entry(transaction).or_default().push(write);
        }
    }
    let mut texts = Vec::new();
    for parts in transactions.into_values() {
        let kept = parts.iter().filter(|part| part.survived).count();
        if kept > 0 && kept < parts.len() {
            let around = excerpt(parts.iter().map(|part| part.operation));
            let all = parts.len();
            texts.push(format!("half a transaction: {kept} of {all} writes are there:{around}"));
        }
    }
    texts
}

/// Checks that each acknowledged write that was lost is in an archive (P5), by key and value.
pub fn check_archived(lost: &[&Operation], archived: &BTreeSet<(String, String)>) -> Findings {
    let mut findings = Findings::default();
    findings.count(lost.len());
    let mut missing: HashMap<u32, Vec<&Operation>> = HashMap::new();
    for operation in lost.iter().filter(|operation| operation.is_acknowledged_write()) {
        let Action::Set(value) = &operation.action else { continue };
        if !archived.contains(&(operation.key.clone(), value.clone())) {
            missing.entry(operation.node).or_default().push(operation);
        }
    }
    for (node, operations) in missing {
        let count = operations.len();
        let around = excerpt(operations);
        let text = format!(
            "{count} writes that node {node} acknowledged are lost and in no archive:{around}"
        );
        findings.broken("P5", text);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{answered, get, set, unknown};
    use proptest::prelude::*;

    fn last(found: Option<&str>) -> BTreeMap<String, Option<String>> {
        BTreeMap::from([("a".to_owned(), found.map(str::to_owned))])
    }

    fn delete(span: (u64, u64)) -> Operation {
        answered("a", Action::Delete, span, Reply::Number(1))
    }

    #[test]
    fn an_acknowledged_write_that_is_gone_is_caught() {
        let history = [set("a", "1", (1, 2)), get("a", Some("1"), (3, 4)), set("a", "2", (5, 6))];
        assert!(check(&history, &last(Some("2"))).holds());
        let findings = check(&history, &last(Some("1")));
        assert!(findings.violations[0].text.contains("lost"), "{findings}");
        assert!(!check(&history, &last(None)).holds());
    }

    #[test]
    fn a_value_that_nobody_wrote_or_that_was_refused_is_caught() {
        let refused = Operation { end: End::Refused, ..set("a", "2", (3, 4)) };
        let history = [set("a", "1", (1, 2)), refused];
        assert!(check(&history, &last(Some("1"))).holds());
        assert!(!check(&history, &last(Some("2"))).holds());
        assert!(!check(&history, &last(Some("3"))).holds());
    }

    #[test]
    fn writes_without_an_answer_may_be_there_or_not() {
        let history = [unknown(set("a", "1", (1, 0))), set("a", "2", (3, 4))];
        assert!(check(&history, &last(Some("1"))).holds());
        assert!(check(&history, &last(Some("2"))).holds());
        assert!(!check(&history, &last(None)).holds());
    }

    #[test]
    fn a_deleted_key_may_be_absent_and_must_not_come_back() {
        let history = [set("a", "1", (1, 2)), delete((3, 4))];
        assert!(check(&history, &last(None)).holds());
        assert!(!check(&history, &last(Some("1"))).holds());
        let again = [set("a", "1", (1, 2)), delete((3, 4)), set("a", "2", (5, 6))];
        assert!(!check(&again, &last(None)).holds());
    }

    fn term(survived: &[bool]) -> (Vec<Operation>, Vec<bool>) {
        let operations = (0..survived.len() as u64)
            .map(|n| set(&format!("k{n}"), "x", (n * 10, n * 10 + 5)))
            .collect();
        (operations, survived.to_vec())
    }

    fn judge(operations: &[Operation], survived: &[bool], transaction: Option<u64>) -> Findings {
        let written = |(operation, &survived): (_, &bool)| Written {
            operation,
            order: None,
            transaction,
            survived,
        };
        let writes: Vec<Written<'_>> = operations.iter().zip(survived).map(written).collect();
        check_suffix("P5", &writes, None)
    }

    #[test]
    fn a_hole_is_caught_and_a_suffix_is_not() {
        let (operations, survived) = term(&[true, true, false, false]);
        assert!(judge(&operations, &survived, None).holds());
        let (operations, survived) = term(&[true, false, true, false]);
        let findings = judge(&operations, &survived, None);
        assert!(findings.violations[0].text.contains("a hole, not a suffix"), "{findings}");
    }

    #[test]
    fn a_hole_in_the_leader_s_own_order_is_caught_even_without_answers() {
        let operations = [unknown(set("a", "1", (1, 9))), unknown(set("b", "1", (1, 9)))];
        let written = |at: usize, survived| Written {
            operation: &operations[at],
            order: Some(at as u64),
            transaction: None,
            survived,
        };
        assert!(check_suffix("P5", &[written(0, true), written(1, false)], None).holds());
        assert!(!check_suffix("P5", &[written(0, false), written(1, true)], None).holds());
    }

    #[test]
    fn half_a_transaction_is_caught() {
        let operations = [set("a", "1", (1, 9)), set("b", "1", (1, 9))];
        assert!(judge(&operations, &[false, false], Some(1)).holds());
        let findings = judge(&operations, &[true, false], Some(1));
        assert!(findings.violations[0].text.contains("1 of 2"), "{findings}");
    }

    #[test]
    fn a_loss_that_reaches_back_too_far_is_caught() {
        let operation = set("a", "1", (100, 200));
        let writes =
            [Written { operation: &operation, order: None, transaction: None, survived: false }];
        assert!(check_suffix("P2", &writes, Some(200)).holds());
        assert!(!check_suffix("P2", &writes, Some(201)).holds());
    }

    #[test]
    fn a_lost_write_that_is_in_no_archive_is_caught() {
        let (kept, lost) = (set("a", "1", (1, 2)), set("b", "2", (3, 4)));
        let archived = BTreeSet::from([("a".to_owned(), "1".to_owned())]);
        assert!(check_archived(&[&kept], &archived).holds());
        assert!(!check_archived(&[&kept, &lost], &archived).holds());
    }

    proptest! {
        /// Writes take place one after another at some moment within their spans.
        #[test]
        fn correct_ends_pass(
            gaps in proptest::collection::vec((0_u64..20, 0_u64..30, 0_u64..30), 1..40),
            kept in 0_usize..40,
        ) {
            let mut at = 0;
            let mut operations = Vec::new();
            for (n, (gap, before, after)) in gaps.iter().enumerate() {
                at += gap + 1;
                let span = (at.saturating_sub(*before), at + after);
                operations.push(set("a", &n.to_string(), span));
            }
            let end = operations.last().map(|_| (operations.len() - 1).to_string());
            prop_assert!(check(&operations, &last(end.as_deref())).holds());
            let survived: Vec<bool> = (0..operations.len()).map(|n| n < kept).collect();
            let findings = judge(&operations, &survived, None);
            prop_assert!(findings.holds(), "{}", findings);
        }
    }
}
