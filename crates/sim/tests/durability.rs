//! The promises P1, P2 and P16 over many seeds, and that the checkers can fail.

use trefoil_sim::{Sabotage, run};

#[test]
fn every_seed_keeps_what_each_fsync_policy_promises() {
    for seed in 0..500 {
        if let Err(failure) = run(seed, Sabotage::Nothing) {
            panic!("{failure}");
        }
    }
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
