//! What people do: ask for another leader, change policies and voters, remove what will not come back.

use trefoil_clock::{ClusterId, Identity, NodeId};
use trefoil_cluster::control::{ControlView, Force, JoinRefused, Request};
use trefoil_cluster::state::{DEFAULT_KEYSPACE, Granted, KeyspacePolicy, ResignReason};

use super::super::SHARD;
use super::super::agenda::MS;
use super::super::disk::{Disk, Duty};
use super::super::world::{Event, World};
use super::orders::Order;

impl World {
    pub(crate) fn on_people(&mut self) {
        let Some(healing) = &self.healing else { return };
        let gap = if self.healed { 100 * MS } else { healing.plan.whim_gap };
        let again = gap / 2 + self.dice.below(gap);
        self.agenda.put(self.now + again, Event::People);
        self.want_voters();
        if self.healed || self.dice.one_in(3) {
            self.remove_the_gone();
        }
        if self.healed {
            return self.force_what_is_stuck();
        }
        match self.dice.below(8) {
            0..=2 => self.ask_for_failover(),
            3 | 4 if !self.plan.steady => self.alter_agreed_policy(),
            5 => self.ask_to_step_down(),
            6 => self.alter_voters(),
            _ => {}
        }
    }

    /// A node that people get through to.
    fn somebody(&mut self) -> Option<usize> {
        let slot = self.dice.below(self.nodes.len() as u64) as usize;
        let runs = self.part_of(slot).is_some() && self.nodes[slot].paused_until <= self.now;
        runs.then_some(slot)
    }

    pub(super) fn request(&mut self, slot: usize, request: Request) {
        self.trace(format_args!("people ask n{slot}: {request:?}"));
        self.with_control(slot, |control, now, out| {
            control.request(now, request, out);
        });
    }

    fn want_voters(&mut self) {
        let Some(healing) = &self.healing else { return };
        let wanted = healing.plan.voters;
        let Some(newest) = &healing.newest else { return };
        if newest.state.is_managed()
            && newest.state.voters != wanted
            && let Some(slot) = self.somebody()
        {
            self.request(slot, Request::SetVoters(wanted));
        }
    }

    fn ask_for_failover(&mut self) {
        let Some(slot) = self.somebody() else { return };
        let forces = self.healing.as_ref().is_some_and(|healing| healing.plan.forces);
        let force = if forces && self.dice.one_in(2) { Force::Yes } else { Force::No };
        let target = self.dice.below(self.nodes.len() as u64 + 1) as usize;
        let to = self.nodes.get(target).map(|node| node.disk.identity.node);
        self.met.event("failovers asked for");
        self.request(slot, Request::Failover { to, force });
    }

    fn ask_to_step_down(&mut self) {
        let leader = self.leading_slot();
        if self.part_of(leader).is_some() {
            let sick = self.dice.one_in(2);
            let reason = if sick { ResignReason::SickDisk } else { ResignReason::StalledLoop };
            self.put_order(leader, Order::StepDown(reason));
        }
    }

    fn alter_agreed_policy(&mut self) {
        let acks = self.another_policy(self.plan.policy);
        let Some(slot) = self.somebody() else { return };
        let Some(part) = self.part_of(slot) else { return };
        let Some(&before) = part.control.state().keyspaces.get(DEFAULT_KEYSPACE) else { return };
        let policy = KeyspacePolicy { acks, ..before };
        self.request(slot, Request::SetPolicy { keyspace: DEFAULT_KEYSPACE.to_owned(), policy });
    }

    fn alter_voters(&mut self) {
        // Whoever has just died may still count as alive: two at a time would be too many.
        if self.has_dead_voter() {
            return;
        }
        let Some(slot) = self.somebody() else { return };
        let target = self.dice.below(self.nodes.len() as u64) as usize;
        let node = self.nodes[target].disk.identity.node;
        let add = self.dice.one_in(2);
        self.request(slot, if add { Request::AddVoter(node) } else { Request::RemoveVoter(node) });
        if !add {
            // Nobody stays barred for long.
            self.request(slot, Request::AddVoter(node));
        }
    }

    fn has_dead_voter(&self) -> bool {
        let Some(healing) = &self.healing else { return false };
        let dead = |view: &ControlView| view.voters.iter().any(|node| healing.gone.contains(node));
        let views = (0..self.nodes.len()).filter_map(|slot| self.part_of(slot)?.view.clone());
        views.into_iter().any(|view| dead(&view))
    }

    /// Nobody can be elected without those who will not come back: people take that upon them.
    fn force_what_is_stuck(&mut self) {
        let Some(healing) = &self.healing else { return };
        let late = self.healed && !healing.served && self.now > self.plan.heals_at + 6_000 * MS;
        let shard = healing.newest.as_ref().and_then(|view| view.state.shards.get(&SHARD));
        let lost = |node: &NodeId| healing.gone.contains(node);
        let misses = shard.is_some_and(|shard| {
            shard.granted == Granted::Revoked && shard.electable.iter().any(lost)
        });
        if late
            && misses
            && let Some(slot) = self.somebody()
        {
            self.met.event("failovers forced for want of the dead");
            self.request(slot, Request::Failover { to: None, force: Force::Yes });
        }
    }

    /// Members whose disks are lost are forgotten by the leader, then by the cluster.
    fn remove_the_gone(&mut self) {
        let Some(healing) = &self.healing else { return };
        let Some(newest) = &healing.newest else { return };
        let gone: Vec<NodeId> = newest
            .state
            .members
            .keys()
            .filter(|node| healing.gone.contains(node))
            .copied()
            .collect();
        let electable = newest.state.shards.get(&SHARD).map(|shard| shard.electable.clone());
        for node in gone {
            if electable.as_ref().is_some_and(|electable| electable.contains(&node)) {
                let leader = self.leading_slot();
                self.put_order(leader, Order::Forget(node));
            } else if let Some(slot) = self.somebody() {
                self.request(slot, Request::RemoveMember(node));
            }
        }
    }

    /// The cluster does not take a node back as what it was: it begins anew as another one.
    pub(super) fn on_join_refused(&mut self, slot: usize, why: JoinRefused) {
        self.met.event("joins refused");
        if matches!(why, JoinRefused::Full) {
            return;
        }
        self.agenda.put(self.now + 50 * MS, Event::Renew(slot));
    }

    /// A person gives a machine a new identity; what it holds goes with the old one.
    pub(crate) fn on_renew_identity(&mut self, slot: usize) {
        if self.nodes[slot].process.is_none() {
            return;
        }
        self.trace(format_args!("n{slot} begins anew"));
        self.begin_anew(slot, None);
    }

    /// The machine is another node from here on; it may bring data along.
    pub(super) fn begin_anew(&mut self, slot: usize, data: Option<Disk>) {
        self.break_clients(slot);
        self.drop_links(slot, super::super::network::Told::No);
        let node = &mut self.nodes[slot];
        node.process = None;
        node.paused_until = 0;
        node.generation += 1;
        let id = NodeId(slot as u128 + 1 + u128::from(node.generation) * 1_000);
        let old = node.disk.identity.node;
        let own = ClusterId(u128::from(self.dice.roll()));
        let duty = Duty::Follow { whom: 0, adopts: true };
        let mut disk = Disk::format(Identity { node: id, cluster: own }, duty);
        if let Some(mut data) = data {
            let cluster = data.identity.cluster;
            data.identity = Identity { node: id, cluster };
            data.papers = disk.papers.clone();
            data.members.clear();
            disk = data;
        }
        disk.papers.joins = true;
        self.nodes[slot].disk = disk;
        self.judge.on_disk_lost(old);
        if let Some(healing) = &mut self.healing {
            healing.gone.insert(old);
            healing.copies.remove(&slot);
        }
        self.start_later(slot);
    }
}
