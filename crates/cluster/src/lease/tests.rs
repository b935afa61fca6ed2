//! Both ends of a lease, by hand.

use std::collections::BTreeSet;

use trefoil_clock::{Epoch, Lsn, NodeId, Position, ShardId};

use super::{Holder, Known, Voter};
use crate::message::{Renew, Renewed};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn set(nodes: &[NodeId]) -> BTreeSet<NodeId> {
    nodes.iter().copied().collect()
}

fn holder() -> Holder {
    Holder::new(A, ShardId(0), 7, 50, 350)
}

fn yes(renew: &Renew) -> Renewed {
    let Renew { shard, epoch, generation, id, sent_ms, .. } = *renew;
    Renewed { shard, epoch, generation, id, sent_ms }
}

#[test]
fn a_lease_counts_from_the_newest_question_that_a_majority_answered() {
    let mut holder = holder();
    holder.lead(1_000, Some(Epoch(4)), &set(&[A, B, C]));
    let first = holder.due(1_000, Position::default()).expect("it is due at once");
    assert!(holder.due(1_049, Position::default()).is_none());
    let second = holder.due(1_050, Position::default()).expect("50 ms later");
    holder.on_renewed(1_051, A, &yes(&second));
    assert_eq!(holder.until_ms(), 0, "one of three");
    holder.on_renewed(1_060, B, &yes(&first));
    assert_eq!(holder.until_ms(), 1_350, "the second newest of the answers counts");
    holder.on_renewed(1_070, C, &yes(&second));
    assert_eq!(holder.until_ms(), 1_400);
    holder.on_renewed(1_080, B, &yes(&first));
    holder.on_renewed(1_080, NodeId(9), &yes(&second));
    assert_eq!(holder.until_ms(), 1_400);
}

#[test]
fn answers_of_another_start_epoch_or_time_count_for_nothing() {
    let mut holder = holder();
    holder.lead(1_000, Some(Epoch(4)), &set(&[A, B, C]));
    let renew = holder.due(1_000, Position::default()).expect("it is due");
    let right = yes(&renew);
    let wrong = [
        Renewed { generation: 6, ..right },
        Renewed { epoch: Epoch(3), ..right },
        Renewed { shard: ShardId(1), ..right },
        Renewed { id: right.id + 1, ..right },
        Renewed { sent_ms: 2_000, ..right },
    ];
    for renewed in &wrong {
        holder.on_renewed(1_001, A, renewed);
        holder.on_renewed(1_001, B, renewed);
    }
    assert_eq!(holder.until_ms(), 0);
}

#[test]
fn who_votes_alone_holds_it_for_ever_and_until_another_one_votes() {
    let mut holder = holder();
    holder.lead(1_000, Some(Epoch(4)), &set(&[A]));
    assert_eq!((holder.until_ms(), holder.deadline()), (u64::MAX, None));
    holder.lead(9_000, Some(Epoch(4)), &set(&[A, B]));
    assert_eq!((holder.until_ms(), holder.deadline()), (9_350, Some(9_000)));
    let renew = holder.due(9_000, Position::default()).expect("it is due");
    holder.on_renewed(9_001, A, &yes(&renew));
    holder.lead(9_002, Some(Epoch(4)), &set(&[A, B, C]));
    holder.on_renewed(9_003, B, &yes(&renew));
    assert_eq!(holder.until_ms(), 9_350, "the question named other voters");
}

#[test]
fn what_was_given_back_is_not_taken_again() {
    let mut holder = holder();
    holder.lead(1_000, Some(Epoch(4)), &set(&[A]));
    holder.give_back(Epoch(4));
    assert_eq!(holder.until_ms(), 0);
    holder.lead(1_001, Some(Epoch(4)), &set(&[A]));
    assert_eq!(holder.until_ms(), 0);
    holder.lead(1_002, Some(Epoch(5)), &set(&[A]));
    assert_eq!(holder.until_ms(), u64::MAX);
}

#[test]
fn a_voter_with_a_revocation_in_its_log_says_nothing() {
    let mut holder = holder();
    let voters = set(&[A, B, C]);
    holder.lead(1_000, Some(Epoch(4)), &voters);
    let end = Position { epoch: Epoch(4), lsn: Lsn(9) };
    let renew = holder.due(1_000, end).expect("it is due");
    let knows = Known { own: B, voters: &voters, epoch: Epoch(4), revoked: Some(Epoch(3)) };
    let mut voter = Voter::default();
    voter.watch(500, Epoch(4), &voters);
    assert_eq!(voter.on_renew(700, &renew, knows), Some(yes(&renew)));
    assert_eq!((voter.answered_ms(), voter.leader_end()), (700, end));
    let fewer = set(&[A, B]);
    let others = set(&[A, C, NodeId(4)]);
    let silent = [
        Known { revoked: Some(Epoch(4)), ..knows },
        Known { epoch: Epoch(5), ..knows },
        Known { voters: &fewer, ..knows },
        Known { voters: &others, ..knows },
        Known { own: NodeId(8), ..knows },
    ];
    for known in silent {
        assert_eq!(voter.on_renew(800, &renew, known), None, "{known:?}");
    }
    assert_eq!(voter.answered_ms(), 700, "only an answer counts as having heard");
    // It may lag behind: what it does not know yet can't have been revoked in its log.
    let behind = Known { epoch: Epoch(3), ..knows };
    assert!(voter.on_renew(900, &renew, behind).is_some());
}
