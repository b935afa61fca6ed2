//! Histories that keep the promises, and some that don't.

use super::*;

fn write(key: &str, value: &str, span: (u64, u64)) -> Entry {
    let end = End::Returned { at_us: span.1, reply: Reply::Done };
    let action = Action::Set(value.into());
    let operation =
        Operation { client: 1, node: 0, key: key.into(), action, invoked_us: span.0, end };
    Entry { view: View::Linear, transaction: None, operation }
}

fn last(pairs: &[(&str, &str)]) -> Contents {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Names of the checks that fail.
fn failed(entries: &[Entry], last: &Contents, terms: &[Term], lossy: bool) -> Vec<&'static str> {
    let archived = BTreeSet::new();
    let case = Case { entries, last, ended_us: 100_000_000, terms, lossy, archived: &archived };
    judge(&case).into_iter().filter(|(_, f)| !f.holds()).map(|(name, _)| name).collect()
}

#[test]
fn a_lost_write_fails_where_nothing_may_be_lost() {
    let entries = [write("once:0:1", "0#1", (1, 2)), write("group:0:1", "x#1", (3, 4))];
    let whole = last(&[("once:0:1", "0#1"), ("group:0:1:a", "x#1"), ("group:0:1:b", "x#1")]);
    assert_eq!(failed(&entries, &whole, &[], false), [""; 0]);
    let torn = last(&[("once:0:1", "0#1"), ("group:0:1:a", "x#1")]);
    assert_eq!(failed(&entries, &torn, &[], false), ["linearizable (P3, P6)", "durable (P1, P4)"]);
    let lost = last(&[("group:0:1:a", "x#1"), ("group:0:1:b", "x#1")]);
    assert_eq!(failed(&entries, &lost, &[], false), ["durable (P1, P4)"]);
}

#[test]
fn a_suffix_of_a_term_may_be_lost_but_not_without_a_trace_and_not_with_holes() {
    let entries = [
        write("once:0:1", "0#1", (1_000_000, 1_000_001)),
        write("once:0:2", "0#2", (4_900_000, 4_900_001)),
        write("once:0:3", "0#3", (6_000_000, 6_000_001)),
    ];
    let term = |begun_us, ended_us, failed_over| Term { begun_us, ended_us, failed_over };
    let restarted = [term(0, Some(5_000_000), false), term(5_500_000, None, false)];
    let failed_over = [term(0, Some(5_000_000), true), term(5_500_000, None, false)];
    let suffix = last(&[("once:0:1", "0#1"), ("once:0:3", "0#3")]);
    assert_eq!(failed(&entries, &suffix, &restarted, true), [""; 0]);
    assert_eq!(failed(&entries, &suffix, &failed_over, true), [""; 0]);
    let hole = last(&[("once:0:2", "0#2"), ("once:0:3", "0#3")]);
    assert_eq!(failed(&entries, &hole, &restarted, true).len(), 1);
    let nothing = last(&[("once:0:3", "0#3")]);
    assert_eq!(failed(&entries, &nothing, &restarted, true).len(), 1, "it is too old for that");
    assert_eq!(failed(&entries, &nothing, &failed_over, true).len(), 1, "it is in no archive");
    let end_lost = last(&[("once:0:1", "0#1"), ("once:0:2", "0#2")]);
    assert_eq!(failed(&entries, &end_lost, &restarted, true).len(), 1, "the last term has no end");
}

#[test]
fn half_a_transaction_fails_in_all_modes() {
    let mut entries = [write("once:0:1:0", "0#1", (1, 9)), write("once:0:1:1", "0#1", (1, 9))];
    for entry in &mut entries {
        entry.transaction = Some(1);
        entry.operation.end = End::Unknown;
    }
    let half = last(&[("once:0:1:1", "0#1")]);
    assert_eq!(failed(&entries, &half, &[], true), ["transactions"]);
    assert_eq!(failed(&entries, &half, &[], false), ["transactions"]);
    assert_eq!(failed(&entries, &last(&[]), &[], false), [""; 0]);
}

#[test]
fn a_torn_moment_fails() {
    let mut read = write("group:0:1", "", (1, 2));
    read.view = View::Moment;
    read.operation.action = Action::Get;
    let reply = Reply::Value(Some("a|b".into()));
    read.operation.end = End::Returned { at_us: 2, reply };
    assert_eq!(failed(&[read], &last(&[]), &[], false), ["moments (rule 16)"]);
}
