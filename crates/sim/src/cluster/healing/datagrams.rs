//! Datagrams between controls: lost, doubled, overtaken.

use std::net::SocketAddr;

use super::super::agenda::MS;
use super::super::world::{Event, World};

const PORT: u16 = 7_000;

/// Where a node is reached, whoever it is.
pub(super) fn address(slot: usize) -> SocketAddr {
    ([127, 0, 0, 1], PORT + slot as u16).into()
}

pub(super) fn slot_at(address: SocketAddr, nodes: usize) -> Option<usize> {
    let slot = usize::from(address.port().checked_sub(PORT)?);
    (slot < nodes).then_some(slot)
}

impl World {
    pub(super) fn send_datagram(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        let Some(to) = slot_at(to, self.nodes.len()) else { return };
        let Some(healing) = &self.healing else { return };
        let losses = if self.healed { 0 } else { healing.plan.losses };
        let cut = self.net.stuck_until[from][to].max(healing.mute_until[from][to]) > self.now;
        if cut || (losses > 0 && self.dice.below(1_000) < losses) {
            return;
        }
        if losses > 0 && self.dice.below(1_000) < losses {
            self.deliver_later(from, to, bytes.clone());
        }
        self.deliver_later(from, to, bytes);
    }

    fn deliver_later(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let delay = self.net.delay[from][to];
        let mut at = self.now + delay + self.dice.below(delay + 1);
        if self.dice.one_in(100) {
            at += self.dice.below(30 * MS);
        }
        self.agenda.put(at, Event::Datagram { from, to, bytes });
    }

    pub(crate) fn on_datagram(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let node = &self.nodes[to];
        if node.process.is_none() {
            return;
        }
        if node.paused_until > self.now {
            self.agenda.put(node.paused_until, Event::Datagram { from, to, bytes });
            return;
        }
        if !self.may_be_joined(to) {
            return;
        }
        self.with_control(to, |control, now, out| {
            control.on_datagram(now, address(from), &bytes, out);
        });
    }

    /// Who leads nothing has nothing that others could join.
    fn may_be_joined(&self, slot: usize) -> bool {
        let agreed = self.agreed_epoch(slot);
        let led = self.part_of(slot).and_then(|part| part.standing.led);
        self.is_managed(slot) || led.is_some_and(|led| led <= agreed)
    }
}
