//! Finding members from nothing but addresses: seeds, and after a partition those that were lost.
//!
//! The protocol can only address nodes that it knows by name, so we ask an address for the name first.

use std::net::SocketAddr;

use trefoil_clock::ClusterId;

use super::identity::Identity;
use super::random::SplitMix;
use super::wire::{self, Body, Content};
use super::{Action, Event, Gossip};

/// Most seeds.
pub const SEEDS_MAX: usize = 16;

/// Alone, addresses are tried so often.
const ALONE_INTERVAL_MS: u64 = 500;

/// Among others, seeds that are no member are tried so often: two clusters may have formed.
const AMONG_OTHERS_INTERVAL_MS: u64 = 10_000;

/// How many members that are gone are tried at a time.
const LOST_TRIED: usize = 3;

pub(super) struct Seeking {
    seeds: Vec<SocketAddr>,
    /// Told in questions, expected in answers.
    nonce: u64,
    at_ms: u64,
}

impl Seeking {
    pub(super) fn new(random: &mut SplitMix) -> Seeking {
        Seeking { seeds: Vec::new(), nonce: random.next(), at_ms: 0 }
    }

    pub(super) fn soon(&mut self, now_ms: u64) {
        self.at_ms = self.at_ms.min(now_ms + ALONE_INTERVAL_MS);
    }
}

impl Gossip {
    /// Looks for the cluster at an address, now and as long as nobody known is there. Of more than
    /// [`SEEDS_MAX`] addresses the oldest is forgotten.
    pub fn announce(&mut self, now_ms: u64, seed: SocketAddr, out: &mut Vec<Action>) {
        self.seeking.seeds.retain(|known| *known != seed);
        if self.seeking.seeds.len() == SEEDS_MAX {
            self.seeking.seeds.remove(0);
        }
        self.seeking.seeds.push(seed);
        self.seeking.at_ms = now_ms;
        self.seek_if_due(now_ms, out);
    }

    pub(super) fn seek_deadline(&self) -> Option<u64> {
        let has_reason = !self.seeking.seeds.is_empty()
            || (!self.is_connected && self.roster.longest_gone().is_some());
        has_reason.then_some(self.seeking.at_ms)
    }

    pub(super) fn seek_if_due(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.seek_deadline().is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        let interval_ms = match self.is_connected {
            true => AMONG_OTHERS_INTERVAL_MS,
            false => ALONE_INTERVAL_MS,
        };
        self.seeking.at_ms = now_ms + interval_ms;
        let known: Vec<SocketAddr> = self.roster.active().map(|member| member.address).collect();
        let own = self.own.record().identity.address;
        let mut addresses = self.seeking.seeds.clone();
        addresses.retain(|seed| *seed != own && !known.contains(seed));
        if !self.is_connected {
            let lost: Vec<SocketAddr> = self.members().map(|row| row.identity.address).collect();
            for _ in 0..LOST_TRIED.min(lost.len()) {
                addresses.push(lost[self.random.below(lost.len())]);
            }
        }
        let body = Content::Ours(Body::Seek { nonce: self.seeking.nonce });
        for to in addresses {
            out.push(Action::Send { to, datagram: wire::close(self.cluster, &body) });
        }
    }

    pub(super) fn on_seek(&self, from: SocketAddr, nonce: u64, out: &mut Vec<Action>) {
        let identity = self.own.record().identity;
        let body = Content::Ours(Body::Here { nonce, identity });
        out.push(Action::Send { to: from, datagram: wire::close(self.cluster, &body) });
    }

    pub(super) fn on_here(
        &mut self,
        cluster: Option<ClusterId>,
        nonce: u64,
        identity: Identity,
        out: &mut Vec<Action>,
    ) {
        if nonce != self.seeking.nonce || identity.id == self.own.id() {
            return;
        }
        if let (None, Some(found)) = (self.cluster, cluster) {
            self.cluster = cluster;
            out.push(Action::Event(Event::ClusterFound(found)));
        }
        // It only encodes and sends.
        let _ = self.foca.announce(identity, &mut self.effects);
    }
}
