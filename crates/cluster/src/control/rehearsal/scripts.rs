//! What three nodes are told and say, step by step, when nothing but the one thing happens.

use trefoil_clock::NodeId;
use trefoil_replication::Acks;

use super::nemesis::Temper;
use super::world::World;
use crate::control::{Force, Request};

const LEADER: NodeId = NodeId(1);

/// Three nodes that found each other, with the founder leading.
fn three() -> World {
    let mut world = World::quiet(7, Temper::quiet(), Acks::SemiSync(1));
    for node in world.nodes() {
        world.start(node).expect("nothing is broken");
    }
    world.play_until(10_000).expect("nothing is broken");
    world.transcript = Some(Vec::new());
    world
}

/// What happens within so many milliseconds.
fn transcript(mut world: World, for_ms: u64) -> Vec<String> {
    let end_ms = world.now_ms + for_ms;
    world.play_until(end_ms).expect("nothing is broken");
    world.transcript.expect("it is written")
}

#[test]
fn a_leader_that_is_killed_is_revoked_and_the_best_follower_leads_within_a_second() {
    let mut world = three();
    world.machines.get_mut(&LEADER).expect("it exists").crash(0);
    let expected = [
        "2: shard 0: node 1 leads no more in epoch 1: it was not heard",
        "2: is to end 1",
        "3: shard 0: node 1 leads no more in epoch 1: it was not heard",
        "3: is to end 1",
        "2: shard 0: node 3 leads in epoch 2, after node 1",
        "2: is to follow node 3 in 2",
        "3: shard 0: node 3 leads in epoch 2, after node 1",
        "3: is to lead in 2",
        "3: may count 2 nodes",
    ];
    assert_eq!(transcript(world, 1_000), expected);
}

#[test]
fn a_leader_that_is_asked_hands_over_at_once() {
    let mut world = three();
    let request = Request::Failover { to: Some(NodeId(3)), force: Force::No };
    world
        .with(NodeId(2), |control, clock_ms, out| {
            control.request(clock_ms, request, out);
        })
        .expect("nothing is broken");
    let expected = [
        "1: is to hand over to node 3",
        "1: holds no lease",
        "2: shard 0: node 1 leads no more in epoch 1: another node was asked for",
        "2: is to end 1",
        "1: shard 0: node 1 leads no more in epoch 1: another node was asked for",
        "1: is to end 1",
        "3: shard 0: node 1 leads no more in epoch 1: another node was asked for",
        "3: is to end 1",
        "2: shard 0: node 3 leads in epoch 2, after node 1",
        "2: is answered: node 3 leads in epoch 2",
        "2: is to follow node 3 in 2",
        "3: shard 0: node 3 leads in epoch 2, after node 1",
        "3: is to lead in 2",
        "1: shard 0: node 3 leads in epoch 2, after node 1",
        "1: is to follow node 3 in 2",
    ];
    assert_eq!(transcript(world, 200), expected);
}

#[test]
fn a_leader_that_starts_again_uncleanly_does_not_wait_to_be_missed() {
    let mut world = three();
    world.machines.get_mut(&LEADER).expect("it exists").crash(0);
    world.start(LEADER).expect("nothing is broken");
    let expected = [
        "2: node 1 started again (generation 2)",
        "1: node 1 started again (generation 2)",
        "1: is to lead in 1",
        "3: node 1 started again (generation 2)",
        "2: shard 0: node 1 leads no more in epoch 1: it had not stopped cleanly",
        "2: shard 0: nobody is elected yet: 0 of the electable nodes have \
         reported where their logs end, 2 are needed",
        "2: is to end 1",
        "2: shard 0: nobody is elected yet: 1 of the electable nodes have \
         reported where their logs end, 2 are needed",
        "3: shard 0: node 1 leads no more in epoch 1: it had not stopped cleanly",
        "3: is to end 1",
        "1: shard 0: node 1 leads no more in epoch 1: it had not stopped cleanly",
        "1: is to end 1",
        "2: shard 0: node 3 leads in epoch 2, after node 1",
        "2: is to follow node 3 in 2",
        "1: shard 0: node 3 leads in epoch 2, after node 1",
        "1: is to follow node 3 in 2",
        "3: shard 0: node 3 leads in epoch 2, after node 1",
        "3: is to lead in 2",
    ];
    assert_eq!(transcript(world, 250), expected);
}
