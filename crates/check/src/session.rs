//! P7: a session reads its own writes, and never goes back in time, whichever node answers.
//!
//! A session is a [`Operation::client`]; its operations may overlap. Values carry a number per key
//! that grows with each write: either one session writes the key, or the store numbers (INCR). Keys
//! that are ever deleted or appended to tell no numbers and are left out. A session that was told
//! that its branch is lost begins anew: under a new client number.

use std::collections::{BTreeMap, BTreeSet};

use crate::excerpt::excerpt;
use crate::findings::Findings;
use crate::history::{Action, Operation};

/// Checks every session's view of every key.
pub fn check(history: &[Operation]) -> Findings {
    let mut findings = Findings::default();
    let unnumbered: BTreeSet<&str> = history
        .iter()
        .filter(|o| matches!(o.action, Action::Delete | Action::Append(_)))
        .map(|o| o.key.as_str())
        .collect();
    let mut views: BTreeMap<(u32, &str), Vec<&Operation>> = BTreeMap::new();
    let mut sets: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|o| !unnumbered.contains(o.key.as_str())) {
        if operation.reply().is_some() {
            views.entry((operation.client, &operation.key)).or_default().push(operation);
        }
        if operation.is_write() {
            sets.entry(&operation.key).or_default().push(operation);
        }
    }
    for ((client, key), operations) in views {
        findings.count(operations.len());
        if let Some(text) = step_back(client, key, &operations) {
            findings.broken("P7", text);
        } else if let Some(text) = out_of_nothing(key, &operations, sets.get(key)) {
            findings.broken("P7", text);
        }
    }
    findings
}

/// The first read that shows less than the session had seen or written before.
fn step_back(client: u32, key: &str, operations: &[&Operation]) -> Option<String> {
    let mut over: Vec<&Operation> = operations.to_vec();
    over.sort_by_key(|operation| operation.returned_us());
    let mut over = over.into_iter().peekable();
    let mut reads: Vec<&Operation> =
        operations.iter().copied().filter(|operation| operation.action == Action::Get).collect();
    reads.sort_by_key(|read| read.invoked_us);
    // The operation with the highest number among those that were over before the read began.
    let mut newest: Option<&Operation> = None;
    for read in reads {
        while let Some(operation) = over.next_if(|o| o.returned_us() < Some(read.invoked_us)) {
            if operation.number() > newest.and_then(Operation::number) {
                newest = Some(operation);
            }
        }
        let Some(before) = newest else { continue };
        if read.number() < before.number() {
            let what = if before.is_write() { "its own write" } else { "what it had read" };
            let (found, known) = (read.number().unwrap_or(0), before.number().unwrap_or(0));
            return Some(format!(
                "session {client} found number {found} in {key} after {what}, number {known}:{}",
                excerpt([before, read])
            ));
        }
    }
    None
}

/// A read of a number that nobody had begun to write.
fn out_of_nothing(
    key: &str,
    operations: &[&Operation],
    writes: Option<&Vec<&Operation>>,
) -> Option<String> {
    let writes = writes.map_or(&[][..], Vec::as_slice);
    if writes.iter().any(|write| !matches!(write.action, Action::Set(_))) {
        return None;
    }
    let begun: BTreeMap<u64, &Operation> =
        writes.iter().filter_map(|write| Some((write.number()?, *write))).collect();
    let foreign = operations.iter().find(|read| {
        let Some(number) = read.number() else { return true };
        let known = begun.get(&number).is_some_and(|w| Some(w.invoked_us) <= read.returned_us());
        number > 0 && !known
    })?;
    Some(format!("a read of {key} shows what nobody had begun to write:{}", excerpt([*foreign])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Reply;
    use crate::history::tests::{answered, by, get, set, unknown};
    use proptest::prelude::*;

    #[test]
    fn a_session_that_misses_its_own_write_is_caught() {
        let history =
            [set("a", "#1", (1, 2)), set("a", "#2", (3, 4)), get("a", Some("#1"), (5, 6))];
        let findings = check(&history);
        assert!(findings.violations[0].text.contains("its own write, number 2"), "{findings}");
        assert!(!check(&[set("a", "#1", (1, 2)), get("a", None, (3, 4))]).holds());
    }

    #[test]
    fn reads_that_go_back_are_caught() {
        // The session check was dropped after a reconnect to another node.
        let mut second = by(2, get("a", Some("#1"), (7, 8)));
        second.node = 2;
        let history = [
            set("a", "#1", (1, 2)),
            set("a", "#2", (3, 4)),
            by(2, get("a", Some("#2"), (5, 6))),
            second,
        ];
        let findings = check(&history);
        assert!(findings.violations[0].text.contains("session 2 found number 1"), "{findings}");
    }

    #[test]
    fn another_session_may_lag_and_overlapping_reads_may_cross() {
        let history = [
            set("a", "#1", (1, 2)),
            set("a", "#2", (3, 4)),
            by(2, get("a", Some("#1"), (5, 6))),
            by(3, get("a", Some("#2"), (5, 9))),
            by(3, get("a", Some("#1"), (6, 8))),
        ];
        assert!(check(&history).holds(), "{}", check(&history));
    }

    #[test]
    fn a_write_without_an_answer_binds_nobody() {
        let history = [unknown(set("a", "#1", (1, 2))), get("a", None, (3, 4))];
        assert!(check(&history).holds());
    }

    #[test]
    fn a_read_of_what_nobody_wrote_yet_is_caught() {
        let history = [by(2, get("a", Some("#1"), (1, 2))), set("a", "#1", (3, 4))];
        assert!(!check(&history).holds());
        assert!(!check(&[get("a", Some("rubbish"), (1, 2))]).holds());
    }

    #[test]
    fn numbers_that_the_store_gives_count_as_well() {
        let add = |span, sum| answered("n", Action::Add(1), span, Reply::Number(sum));
        let history = [add((1, 2), 1), add((3, 4), 2), get("n", Some("2"), (5, 6))];
        assert!(check(&history).holds());
        assert!(!check(&[&history[..], &[get("n", Some("1"), (7, 8))]].concat()).holds());
    }

    proptest! {
        /// One writer; sessions on followers that lag, but never fall behind what they saw.
        #[test]
        fn correct_sessions_pass(steps in proptest::collection::vec((0_u32..4, 0_u64..5), 1..80)) {
            let mut written = 0;
            let mut seen = [0_u64; 4];
            let mut history = Vec::new();
            for (at, (session, lag)) in (1..).zip(steps) {
                let span = (at * 10, at * 10 + 5);
                if session == 0 {
                    written += 1;
                    history.push(by(0, set("a", &format!("w#{written}"), span)));
                    seen[0] = written;
                    continue;
                }
                let own = &mut seen[session as usize];
                *own = (*own).max(written.saturating_sub(lag));
                let value = format!("w#{own}");
                let read = get("a", (*own > 0).then_some(value.as_str()), span);
                history.push(by(session, read));
            }
            let findings = check(&history);
            prop_assert!(findings.holds(), "{}", findings);
        }
    }
}
