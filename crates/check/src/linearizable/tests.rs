//! Histories that are in order, and planted ones that are not.

use proptest::prelude::*;

use super::*;
use crate::history::tests::{answered, by, get, set, unknown};
use model::step;

fn judge(history: &[Operation]) -> Findings {
    check(history, Limits::default())
}

fn broken(history: &[Operation]) -> String {
    let findings = judge(history);
    assert_eq!(findings.violations.len(), 1, "{findings}");
    findings.violations[0].text.clone()
}

#[test]
fn a_read_that_misses_an_acknowledged_write_is_caught() {
    let history =
        [set("a", "1", (1, 2)), set("a", "2", (3, 4)), by(2, get("a", Some("1"), (5, 6)))];
    let text = broken(&history);
    assert!(text.contains("could only be 2") && text.contains("SET a 1"), "{text}");
}

#[test]
fn a_read_of_a_write_that_is_lost_later_is_caught() {
    // Accident 1: somebody read what had not been committed yet.
    let history = [
        set("a", "1", (1, 2)),
        unknown(set("a", "2", (3, 4))),
        get("a", Some("2"), (5, 6)),
        get("a", Some("1"), (7, 8)),
    ];
    broken(&history);
}

#[test]
fn a_value_that_nobody_wrote_is_caught() {
    let text = broken(&[set("a", "1", (1, 2)), get("a", Some("9"), (3, 4))]);
    assert!(text.contains("nobody wrote it"), "{text}");
}

#[test]
fn overlapping_operations_may_go_in_any_order() {
    let history = [
        set("a", "1", (1, 10)),
        set("a", "2", (1, 10)),
        get("a", Some("2"), (2, 5)),
        get("a", Some("1"), (6, 8)),
    ];
    assert!(judge(&history).holds());
    let back_again = [&history[..], &[get("a", Some("2"), (9, 12))]].concat();
    broken(&back_again);
}

#[test]
fn a_write_without_an_answer_may_happen_late_or_never_but_not_twice() {
    let late = unknown(set("a", "2", (1, 2)));
    let first = set("a", "1", (3, 4));
    let reads = [get("a", Some("1"), (5, 6)), get("a", Some("2"), (7, 8))];
    assert!(judge(&[late.clone(), first.clone(), reads[0].clone()]).holds());
    assert!(judge(&[late.clone(), first.clone(), reads[0].clone(), reads[1].clone()]).holds());
    let again = [set("a", "3", (9, 10)), get("a", Some("2"), (11, 12))];
    broken(&[vec![late, first], reads.to_vec(), again.to_vec()].concat());
}

#[test]
fn an_increment_that_was_done_twice_is_caught() {
    let add = |span, sum| answered("n", Action::Add(1), span, Reply::Number(sum));
    assert!(judge(&[add((1, 2), 1), unknown(add((3, 4), 0)), add((5, 6), 3)]).holds());
    broken(&[add((1, 2), 1), add((3, 4), 3)]);
    broken(&[add((1, 2), 1), add((3, 4), 1)]);
}

#[test]
fn a_deleted_key_that_comes_back_is_caught() {
    let delete = |span, removed| answered("a", Action::Delete, span, Reply::Number(removed));
    let start = [set("a", "1", (1, 2)), delete((3, 4), 1)];
    broken(&[&start[..], &[get("a", Some("1"), (5, 6))]].concat());
    broken(&[&start[..], &[delete((5, 6), 1)]].concat());
    assert!(judge(&[&start[..], &[delete((5, 6), 0), get("a", None, (7, 8))]].concat()).holds());
}

#[test]
fn hundreds_of_writes_without_an_answer_do_not_blow_up_the_search() {
    let mut history = Vec::new();
    for n in 0..3000_u64 {
        let at = n * 10;
        if n % 10 == 0 {
            history.push(unknown(set("a", &format!("u{n}"), (at, 0))));
            history.push(unknown(answered("n", Action::Add(1), (at, 0), Reply::Done)));
        }
        history.push(set("a", &format!("k{n}"), (at + 1, at + 15)));
        history.push(get("a", Some(&format!("k{n}")), (at + 16, at + 18)));
    }
    history.push(get("a", Some("u10"), (40_000, 40_001)));
    history.push(answered("n", Action::Add(1), (40_000, 40_001), Reply::Number(151)));
    assert!(judge(&history).holds());
    history.push(answered("n", Action::Add(1), (40_002, 40_003), Reply::Number(400)));
    assert_eq!(judge(&history).violations.len(), 1);
}

#[test]
fn a_search_that_gives_up_says_so() {
    let mut history: Vec<Operation> =
        (0..12).map(|n| set("a", &n.to_string(), (n, 1000 + n))).collect();
    history.push(get("a", Some("x"), (500, 2000)));
    let findings = check(&history, Limits { configurations_max: 100 });
    assert!(findings.violations.is_empty() && !findings.holds());
    assert!(findings.undecided[0].contains("key a: 13 operations"), "{findings}");
}

/// One operation of a correct execution: gaps in time, what it does, and whether its answer is lost.
#[derive(Clone, Debug)]
struct Step {
    invoked: u64,
    takes_place_after: u64,
    returned_after: u64,
    choice: u8,
    answer_lost: bool,
    happens: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_u64..400, 0_u64..20, 0_u64..20, 0_u8..6, 0_u8..10, any::<bool>());
    let step =
        step.prop_map(|(invoked, takes_place_after, returned_after, choice, lost, happens)| {
            let answer_lost = lost == 0;
            Step { invoked, takes_place_after, returned_after, choice, answer_lost, happens }
        });
    proptest::collection::vec(step, 1..80)
}

/// Runs the steps on a model, one after another by the time they take place.
fn execute(steps: &[Step], counting: bool) -> Vec<Operation> {
    let mut order: Vec<(usize, &Step)> = steps.iter().enumerate().collect();
    order.sort_by_key(|(_, step)| step.invoked + step.takes_place_after);
    let mut value = None;
    let mut history = Vec::new();
    for (index, now) in order {
        let action = match (now.choice, counting) {
            (0, _) => Action::Delete,
            (1 | 2, _) => Action::Get,
            (_, true) => Action::Add(i64::from(now.choice)),
            (3, false) => Action::Append(format!("~{index}")),
            (_, false) => Action::Set(format!("v{index}")),
        };
        let replies = [
            Reply::Done,
            Reply::Value(value.as_deref().map(str::to_owned)),
            Reply::Number(0),
            Reply::Number(1),
        ];
        let number = |v: &Option<std::rc::Rc<str>>| {
            let text = v.as_deref().unwrap_or("");
            Reply::Number(text.parse().unwrap_or(i64::try_from(text.len()).expect("short")))
        };
        let next = step(&value, &action, None).expect("all actions fit");
        let reply = match action {
            Action::Set(_) => replies[0].clone(),
            Action::Get => replies[1].clone(),
            Action::Delete => replies[2 + usize::from(value.is_some())].clone(),
            Action::Add(_) | Action::Append(_) => number(&next),
        };
        let at = now.invoked + now.takes_place_after;
        let operation = answered("k", action, (now.invoked, at + now.returned_after), reply);
        let lost = now.answer_lost;
        if !lost || now.happens {
            value = next;
        }
        history.push(if lost { unknown(operation) } else { operation });
    }
    history
}

proptest! {
    #[test]
    fn correct_executions_pass(steps in steps(), counting: bool) {
        let findings = judge(&execute(&steps, counting));
        prop_assert!(findings.holds(), "{}", findings);
    }

    #[test]
    fn a_stale_read_after_a_correct_execution_is_caught(steps in steps()) {
        let mut history = execute(&steps, false);
        history.push(set("k", "new", (1000, 1001)));
        history.push(set("k", "newer", (1002, 1003)));
        prop_assert!(judge(&history).holds());
        history.push(get("k", Some("new"), (1004, 1005)));
        prop_assert_eq!(judge(&history).violations.len(), 1);
    }
}
