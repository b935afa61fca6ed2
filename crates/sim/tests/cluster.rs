//! The promises of replication over many seeds, and that the checkers can fail.

use trefoil_sim::cluster::{Defect, Keep, Met, run};

/// Runs seeds without a defect and adds up what they met.
fn runs(seeds: std::ops::Range<u64>) -> Met {
    let mut met = Met::default();
    for seed in seeds {
        let outcome = run(seed, Defect::None, Keep::Hash);
        if let Some(broken) = outcome.broken {
            panic!(
                "seed {seed}: {broken}\nagain: cargo run --release -p trefoil-sim -- --seed {seed} --trace"
            );
        }
        met.add(&outcome.met);
    }
    met
}

#[test]
fn every_seed_keeps_the_promises_and_the_runs_meet_what_they_are_for() {
    let met = runs(1..401);
    let rare = [
        "promotions",
        "switch-overs",
        "cuts",
        "stores rebuilt",
        "snapshots installed",
        "transfers resumed",
        "installs finished by a start",
        "kill -9 during a cut, fetch or install",
        "logs freed",
        "followers lost",
        "members added",
        "members forgotten",
        "blocked",
        "degraded",
        "leaders that stepped down",
        "recoveries of dirty leaders",
        "records pulled by recovering leaders",
        "two leaders in an epoch detected",
        "refused to lose what was committed",
        "histories given up for another",
        "lost branch told",
        "bounded reads on followers",
        "reads that probed",
        "requests passed on",
        "policies set",
        "unknown: acknowledgements are late",
        "refused: too few followers",
        "power lost everywhere",
        "disk lost",
        "disks full",
        "one-way stalls",
        "pauses",
        "clock jumps",
        "acknowledged writes lost where that is allowed",
    ];
    for kind in rare {
        assert!(met.count(kind) > 0, "no run met `{kind}`:\n{met}");
    }
    assert!(met.states.len() > 5_000, "hardly any states were seen:\n{met}");
}

#[test]
fn a_seed_gives_the_same_trace_again() {
    for seed in 1..20 {
        let first = run(seed, Defect::None, Keep::Text);
        let second = run(seed, Defect::None, Keep::Text);
        assert_eq!(first.trace, second.trace, "seed {seed} went two ways");
        assert_eq!(first.trace_hash, run(seed, Defect::None, Keep::Hash).trace_hash);
    }
}

/// The defect is found within some hundreds of seeds, as a breach of one of these promises.
fn is_found(defect: Defect, promises: &[&str]) {
    for seed in 1..500 {
        let Some(broken) = run(seed, defect, Keep::Hash).broken else { continue };
        let told = broken.split("}: ").last().unwrap_or(&broken);
        if promises.iter().any(|promise| told.starts_with(promise)) {
            return;
        }
    }
    panic!("no seed finds {defect:?}");
}

#[test]
fn acknowledging_before_the_follower_flushed_is_found() {
    is_found(Defect::AckBeforeFlush, &["P3/P4", "P9"]);
}

#[test]
fn a_read_that_passes_the_gate_is_found() {
    is_found(Defect::ReadPassesGate, &["P3:"]);
}

#[test]
fn accepting_a_frame_of_an_old_epoch_is_found() {
    is_found(Defect::OldEpochAccepted, &["P3/P4", "P9"]);
}

#[test]
fn not_comparing_the_previous_record_is_found() {
    is_found(Defect::PreviousNotChecked, &["log matching"]);
}

#[test]
fn going_on_in_the_old_epoch_after_a_dirty_restart_is_found() {
    is_found(Defect::OldEpochContinued, &["P9"]);
}

#[test]
fn a_snapshot_that_counts_before_its_log_is_flushed_is_found() {
    is_found(Defect::SnapshotBeforeFlush, &["state is history", "P3", "P9"]);
}

#[test]
fn forgetting_a_session_when_it_reconnects_is_found() {
    is_found(Defect::SessionForgotten, &["P7"]);
}

#[test]
fn counting_the_acknowledgement_of_a_non_member_is_found() {
    is_found(Defect::NonMemberCounts, &["P3/P4", "P9"]);
}

#[test]
fn serving_before_being_ready_is_found() {
    is_found(Defect::ServesBeforeReady, &["P3", "P7"]);
}

#[test]
fn cutting_a_tail_without_archiving_it_is_found() {
    is_found(Defect::CutWithoutArchive, &["P5"]);
}
