//! How long it takes until all nodes know something, and how often the living are taken for dead.

use super::{CLUSTER, Network, Weather};
use crate::gossip::{MemberState, Options};
use trefoil_clock::NodeId;

/// Longer than this nothing is waited for.
const PATIENCE_MS: u64 = 120_000;

/// What one run has shown. Times are in milliseconds; None: not within two minutes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// From a node's first word to its seed until all see it.
    pub joined_ms: Option<u64>,
    /// From the same moment until it sees all, and knows what they say about themselves.
    pub informed_ms: Option<u64>,
    /// From a change of what a node says about itself until all hold it.
    pub updated_ms: Option<u64>,
    /// From a node's death until the first takes it for dead.
    pub detected_ms: Option<u64>,
    /// From a node's death until all take it for dead.
    pub mourned_ms: Option<u64>,
    /// While nothing happened: suspicions that probes raised, per node and minute.
    pub false_suspicions: f64,
    /// While nothing happened: living nodes declared dead, per node and minute.
    pub false_deaths: f64,
    /// While nothing happened: datagrams that a node sent per second.
    pub datagrams: f64,
    /// While nothing happened: bytes that a node sent per second.
    pub bytes: f64,
}

/// Runs a cluster of so many nodes through a change, a quiet time, a newcomer and a death.
#[must_use]
pub fn measure(nodes: usize, loss_per_mille: u64, seed: u64, quiet_ms: u64) -> Measured {
    let mut network = Network::running(nodes, seed, Weather::losing(loss_per_mille));
    let updated_ms = update(&mut network);
    let (before, failed) = (network.tally(), network.probes_failed());
    network.run_for(quiet_ms);
    let (after, failed) = (network.tally(), network.probes_failed() - failed);
    let seconds = quiet_ms as f64 / 1_000.0 * nodes as f64;
    let (joined_ms, informed_ms) = join(&mut network);
    let (detected_ms, mourned_ms) = die(&mut network);
    Measured {
        joined_ms,
        informed_ms,
        updated_ms,
        detected_ms,
        mourned_ms,
        false_suspicions: failed as f64 / seconds * 60.0,
        false_deaths: (after.renewals - before.renewals) as f64 / seconds * 60.0,
        datagrams: (after.datagrams - before.datagrams) as f64 / seconds,
        bytes: (after.bytes - before.bytes) as f64 / seconds,
    }
}

fn update(network: &mut Network) -> Option<u64> {
    let mut version = network.gossip(0)?.own().version();
    network.drive(0, |gossip, now_ms, out| {
        let mut metadata = gossip.own().metadata.clone();
        metadata.raft_leader = Some(NodeId(1));
        gossip.set_own(now_ms, metadata, out).expect("it is short");
    });
    version.counter += 1;
    network.run_until(PATIENCE_MS, |network| network.all_hold(0, version))
}

fn join(network: &mut Network) -> (Option<u64>, Option<u64>) {
    let seed = network.identity(0).address;
    let node = network.add(Options::default());
    network.drive(node, |gossip, now_ms, out| gossip.announce(now_ms, seed, out));
    let active = [MemberState::Alive, MemberState::Suspect];
    let began_ms = network.now_ms;
    let mut times = (None, None);
    while (times.0.is_none() || times.1.is_none()) && network.now_ms < began_ms + PATIENCE_MS {
        let passed_ms = network.now_ms - began_ms;
        if times.0.is_none() && network.all_see(node, &active) {
            times.0 = Some(passed_ms);
        }
        if times.1.is_none() && network.sees_all(node) {
            times.1 = Some(passed_ms);
        }
        network.run_for(super::LOOK_MS);
    }
    debug_assert_eq!(network.gossip(node).and_then(super::Gossip::cluster), Some(CLUSTER));
    times
}

fn die(network: &mut Network) -> (Option<u64>, Option<u64>) {
    network.kill(1);
    let any = |network: &Network| network.any_sees(1, MemberState::Down);
    let all = |network: &Network| network.all_see(1, &[MemberState::Down]);
    let first = network.run_until(PATIENCE_MS, any);
    let rest = network.run_until(PATIENCE_MS, all);
    (first, first.zip(rest).map(|(first, rest)| first + rest))
}
