//! P9: `(epoch, lsn)` names one record, an epoch has one leader, and no LSN is acknowledged in two
//! epochs.

use std::collections::BTreeMap;

use crate::findings::Findings;

/// A record as some node or client knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The epoch that it was made in.
    pub epoch: u64,
    /// Its number.
    pub lsn: u64,
    /// Who led in that epoch, as far as the witness knows.
    pub leader: Option<String>,
    /// What the record holds: the bytes' digest or a value, the same for the same record everywhere.
    pub content: Option<String>,
    /// Whether a client was told that it is done, in a mode in which that counts: neither degraded
    /// nor async.
    pub acknowledged: bool,
    /// Who says so, for people.
    pub witness: String,
}

/// Checks what all witnesses say against each other.
pub fn check(records: &[Record]) -> Findings {
    let mut findings = Findings::default();
    findings.count(records.len());
    let mut contents = BTreeMap::new();
    let mut leaders = BTreeMap::new();
    let mut acknowledged = BTreeMap::new();
    for record in records {
        let Record { epoch, lsn, .. } = record;
        if record.content.is_some() {
            let first: &Record = contents.entry((epoch, lsn)).or_insert(record);
            if first.content != record.content {
                let what = format!("({epoch}, {lsn}) names two records");
                findings.broken("P9", both(&what, first, record));
            }
        }
        if record.leader.is_some() {
            let first: &Record = leaders.entry(epoch).or_insert(record);
            if first.leader != record.leader {
                findings
                    .broken("P9", both(&format!("epoch {epoch} has two leaders"), first, record));
            }
        }
        if record.acknowledged {
            let first: &Record = acknowledged.entry(lsn).or_insert(record);
            if first.epoch != record.epoch {
                let what = format!("LSN {lsn} was acknowledged in two epochs");
                findings.broken("P9", both(&what, first, record));
            }
        }
    }
    findings
}

fn both(what: &str, first: &Record, second: &Record) -> String {
    let line = |record: &Record| {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let told = if record.acknowledged { ", acknowledged" } else { "" };
        let Record { epoch, lsn, witness, .. } = record;
        let (leader, content) = (shown(&record.leader), shown(&record.content));
        format!("\n    {witness}: epoch {epoch} of {leader}, LSN {lsn} is {content}{told}")
    };
    format!("{what}:{}{}", line(first), line(second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(epoch: u64, lsn: u64, leader: &str, content: &str, acknowledged: bool) -> Record {
        Record {
            epoch,
            lsn,
            leader: Some(leader.into()),
            content: Some(content.into()),
            acknowledged,
            witness: format!("client of {leader}"),
        }
    }

    fn text(records: &[Record]) -> String {
        let findings = check(records);
        assert_eq!(findings.violations.len(), 1, "{findings}");
        findings.violations[0].text.clone()
    }

    #[test]
    fn a_position_that_names_two_records_is_caught() {
        // The epoch was continued after a dirty restart.
        let records = [record(3, 18, "a", "x", false), record(3, 18, "a", "y", false)];
        assert!(text(&records).contains("(3, 18) names two records"));
    }

    #[test]
    fn an_epoch_with_two_leaders_is_caught() {
        let records = [record(3, 18, "a", "x", false), record(3, 19, "b", "y", false)];
        assert!(text(&records).contains("epoch 3 has two leaders"));
    }

    #[test]
    fn a_number_that_was_acknowledged_in_two_epochs_is_caught() {
        let records = [record(3, 18, "a", "x", true), record(4, 18, "b", "y", true)];
        assert!(text(&records).contains("LSN 18 was acknowledged in two epochs"));
        let cut_off = [record(3, 18, "a", "x", false), record(4, 18, "b", "y", true)];
        assert!(check(&cut_off).holds());
    }

    proptest! {
        /// Terms of leaders, each of which cuts some of what the one before had not acknowledged.
        #[test]
        fn correct_failovers_pass(
            terms in proptest::collection::vec((1_u64..10, 0_u64..10, 0_u64..10), 1..8),
        ) {
            let mut records = Vec::new();
            let mut next = 1;
            for (epoch, (written, not_acknowledged, cut)) in (1..).zip(terms) {
                let leader = format!("node {}", epoch % 3);
                let acknowledged = written.saturating_sub(not_acknowledged);
                for n in 0..written {
                    let content = format!("{epoch}.{n}");
                    records.push(record(epoch, next + n, &leader, &content, n < acknowledged));
                }
                next += written - cut.min(written - acknowledged);
            }
            let twice = [records.clone(), records].concat();
            prop_assert!(check(&twice).holds());
        }
    }
}
