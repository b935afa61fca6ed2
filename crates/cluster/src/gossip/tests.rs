//! The rules of membership, one by one, with cores that are called by hand.

use proptest::prelude::*;
use trefoil_clock::{Epoch, Lsn, ShardId};

use super::rehearsal::CLUSTER;
use super::*;

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7379))
}

fn identity(number: u8, generation: u64) -> Identity {
    let (id, generation) = (NodeId(u128::from(number)), Generation(generation));
    Identity { id, generation, address: address(number) }
}

fn ours() -> Options {
    Options { cluster: Some(CLUSTER), ..Options::default() }
}

fn node_with(options: Options, number: u8, generation: u64) -> Gossip {
    let record = NodeRecord::new(identity(number, generation), Metadata::default());
    Gossip::new(options, record, u64::from(number), 0).expect("an empty record is short")
}

fn node(number: u8, generation: u64) -> Gossip {
    node_with(ours(), number, generation)
}

/// Delivers everything until all is quiet, and returns what else came out, by node.
fn exchange(
    now_ms: u64,
    nodes: &mut [&mut Gossip],
    from: usize,
    out: Vec<Action>,
) -> Vec<(usize, Action)> {
    let mut waiting: Vec<(usize, Action)> = out.into_iter().map(|action| (from, action)).collect();
    let mut seen = Vec::new();
    while let Some((at, action)) = (!waiting.is_empty()).then(|| waiting.remove(0)) {
        let Action::Send { to, datagram } = action else {
            seen.push((at, action));
            continue;
        };
        assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
        let source = nodes[at].own().identity.address;
        let target = nodes.iter().position(|node| node.own().identity.address == to);
        let Some(target) = target else { continue };
        let mut out = Vec::new();
        nodes[target].on_datagram(now_ms, source, &datagram, &mut out);
        nodes[target].validate();
        waiting.extend(out.into_iter().map(|action| (target, action)));
    }
    seen
}

fn join(now_ms: u64, joiner: &mut Gossip, seed: &mut Gossip) -> Vec<(usize, Action)> {
    let mut out = Vec::new();
    joiner.announce(now_ms, seed.own().identity.address, &mut out);
    exchange(now_ms, &mut [joiner, seed], 0, out)
}

/// Runs a node's timers, its datagrams lost, and returns the events.
fn alone_until(node: &mut Gossip, end_ms: u64) -> Vec<Event> {
    let mut out = Vec::new();
    while let Some(at_ms) = node.deadline().filter(|at_ms| *at_ms <= end_ms) {
        node.on_timeout(at_ms, &mut out);
        node.validate();
    }
    let event = |action| match action {
        Action::Event(event) => Some(event),
        _ => None,
    };
    out.into_iter().filter_map(event).collect()
}

fn state(of: &Gossip, number: u8) -> Option<(MemberState, Generation)> {
    let row = of.member(NodeId(u128::from(number)))?;
    Some((row.state, row.identity.generation))
}

#[test]
fn a_node_that_knows_only_an_address_finds_cluster_and_members() {
    let (mut seed, mut joiner) = (node(1, 1), node_with(Options::default(), 2, 1));
    assert_eq!(joiner.cluster(), None);
    let seen = join(10, &mut joiner, &mut seed);
    assert_eq!(joiner.cluster(), Some(CLUSTER));
    assert!(seen.contains(&(0, Action::Event(Event::ClusterFound(CLUSTER)))));
    assert!(seen.contains(&(0, Action::Event(Event::MemberUp(identity(1, 1))))));
    assert!(seen.contains(&(1, Action::Event(Event::MemberUp(identity(2, 1))))));
}

#[test]
fn two_nodes_of_no_cluster_find_nothing_in_each_other() {
    let (mut one, mut two) =
        (node_with(Options::default(), 1, 1), node_with(Options::default(), 2, 1));
    assert_eq!(join(10, &mut one, &mut two), []);
    assert_eq!((one.members().count(), two.members().count()), (0, 0));
}

#[test]
fn datagrams_of_another_cluster_are_ignored() {
    let other = Options { cluster: Some(ClusterId(99)), ..Options::default() };
    let (mut seed, mut stranger) = (node(1, 1), node_with(other, 2, 1));
    assert_eq!(join(10, &mut stranger, &mut seed), []);
    assert_eq!((seed.members().count(), seed.counters().foreign), (0, 1));
    assert_eq!(stranger.cluster(), Some(ClusterId(99)));
}

#[test]
fn a_restarted_node_replaces_its_earlier_life_at_once() {
    let (mut seed, mut first) = (node(1, 1), node(2, 5));
    join(10, &mut first, &mut seed);
    let mut second = node(2, 6);
    let seen = join(20, &mut second, &mut seed);
    assert_eq!(state(&seed, 2), Some((MemberState::Alive, Generation(6))));
    assert!(seen.contains(&(1, Action::Event(Event::MemberUp(identity(2, 6))))));
}

#[test]
fn an_older_life_never_comes_back() {
    let (mut seed, mut newer) = (node(1, 1), node(2, 6));
    join(10, &mut newer, &mut seed);
    seed.introduce(20, &[NodeRecord::new(identity(2, 5), Metadata::default())], &mut Vec::new());
    assert_eq!(state(&seed, 2), Some((MemberState::Alive, Generation(6))));
}

#[test]
fn a_node_that_lost_count_of_its_lives_goes_on_above_the_last() {
    let (mut seed, mut before) = (node(1, 1), node(2, 600));
    join(10, &mut before, &mut seed);
    let mut lost_count = node(2, 3);
    let mut seen = join(2_000, &mut lost_count, &mut seed);
    for round in 1..1_000 {
        if state(&seed, 2).is_some_and(|(_, generation)| generation > Generation(600)) {
            break;
        }
        seen.extend(join(2_000 + 1_100 * round, &mut lost_count, &mut seed));
    }
    seed.validate();
    lost_count.validate();
    let renewed = |(_, action): &(usize, Action)| matches!(action, Action::Renewed { .. });
    assert!(seen.iter().filter(|it| renewed(it)).count() <= 3, "it jumps, it does not count");
}

fn up_to_suspicion() -> (Gossip, Gossip, u64) {
    let (mut one, mut two) = (node(1, 1), node(2, 1));
    join(0, &mut two, &mut one);
    let events = alone_until(&mut one, 1_100);
    assert_eq!(events, [Event::MemberSuspect(identity(2, 1))]);
    (one, two, 1_100)
}

#[test]
fn a_member_that_does_not_answer_is_suspected_and_later_down() {
    let (mut one, _, now_ms) = up_to_suspicion();
    assert_eq!(alone_until(&mut one, now_ms + 1_000), []);
    let events = alone_until(&mut one, now_ms + 2_500);
    assert_eq!(events, [Event::MemberDown(identity(2, 1))]);
    assert_eq!(one.counters().probes_failed, 1 + 3, "a suspect is probed as well");
}

#[test]
fn a_suspect_that_hears_of_it_refutes() {
    let (mut one, mut two, now_ms) = up_to_suspicion();
    let mut out = Vec::new();
    let warned_ms = one.syncing.warning_deadline().expect("it is told again");
    assert!(warned_ms > now_ms);
    one.on_timeout(warned_ms, &mut out);
    let seen = exchange(warned_ms, &mut [&mut one, &mut two], 0, out);
    assert!(seen.contains(&(0, Action::Event(Event::MemberUp(identity(2, 1))))));
    assert_eq!(state(&one, 2), Some((MemberState::Alive, Generation(1))));
    assert_eq!(two.counters().renewed, 0);
    // Its time is over, but it was used.
    let mut seen = Vec::new();
    while let Some(at_ms) = one.deadline().filter(|at_ms| *at_ms < 10_000) {
        let mut out = Vec::new();
        one.on_timeout(at_ms, &mut out);
        seen.extend(exchange(at_ms, &mut [&mut one, &mut two], 0, out));
    }
    assert_eq!((seen, two.counters().renewed), (vec![], 0));
}

#[test]
fn a_node_that_was_declared_down_comes_back_in_another_life() {
    let (mut one, mut two, _) = up_to_suspicion();
    alone_until(&mut one, 5_000);
    assert_eq!(state(&one, 2), Some((MemberState::Down, Generation(1))));
    let mut out = Vec::new();
    two.on_timeout(5_000, &mut out);
    two.on_timeout(two.deadline().expect("it probes"), &mut out);
    let seen = exchange(5_700, &mut [&mut one, &mut two], 1, out);
    assert!(seen.contains(&(1, Action::Renewed { generation: Generation(2) })));
    assert_eq!(state(&one, 2), Some((MemberState::Alive, Generation(2))));
    assert_eq!(state(&two, 1).map(|it| it.0), Some(MemberState::Alive));
}

#[test]
fn who_slept_does_not_blame_others() {
    let (mut one, mut two) = (node(1, 1), node(2, 1));
    join(0, &mut two, &mut one);
    let mut out = Vec::new();
    one.on_timeout(one.deadline().expect("it syncs"), &mut out);
    one.on_timeout(500, &mut out);
    out.clear();
    // The probe's answer lies in the socket for as long as the process is stopped.
    one.on_timeout(600_000, &mut out);
    assert_eq!(state(&one, 2), Some((MemberState::Alive, Generation(1))));
}

#[test]
fn a_farewell_is_no_failure() {
    let (mut one, mut two) = (node(1, 1), node(2, 1));
    join(0, &mut two, &mut one);
    let mut out = Vec::new();
    two.leave(50, &mut out);
    let seen = exchange(50, &mut [&mut one, &mut two], 1, out);
    assert!(seen.contains(&(0, Action::Event(Event::MemberLeft(identity(2, 1))))));
    assert!(!seen.contains(&(0, Action::Event(Event::MemberDown(identity(2, 1))))));
    assert_eq!(two.deadline(), None);
    assert_eq!(state(&one, 2), Some((MemberState::Left, Generation(1))));
}

#[test]
fn another_node_that_claims_to_be_this_one_is_reported_and_does_not_race() {
    let (mut one, mut two) = (node(1, 1), node(2, 1));
    join(0, &mut two, &mut one);
    let twin = Identity { address: address(3), ..identity(2, 1) };
    let record = NodeRecord::new(twin, Metadata::default());
    let mut clone = Gossip::new(ours(), record, 9, 0).expect("an empty record is short");
    let mut seen = Vec::new();
    let mut lives = 0;
    for at_ms in (1_000..5_000).step_by(50) {
        let mut out = Vec::new();
        clone.announce(at_ms, address(1), &mut out);
        seen.extend(exchange(at_ms, &mut [&mut one, &mut two, &mut clone], 2, out));
        for index in 0..3 {
            let mut out = Vec::new();
            [&mut one, &mut two, &mut clone][index].on_timeout(at_ms, &mut out);
            seen.extend(exchange(at_ms, &mut [&mut one, &mut two, &mut clone], index, out));
        }
        lives = two.own().identity.generation.0.max(clone.own().identity.generation.0);
    }
    assert!(seen.iter().any(|(_, it)| matches!(it, Action::Event(Event::Impostor(_)))));
    assert!((2..=11).contains(&lives), "{lives} lives in four seconds");
}

#[test]
fn what_a_node_says_is_spread_and_the_newest_wins() {
    let (mut one, mut two) = (node(1, 1), node(2, 1));
    join(0, &mut two, &mut one);
    let mut out = Vec::new();
    let metadata = Metadata { zone: "a".into(), ..Metadata::default() };
    two.set_own(300, metadata.clone(), &mut out).expect("it is short");
    let mut seen = exchange(300, &mut [&mut one, &mut two], 1, out);
    for at_ms in [500, 700, 1_000, 1_200] {
        let mut out = Vec::new();
        two.on_timeout(at_ms, &mut out);
        seen.extend(exchange(at_ms, &mut [&mut one, &mut two], 1, out));
    }
    assert!(seen.contains(&(0, Action::Event(Event::MemberUpdated(identity(2, 1))))));
    let held = one.member(NodeId(2)).and_then(|row| row.record).expect("it was spread").clone();
    assert_eq!(held.metadata, metadata);
    let old = NodeRecord {
        counter: held.counter - 1,
        ..NodeRecord::new(identity(2, 1), Metadata::default())
    };
    one.introduce(1_300, &[old], &mut Vec::new());
    assert_eq!(one.member(NodeId(2)).and_then(|row| row.record), Some(&held));
}

#[test]
fn moving_numbers_are_published_at_leisure_and_news_at_once() {
    let mut node = node(1, 1);
    let clock = |epoch, lsn| Metadata {
        shards: vec![ShardClock {
            keyspace: "default".into(),
            shard: ShardId(0),
            seat: Seat::Leader,
            epoch: Epoch(epoch),
            lsn: Lsn(lsn),
        }],
        ..Metadata::default()
    };
    let mut out = Vec::new();
    node.set_own(500, clock(1, 1), &mut out).expect("it is short");
    assert_eq!(node.own().counter, 2, "a shard is news");
    node.set_own(600, clock(1, 2), &mut out).expect("it is short");
    alone_until(&mut node, 1_499);
    assert_eq!((node.own().counter, node.own().metadata.shards[0].lsn), (2, Lsn(1)));
    alone_until(&mut node, 1_500);
    assert_eq!((node.own().counter, node.own().metadata.shards[0].lsn), (3, Lsn(2)));
    node.set_own(1_600, clock(2, 2), &mut out).expect("it is short");
    alone_until(&mut node, 1_700);
    assert_eq!(node.own().counter, 4, "an epoch is news, 200 ms after the last");
}

#[test]
fn a_node_that_says_too_much_is_refused_and_keeps_what_it_said() {
    let mut node = node(1, 1);
    let metadata = Metadata { region: "r".repeat(RECORD_BYTES_MAX), ..Metadata::default() };
    let refused = node.set_own(10, metadata.clone(), &mut Vec::new());
    assert!(refused.is_err_and(|error| error.bytes > RECORD_BYTES_MAX));
    assert_eq!(node.own().metadata, Metadata::default());
    let record = NodeRecord::new(identity(2, 1), metadata);
    assert!(Gossip::new(ours(), record, 1, 0).is_err());
}

#[test]
fn a_newcomer_learns_all_by_comparison() {
    let (mut seed, mut joiner) = (node(1, 1), node_with(Options::default(), 2, 1));
    let record = |number: u8| {
        let metadata = Metadata { region: "far".repeat(60), ..Metadata::default() };
        NodeRecord { counter: 3, ..NodeRecord::new(identity(number, 1), metadata) }
    };
    let records: Vec<NodeRecord> = (3..=250).map(record).collect();
    seed.introduce(0, &records, &mut Vec::new());
    join(10, &mut joiner, &mut seed);
    let mut out = Vec::new();
    let (run, held) = joiner.digest(wire::Run::ALL);
    joiner.say(address(1), Body::Digest { run, held }, &mut out);
    exchange(11, &mut [&mut joiner, &mut seed], 0, out);
    assert_eq!(joiner.members().filter(|row| row.record.is_some()).count(), 249);
}

#[test]
fn members_are_bounded_and_the_dead_make_room() {
    let mut node = node_with(Options { members_max: 4, ..ours() }, 1, 1);
    let record = |number: u8| NodeRecord::new(identity(number, 1), Metadata::default());
    let records: Vec<NodeRecord> = (2..=9).map(record).collect();
    node.introduce(0, &records, &mut Vec::new());
    node.validate();
    assert_eq!((node.members().count(), node.counters().refused), (3, 5));
    alone_until(&mut node, 20_000);
    assert!(node.members().all(|row| row.state == MemberState::Down));
    node.introduce(20_000, &[record(20)], &mut Vec::new());
    node.validate();
    assert_eq!(state(&node, 20).map(|it| it.0), Some(MemberState::Alive));
    assert_eq!(node.members().count(), 3);
}

#[test]
fn the_dead_are_forgotten_in_the_end() {
    let mut node = node_with(Options { forget_down_ms: 100_000, ..ours() }, 1, 1);
    let record = NodeRecord::new(identity(2, 1), Metadata::default());
    node.introduce(0, &[record], &mut Vec::new());
    alone_until(&mut node, 60_000);
    assert_eq!(state(&node, 2).map(|it| it.0), Some(MemberState::Down));
    alone_until(&mut node, 200_000);
    node.validate();
    assert_eq!(node.members().count(), 0);
}

#[test]
fn same_seed_and_same_calls_make_the_same_actions() {
    let run = || {
        let (mut one, mut two) = (node(1, 1), node(2, 1));
        join(0, &mut two, &mut one);
        let mut out = Vec::new();
        while let Some(at_ms) = one.deadline().filter(|at_ms| *at_ms < 10_000) {
            one.on_timeout(at_ms, &mut out);
        }
        out
    };
    assert_eq!(run(), run());
}

/// Datagrams of all kinds that two nodes exchange.
fn real_datagrams() -> Vec<Vec<u8>> {
    let (mut one, mut two) = (node(1, 1), node(2, 1));
    join(0, &mut two, &mut one);
    let mut out = Vec::new();
    let zone = Metadata { zone: "z".into(), ..Metadata::default() };
    one.set_own(300, zone, &mut out).expect("it is short");
    while let Some(at_ms) = one.deadline().filter(|at_ms| *at_ms < 4_000) {
        one.on_timeout(at_ms, &mut out);
    }
    two.leave(100, &mut out);
    let datagram = |action| match action {
        Action::Send { datagram, .. } => Some(datagram),
        _ => None,
    };
    out.into_iter().filter_map(datagram).collect()
}

proptest! {
    #[test]
    fn damaged_datagrams_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..60),
    ) {
        let datagrams = real_datagrams();
        let mut node = node(2, 1);
        for (which, place, byte, kind) in changes {
            let mut datagram = datagrams[which.index(datagrams.len())].clone();
            // Behind the cluster, or all of it would be foreign.
            let at = 17 + place.index(datagram.len() - 17);
            match kind {
                0 => datagram.truncate(at),
                1 => datagram.insert(at, byte),
                2 => datagram[at] = byte,
                _ => drop(datagram.splice(at.., std::iter::repeat_n(byte, 600))),
            }
            node.on_datagram(1_000, address(1), &datagram, &mut Vec::new());
            node.validate();
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..1_300), kind in 0..4u8) {
        let mut node = node(2, 1);
        let mut datagram = vec![kind];
        datagram.extend(CLUSTER.0.to_be_bytes());
        datagram.extend(bytes);
        node.on_datagram(1_000, address(1), &datagram, &mut Vec::new());
        node.validate();
    }
}
