//! Datagrams under way, and who can't reach whom. Every message crosses it as bytes.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_clock::NodeId;
use trefoil_cluster::raft::Message;

use crate::dice::Dice;

/// What a datagram may hold.
const DATAGRAM_MAX: usize = 60_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Network {
    /// By arrival, then by departure.
    flights: BTreeMap<(u64, u64), Flight>,
    departures: u64,
    /// Ways that are cut, in one direction each.
    pub(crate) cuts: BTreeSet<(NodeId, NodeId)>,
    pub(crate) loss_percent: u64,
    pub(crate) doubled_percent: u64,
    /// Datagrams that take much longer than others.
    pub(crate) late_percent: u64,
}

pub(crate) struct Flight {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) bytes: Vec<u8>,
}

impl Network {
    pub(crate) fn send(
        &mut self,
        now_ms: u64,
        (from, to): (NodeId, NodeId),
        message: &Message,
        dice: &mut Dice,
    ) {
        let bytes = postcard::to_allocvec(message).expect("a message can be encoded");
        assert!(bytes.len() <= DATAGRAM_MAX, "a message fits a datagram");
        let copies = if dice.percent(self.doubled_percent) { 2 } else { 1 };
        for _ in 0..copies {
            if self.cuts.contains(&(from, to)) || dice.percent(self.loss_percent) {
                continue;
            }
            let late = dice.percent(self.late_percent);
            let delay_ms = if late { dice.between(20, 400) } else { dice.between(0, 8) };
            self.departures += 1;
            let flight = Flight { from, to, bytes: bytes.clone() };
            self.flights.insert((now_ms + delay_ms, self.departures), flight);
        }
    }

    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.flights.first_key_value().map(|(&(at_ms, _), _)| at_ms)
    }

    /// The next datagram that arrives, unless its way was cut meanwhile.
    pub(crate) fn arrive(&mut self) -> Option<Flight> {
        let (_, flight) = self.flights.pop_first()?;
        (!self.cuts.contains(&(flight.from, flight.to))).then_some(flight)
    }

    /// Two sides that can't reach each other, in both directions or in one.
    pub(crate) fn split(&mut self, left: &[NodeId], right: &[NodeId], one_way: bool) {
        for &a in left {
            for &b in right {
                self.cuts.insert((a, b));
                if !one_way {
                    self.cuts.insert((b, a));
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// From now on nothing is lost.
    pub(crate) fn calm(&mut self) {
        self.heal();
        (self.loss_percent, self.doubled_percent, self.late_percent) = (0, 0, 0);
    }
}
