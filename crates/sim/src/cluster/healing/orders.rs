//! The thread that replicates, told by the cluster: who leads, whom to follow, when to stop.
//!
//! Invariants, as those of the node: a managed node leads in epochs that were granted to it only; once it
//! has said that it is fenced it takes no record of that epoch; once it has resigned it acknowledges
//! nothing.

use trefoil_clock::{ClusterId, Epoch, Lsn, NodeId};
use trefoil_cluster::state::{Addresses, Directive, ResignReason};
use trefoil_replication::AckLevel;

use super::super::agenda::MS;
use super::super::disk::Duty;
use super::super::leading::Begins;
use super::super::process::Role;
use super::super::sabotage::Defect;
use super::super::task::Task;
use super::super::world::World;
use super::datagrams::slot_at;
use super::part::{Electable, Handover, Resigned, Saved, Standing, Taking};

/// See the module.
pub(crate) enum Order {
    /// The cluster asks for this.
    Agreed { cluster: ClusterId, directive: Directive },
    /// It is agreed who is electable.
    Published(Electable),
    /// The policy is another one.
    Reconfigure,
    /// A person: this node is no member any more.
    Forget(NodeId),
    /// Another node is to lead, if that can be done in time.
    HandOver { to: NodeId, until_ms: u64 },
    /// It took too long.
    LeadOn,
    /// Another one had better lead.
    StepDown(ResignReason),
}

impl World {
    pub(super) fn put_order(&mut self, slot: usize, order: Order) {
        if let Some(part) = self.part(slot) {
            part.orders.push_back(order);
            self.wake_peers(slot, MS);
        }
    }

    pub(super) fn wake_peers(&mut self, slot: usize, within: u64) {
        let Some(part) = self.part(slot) else { return };
        if !std::mem::replace(&mut part.stepping, true) {
            let after = self.dice.below(within);
            self.task(slot, after, Task::PeersStep);
        }
    }

    /// The thread's turn.
    pub(crate) fn on_peers_step(&mut self, slot: usize) {
        let Some(part) = self.part(slot) else { return };
        part.stepping = false;
        self.take_orders(slot);
        self.go_on_with_handover(slot);
        self.stand(slot);
        let Some(part) = self.part(slot) else { return };
        let unlogged = part.fenced.is_some() && part.standing.fenced.is_none();
        if !part.orders.is_empty() || part.handover.is_some() || unlogged {
            self.wake_peers(slot, 4 * MS);
        }
    }

    /// Whether a change of role or of history is under way.
    fn is_changing(&self, slot: usize) -> bool {
        self.part_of(slot).is_none_or(|part| part.taking.is_some()) || !self.takes_orders(slot)
    }

    fn take_orders(&mut self, slot: usize) {
        while !self.is_changing(slot) {
            let Some(order) = self.part(slot).and_then(|part| part.orders.pop_front()) else {
                return;
            };
            match order {
                Order::Agreed { cluster, directive } => {
                    self.take_directive(slot, cluster, directive);
                }
                Order::Published(electable) => self.on_published(slot, &electable),
                Order::Reconfigure if self.is_rule_unpublished(slot) => {
                    if let Some(part) = self.part(slot) {
                        part.orders.push_back(Order::Reconfigure);
                    }
                    return;
                }
                Order::Reconfigure => self.reconfigure(slot),
                Order::Forget(node) => self.forget(slot, node),
                Order::HandOver { to, until_ms } => self.begin_handover(slot, to, until_ms),
                Order::LeadOn => {
                    if let Some(part) = self.part(slot) {
                        part.handover = None;
                    }
                }
                Order::StepDown(reason) => self.step_down(slot, reason),
            }
        }
    }

    fn forget(&mut self, slot: usize, node: NodeId) {
        let mut refused = None;
        // Refused while it is attached, or if it is no member any more: nothing to do then.
        self.with_leader(slot, |core, now, out| refused = core.forget(now, node, out).err());
        self.trace(format_args!("n{slot} forgets {node}: {refused:?}"));
    }

    fn take_directive(&mut self, slot: usize, cluster: ClusterId, directive: Directive) {
        match directive {
            Directive::Nothing => {}
            Directive::Fence { epoch } => self.fence(slot, epoch),
            Directive::Lead { epoch, ref members, acks } => {
                let led = self.led_epoch(slot);
                let Some(part) = self.part(slot) else { return };
                part.fenced = None;
                if led == Some(epoch) {
                    return;
                }
                if led.is_some() {
                    part.orders.push_back(Order::Agreed { cluster, directive });
                    return self.depose(slot);
                }
                part.members = Saved { acks, nodes: members.iter().copied().collect() };
                part.wanted = None;
                self.begin_taking(slot, epoch);
            }
            Directive::Follow { addresses, .. } => self.follow_member(slot, cluster, &addresses),
        }
    }

    pub(crate) fn led_epoch(&self, slot: usize) -> Option<Epoch> {
        match &self.nodes[slot].process.as_ref()?.role {
            Role::Leading(leading) => Some(leading.core.epoch()),
            _ => None,
        }
    }

    fn follow_member(&mut self, slot: usize, cluster: ClusterId, addresses: &Addresses) {
        let Some(whom) = slot_at(addresses.peers, self.nodes.len()) else { return };
        let Some(part) = self.part(slot) else { return };
        let was_fenced = part.fenced.take().is_some();
        if let Role::Following(following) = &self.process(slot).role
            && following.whom == whom
            && !was_fenced
        {
            return;
        }
        let disk = &mut self.nodes[slot].disk;
        let adopts = disk.identity.cluster != cluster;
        disk.duty = Duty::Follow { whom, adopts };
        disk.members.clear();
        self.leave_role(slot, "unknown: demoted");
        let process = self.process(slot);
        let needs = process.store.applied.max(process.whole_from);
        if let Some(part) = &mut process.part {
            part.members = Saved::default();
        }
        self.follow(slot, whom, Lsn::ZERO, needs);
    }

    /// Takes no record of this epoch any more, and gives none.
    fn fence(&mut self, slot: usize, epoch: Epoch) {
        let Some(part) = self.part(slot) else { return };
        part.fenced = Some(epoch);
        part.wanted = None;
        match &mut self.process(slot).role {
            Role::Leading(_) | Role::Recovering { .. } => self.depose(slot),
            Role::Following(following) => {
                if let Some(link) = following.link.take() {
                    self.close(link, slot);
                    self.with_follower(slot, |core, now, out| core.on_link_down(now, out));
                }
            }
            Role::Fenced => {}
        }
    }

    /// Leads no more; what becomes of it is said later.
    pub(super) fn depose(&mut self, slot: usize) {
        self.trace(format_args!("n{slot} leads no more"));
        self.leave_role(slot, "unknown: deposed");
        self.process(slot).role = Role::Fenced;
        if let Some(part) = self.part(slot) {
            part.gate_since = None;
        }
    }

    /// The lead is granted: what was received is applied and logged, then the epoch begins.
    fn begin_taking(&mut self, slot: usize, epoch: Epoch) {
        let process = self.process(slot);
        let committed = match &process.role {
            Role::Following(following) => following.core.commit().min(process.end.lsn),
            _ => Lsn::ZERO,
        };
        self.leave_role(slot, "unknown: promoted");
        let process = self.process(slot);
        process.role = Role::Fenced;
        if let Some(part) = &mut process.part {
            part.taking = Some(Taking { epoch, committed });
        }
        let after = self.dice.below(self.plan.sync_takes);
        self.task(slot, after, Task::TakeLead);
    }

    pub(crate) fn on_take_lead(&mut self, slot: usize) {
        let full = self.nodes[slot].full_until.saturating_sub(self.now);
        if full > 0 {
            return self.task(slot, full, Task::TakeLead);
        }
        let Some(taking) = self.part(slot).and_then(|part| part.taking.take()) else { return };
        let began = self.nodes[slot].disk.began;
        let process = self.process(slot);
        let known = process.epochs.last().map(|entry| entry.epoch).unwrap_or_default();
        let used = began.max(known);
        let whole = process.end.lsn >= process.whole_from;
        let mut epoch = taking.epoch;
        if epoch <= used && self.defect == Defect::EpochMinted {
            epoch = used.next();
        }
        if epoch <= used || !whole {
            self.met.event("grants that could not be taken");
            self.refuse_grant(slot, epoch);
        } else {
            let nodes = self.part(slot).map(|part| part.members.nodes.clone()).unwrap_or_default();
            let disk = &mut self.nodes[slot].disk;
            (disk.duty, disk.incoming, disk.members) = (Duty::Lead, None, nodes);
            let process = self.process(slot);
            while let Some(record) = process.received.pop_front() {
                process.store.apply(&record);
            }
            self.check_granted(slot, epoch);
            self.met.event("grants taken");
            self.lead(slot, epoch, Begins::Epoch, taking.committed);
        }
        self.wake_peers(slot, MS);
    }

    /// It leads, in whatever way that came about.
    pub(crate) fn on_lead_taken(&mut self, slot: usize) {
        self.close_gate(slot);
        self.look_at_lease(slot);
        self.keep_acks(slot);
        self.strike_leader(slot);
    }

    /// The epoch that was granted can't be led in.
    fn refuse_grant(&mut self, slot: usize, epoch: Epoch) {
        let end = self.process(slot).end;
        let resigned = Resigned { epoch, end, to: None, reason: ResignReason::Unclean };
        self.wish_to_resign(slot, resigned);
    }

    fn wish_to_resign(&mut self, slot: usize, resigned: Resigned) {
        if let Some(part) = self.part(slot) {
            part.resigned = Some(resigned);
        }
        self.wake_control(slot);
    }

    /// Whether the log has all that it ever acknowledged: if the power went, since it has caught up with a
    /// leader, or leads.
    fn is_intact(&mut self, slot: usize) -> bool {
        let again = match &self.process(slot).role {
            Role::Leading(_) => true,
            Role::Following(following) => following.core.has_all_committed(),
            Role::Recovering { .. } | Role::Fenced => false,
        };
        let disk = &mut self.nodes[slot].disk;
        if again && !std::mem::replace(&mut disk.intact, true) {
            self.met.event("logs that are intact again");
            self.trace(format_args!("n{slot} is intact again"));
        }
        self.nodes[slot].disk.intact
    }

    /// Tells the agreement where this node stands.
    pub(super) fn stand(&mut self, slot: usize) {
        if self.part_of(slot).is_none() || self.is_changing(slot) {
            return;
        }
        let led = self.led_epoch(slot);
        let logged = self.nodes[slot].disk.log.end().lsn;
        let intact = self.is_intact(slot);
        let process = self.process(slot);
        let (end, whole_from) = (process.end, process.whole_from);
        let is_logged = logged >= end.lsn;
        let Some(part) = &mut process.part else { return };
        let standing = Standing {
            led,
            fenced: part.fenced.filter(|_| is_logged),
            end: if is_logged { end } else { Default::default() },
            whole: logged >= whole_from,
            intact,
        };
        let before = std::mem::replace(&mut part.standing, standing);
        if (Standing { end: standing.end, ..before }) != standing {
            self.wake_control(slot);
        }
    }

    fn begin_handover(&mut self, slot: usize, to: NodeId, until_ms: u64) {
        if self.led_epoch(slot).is_none() {
            return;
        }
        self.met.event("handovers begun");
        if let Some(part) = self.part(slot) {
            part.handover = Some(Handover { to, until_ms });
        }
    }

    /// Writes wait; once the next leader has all of them this one stops.
    fn go_on_with_handover(&mut self, slot: usize) {
        let now_ms = self.local_ms(slot);
        let Some(part) = self.part(slot) else { return };
        let Some(handover) = part.handover else { return };
        let flushes = part.policy.level != AckLevel::Received;
        let Some(epoch) = self.led_epoch(slot) else {
            return self.end_handover(slot);
        };
        if now_ms >= handover.until_ms {
            self.end_handover(slot);
            if let Some(part) = self.part(slot) {
                part.kept = true;
            }
            return self.wake_control(slot);
        }
        let logged = self.nodes[slot].disk.log.end().lsn;
        let process = self.process(slot);
        let end = process.end;
        let Role::Leading(leading) = &process.role else { return };
        let rows = leading.core.rows(now_ms);
        let has_all = rows.iter().any(|row| {
            row.node == handover.to
                && row.received >= end.lsn
                && (!flushes || row.flushed >= end.lsn)
        });
        let settled = has_all && logged >= end.lsn && leading.core.released() >= end.lsn;
        if !settled || !self.is_gate_open(slot) {
            return;
        }
        self.met.event("handovers done");
        // What was done is committed: replies that are on their way out leave.
        self.release(slot);
        self.end_handover(slot);
        self.part_with(
            slot,
            Resigned { epoch, end, to: Some(handover.to), reason: ResignReason::Asked },
        );
    }

    fn end_handover(&mut self, slot: usize) {
        if let Some(part) = self.part(slot) {
            part.handover = None;
        }
    }

    /// Gives leadership back at once, with whatever followers have.
    fn step_down(&mut self, slot: usize, reason: ResignReason) {
        let Some(epoch) = self.led_epoch(slot) else { return };
        self.met.event("leaders that gave back");
        let end = self.process(slot).end;
        self.part_with(slot, Resigned { epoch, end, to: None, reason });
    }

    fn part_with(&mut self, slot: usize, resigned: Resigned) {
        if let Some(part) = self.part(slot) {
            part.fenced = Some(resigned.epoch);
        }
        self.depose(slot);
        self.wish_to_resign(slot, resigned);
    }

    /// Whether new writes wait for whoever leads next.
    pub(crate) fn holds_writes(&self, slot: usize) -> bool {
        self.part_of(slot).is_some_and(|part| part.handover.is_some())
    }
}
