//! The promises P1, P2 and P16 over many seeds, and that the checkers can fail.

use trefoil_sim::{Coverage, Sabotage, run};

#[test]
fn every_seed_keeps_what_each_fsync_policy_promises() {
    let mut met = Coverage::default();
    for seed in 0..500 {
        match run(seed, Sabotage::Nothing) {
            Ok(coverage) => met.add(&coverage),
            Err(failure) => panic!("{failure}"),
        }
    }
    let Coverage { from_snapshot, records_lost, refusals, warnings, disk_full } = met;
    let rarest = [from_snapshot, records_lost, refusals, warnings, disk_full].into_iter().min();
    assert!(rarest > Some(50), "the runs hardly meet what they are for: {met:?}");
}

fn finds(sabotage: Sabotage) -> bool {
    (0..100).any(|seed| run(seed, sabotage).is_err())
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    assert!(finds(Sabotage::AcknowledgeWhenWritten));
}

#[test]
fn half_a_transaction_is_found() {
    assert!(finds(Sabotage::HalfTransactions));
}
