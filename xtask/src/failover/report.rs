//! The end of a run in tables, and whether its targets were met.

use std::collections::BTreeMap;

use super::audit::Audit;
use super::faults::{Demand, Fault};
use super::figures::Distribution;
use super::ledger::{Counts, Outcome};
use super::rounds::Round;
use crate::terminal::table;

/// Targets of an unplanned failover: from the fault to the first acknowledged write.
const FIRST_P50_MS: f64 = 800.0;
const FIRST_P99_MS: f64 = 1_500.0;
/// Target of a graceful failover: the longest that a client waits in a round.
const STALL_P99_MS: f64 = 100.0;

/// Prints the figures of all rounds.
pub(crate) fn print_figures(fault: Fault, rounds: &[Round]) {
    let mut rows = table(["milliseconds", "rounds", "p50", "p90", "p99", "max"]);
    let mut add = |name: &str, figures: Distribution| {
        let show = |figure: Option<f64>| figure.map_or("-".to_owned(), |ms| format!("{ms:.0}"));
        let percentiles = [50, 90, 99].map(|percent| show(figures.percentile_ms(percent)));
        let [p50, p90, p99] = percentiles;
        rows.add_row([
            name.to_owned(),
            figures.count().to_string(),
            p50,
            p90,
            p99,
            show(figures.max_ms()),
        ]);
    };
    if fault.demand() == Demand::AnotherLeader {
        add("fault to first acknowledged write", first(rounds));
        add(
            "fault to writes of every client",
            Distribution::of(rounds.iter().filter_map(|r| r.all_ms)),
        );
    }
    add("longest wait for one write", longest(rounds));
    let whole = match fault {
        Fault::Graceful => "FAILOVER to a whole cluster",
        Fault::Restart => "all nodes restarted",
        _ => "victim back to a whole cluster",
    };
    add(whole, Distribution::of(rounds.iter().map(|round| round.whole_ms)));
    println!("{rows}");
}

fn first(rounds: &[Round]) -> Distribution {
    Distribution::of(rounds.iter().filter_map(|round| round.first_ms))
}

fn longest(rounds: &[Round]) -> Distribution {
    Distribution::of(rounds.iter().map(|round| round.longest_ms))
}

/// Prints what became of all writes.
pub(crate) fn print_account(
    outcomes: &[Vec<Outcome>],
    errors: &BTreeMap<String, (u64, String)>,
    audit: &Audit,
) {
    println!("writes: {}", Counts::of(outcomes.iter().flatten()));
    println!(
        "acknowledged and not there: {}, of these found in archives with receipts: {}",
        audit.lost(),
        audit.accounted()
    );
    println!("archives of tails that were cut off: {}", audit.archives().count());
    for (word, (count, first)) in errors {
        println!("error {word}, {count} times, first: {first}");
    }
}

/// Targets that were missed.
pub(crate) fn missed(fault: Fault, rounds: &[Round]) -> Vec<String> {
    let mut missed = Vec::new();
    let failed: u64 = rounds.iter().map(|round| round.refused + round.unknown).sum();
    match fault.demand() {
        Demand::AnotherLeader => return missed_by_time(rounds),
        Demand::NoFailure if failed > 0 => {
            missed.push(format!("{failed} writes failed; the target is 0"));
        }
        Demand::NoNotice if failed > 0 => {
            missed.push(format!("{failed} writes failed at nodes that were well; the target is 0"));
        }
        Demand::NoFailure | Demand::NoNotice => {}
    }
    let reigns =
        |round: &&Round| (round.leader, round.epoch) != (round.leader_before, round.epoch_before);
    let changes = rounds.iter().filter(reigns).count();
    if fault.demand() == Demand::NoNotice && changes > 0 {
        missed.push(format!("in {changes} rounds the leadership changed; the target is 0"));
    }
    if fault == Fault::Graceful
        && let Some(ms) = longest(rounds).percentile_ms(99).filter(|ms| *ms >= STALL_P99_MS)
    {
        missed.push(format!(
            "longest wait of a round: p99 is {ms:.0} ms; the target is under {STALL_P99_MS:.0}"
        ));
    }
    missed
}

fn missed_by_time(rounds: &[Round]) -> Vec<String> {
    let mut missed = Vec::new();
    let silent = rounds.iter().filter(|round| round.all_ms.is_none()).count();
    if silent > 0 {
        missed.push(format!("in {silent} rounds not every client could write again"));
    }
    for (percent, target_ms) in [(50, FIRST_P50_MS), (99, FIRST_P99_MS)] {
        if let Some(ms) = first(rounds).percentile_ms(percent).filter(|ms| *ms >= target_ms) {
            missed.push(format!(
                "fault to first acknowledged write: p{percent} is {ms:.0} ms; the target is \
                 under {target_ms:.0}"
            ));
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(first_ms: f64) -> Round {
        Round { first_ms: Some(first_ms), all_ms: Some(first_ms), ..Round::default() }
    }

    #[test]
    fn targets_are_of_the_percentiles_and_of_every_round() {
        let good = [round(400.0), round(700.0), round(1_400.0)];
        assert!(missed(Fault::Kill, &good).is_empty());
        assert_eq!(missed(Fault::Kill, &[round(900.0)]).len(), 1);
        assert_eq!(missed(Fault::Kill, &[round(1_500.0)]).len(), 2);
        assert_eq!(missed(Fault::Pause, &[Round::default()]).len(), 1);
    }

    #[test]
    fn a_planned_failover_has_no_failed_write_and_no_long_wait() {
        let good = Round { longest_ms: 99.0, ..Round::default() };
        assert!(missed(Fault::Graceful, std::slice::from_ref(&good)).is_empty());
        let slow = Round { longest_ms: 100.0, ..Round::default() };
        assert_eq!(missed(Fault::Graceful, std::slice::from_ref(&slow)).len(), 1);
        assert!(missed(Fault::Restart, &[slow]).is_empty());
        let failing = Round { refused: 1, ..good };
        assert_eq!(missed(Fault::Restart, &[failing]).len(), 1);
    }

    #[test]
    fn a_sick_follower_changes_nothing() {
        let calm = Round { epoch_before: 3, epoch: 3, ..Round::default() };
        assert!(missed(Fault::PauseFollower, std::slice::from_ref(&calm)).is_empty());
        let noticed = Round { epoch: 4, unknown: 1, ..calm };
        assert_eq!(missed(Fault::IsolateFollower, &[noticed]).len(), 2);
    }
}
