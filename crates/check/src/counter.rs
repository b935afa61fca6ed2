//! Rule 31: a counter holds what was acknowledged, and at most what has no answer on top of it.
//!
//! Increments are not idempotent, so this is where replay, retries and torn batches show. The checks
//! look at keys that are only ever added to.

use std::collections::BTreeMap;

use crate::excerpt::excerpt;
use crate::findings::Findings;
use crate::history::{Action, End, Operation, Reply};

/// Checks `acknowledged <= value <= acknowledged + unknown` for each key of `last`, the sums after
/// everything had healed. Only for modes in which nothing that was acknowledged may be lost.
pub fn check(history: &[Operation], last: &BTreeMap<String, i64>) -> Findings {
    let mut findings = Findings::default();
    for (key, additions) in counters(history) {
        let Some(&found) = last.get(key) else { continue };
        findings.count(additions.len());
        let (mut least, mut most) = (0_i64, 0_i64);
        for (operation, amount) in &additions {
            match operation.end {
                End::Returned { .. } => {
                    least += amount;
                    most += amount;
                }
                End::Unknown if *amount > 0 => most += amount,
                End::Unknown => least += amount,
                End::Refused => {}
            }
        }
        if !(least..=most).contains(&found) {
            let what = if found < least {
                "acknowledged additions are lost"
            } else {
                "too much was added"
            };
            let newest = additions.iter().rev().take(6).map(|(operation, _)| *operation);
            findings.broken(
                "rule 31",
                format!(
                    "{key} is {found} in the end, it must be {least} to {most}: {what}; \
                     the newest of {}:{}",
                    additions.len(),
                    excerpt(newest)
                ),
            );
        }
    }
    findings
}

/// Checks that no sum was told twice, on keys whose additions are all positive: each of them made a
/// sum of its own. Only for modes in which nothing that was acknowledged may be lost.
pub fn check_replies(history: &[Operation]) -> Findings {
    let mut findings = Findings::default();
    for (key, additions) in counters(history) {
        if additions.iter().any(|(_, amount)| *amount <= 0) {
            continue;
        }
        findings.count(additions.len());
        let mut sums: BTreeMap<i64, &Operation> = BTreeMap::new();
        for (operation, _) in additions {
            let Some(Reply::Number(sum)) = operation.reply() else { continue };
            if let Some(first) = sums.insert(*sum, operation) {
                let around = excerpt([first, operation]);
                findings.broken("rule 31", format!("{key} was told to be {sum} twice:{around}"));
                break;
            }
        }
    }
    findings
}

/// Keys that are only added to and read, with what was added.
fn counters(history: &[Operation]) -> BTreeMap<&str, Vec<(&Operation, i64)>> {
    let mut keys: BTreeMap<&str, Vec<(&Operation, i64)>> = BTreeMap::new();
    for operation in history {
        if let Action::Add(amount) = operation.action {
            keys.entry(&operation.key).or_default().push((operation, amount));
        }
    }
    for operation in history {
        if !matches!(operation.action, Action::Add(_) | Action::Get) {
            keys.remove(operation.key.as_str());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{answered, set, unknown};
    use proptest::prelude::*;

    fn add(span: (u64, u64), amount: i64, sum: i64) -> Operation {
        answered("n", Action::Add(amount), span, Reply::Number(sum))
    }

    fn holds(history: &[Operation], found: i64) -> bool {
        check(history, &BTreeMap::from([("n".to_owned(), found)])).holds()
    }

    #[test]
    fn a_lost_and_a_doubled_increment_are_caught() {
        let history = [add((1, 2), 1, 1), add((3, 4), 2, 3)];
        assert!(holds(&history, 3));
        assert!(!holds(&history, 2) && !holds(&history, 4));
    }

    #[test]
    fn additions_without_an_answer_may_count_or_not() {
        let history = [add((1, 2), 5, 5), unknown(add((3, 4), 2, 0)), unknown(add((5, 6), -1, 0))];
        for found in 4..=7 {
            assert!(holds(&history, found), "{found}");
        }
        assert!(!holds(&history, 3) && !holds(&history, 8));
    }

    #[test]
    fn a_sum_that_was_told_twice_is_caught() {
        let history = [add((1, 2), 1, 1), add((3, 4), 1, 1)];
        let findings = check_replies(&history);
        assert!(findings.violations[0].text.contains("told to be 1 twice"), "{findings}");
    }

    #[test]
    fn keys_that_are_also_set_are_left_out() {
        assert!(holds(&[set("n", "5", (1, 2)), add((3, 4), 1, 6)], 9));
    }

    proptest! {
        #[test]
        fn correct_counters_pass(
            steps in proptest::collection::vec((1_i64..9, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let mut sum = 0;
            let mut history = Vec::new();
            for (at, (amount, answer, happens)) in (1..).zip(steps) {
                if answer || happens {
                    sum += amount;
                }
                let operation = add((at, at + 10), amount, sum);
                history.push(if answer { operation } else { unknown(operation) });
            }
            prop_assert!(holds(&history, sum));
            prop_assert!(check_replies(&history).holds());
        }
    }
}
