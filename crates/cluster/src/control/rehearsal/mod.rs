//! A few whole controls on a bad network, with disks that forget what was not synced, clocks that run
//! differently, and a small replicated log under them: whatever happens, one node at a time holds the
//! lease, and who leads has all that was acknowledged.
//!
//! A seed is a run. `TREFOIL_CONTROL_SEEDS=10000` tries more of them, `TREFOIL_CONTROL_SEED=7` that one
//! only. Each judge is shown a defect that it has to find;
//! those of votes and terms `tests/raft_model` has.

mod defect;
mod dice;
mod judge;
mod machine;
mod nemesis;
mod replica;
mod scripts;
mod world;

use std::ops::Range;

use defect::Defect;
use world::{Tally, World};

const SEEDS: u64 = 40;
/// Within so many a defect is found.
const DEFECT_SEEDS: u64 = 400;

fn play(seeds: Range<u64>, defect: Defect) -> Result<Tally, (u64, String)> {
    let mut total = Tally::default();
    for seed in seeds {
        let tally = World::new(seed, defect).run().map_err(|broken| (seed, broken))?;
        total.add(&tally);
    }
    Ok(total)
}

#[expect(clippy::disallowed_methods, reason = "whoever tests says how much")]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

#[test]
fn no_run_breaks_what_the_agreement_promises_and_all_come_to_rest() {
    let one = number("TREFOIL_CONTROL_SEED").map(|seed| seed..seed + 1);
    let seeds = one.unwrap_or(0..number("TREFOIL_CONTROL_SEEDS").unwrap_or(SEEDS));
    let is_whole = seeds.end - seeds.start >= SEEDS;
    let tally = match play(seeds, Defect::None) {
        Ok(tally) => tally,
        Err((seed, broken)) => panic!("{broken}; TREFOIL_CONTROL_SEED={seed} plays it again"),
    };
    println!("{tally:?}");
    if is_whole {
        tally.check_that_enough_happened();
    }
}

#[test]
fn a_seed_is_a_run() {
    let play = || World::new(11, Defect::None).run().expect("it breaks nothing");
    assert_eq!(play(), play());
}

/// The judges find a defect; `from`: it shows in a run soon after this seed.
fn assert_found(defect: Defect, mut from: u64, by: &str) {
    // Another judge may be faster, now and then.
    loop {
        let found = play(from..from + DEFECT_SEEDS, defect);
        let (seed, broken) = found.expect_err("a defect breaks something");
        println!("{defect:?}: seed {seed}: {broken}");
        if broken.contains(by) {
            return;
        }
        from = seed + 1;
    }
}

#[test]
fn a_grant_that_does_not_wait_for_the_lease_is_found() {
    assert_found(Defect::GrantWithoutWait, 0, judge::TWO_LEASES);
}

#[test]
fn a_lease_that_counts_from_the_answer_is_found() {
    assert_found(Defect::LeaseFromAnswer, 110, judge::TWO_LEASES);
}

#[test]
fn a_report_that_counts_though_the_node_is_not_fenced_is_found() {
    assert_found(Defect::ReportUnfenced, 0, "");
}

#[test]
fn a_revocation_by_the_view_of_one_voter_is_found() {
    assert_found(Defect::OneVotersView, 0, judge::REVOKED_THOUGH_HEARD);
}

#[test]
fn an_electable_set_that_shrinks_before_that_is_agreed_is_found() {
    assert_found(Defect::ElectableUnagreed, 75, judge::LACKS);
}
