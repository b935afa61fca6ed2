//! What each command does and when it is refused.

use std::collections::BTreeSet;

use trefoil_clock::{ClusterId, Epoch, NodeId, ShardId};
use trefoil_replication::Acks;

use crate::state::{
    Addresses, Command, ControlState, DEFAULT_KEYSPACE, Directive, Granted, KeyspacePolicy, Member,
    MemberKind, Origin, Place, Refusal, RevokeReason,
};

const SHARD: ShardId = ShardId(0);

fn member(node: u128) -> Member {
    Member {
        node: NodeId(node),
        generation: 1,
        kind: MemberKind::Data,
        addresses: Addresses {
            peers: ([127, 0, 0, 1], 7_000 + node as u16).into(),
            client_host: "127.0.0.1".into(),
            client_port: 6_000 + node as u16,
        },
        place: Place::default(),
    }
}

/// Node 1 leads in epoch 4; 2 and 3 have joined.
fn three() -> ControlState {
    let mut state = ControlState::new(ClusterId(9));
    let policy = KeyspacePolicy::alone();
    let found = Command::Found { member: member(1), shard: SHARD, epoch: Epoch(4), policy };
    state.apply(&found).expect("a new cluster can be founded");
    assert_eq!(state.apply(&found), Err(Refusal::Founded));
    for node in [2, 3] {
        state.apply(&Command::Join(member(node))).expect("there is room");
    }
    state.validate();
    state
}

fn electable(nodes: &[u128], acks: Acks, epoch: u64) -> Command {
    change(nodes, acks, epoch, 1)
}

fn change(nodes: &[u128], acks: Acks, epoch: u64, version: u64) -> Command {
    let electable = nodes.iter().copied().map(NodeId).collect();
    let epoch = Epoch(epoch);
    Command::Electable { shard: SHARD, epoch, generation: 1, version, electable, acks }
}

fn revoke(epoch: u64) -> Command {
    Command::Revoke { shard: SHARD, epoch: Epoch(epoch), reason: RevokeReason::Silent }
}

fn grant(epoch: u64, leader: u128) -> Command {
    Command::Grant { shard: SHARD, epoch: Epoch(epoch), leader: NodeId(leader) }
}

#[test]
fn a_founder_begins_epochs_by_itself_until_somebody_joins() {
    let mut state = ControlState::new(ClusterId(9));
    let policy = KeyspacePolicy::alone();
    let found = Command::Found { member: member(1), shard: SHARD, epoch: Epoch(1), policy };
    state.apply(&found).expect("a new cluster can be founded");
    let advance = |epoch| Command::Advance { shard: SHARD, epoch: Epoch(epoch) };
    assert_eq!(state.apply(&advance(3)), Ok(()));
    assert!(state.apply(&advance(2)).is_err());
    state.apply(&Command::Join(member(2))).expect("there is room");
    assert_eq!(state.apply(&advance(5)), Err(Refusal::Managed));
    assert_eq!(state.shards[&SHARD].epoch, Epoch(3));
}

#[test]
fn an_epoch_is_granted_only_after_the_one_before_it_was_revoked() {
    let mut state = three();
    state.apply(&electable(&[1, 2], Acks::SemiSync(1), 4)).expect("the leader may say so");
    assert_eq!(state.apply(&grant(5, 2)), Err(Refusal::NotRevoked(Epoch(4))));
    assert_eq!(state.apply(&revoke(4)), Ok(()));
    assert_eq!(state.apply(&revoke(4)), Err(Refusal::Revoked(Epoch(4))));
    assert_eq!(state.apply(&grant(5, 3)), Err(Refusal::NotElectable(NodeId(3))));
    assert!(state.apply(&grant(6, 2)).is_err());
    assert_eq!(state.apply(&grant(5, 2)), Ok(()));
    assert!(state.apply(&grant(5, 1)).is_err(), "an epoch has one leader");
    let shard = &state.shards[&SHARD];
    assert_eq!((shard.epoch, shard.leader, shard.granted), (Epoch(5), NodeId(2), Granted::Yes));
    assert_eq!(shard.electable, BTreeSet::from([NodeId(1), NodeId(2)]));
    state.validate();
}

#[test]
fn the_electable_set_is_said_by_the_leader_of_the_present_epoch() {
    let mut state = three();
    assert!(state.apply(&electable(&[1, 2], Acks::Sync, 3)).is_err());
    let without_leader = electable(&[2, 3], Acks::Sync, 4);
    assert_eq!(state.apply(&without_leader), Err(Refusal::BadElectable(NodeId(1))));
    let stranger = electable(&[1, 7], Acks::Sync, 4);
    assert_eq!(state.apply(&stranger), Err(Refusal::BadElectable(NodeId(7))));
    state.apply(&revoke(4)).expect("it is granted");
    assert_eq!(state.apply(&electable(&[1, 2], Acks::Sync, 4)), Err(Refusal::Revoked(Epoch(4))));
}

#[test]
fn a_change_of_the_electable_set_that_comes_again_undoes_nothing() {
    let mut state = three();
    let (wide, narrow) = (&[1, 2, 3][..], &[1, 2][..]);
    assert_eq!(state.apply(&change(wide, Acks::Sync, 4, 1)), Ok(()));
    assert_eq!(state.apply(&change(narrow, Acks::Sync, 4, 2)), Ok(()));
    let again = state.apply(&change(wide, Acks::Sync, 4, 1));
    assert_eq!(again, Err(Refusal::OldVersion { given: 1, present: 2 }));
    state.apply(&Command::Join(Member { generation: 2, ..member(1) })).expect("it started again");
    assert!(state.apply(&change(wide, Acks::Sync, 4, 3)).is_err(), "its earlier start asked");
    assert_eq!(state.shards[&SHARD].electable.len(), 2);
}

#[test]
fn there_are_odd_numbers_of_voters() {
    let mut state = three();
    assert_eq!(state.apply(&Command::SetVoters(4)), Err(Refusal::BadVoters(4)));
    assert_eq!(state.apply(&Command::SetVoters(5)), Ok(()));
    assert_eq!(state.voters, 5);
}

#[test]
fn who_is_electable_cannot_leave() {
    let mut state = three();
    assert_eq!(state.apply(&Command::Leave(NodeId(1))), Err(Refusal::StillElectable(NodeId(1))));
    assert_eq!(state.apply(&Command::Leave(NodeId(3))), Ok(()));
    assert_eq!(state.apply(&Command::Leave(NodeId(3))), Err(Refusal::NoMember(NodeId(3))));
}

#[test]
fn an_older_start_of_a_node_changes_nothing() {
    let mut state = three();
    state.apply(&Command::Join(Member { generation: 5, ..member(2) })).expect("it started again");
    assert!(state.apply(&Command::Join(member(2))).is_err());
    assert_eq!(state.members[&NodeId(2)].generation, 5);
}

#[test]
fn a_directive_follows_from_the_state() {
    let mut state = three();
    state.apply(&electable(&[1, 2], Acks::SemiSync(1), 4)).expect("the leader may say so");
    let leads = Directive::Lead {
        epoch: Epoch(4),
        members: BTreeSet::from([NodeId(2)]),
        acks: Acks::SemiSync(1),
    };
    assert_eq!(state.directive(SHARD, NodeId(1)), leads);
    let follows =
        Directive::Follow { epoch: Epoch(4), leader: NodeId(1), addresses: member(1).addresses };
    assert_eq!(state.directive(SHARD, NodeId(3)), follows);
    assert_eq!(state.directive(SHARD, NodeId(8)), Directive::Nothing);
    state.apply(&revoke(4)).expect("it is granted");
    for node in 1..=3 {
        assert_eq!(state.directive(SHARD, NodeId(node)), Directive::Fence { epoch: Epoch(4) });
    }
}

#[test]
fn a_command_survives_its_encoding() {
    for command in [electable(&[1, 2], Acks::SemiSync(2), 7), revoke(1), grant(2, 3)] {
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
    assert!(Command::decode(&[255, 1, 2]).is_err());
}

#[test]
fn the_third_member_makes_writes_wait_for_another_one_unless_somebody_chose_otherwise() {
    let acks = |state: &ControlState| state.keyspaces[DEFAULT_KEYSPACE].acks.acks;
    assert_eq!(acks(&three()), Acks::SemiSync(1));
    let mut state = ControlState::new(ClusterId(9));
    let policy = KeyspacePolicy { origin: Origin::Chosen, ..KeyspacePolicy::alone() };
    let found = Command::Found { member: member(1), shard: SHARD, epoch: Epoch(4), policy };
    let witness = Member { kind: MemberKind::Witness, ..member(2) };
    for command in [found, Command::Join(witness), Command::Join(member(3))] {
        state.apply(&command).expect("there is room");
    }
    assert_eq!(acks(&state), Acks::Async, "a witness holds no data");
    state.apply(&Command::Join(member(4))).expect("there is room");
    assert_eq!(acks(&state), Acks::Async, "somebody chose it");
    let mut state = three();
    let keyspace = DEFAULT_KEYSPACE.to_owned();
    let policy = KeyspacePolicy::alone();
    state.apply(&Command::SetPolicy { keyspace, policy }).expect("there is such a keyspace");
    state.apply(&Command::Join(member(4))).expect("there is room");
    assert_eq!(acks(&state), Acks::Async, "set by hand it stays");
}
