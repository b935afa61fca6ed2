//! How often and how long: the protocol's times and limits, and how they follow the cluster's size.
//!
//! Failover does not wait for gossip (leases decide it), so the times favour few false suspicions over
//! early detection.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::PeriodicParams;
use trefoil_clock::ClusterId;

use super::wire::{DATAGRAM_BYTES_MAX, ENVELOPE_BYTES};

/// Times and limits. The defaults are for a local network with round trips below 50 ms.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster; datagrams of others are ignored. None: learn it from the seed that is found first.
    pub cluster: Option<ClusterId>,
    /// A member is probed so often.
    pub probe_period_ms: u64,
    /// How long a probe may take before others are asked to try. Less than half the period.
    pub probe_timeout_ms: u64,
    /// How many others are asked.
    pub indirect_probes: u8,
    /// How long a suspect has to refute, in probe periods, in a cluster of up to 7 nodes.
    pub suspicion_periods: u64,
    /// News are sent so often, while there are any.
    pub gossip_interval_ms: u64,
    /// To so many members.
    pub gossip_fanout: u8,
    /// Records are compared with a random member's so often.
    pub sync_interval_ms: u64,
    /// Most members, this one and those that are down included.
    pub members_max: usize,
    /// When a member that is down is forgotten.
    pub forget_down_ms: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cluster: None,
            probe_period_ms: 500,
            probe_timeout_ms: 150,
            indirect_probes: 3,
            suspicion_periods: 4,
            gossip_interval_ms: 200,
            gossip_fanout: 3,
            sync_interval_ms: 1_000,
            members_max: 4_096,
            forget_down_ms: 24 * 60 * 60 * 1_000,
        }
    }
}

/// The binary logarithm of a cluster's size, rounded up: what spreading takes grows with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scale(pub(super) u32);

impl Scale {
    pub(super) fn of(nodes: usize) -> Scale {
        Scale((nodes + 1).next_power_of_two().ilog2())
    }

    /// Nodes of a cluster of this scale, about.
    fn nodes(self) -> u64 {
        1 << self.0
    }
}

impl Options {
    /// How long a suspect has to refute: long enough for the suspicion to reach it and the answer to
    /// reach all, so it grows like those.
    #[must_use]
    pub fn suspicion_ms(&self, nodes: usize) -> u64 {
        let Scale(log) = Scale::of(nodes);
        self.suspicion_periods * self.probe_period_ms * u64::from(log.max(3)) / 3
    }

    /// How often a node sends on one piece of news. A node that is told by nobody is one of e^-sends,
    /// so that even with every fifth datagram lost nobody of 1,000 is missed in 100,000 spreadings.
    #[must_use]
    pub fn sends(&self, nodes: usize) -> u8 {
        let Scale(log) = Scale::of(nodes);
        u8::try_from(4 + 2 * log).unwrap_or(u8::MAX)
    }

    /// Numbers that always move are told so often: about ten times a second over the whole cluster,
    /// never more than once a second by one node.
    pub(super) fn numbers_interval_ms(scale: Scale) -> u64 {
        (100 * scale.nodes()).max(1_000)
    }

    pub(super) fn foca(&self, scale: Scale) -> foca::Config {
        let nodes = usize::try_from(scale.nodes() - 1).unwrap_or(usize::MAX);
        let count = |of: u8| NonZeroUsize::new(usize::from(of)).unwrap_or(NonZeroUsize::MIN);
        let announce_down_ms = (20 * scale.nodes()).max(2_000);
        foca::Config {
            probe_period: Duration::from_millis(self.probe_period_ms),
            probe_rtt: Duration::from_millis(self.probe_timeout_ms),
            num_indirect_probes: count(self.indirect_probes),
            max_transmissions: NonZeroU8::new(self.sends(nodes)).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: Duration::from_millis(self.suspicion_ms(nodes)),
            // We say ourselves when: a timer per death would make flapping nodes cost memory.
            remove_down_after: None,
            max_packet_size: NonZeroUsize::new(DATAGRAM_BYTES_MAX - ENVELOPE_BYTES)
                .expect("a datagram is longer than its envelope"),
            notify_down_members: true,
            // Comparing records finds members, too.
            periodic_announce: None,
            periodic_announce_to_down_members: Some(PeriodicParams {
                frequency: Duration::from_millis(announce_down_ms),
                num_members: NonZeroUsize::MIN,
            }),
            periodic_gossip: Some(PeriodicParams {
                frequency: Duration::from_millis(self.gossip_interval_ms),
                num_members: count(self.gossip_fanout),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_with_the_logarithm_of_the_size() {
        let options = Options::default();
        let at = |nodes| (options.suspicion_ms(nodes), options.sends(nodes));
        assert_eq!([at(3), at(7)], [(2_000, 8), (2_000, 10)]);
        assert_eq!([at(10), at(100), at(1_000)], [(2_666, 12), (4_666, 18), (6_666, 24)]);
        let config = options.foca(Scale::of(1_000));
        assert_eq!(config.suspect_to_down_after, Duration::from_millis(6_666));
        assert_eq!(u8::from(config.max_transmissions), 24);
    }
}
