//! The thread that controls: drives the [`Control`] and carries out what it wants.

use std::sync::Arc;

use trefoil_clock::Epoch;
use trefoil_cluster::control::{Action, Control, ControlStart, ControlView, Event, LocalReport};
use trefoil_cluster::state::{
    Addresses, DEFAULT_KEYSPACE, Directive, Failover, KeyspacePolicy, Member, MemberKind, Origin,
    Place,
};
use trefoil_replication::RowState;

use super::super::agenda::{MS, Micros};
use super::super::process::Role;
use super::super::sabotage::Defect;
use super::super::task::Task;
use super::super::world::World;
use super::datagrams::address;
use super::gate::LEASE_MS;
use super::orders::Order;
use super::part::{Electable, Gate, Part};

/// Wishes are looked at this often, if nobody rings.
const BEAT: Micros = 50 * MS;
/// So long after a start a node is not yet what it was.
const WARM_UP: Micros = 300 * MS;

impl World {
    /// The control of a process begins; the role is what the cluster says, unless the node is alone.
    pub(crate) fn start_part(&mut self, slot: usize, clean: bool) {
        let papers = &mut self.nodes[slot].disk.papers;
        papers.generation += 1;
        let belongs = papers.is_one_of_several();
        let joins = papers.joins && !belongs;
        let managed = belongs || joins;
        if !managed {
            self.start_leading(slot, clean);
        }
        let policy = KeyspacePolicy {
            origin: Origin::Chosen,
            acks: self.plan.policy,
            failover: Failover::Automatic,
            max_loss: None,
        };
        let disk = &self.nodes[slot].disk;
        let start = ControlStart {
            own: Member {
                node: disk.identity.node,
                generation: disk.papers.generation,
                kind: MemberKind::Data,
                addresses: Addresses {
                    peers: address(slot),
                    client_host: "127.0.0.1".to_owned(),
                    client_port: 6_379,
                },
                place: Place::default(),
            },
            raft: Some(disk.papers.start.clone()),
            cluster: disk.identity.cluster,
            shard: super::super::SHARD,
            epoch: disk.began,
            policy,
        };
        let Some(healing) = &self.healing else { return };
        let mut options = healing.plan.options;
        options.seed = self.dice.roll();
        let (now_ms, mut out) = (self.local_ms(slot), Vec::new());
        let control = match Control::new(options, start, now_ms, &mut out) {
            Ok(control) => control,
            Err(error) => return self.refuse_to_start(slot, &error.to_string()),
        };
        let part = Part::new(control, managed, self.plan.policy);
        self.process(slot).part = Some(Box::new(part));
        self.unwell(slot, WARM_UP);
        for action in out {
            self.carry_out_control(slot, action);
        }
        if joins {
            let others =
                (0..self.nodes.len()).filter(|other| *other != slot).map(address).collect();
            self.with_control(slot, |control, now, out| control.join(now, others, out));
        }
        self.look_at_lease(slot);
        self.set_control_tick(slot);
        self.task(slot, 0, Task::ControlBeat);
    }

    /// What is on the disk makes no sense to the control.
    fn refuse_to_start(&mut self, slot: usize, why: &str) {
        self.judge.broken("control log", format!("n{slot} can't start: {why}"));
    }

    /// Calls the control and carries out what it wants.
    pub(super) fn with_control(
        &mut self,
        slot: usize,
        call: impl FnOnce(&mut Control, u64, &mut Vec<Action>),
    ) {
        let now_ms = self.local_ms(slot);
        let mut out = Vec::new();
        let Some(part) = self.part(slot) else { return };
        call(&mut part.control, now_ms, &mut out);
        for action in out {
            self.carry_out_control(slot, action);
        }
        self.look_at_lease(slot);
        self.set_control_tick(slot);
    }

    fn set_control_tick(&mut self, slot: usize) {
        let (now, local) = (self.now, self.local_ms(slot));
        let Some(part) = self.part(slot) else { return };
        let Some(deadline) = part.control.deadline() else { return };
        let at = now + deadline.saturating_sub(local).clamp(1, 5_000) * MS;
        if part.tick_at.is_none_or(|earlier| at < earlier) {
            part.tick_at = Some(at);
            self.task(slot, at - now, Task::ControlTick);
        }
    }

    pub(crate) fn on_control_tick(&mut self, slot: usize) {
        let (now, local) = (self.now, self.local_ms(slot));
        let Some(part) = self.part(slot) else { return };
        if part.tick_at.is_some_and(|at| at > now) {
            return;
        }
        part.tick_at = None;
        if part.control.deadline().is_some_and(|deadline| deadline <= local) {
            self.with_control(slot, |control, now, out| control.on_timeout(now, out));
        } else {
            self.set_control_tick(slot);
        }
    }

    fn carry_out_control(&mut self, slot: usize, action: Action) {
        match action {
            Action::Send { to, datagram } => self.send_datagram(slot, to, datagram),
            Action::Persist { ticket, write } => {
                self.witness_write(slot, &write);
                self.put_paper(slot, ticket, write);
            }
            Action::Admitted { cluster } => {
                self.met.event("nodes taken in");
                self.trace(format_args!("n{slot} is taken into {cluster}"));
            }
            Action::Directive(directive) => self.direct(slot, directive),
            Action::Lease { until_ms } => {
                let until_ms = self.lease_as_planted(until_ms);
                if let Some(part) = self.part(slot) {
                    part.lease_until_ms = Some(until_ms);
                }
                self.renew(slot, until_ms);
            }
            Action::Electable { epoch, electable, acks } => {
                self.trace(format_args!(
                    "n{slot} agreed electable {electable:?} {acks} in {epoch}"
                ));
                let agreed = Electable { epoch, nodes: electable, acks };
                self.put_order(slot, Order::Published(agreed));
            }
            Action::Pause { to, deadline_ms } => {
                self.put_order(slot, Order::HandOver { to, until_ms: deadline_ms });
            }
            Action::Resume => self.put_order(slot, Order::LeadOn),
            Action::Answer { id, result } => {
                self.trace(format_args!("n{slot} request {}: {result:?}", id.seq));
                self.met.event(if result.is_ok() {
                    "requests granted"
                } else {
                    "requests refused"
                });
            }
            Action::Published(view) => self.on_view(slot, view),
            Action::Event(event) => self.on_control_event(slot, &event),
        }
    }

    /// The defect: grants come without the wait, which is as if leases lasted longer than those who grant
    /// believe.
    fn lease_as_planted(&self, until_ms: u64) -> u64 {
        let planted = self.defect == Defect::GrantWithoutWait;
        let ends = until_ms != 0 && until_ms != u64::MAX;
        if planted && ends { until_ms + LEASE_MS } else { until_ms }
    }

    fn direct(&mut self, slot: usize, directive: Directive) {
        self.trace(format_args!("n{slot} is told {directive:?}"));
        self.become_managed(slot);
        let Some(part) = self.part(slot) else { return };
        if !matches!(directive, Directive::Lead { .. }) {
            part.lease_until_ms = None;
        }
        let cluster = part.control.state().cluster;
        self.put_order(slot, Order::Agreed { cluster, directive });
    }

    /// The cluster decides from now on who leads.
    fn become_managed(&mut self, slot: usize) {
        let Some(part) = self.part(slot) else { return };
        if part.managed {
            return;
        }
        part.managed = true;
        part.gate = Gate::Until(0);
        self.look_at_lease(slot);
    }

    fn on_view(&mut self, slot: usize, view: Arc<ControlView>) {
        let managed = view.state.is_managed();
        self.take_policy(slot, &view);
        self.witness_view(slot, &view);
        if let Some(part) = self.part(slot) {
            part.view = Some(view);
        }
        if managed {
            self.become_managed(slot);
        }
    }

    /// The policy that is agreed upon is in force here, too.
    fn take_policy(&mut self, slot: usize, view: &ControlView) {
        let Some(&policy) = view.state.keyspaces.get(DEFAULT_KEYSPACE) else { return };
        let Some(part) = self.part(slot) else { return };
        if !view.state.is_managed() || part.taken_policy == Some(policy) {
            return;
        }
        part.taken_policy = Some(policy);
        if part.policy != policy.acks {
            part.policy = policy.acks;
            self.met.event("policies set");
            self.put_order(slot, Order::Reconfigure);
        }
    }

    fn on_control_event(&mut self, slot: usize, event: &Event) {
        self.trace(format_args!("n{slot} says: {event}"));
        match event {
            Event::MayLack { .. } => {
                self.met.event("elections that may lack records");
                // People said so, or by now nobody waits for acknowledgements.
                self.judge.promoted_against_the_rule();
            }
            Event::JoinRefused(why) => self.on_join_refused(slot, *why),
            Event::Granted { .. } => self.met.event("grants seen"),
            Event::Revoked { .. } => self.met.event("revocations seen"),
            Event::Damped { .. } => self.met.event("failovers held up"),
            Event::HandoverUndone { .. } => self.met.event("handovers undone"),
            Event::VoterAdded(_) => self.met.event("voters added, as seen"),
            Event::VoterRemoved(_) => self.met.event("voters removed, as seen"),
            Event::RaftLeader(_) => self.met.event("terms of raft leaders"),
            Event::MemberLeft(_) => self.met.event("members that left, as seen"),
            Event::ElectionWaits { .. } => self.met.event("elections that wait"),
            _ => {}
        }
    }

    /// Something is wanted of the thread that controls.
    pub(super) fn wake_control(&mut self, slot: usize) {
        let Some(part) = self.part(slot) else { return };
        if !std::mem::replace(&mut part.looking, true) {
            let after = self.dice.below(MS);
            self.task(slot, after, Task::ControlLook);
        }
    }

    pub(crate) fn on_control_beat(&mut self, slot: usize) {
        self.task(slot, BEAT, Task::ControlBeat);
        self.stand(slot);
        self.on_control_look(slot);
    }

    /// What the node's other threads want of the agreement.
    pub(crate) fn on_control_look(&mut self, slot: usize) {
        let Some(part) = self.part(slot) else { return };
        part.looking = false;
        // Before the standing, which shows that it leads no more but not why.
        self.tell_resignation(slot);
        let Some(part) = self.part(slot) else { return };
        let led = part.standing.led;
        if part.managed {
            let report = self.local_report(slot);
            self.with_control(slot, |control, now, out| control.on_local(now, report, out));
        } else if let Some(epoch) = led
            && self.agreed_epoch(slot) < epoch
        {
            self.with_control(slot, |control, now, out| control.advance(now, epoch, out));
        }
        let Some(part) = self.part(slot) else { return };
        if let Some(wanted) = part.electable.take() {
            let Electable { epoch, nodes, acks } = wanted;
            self.with_control(slot, |control, now, out| {
                control.propose_electable(now, epoch, nodes, acks, out);
            });
        }
        let Some(part) = self.part(slot) else { return };
        if std::mem::take(&mut part.kept) {
            self.with_control(slot, |control, now, out| control.keep_leading(now, out));
        }
    }

    fn tell_resignation(&mut self, slot: usize) {
        let Some(part) = self.part(slot) else { return };
        let Some(resigned) = part.resigned.take() else { return };
        part.lease_until_ms = None;
        self.trace(format_args!("n{slot} resigns {resigned:?}"));
        self.met.event("resignations");
        self.with_control(slot, |control, now, out| {
            let (epoch, end, to) = (resigned.epoch, resigned.end, resigned.to);
            control.resign(now, epoch, end, to, resigned.reason, out);
        });
    }

    pub(super) fn agreed_epoch(&self, slot: usize) -> Epoch {
        let shard = self.part_of(slot).and_then(|part| {
            part.control.state().shards.get(&super::super::SHARD).map(|shard| shard.epoch)
        });
        shard.unwrap_or_default()
    }

    fn local_report(&mut self, slot: usize) -> LocalReport {
        let now_ms = self.local_ms(slot);
        let healthy = self.nodes[slot].full_until <= self.now;
        let process = self.process(slot);
        let caught_up = match &process.role {
            Role::Leading(leading) => leading
                .core
                .rows(now_ms)
                .iter()
                .filter(|row| row.member && row.state == RowState::Streaming)
                .map(|row| row.node)
                .collect(),
            _ => Default::default(),
        };
        let standing = process.part.as_ref().map(|part| part.standing).unwrap_or_default();
        LocalReport {
            led: standing.led,
            fenced: standing.fenced,
            end: standing.end,
            applied: process.store.applied,
            whole: standing.whole,
            intact: standing.intact,
            healthy,
            caught_up,
        }
    }
}
