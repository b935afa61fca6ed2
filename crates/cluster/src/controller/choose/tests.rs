//! Who is elected, by what was reported.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::{ClusterId, Epoch, Lsn, NodeId, Position, ShardId};
use trefoil_replication::Acks;

use super::{Ballot, Choice, Terms, Wanted, choose, lacks};
use crate::controller::Lack;
use crate::state::{
    Addresses, Command, ControlState, Granted, KeyspacePolicy, Member, MemberKind, Place, Shard,
};

const SHARD: ShardId = ShardId(0);
const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn member(node: NodeId) -> Member {
    Member {
        node,
        generation: 1,
        kind: MemberKind::Data,
        addresses: Addresses {
            peers: ([127, 0, 0, 1], 7_000).into(),
            client_host: "127.0.0.1".into(),
            client_port: 6_000,
        },
        place: Place::default(),
    }
}

/// A has led in epoch 4, which is revoked; B and C are electable, too.
struct Case {
    state: ControlState,
    shard: Shard,
    ballots: BTreeMap<NodeId, Ballot>,
    terms: Terms,
}

fn case(acks: Acks) -> Case {
    let mut state = ControlState::new(ClusterId(9));
    let policy = KeyspacePolicy::alone();
    let found = Command::Found { member: member(A), shard: SHARD, epoch: Epoch(4), policy };
    state.apply(&found).expect("a new cluster can be founded");
    for node in [B, C] {
        state.apply(&Command::Join(member(node))).expect("there is room");
    }
    let shard = Shard {
        electable: BTreeSet::from([A, B, C]),
        granted: Granted::Revoked,
        ..Shard::founded(Epoch(4), A, acks)
    };
    let terms = Terms {
        wanted: Wanted::Anybody,
        forced: false,
        excluded: None,
        final_end: None,
        leader_end: at(4, 100),
        max_loss: None,
        waited: false,
        controller: NodeId(9),
    };
    Case { state, shard, ballots: BTreeMap::new(), terms }
}

fn at(epoch: u64, lsn: u64) -> Position {
    Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
}

impl Case {
    fn told(mut self, node: NodeId, end: Position) -> Case {
        let ballot = Ballot { end, whole: true, intact: true, healthy: true, present: true };
        self.ballots.insert(node, ballot);
        self
    }

    fn ballot(&mut self, node: NodeId) -> &mut Ballot {
        self.ballots.get_mut(&node).expect("it has reported")
    }

    fn place(&mut self, node: NodeId, region: &str, zone: &str) {
        let place = Place { region: region.into(), zone: zone.into() };
        self.state.members.get_mut(&node).expect("it is a member").place = place;
    }

    fn choose(&self) -> Choice {
        choose(&self.state, &self.shard, &self.ballots, &self.terms)
    }
}

#[test]
fn one_report_is_enough_only_if_everybody_had_to_acknowledge() {
    assert_eq!(case(Acks::Sync).told(C, at(4, 90)).choose(), Choice::Elect(C));
    let semi = case(Acks::SemiSync(1)).told(C, at(4, 90));
    assert_eq!(semi.choose(), Choice::Nobody(Lack::Reports { have: 1, need: 2 }));
    assert_eq!(semi.told(B, at(4, 80)).choose(), Choice::Elect(C));
}

#[test]
fn a_later_epoch_beats_a_longer_log() {
    let case = case(Acks::SemiSync(1)).told(B, at(4, 50)).told(C, at(3, 90));
    assert_eq!(case.choose(), Choice::Elect(B));
}

#[test]
fn among_equals_the_old_leader_and_the_controller_come_last() {
    let equal = || case(Acks::SemiSync(1)).told(A, at(4, 9)).told(B, at(4, 9)).told(C, at(4, 9));
    assert_eq!(equal().choose(), Choice::Elect(B), "the lower name");
    let mut decides = equal();
    decides.terms.controller = B;
    assert_eq!(decides.choose(), Choice::Elect(C));
    let mut sick = equal();
    sick.ballot(B).healthy = false;
    sick.ballot(C).healthy = false;
    assert_eq!(sick.choose(), Choice::Elect(A), "a sick one is worse than the old one");
    let mut placed = equal();
    placed.place(A, "north", "a");
    placed.place(B, "north", "b");
    placed.place(C, "north", "a");
    assert_eq!(placed.choose(), Choice::Elect(C), "the zone of the old leader");
}

#[test]
fn who_holds_everything_but_is_away_far_or_broken_is_not_elected() {
    let ready = || case(Acks::Sync).told(B, at(4, 90));
    let mut away = ready();
    away.ballot(B).present = false;
    assert_eq!(away.choose(), Choice::Nobody(Lack::NoCandidate));
    let mut broken = ready();
    broken.ballot(B).whole = false;
    assert_eq!(broken.choose(), Choice::Nobody(Lack::Reports { have: 0, need: 1 }));
    let mut far = ready();
    far.place(B, "south", "");
    assert_eq!(far.choose(), Choice::Nobody(Lack::OtherRegion));
    far.terms.wanted = Wanted::Rather(B);
    assert_eq!(far.choose(), Choice::Elect(B), "a person asked for it");
    let mut witness = ready();
    witness.state.members.get_mut(&B).expect("it is a member").kind = MemberKind::Witness;
    assert_eq!(witness.choose(), Choice::Nobody(Lack::NoCandidate));
}

#[test]
fn reports_of_nodes_that_are_away_still_count_for_where_the_end_is() {
    let mut case = case(Acks::SemiSync(1)).told(B, at(4, 90)).told(C, at(4, 80));
    case.ballot(B).present = false;
    assert_eq!(case.choose(), Choice::Nobody(Lack::Behind), "B may hold what C lacks");
    let case = case.told(C, at(4, 90));
    assert_eq!(case.choose(), Choice::Elect(C));
}

#[test]
fn who_ends_where_the_leader_stopped_holds_everything() {
    let mut case = case(Acks::SemiSync(1)).told(B, at(4, 100));
    case.terms.final_end = Some(at(4, 100));
    case.terms.excluded = Some(A);
    assert_eq!(case.choose(), Choice::Elect(B));
    case.terms.final_end = Some(at(4, 101));
    assert_eq!(case.choose(), Choice::Nobody(Lack::Reports { have: 1, need: 2 }));
}

#[test]
fn the_one_that_was_asked_for_is_taken_if_it_is_as_good() {
    let mut case = case(Acks::SemiSync(1)).told(B, at(4, 90)).told(C, at(4, 90));
    case.terms.wanted = Wanted::Rather(C);
    assert_eq!(case.choose(), Choice::Elect(C));
    case.ballot(C).end = at(4, 89);
    assert_eq!(case.choose(), Choice::Elect(B));
    case.terms.wanted = Wanted::Only(C);
    assert_eq!(case.choose(), Choice::Nobody(Lack::Behind));
    case.terms.forced = true;
    assert_eq!(case.choose(), Choice::ElectLacking(C), "a person takes the loss");
}

#[test]
fn without_acknowledgements_all_others_or_half_of_them_after_a_while_decide() {
    let one = case(Acks::Async).told(B, at(4, 90));
    assert_eq!(one.choose(), Choice::Nobody(Lack::Reports { have: 1, need: 1 }), "C may come");
    let mut waited = case(Acks::Async).told(B, at(4, 90));
    waited.terms.waited = true;
    assert_eq!(waited.choose(), Choice::ElectLacking(B));
    let both = case(Acks::Async).told(B, at(4, 90)).told(C, at(4, 95));
    assert_eq!(both.choose(), Choice::ElectLacking(C));
    let all = both.told(A, at(4, 95));
    assert_eq!(all.choose(), Choice::Elect(C), "nothing can be missing");
    let mut nobody = case(Acks::Async);
    nobody.terms.waited = true;
    assert_eq!(nobody.choose(), Choice::Nobody(Lack::NoCandidate));
}

#[test]
fn no_more_than_max_loss_is_lost_and_all_are_heard_for_that() {
    let mut case = case(Acks::Async).told(B, at(4, 90));
    (case.terms.max_loss, case.terms.waited) = (Some(10), true);
    assert_eq!(case.choose(), Choice::Nobody(Lack::Reports { have: 1, need: 2 }));
    let mut case = case.told(C, at(4, 80));
    assert_eq!(case.choose(), Choice::ElectLacking(B), "10 of 100 are allowed");
    case.terms.max_loss = Some(9);
    assert_eq!(case.choose(), Choice::Nobody(Lack::MaxLoss { lacks: 10, allowed: 9 }));
    assert_eq!((lacks(at(4, 100), at(4, 90)), lacks(at(4, 100), at(5, 7))), (10, 0));
}

#[test]
fn who_lost_its_power_proves_nothing_but_may_lead() {
    // What A and C acknowledged may be on C only: A has lost it.
    let mut one = case(Acks::SemiSync(1)).told(A, at(4, 80)).told(B, at(4, 80));
    one.ballot(A).intact = false;
    assert_eq!(one.choose(), Choice::Nobody(Lack::Doubtful { have: 1, need: 2 }));
    let mut all = one.told(C, at(4, 90));
    assert_eq!(all.choose(), Choice::Elect(C));
    all.ballot(A).end = at(4, 95);
    assert_eq!(all.choose(), Choice::Elect(A), "the others prove that it has everything");
}

#[test]
fn if_the_power_of_all_went_the_last_of_all_leads_or_a_person_decides() {
    let mut some = case(Acks::SemiSync(1)).told(B, at(4, 80)).told(C, at(4, 90));
    some.ballot(B).intact = false;
    some.ballot(C).intact = false;
    assert_eq!(some.choose(), Choice::Nobody(Lack::Doubtful { have: 0, need: 2 }));
    let mut all = some.told(A, at(4, 85));
    all.ballot(A).intact = false;
    assert_eq!(all.choose(), Choice::ElectLacking(C));
    all.ballot(C).present = false;
    assert_eq!(all.choose(), Choice::Nobody(Lack::Doubtful { have: 0, need: 2 }));
    all.ballots.remove(&A);
    all.ballot(C).present = true;
    all.terms.forced = true;
    assert_eq!(all.choose(), Choice::ElectLacking(C));
}

#[test]
fn an_old_leader_that_lost_nothing_proves_by_itself_what_was_acknowledged() {
    let back = case(Acks::Async).told(A, at(4, 90));
    assert_eq!(back.choose(), Choice::Elect(A), "nobody else has to be heard");
    assert_eq!(back.told(B, at(4, 90)).choose(), Choice::Elect(B), "nor has it to be the one");
    let mut semi = case(Acks::SemiSync(1)).told(A, at(4, 90));
    assert_eq!(semi.choose(), Choice::Elect(A));
    semi.ballot(A).intact = false;
    assert!(matches!(semi.choose(), Choice::Nobody(_)), "its power went");
    let unbegun = case(Acks::SemiSync(1)).told(A, at(3, 90));
    assert!(matches!(unbegun.choose(), Choice::Nobody(_)), "it never led in this epoch");
}

#[test]
fn who_loads_a_snapshot_is_a_witness_but_does_not_lead() {
    let mut loads = case(Acks::SemiSync(1)).told(B, at(4, 90)).told(C, at(4, 80));
    loads.ballot(C).whole = false;
    assert_eq!(loads.choose(), Choice::Elect(B));
    loads.ballot(C).end = at(4, 95);
    assert_eq!(loads.choose(), Choice::Nobody(Lack::Behind), "it has more than B");
}
