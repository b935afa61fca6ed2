//! The world: nodes, disks, the network and time, in one order of events per seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use trefoil_clock::{Epoch, NodeId};
use trefoil_replication::Acks;

use super::defect::Defect;
use super::dice::Dice;
use super::judge::{AT_REST, Judge};
use super::machine::{Machine, SHARD, address, node_at};
use super::nemesis::Temper;
use super::replica::{Record, Rule};
use crate::control::{Action, Control, ControlWrite, Event};
use crate::message::{Datagram, Heard, Message};
use crate::raft::Payload;
use crate::state::{Command, Directive, ResignReason, RevokeReason};

const STORM_MS: u64 = 25_000;
const CALM_MAX_MS: u64 = 60_000;
const TICK_MS: u64 = 20;
/// More than ever happens at one time.
const AT_ONCE_MAX: u64 = 20_000;
/// A follower that was not heard for so long is not waited for any more.
const LOST_MS: u64 = 600;

/// How often what happened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) silent: u64,
    pub(super) resigned: u64,
    pub(super) grants: u64,
    pub(super) handovers: u64,
    pub(super) electables: u64,
    pub(super) acknowledged: u64,
    pub(super) crashes: u64,
    pub(super) joins: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.silent += other.silent;
        self.resigned += other.resigned;
        self.grants += other.grants;
        self.handovers += other.handovers;
        self.electables += other.electables;
        self.acknowledged += other.acknowledged;
        self.crashes += other.crashes;
        self.joins += other.joins;
    }

    /// A rehearsal that tries nothing finds nothing.
    pub(super) fn check_that_enough_happened(&self) {
        assert!(self.silent > 200, "{self:?}");
        assert!(self.resigned > 100, "{self:?}");
        assert!(self.grants > 500, "{self:?}");
        assert!(self.handovers > 100, "{self:?}");
        assert!(self.electables > 200, "{self:?}");
        assert!(self.acknowledged > 5_000, "{self:?}");
        assert!(self.crashes > 100, "{self:?}");
        assert!(self.joins > 100, "{self:?}");
    }
}

/// What is under way.
#[derive(Clone, Debug)]
enum Packet {
    Control(Vec<u8>),
    Log { epoch: Epoch, log: Rc<[Record]> },
    Acked { epoch: Epoch, end: usize },
}

/// See the module.
pub(super) struct World {
    pub(super) now_ms: u64,
    pub(super) dice: Dice,
    pub(super) machines: BTreeMap<NodeId, Machine>,
    pub(super) cuts: BTreeSet<(NodeId, NodeId)>,
    pub(super) temper: Temper,
    pub(super) tally: Tally,
    pub(super) defect: Defect,
    pub(super) acks: Acks,
    flights: BTreeMap<(u64, u64), (NodeId, NodeId, Packet)>,
    departures: u64,
    judge: Judge,
    values: u64,
    /// What nodes were told and did, for scripts.
    pub(super) transcript: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, defect: Defect) -> World {
        let mut dice = Dice::new(seed);
        let temper = Temper::new(&mut dice);
        let count = u128::from(dice.between(3, 5));
        let acks = dice.pick(&[Acks::SemiSync(1), Acks::Sync]).expect("some");
        let machines = (1..=count).map(NodeId).map(|node| {
            let pace = dice.pick(&[970, 1_000, 1_030]).expect("some");
            (node, Machine::new(node, dice.between(1, 1 << 40), pace))
        });
        World {
            now_ms: 1_000,
            machines: machines.collect(),
            dice,
            cuts: BTreeSet::new(),
            temper,
            tally: Tally::default(),
            defect,
            acks,
            flights: BTreeMap::new(),
            departures: 0,
            judge: Judge::new(temper.controller.failover_ms),
            values: 0,
            transcript: None,
        }
    }

    /// Three nodes of which each does what it should.
    pub(super) fn quiet(seed: u64, temper: Temper, acks: Acks) -> World {
        let machines = (1..=3).map(NodeId).map(|node| (node, Machine::new(node, 0, 1_000)));
        World {
            machines: machines.collect(),
            acks,
            judge: Judge::new(temper.controller.failover_ms),
            temper,
            ..World::new(seed, Defect::None)
        }
    }

    /// A storm, then calm.
    pub(super) fn run(mut self) -> Result<Tally, String> {
        for node in self.nodes() {
            self.start(node)?;
        }
        // First they find each other.
        self.play_until(6_000)?;
        let storm_end_ms = self.now_ms + STORM_MS;
        while self.now_ms < storm_end_ms {
            let gap_ms = self.dice.between(1, self.temper.gap_max_ms);
            self.play_until(self.now_ms + gap_ms)?;
            self.strike()?;
        }
        self.calm()?;
        self.tally.acknowledged = self.judge.acknowledged() as u64;
        Ok(self.tally)
    }

    fn calm(&mut self) -> Result<(), String> {
        self.cuts.clear();
        self.temper.calm();
        for node in self.nodes() {
            let machine = self.machines.get_mut(&node).expect("it exists");
            machine.paused_until_ms = 0;
            if machine.control.is_none() {
                self.start(node)?;
            }
        }
        let end_ms = self.now_ms + CALM_MAX_MS;
        let acknowledged = self.judge.acknowledged() + 10;
        while self.judge.acknowledged() < acknowledged || !self.all_agree() {
            if self.now_ms > end_ms {
                return Err(format!("nobody acknowledges anything {AT_REST}: {}", self.show()));
            }
            self.play_until(self.now_ms + 500)?;
        }
        Ok(())
    }

    fn all_agree(&self) -> bool {
        let states: Vec<_> = self.controls().map(|control| &control.state).collect();
        let all_in = states.iter().all(|state| state.members.len() == self.machines.len());
        all_in && states.windows(2).all(|pair| pair[0] == pair[1])
    }

    fn controls(&self) -> impl Iterator<Item = &Control> {
        self.machines.values().filter_map(|machine| machine.control.as_ref())
    }

    fn show(&self) -> String {
        let clock_ms = |node| self.machines[&node].clock_ms(self.now_ms);
        let show = |control: &Control| {
            let (node, stage) =
                (control.own.node, control.controller.as_ref().map(|it| it.stage()));
            let shard =
                control.own_shard().map(|it| (it.epoch, it.leader, it.granted, &it.electable));
            let replica = &self.machines[&node].replica;
            let (led, fenced) = (replica.led(), replica.fenced);
            let (role, voters) = (control.raft.role(), &control.raft.config().voters);
            let late_ms = control.deadline().map(|at_ms| at_ms.abs_diff(clock_ms(node)));
            format!(
                "{node}: {role:?} {voters:?} {shard:?} {stage:?} {led:?} {fenced:?} {late_ms:?}"
            )
        };
        self.controls().map(show).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.machines.keys().copied().collect()
    }

    pub(super) fn start(&mut self, node: NodeId) -> Result<(), String> {
        let (at, acks, defect) = ((self.now_ms, self.dice.number()), self.acks, self.defect);
        let machine = self.machines.get_mut(&node).expect("it exists");
        let out = machine.start(at, acks, self.temper.controller, defect);
        self.carry_out(node, out)
    }

    pub(super) fn play_until(&mut self, end_ms: u64) -> Result<(), String> {
        let mut at_once = (self.now_ms, 0);
        loop {
            let of_machines = self.machines.values().filter_map(Machine::next_ms).min();
            let of_network = self.flights.keys().next().map(|(at_ms, _)| *at_ms);
            let next_ms = of_machines.into_iter().chain(of_network).min();
            let Some(next_ms) = next_ms.filter(|&next_ms| next_ms <= end_ms) else {
                self.now_ms = end_ms;
                return Ok(());
            };
            self.now_ms = next_ms.max(self.now_ms);
            at_once = if at_once.0 == self.now_ms {
                (at_once.0, at_once.1 + 1)
            } else {
                (self.now_ms, 0)
            };
            if at_once.1 > AT_ONCE_MAX {
                return Err(format!("time stands still at {}: {}", self.now_ms, self.show()));
            }
            self.step()?;
            self.judge.look(self.now_ms, &self.machines)?;
        }
    }

    /// Whatever is due first.
    fn step(&mut self) -> Result<(), String> {
        let now_ms = self.now_ms;
        if let Some(entry) = self.flights.first_entry().filter(|it| it.key().0 <= now_ms) {
            let (from, to, packet) = entry.remove();
            return self.arrive(from, to, packet);
        }
        for node in self.nodes() {
            let machine = self.machines.get_mut(&node).expect("it exists");
            if machine.next_ms().is_none_or(|at_ms| at_ms > now_ms) {
                continue;
            }
            if let Some((_, ticket)) = machine.sync.take_if(|(at_ms, _)| *at_ms <= now_ms) {
                machine.on_synced(ticket);
                return self.with(node, |control, clock_ms, out| {
                    control.on_persisted(clock_ms, ticket, out);
                });
            }
            if machine.next_tick_ms <= now_ms {
                machine.next_tick_ms = now_ms + TICK_MS;
                return self.tick(node);
            }
            return self.with(node, |control, clock_ms, out| control.on_timeout(clock_ms, out));
        }
        Ok(())
    }

    /// Hands something to a control, and does what it wants.
    pub(super) fn with(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Control, u64, &mut Vec<Action>),
    ) -> Result<(), String> {
        let mut out = Vec::new();
        let machine = self.machines.get_mut(&node).expect("it exists");
        let clock_ms = machine.clock_ms(self.now_ms);
        let Some(control) = &mut machine.control else { return Ok(()) };
        act(control, clock_ms, &mut out);
        control.validate();
        self.carry_out(node, out)
    }

    pub(super) fn carry_out(&mut self, node: NodeId, out: Vec<Action>) -> Result<(), String> {
        let mut out = VecDeque::from(out);
        while let Some(action) = out.pop_front() {
            self.transcribe(node, &action);
            match action {
                Action::Send { to, datagram } => self.send_control(node, node_at(to), datagram),
                Action::Persist { ticket, write } => {
                    self.look_at_write(node, &write)?;
                    let delay_ms = self.temper.sync_ms(&mut self.dice);
                    let machine = self.machines.get_mut(&node).expect("it exists");
                    machine.write(ticket, write);
                    machine.sync.get_or_insert((self.now_ms + delay_ms, ticket));
                }
                Action::Directive(directive) => self.direct(node, directive)?,
                Action::Lease { until_ms } => self.take_lease(node, until_ms),
                Action::Electable { epoch, electable, acks } => {
                    self.tally.electables += 1;
                    let machine = self.machines.get_mut(&node).expect("it exists");
                    if let Some(reign) = &mut machine.replica.reign
                        && reign.epoch == epoch
                    {
                        let others = electable.into_iter().filter(|&other| other != node);
                        reign.rule = Rule { members: others.collect(), acks };
                        reign.next = None;
                    }
                }
                Action::Pause { to, deadline_ms } => {
                    let machine = self.machines.get_mut(&node).expect("it exists");
                    if let Some(reign) = &mut machine.replica.reign {
                        reign.pause = Some((to, deadline_ms));
                    }
                }
                Action::Resume => {
                    let machine = self.machines.get_mut(&node).expect("it exists");
                    machine.replica.reign.iter_mut().for_each(|reign| reign.pause = None);
                }
                Action::Event(event) => self.count(&event),
                Action::Admitted { .. } | Action::Answer { .. } | Action::Published(_) => {}
            }
        }
        self.keep_syncing(node);
        Ok(())
    }

    fn transcribe(&mut self, node: NodeId, action: &Action) {
        let Some(transcript) = &mut self.transcript else { return };
        let text = match action {
            Action::Event(event) => event.to_string(),
            Action::Directive(Directive::Lead { epoch, .. }) => format!("is to lead in {epoch}"),
            Action::Directive(Directive::Follow { epoch, leader, .. }) => {
                format!("is to follow node {leader} in {epoch}")
            }
            Action::Directive(Directive::Fence { epoch }) => format!("is to end {epoch}"),
            Action::Directive(Directive::Nothing) => "has nothing to do".to_owned(),
            Action::Lease { until_ms: 0 } => "holds no lease".to_owned(),
            Action::Pause { to, .. } => format!("is to hand over to node {to}"),
            Action::Resume => "leads on".to_owned(),
            Action::Electable { electable, .. } => format!("may count {} nodes", electable.len()),
            Action::Answer { result: Ok(done), .. } => format!("is answered: {done}"),
            Action::Answer { result: Err(error), .. } => format!("is answered: {error}"),
            _ => return,
        };
        let text = (1..=9).fold(text, |text, node| {
            text.replace(&format!("node {}", NodeId(node)), &format!("node {node}"))
        });
        transcript.push(format!("{node}: {text}", node = node.0));
    }

    /// What came while the sync ran is covered by the next one.
    fn keep_syncing(&mut self, node: NodeId) {
        let delay_ms = self.temper.sync_ms(&mut self.dice);
        let now_ms = self.now_ms;
        let machine = self.machines.get_mut(&node).expect("it exists");
        if machine.sync.is_none()
            && let Some(ticket) = machine.last_write()
        {
            machine.sync = Some((now_ms + delay_ms, ticket));
        }
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Revoked { reason: RevokeReason::Silent, .. } => self.tally.silent += 1,
            Event::Revoked { reason: RevokeReason::Resigned(ResignReason::Asked), .. } => {
                self.tally.handovers += 1;
            }
            Event::Revoked { .. } => self.tally.resigned += 1,
            Event::Granted { .. } => self.tally.grants += 1,
            Event::MemberJoined(_) => self.tally.joins += 1,
            _ => {}
        }
    }

    fn take_lease(&mut self, node: NodeId, until_ms: u64) {
        let late = self.defect == Defect::LeaseFromAnswer && until_ms != 0 && until_ms != u64::MAX;
        let machine = self.machines.get_mut(&node).expect("it exists");
        let clock_ms = machine.clock_ms(self.now_ms);
        machine.lease_until_ms = if late { clock_ms + 350 } else { until_ms };
    }

    /// Who proposes a revocation because of silence is right about that.
    fn look_at_write(&mut self, node: NodeId, write: &ControlWrite) -> Result<(), String> {
        let ControlWrite::Raft(write) = write else { return Ok(()) };
        let control = self.machines[&node].control.as_ref();
        let Some(control) = control.filter(|control| control.raft.is_leader()) else {
            return Ok(());
        };
        for entry in write.entries.iter().filter(|entry| entry.term == control.raft.term()) {
            let Payload::Command(bytes) = &entry.payload else { continue };
            let reason = RevokeReason::Silent;
            if let Ok(Command::Revoke { epoch, reason: why, .. }) = Command::decode(bytes)
                && why == reason
            {
                self.judge.on_silent(self.now_ms, epoch, &control.raft.config().voters)?;
            }
        }
        Ok(())
    }

    fn direct(&mut self, node: NodeId, directive: Directive) -> Result<(), String> {
        self.values += 1;
        let value = self.values;
        let machine = self.machines.get_mut(&node).expect("it exists");
        let replica = &mut machine.replica;
        match directive {
            Directive::Nothing => {}
            Directive::Fence { epoch } => replica.fence(epoch),
            Directive::Follow { leader, epoch, .. } => replica.follow(leader, epoch),
            Directive::Lead { epoch, members, acks } => {
                if replica.led_before >= Some(epoch) {
                    // Its process has started again in the middle of it.
                    let end = replica.end();
                    return self.with(node, |control, clock_ms, out| {
                        control.resign(clock_ms, epoch, end, None, ResignReason::Unclean, out);
                    });
                }
                self.judge.on_lead(node, epoch, &replica.log)?;
                replica.lead(epoch, Rule { members, acks }, value);
            }
        }
        self.report(node)
    }

    fn report(&mut self, node: NodeId) -> Result<(), String> {
        let report = self.machines[&node].report();
        self.with(node, |control, clock_ms, out| control.on_local(clock_ms, report, out))
    }

    fn send_control(&mut self, from: NodeId, to: NodeId, datagram: Vec<u8>) {
        let Ok(mut decoded) = Datagram::decode(&datagram) else { unreachable!("it was encoded") };
        match (self.defect, &mut decoded.message) {
            (Defect::ReportUnfenced, Message::Report(report)) => {
                report.fenced = Some(Epoch(u64::MAX));
                self.send(from, to, Packet::Control(decoded.encode()));
            }
            (Defect::OneVotersView, Message::Heard(heard))
                if heard.silent_ms >= self.temper.controller.failover_ms =>
            {
                self.say_for_all(from, to, *heard);
            }
            _ => self.send(from, to, Packet::Control(datagram)),
        }
    }

    /// The defect: what one voter says counts as said by all.
    fn say_for_all(&mut self, from: NodeId, to: NodeId, heard: Heard) {
        let Some(control) = &self.machines[&from].control else { return };
        let cluster = control.state.cluster;
        for voter in control.raft.config().voters.clone() {
            let message = Message::Heard(heard);
            let datagram = Datagram { cluster, from: voter, message }.encode();
            self.send(from, to, Packet::Control(datagram));
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        if !self.machines.contains_key(&to) {
            return;
        }
        let copies = if self.dice.percent(self.temper.doubled_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let lost = self.dice.percent(self.temper.loss_percent);
            if lost || self.cuts.contains(&(from, to)) {
                continue;
            }
            let delay_ms = self.temper.delay_ms(&mut self.dice);
            self.departures += 1;
            let at = (self.now_ms + delay_ms, self.departures);
            self.flights.insert(at, (from, to, packet.clone()));
        }
    }

    fn arrive(&mut self, from: NodeId, to: NodeId, packet: Packet) -> Result<(), String> {
        let now_ms = self.now_ms;
        let machine = self.machines.get_mut(&to).expect("it exists");
        if machine.control.is_none() || self.cuts.contains(&(from, to)) {
            return Ok(());
        }
        if machine.paused_until_ms > now_ms {
            self.departures += 1;
            let at = (machine.paused_until_ms, self.departures);
            self.flights.insert(at, (from, to, packet));
            return Ok(());
        }
        match packet {
            Packet::Control(bytes) => self.with(to, |control, clock_ms, out| {
                control.on_datagram(clock_ms, address(from), &bytes, out);
            }),
            Packet::Log { epoch, log } => {
                if let Some(end) = machine.replica.take(from, epoch, &log) {
                    self.send(to, from, Packet::Acked { epoch, end });
                }
                Ok(())
            }
            Packet::Acked { epoch, end } => {
                machine.heard_ms.insert(from, now_ms);
                machine.replica.on_acked(from, epoch, end);
                self.acknowledge(to)
            }
        }
    }

    /// Replies to what is committed leave while the lease is held.
    fn acknowledge(&mut self, node: NodeId) -> Result<(), String> {
        let machine = self.machines.get_mut(&node).expect("it exists");
        machine.replica.commit();
        let replica = &machine.replica;
        let Some(reign) = replica.reign.as_ref().filter(|_| machine.holds_lease(self.now_ms))
        else {
            return Ok(());
        };
        for (at, record) in replica.log.iter().take(reign.committed).enumerate() {
            self.judge.on_acknowledged(at + 1, *record, reign.epoch)?;
        }
        Ok(())
    }

    /// A leader writes, flushes, sends its log, looks after its followers.
    fn tick(&mut self, node: NodeId) -> Result<(), String> {
        let writes = self.dice.percent(40);
        let flushes = self.dice.percent(70);
        self.values += 1;
        let (value, now_ms, defect) = (self.values, self.now_ms, self.defect);
        let machine = self.machines.get_mut(&node).expect("it exists");
        let clock_ms = machine.clock_ms(now_ms);
        let replica = &mut machine.replica;
        let Some(reign) = &mut replica.reign else { return self.report(node) };
        let epoch = reign.epoch;
        if writes && reign.pause.is_none() {
            replica.log.push((epoch, value));
        }
        if flushes {
            replica.flush();
        }
        let log: Rc<[Record]> = replica.log.as_slice().into();
        let heard = machine.heard_ms.iter().filter(|(_, at_ms)| **at_ms + LOST_MS > now_ms);
        let heard: BTreeSet<NodeId> = heard.map(|(&other, _)| other).collect();
        let better = replica.better_rule(&heard);
        if let Some(rule) = &better
            && let Some(reign) = &mut replica.reign
        {
            reign.next = Some(rule.clone());
            if defect == Defect::ElectableUnagreed {
                reign.rule = rule.clone();
            }
        }
        for other in self.nodes() {
            if other != node {
                self.send(node, other, Packet::Log { epoch, log: Rc::clone(&log) });
            }
        }
        if let Some(Rule { mut members, acks }) = better {
            members.insert(node);
            self.with(node, |control, clock_ms, out| {
                control.propose_electable(clock_ms, epoch, members, acks, out);
            })?;
        }
        self.acknowledge(node)?;
        self.hand_over(node, clock_ms)?;
        self.report(node)
    }

    /// A leader that is asked to hand over does when the next one has everything.
    fn hand_over(&mut self, node: NodeId, clock_ms: u64) -> Result<(), String> {
        let machine = self.machines.get_mut(&node).expect("it exists");
        let replica = &mut machine.replica;
        let Some(reign) = &mut replica.reign else { return Ok(()) };
        let Some((to, deadline_ms)) = reign.pause else { return Ok(()) };
        let end = replica.log.len();
        if clock_ms >= deadline_ms {
            reign.pause = None;
            return self.with(node, |control, clock_ms, out| control.keep_leading(clock_ms, out));
        }
        let has_all = reign.acked.get(&to).is_some_and(|&acked| acked >= end);
        if has_all && reign.committed >= end {
            let epoch = reign.epoch;
            return self.resign(node, epoch, Some(to), ResignReason::Asked);
        }
        Ok(())
    }

    pub(super) fn resign(
        &mut self,
        node: NodeId,
        epoch: Epoch,
        to: Option<NodeId>,
        reason: ResignReason,
    ) -> Result<(), String> {
        let machine = self.machines.get_mut(&node).expect("it exists");
        machine.replica.fence(epoch);
        let end = machine.replica.end();
        assert_eq!(machine.control.as_ref().map(|control| control.shard), Some(SHARD));
        self.with(node, |control, clock_ms, out| {
            control.resign(clock_ms, epoch, end, to, reason, out);
        })
    }
}
