//! Small clusters on a bad network, in virtual time. The whole curve: `cargo xtask gossip`.

use trefoil_cluster::gossip::rehearsal::{CLUSTER, Network, Weather, measure};
use trefoil_cluster::gossip::{MemberState, Metadata, Options};

const ALIVE: [MemberState; 1] = [MemberState::Alive];
const DOWN: [MemberState; 1] = [MemberState::Down];

fn ours() -> Options {
    Options { cluster: Some(CLUSTER), ..Options::default() }
}

fn validate(network: &Network) {
    network.living().for_each(trefoil_cluster::gossip::Gossip::validate);
}

fn all_see_all(network: &Network, nodes: usize) -> bool {
    (0..nodes).all(|node| network.all_see(node, &ALIVE))
}

#[test]
fn nodes_that_know_one_seed_become_a_cluster_that_knows_itself() {
    for (seed, loss) in [(1, 0), (2, 50), (3, 200)] {
        let mut network = Network::new(seed, Weather::losing(loss));
        network.add(ours());
        let first = network.identity(0).address;
        for _ in 1..10 {
            let node = network.add(Options::default());
            network.drive(node, |gossip, now_ms, out| gossip.announce(now_ms, first, out));
        }
        let complete = |network: &Network| (0..10).all(|node| network.sees_all(node));
        let took_ms = network.run_until(20_000, complete);
        assert!(took_ms.is_some(), "seed {seed}, {loss} of 1,000 lost");
        validate(&network);
    }
}

#[test]
fn all_learn_of_news_deaths_and_newcomers_on_a_bad_network() {
    for (nodes, loss) in [(3, 0), (3, 200), (10, 50), (30, 10), (30, 200)] {
        let measured = measure(nodes, loss, 7, 5_000);
        let times = [measured.updated_ms, measured.joined_ms, measured.informed_ms];
        let quick = times.iter().all(|ms| ms.is_some_and(|ms| ms < 5_000));
        assert!(quick, "{nodes} nodes, {loss} of 1,000 lost: {measured:?}");
        let known = measured.mourned_ms.is_some_and(|ms| ms < 15_000);
        assert!(known, "{nodes} nodes, {loss} of 1,000 lost: {measured:?}");
    }
}

#[test]
fn without_loss_nobody_is_suspected() {
    let mut network = Network::running(20, 11, Weather::losing(0));
    network.run_for(60_000);
    assert_eq!((network.probes_failed(), network.tally().renewals), (0, 0));
}

#[test]
fn with_a_tenth_lost_nobody_is_declared_dead() {
    let mut network = Network::running(20, 12, Weather::losing(100));
    network.run_for(60_000);
    assert_eq!((network.tally().downs, network.tally().renewals), (0, 0));
    assert!(network.probes_failed() > 0, "there was something to refute");
}

#[test]
fn both_sides_of_a_partition_find_together_again() {
    for seed in [21, 22] {
        let mut network = Network::running(9, seed, Weather::losing(20));
        (0..3).for_each(|node| network.put_on_side(node, 1));
        let parted = |network: &Network| {
            let sees = |at: usize, node: usize| {
                let row = network.gossip(at).and_then(|it| it.member(network.identity(node).id));
                row.map(|row| row.state)
            };
            sees(0, 8) == Some(MemberState::Down) && sees(8, 0) == Some(MemberState::Down)
        };
        assert!(network.run_until(30_000, parted).is_some());
        network.run_for(10_000);
        (0..3).for_each(|node| network.put_on_side(node, 0));
        let healed = network.run_until(30_000, |network| all_see_all(network, 9));
        assert!(healed.is_some(), "seed {seed}");
        validate(&network);
    }
}

#[test]
fn a_node_cut_off_alone_comes_back_by_itself() {
    for nodes in [2, 3] {
        let mut network = Network::running(nodes, 31, Weather::losing(20));
        network.put_on_side(0, 1);
        assert!(network.run_until(20_000, |network| network.all_see(0, &DOWN)).is_some());
        network.run_for(10_000);
        network.put_on_side(0, 0);
        let healed = network.run_until(20_000, |network| all_see_all(network, nodes));
        assert!(healed.is_some(), "{nodes} nodes");
        validate(&network);
    }
}

#[test]
fn a_restart_is_seen_as_a_new_life_and_told_to_all() {
    let mut network = Network::running(10, 41, Weather::losing(20));
    network.kill(3);
    network.restart(3, ours());
    let seed = network.identity(0).address;
    network.drive(3, |gossip, now_ms, out| gossip.announce(now_ms, seed, out));
    let back =
        network.run_until(5_000, |network| network.all_see(3, &ALIVE) && network.sees_all(3));
    assert!(back.is_some());
    assert_eq!(network.tally().downs, 0, "nobody had to die for it");
    validate(&network);
}

#[test]
fn the_newest_of_many_changes_is_what_all_hold() {
    let mut network = Network::running(10, 51, Weather::losing(100));
    for change in 0..20u32 {
        network.drive(4, |gossip, now_ms, out| {
            let metadata = Metadata { zone: format!("zone {change}"), ..Metadata::default() };
            gossip.set_own(now_ms, metadata, out).expect("it is short");
        });
        network.run_for(70);
    }
    network.run_for(5_000);
    let id = network.identity(4).id;
    for gossip in network.living().filter(|gossip| gossip.own().identity.id != id) {
        let record = gossip.member(id).and_then(|row| row.record).expect("it was spread");
        assert_eq!(record.metadata.zone, "zone 19");
    }
}

#[test]
fn one_seed_makes_one_run() {
    let run = || {
        let mut network = Network::running(12, 61, Weather::losing(100));
        network.kill(2);
        network.run_for(10_000);
        network.tally()
    };
    assert_eq!(run(), run());
}
