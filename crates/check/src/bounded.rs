//! P8: a bounded read is no older than its bound.
//!
//! Whatever was acknowledged longer than the bound before the read was asked must show. Values carry
//! numbers as for [`crate::session`].

use std::collections::BTreeMap;

use crate::excerpt::excerpt;
use crate::findings::Findings;
use crate::history::{Action, Operation};

/// Checks reads with a bound against everybody's acknowledged writes.
pub fn check(writes: &[Operation], reads: &[Operation], bound_us: u64) -> Findings {
    let mut findings = Findings::default();
    let newest = newest_by_time(writes);
    for read in reads.iter().filter(|o| o.action == Action::Get && o.reply().is_some()) {
        let known_until = read.invoked_us.saturating_sub(bound_us);
        let Some(writes) = newest.get(read.key.as_str()) else { continue };
        findings.count(1);
        // The newest of those that were acknowledged before the bound's beginning.
        let behind = writes.partition_point(|write| write.returned_us() < Some(known_until));
        let Some(must_show) = behind.checked_sub(1).map(|at| writes[at]) else { continue };
        if read.number() < must_show.number() {
            let late_ms = (known_until - must_show.returned_us().unwrap_or(0)).div_ceil(1000);
            findings.broken(
                "P8",
                format!(
                    "a read of {} with a bound of {} ms is older than that by {late_ms} ms or more:{}",
                    read.key,
                    bound_us / 1000,
                    excerpt([must_show, read])
                ),
            );
        }
    }
    findings
}

/// Per key, by the time of their answers, the writes that were the newest until then.
fn newest_by_time(writes: &[Operation]) -> BTreeMap<&str, Vec<&Operation>> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    let mut acknowledged: Vec<&Operation> =
        writes.iter().filter(|o| o.is_acknowledged_write() && o.number().is_some()).collect();
    acknowledged.sort_by_key(|write| write.returned_us());
    for write in acknowledged {
        let newest = keys.entry(&write.key).or_default();
        if newest.last().is_none_or(|last| last.number() < write.number()) {
            newest.push(write);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{get, set};
    use proptest::prelude::*;

    #[test]
    fn a_read_that_is_older_than_its_bound_is_caught() {
        let writes = [set("a", "#1", (1_000, 2_000)), set("a", "#2", (3_000, 4_000))];
        let read = |at| [get("a", Some("#1"), (at, at + 10))];
        assert!(check(&writes, &read(9_000), 5_000).holds());
        let findings = check(&writes, &read(10_000), 5_000);
        assert!(findings.violations[0].text.contains("bound of 5 ms"), "{findings}");
    }

    #[test]
    fn a_late_answer_to_an_older_write_does_not_lower_what_must_show() {
        let writes = [set("a", "#2", (1_000, 2_000)), set("a", "#1", (500, 3_000))];
        assert!(check(&writes, &[get("a", Some("#2"), (9_000, 9_001))], 1_000).holds());
        assert!(!check(&writes, &[get("a", Some("#1"), (9_000, 9_001))], 1_000).holds());
    }

    proptest! {
        #[test]
        fn reads_within_the_bound_pass(
            spans in proptest::collection::vec((1_u64..50, 0_u64..30), 1..50),
            reads in proptest::collection::vec((0_u64..3_000, 0_u64..100), 1..50),
        ) {
            let mut at = 0;
            let mut moments = vec![0];
            let mut writes = Vec::new();
            for (n, (gap, after)) in (1..).zip(spans) {
                at += gap;
                moments.push(at);
                writes.push(set("a", &format!("#{n}"), (at, at + after)));
            }
            // A follower that shows the state of some moment within the last 100.
            let shown = |(at, age): (u64, u64)| {
                let seen = moments.iter().filter(|m| **m <= at.saturating_sub(age)).count() - 1;
                let value = format!("#{seen}");
                get("a", (seen > 0).then_some(value.as_str()), (at, at + 5))
            };
            let reads: Vec<Operation> = reads.into_iter().map(shown).collect();
            let findings = check(&writes, &reads, 100);
            prop_assert!(findings.holds(), "{}", findings);
        }
    }
}
