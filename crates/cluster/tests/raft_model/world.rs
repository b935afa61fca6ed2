//! The world: nodes, disks, the network and time, in one order of events per seed.

use std::collections::BTreeMap;

use trefoil_clock::NodeId;
use trefoil_cluster::raft::{
    Action, Entry, Ignored, Message, Options, Raft, Role, Start, Ticket, Write,
};

use crate::defect::{Defect, Forgery, counted};
use crate::dice::Dice;
use crate::judge::Judge;
use crate::machine::{Applied, Machine, position};
use crate::nemesis::Temper;
use crate::network::Network;

/// Storms last so long.
const STORM_MS: u64 = 8_000;
/// Then everything works, and so long after that at most everybody agrees.
const CALM_MAX_MS: u64 = 30_000;
const LOOK_EVERY_MS: u64 = 200;

/// A complaint that ends so is about a cluster that stands still.
pub(crate) const AT_REST: &str = "when all came to rest";

/// How often what happened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) elections: u64,
    pub(crate) committed: u64,
    pub(crate) cuts_of_logs: u64,
    pub(crate) installs: u64,
    pub(crate) crashes: u64,
    pub(crate) configs: u64,
    pub(crate) transfers: u64,
    pub(crate) ignored: BTreeMap<Ignored, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.elections += other.elections;
        self.committed += other.committed;
        self.cuts_of_logs += other.cuts_of_logs;
        self.installs += other.installs;
        self.crashes += other.crashes;
        self.configs += other.configs;
        self.transfers += other.transfers;
        for (&why, &count) in &other.ignored {
            *self.ignored.entry(why).or_default() += count;
        }
    }

    /// A model that tries nothing finds nothing.
    pub(crate) fn check_that_enough_happened(&self) {
        assert!(self.elections > 1_000, "{self:?}");
        assert!(self.committed > 10_000, "{self:?}");
        assert!(self.cuts_of_logs > 50, "{self:?}");
        assert!(self.installs > 50, "{self:?}");
        assert!(self.crashes > 300, "{self:?}");
        assert!(self.configs > 300, "{self:?}");
        assert!(self.transfers > 50, "{self:?}");
        for why in [Ignored::StaleTerm, Ignored::Stale, Ignored::HearsLeader, Ignored::NotLeader] {
            assert!(self.ignored.contains_key(&why), "{why:?} never happened");
        }
        for why in [Ignored::Malformed, Ignored::Beyond, Ignored::ConflictsWithCommitted] {
            assert!(!self.ignored.contains_key(&why), "{why:?} happened among honest nodes");
        }
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) dice: Dice,
    pub(crate) machines: BTreeMap<NodeId, Machine>,
    pub(crate) network: Network,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    pub(crate) defect: Defect,
    pub(crate) forgery: Option<Forgery>,
    /// The defect: a core is to be told that this is on its disk.
    lie: Option<(NodeId, Ticket)>,
    pub(crate) temper: Temper,
    pub(crate) next_blow_ms: u64,
    is_calm: bool,
    pub(crate) commands: u64,
}

impl World {
    /// A cluster of one, and others that wait to be taken in.
    pub(crate) fn new(seed: u64, defect: Defect) -> World {
        let mut dice = Dice::new(seed);
        let count = u128::from(dice.between(3, 5));
        let mut judge = Judge::default();
        judge.found(Applied { index: trefoil_cluster::raft::Index(1), digest: 0 });
        let mut options = small_options(&mut dice, defect);
        let mut machines = BTreeMap::new();
        for node in (1..=count).map(NodeId) {
            options.node = node;
            let founds = node == NodeId(1);
            let data = Applied::default().save();
            let start = if founds { Start::founding(node, data) } else { Start::default() };
            machines.insert(node, Machine::new(options, start));
        }
        let mut network = Network::default();
        network.loss_percent = dice.pick(&[0, 1, 5, 20]).expect("some");
        network.doubled_percent = dice.pick(&[0, 2, 20]).expect("some");
        network.late_percent = dice.pick(&[0, 2, 20]).expect("some");
        let temper = Temper::new(&mut dice, defect);
        World {
            now_ms: 1_000,
            dice,
            machines,
            network,
            judge,
            tally: Tally::default(),
            defect,
            forgery: None,
            lie: None,
            temper,
            next_blow_ms: 1_000,
            is_calm: false,
            commands: 0,
        }
    }

    /// A storm, then calm.
    pub(crate) fn run(mut self) -> Result<Tally, String> {
        for node in self.nodes() {
            self.start(node);
        }
        let storm_end_ms = self.now_ms + STORM_MS;
        while self.now_ms < storm_end_ms {
            let at_ms = self.next_ms().min(self.next_blow_ms);
            self.now_ms = at_ms;
            if at_ms == self.next_blow_ms {
                self.strike()?;
                self.next_blow_ms = self.now_ms + self.dice.between(1, self.temper.gap_max_ms);
            } else {
                self.step()?;
            }
            self.lie()?;
        }
        self.calm()?;
        self.tally.elections = self.judge.elections();
        self.tally.committed = self.judge.committed_up_to().0;
        Ok(self.tally)
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.machines.keys().copied().collect()
    }

    pub(crate) fn start(&mut self, node: NodeId) {
        let seed = self.dice.number();
        let machine = self.machines.get_mut(&node).expect("it exists");
        machine.start(self.now_ms, seed);
        self.arm(node);
    }

    /// When something happens next by itself.
    fn next_ms(&self) -> u64 {
        let of_machine = |machine: &Machine| {
            let sync_ms = machine.sync.map(|(at_ms, _)| at_ms);
            let soonest = machine.timer_ms.into_iter().chain(sync_ms).min();
            soonest.map(|at_ms| at_ms.max(machine.paused_until_ms))
        };
        let machines = self.machines.values().filter_map(of_machine).min();
        let next = machines.into_iter().chain(self.network.next_ms()).min();
        next.unwrap_or(u64::MAX).max(self.now_ms)
    }

    /// Whatever is due first.
    fn step(&mut self) -> Result<(), String> {
        let now_ms = self.now_ms;
        if self.network.next_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            let Some(flight) = self.network.arrive() else { return Ok(()) };
            let message: Message = postcard::from_bytes(&flight.bytes).expect("it was encoded");
            let to = &self.machines[&flight.to];
            if !to.is_up(now_ms) {
                return Ok(());
            }
            let from = flight.from;
            return self.with(flight.to, |raft, out| raft.on_message(now_ms, from, message, out));
        }
        for node in self.nodes() {
            let machine = self.machines.get_mut(&node).expect("it exists");
            if !machine.is_up(now_ms) {
                continue;
            }
            if let Some((_, ticket)) = machine.sync.take_if(|(at_ms, _)| *at_ms <= now_ms) {
                machine.on_synced(ticket);
                machine.tell(ticket);
                self.begin_sync(node);
                return self.with(node, |raft, out| raft.on_persisted(now_ms, ticket, out));
            }
            if machine.timer_ms.take_if(|at_ms| *at_ms <= now_ms).is_some() {
                return self.with(node, |raft, out| raft.on_timeout(now_ms, out));
            }
        }
        Ok(())
    }

    /// Hands something to a core, and does what it wants.
    pub(crate) fn with<T>(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Raft, &mut Vec<Action>) -> T,
    ) -> Result<T, String> {
        let mut out = Vec::new();
        let machine = self.machines.get_mut(&node).expect("it exists");
        let raft = machine.raft.as_mut().expect("it is up");
        let done = act(raft, &mut out);
        raft.validate();
        // What is written comes first, so that the judges know all entries.
        let (writes, others): (Vec<Action>, Vec<Action>) =
            out.into_iter().partition(|action| matches!(action, Action::Persist { .. }));
        self.carry_out(node, writes)?;
        self.carry_out(node, others)?;
        self.arm(node);
        if self.defect == Defect::OldTermCounted {
            self.commit_by_counting(node)?;
        }
        Ok(done)
    }

    /// The defect: a core is told that something is synced.
    fn lie(&mut self) -> Result<(), String> {
        let Some((node, ticket)) = self.lie.take() else { return Ok(()) };
        let now_ms = self.now_ms;
        self.machines.get_mut(&node).expect("it exists").tell(ticket);
        self.with(node, |raft, out| raft.on_persisted(now_ms, ticket, out))
    }

    fn carry_out(&mut self, node: NodeId, out: Vec<Action>) -> Result<(), String> {
        for action in out {
            match action {
                Action::Send { to, message } => self.send(node, to, message)?,
                Action::Persist { ticket, write } => self.persist(node, ticket, write)?,
                Action::Commit(entries) => self.commit(node, &entries)?,
                Action::Install(snapshot) => {
                    self.tally.installs += 1;
                    let state = self.judge.on_install(&snapshot)?;
                    self.machines.get_mut(&node).expect("it exists").state = state;
                }
                Action::Role(Role::Leader) => {
                    let machine = &self.machines[&node];
                    let term = machine.raft.as_ref().expect("it is up").term();
                    self.judge.on_leader(node, term, &machine.written)?;
                }
                Action::Role(_) => {}
                Action::Ignored { why, .. } => *self.tally.ignored.entry(why).or_default() += 1,
            }
        }
        Ok(())
    }

    fn send(&mut self, from: NodeId, to: NodeId, mut message: Message) -> Result<(), String> {
        let machine = &self.machines[&from];
        self.judge.on_send((to, &message), &machine.believed)?;
        if let Some(forgery) = &self.forgery {
            forgery.forge_message(&mut message);
        }
        if self.machines.contains_key(&to) {
            self.network.send(self.now_ms, (from, to), &message, &mut self.dice);
        }
        Ok(())
    }

    /// The defect: a leader believes that what a majority has is committed, whatever its term. It is
    /// cut off at once, with the other nodes up.
    fn commit_by_counting(&mut self, node: NodeId) -> Result<(), String> {
        let machine = &self.machines[&node];
        let Some(raft) = machine.raft.as_ref().filter(|raft| raft.is_leader()) else {
            return Ok(());
        };
        let (term, known, counted) = (raft.term(), self.judge.committed_up_to(), counted(raft));
        let is_new = |entry: &&Entry| entry.index > known && entry.index <= counted;
        let entries: Vec<Entry> = machine.written.entries.iter().filter(is_new).cloned().collect();
        if entries.last().is_none_or(|entry| entry.term == term) {
            return Ok(());
        }
        entries.iter().try_for_each(|entry| self.judge.on_commit(term, entry))?;
        let others: Vec<NodeId> = self.nodes().into_iter().filter(|&it| it != node).collect();
        self.network.heal();
        self.network.split(&[node], &others, false);
        for other in others {
            if self.machines[&other].raft.is_none() {
                self.start(other);
            }
        }
        Ok(())
    }

    fn persist(&mut self, node: NodeId, ticket: Ticket, mut write: Write) -> Result<(), String> {
        if let Some(forgery) = &self.forgery {
            forgery.forge(&mut write.entries);
        }
        let lies = self.defect.lies_about(&write);
        let machine = self.machines.get_mut(&node).expect("it exists");
        self.tally.cuts_of_logs += u64::from(write.truncate_from.is_some());
        let entries = write.entries.clone();
        machine.write(ticket, write);
        self.judge.on_written(&machine.written, &entries)?;
        self.begin_sync(node);
        self.lie = lies.then_some((node, ticket)).or(self.lie);
        Ok(())
    }

    /// Syncs everything that waits, unless a sync runs.
    fn begin_sync(&mut self, node: NodeId) {
        let is_slow = if self.defect.is_of_the_disk() { 30 } else { 3 };
        let slow = self.dice.percent(is_slow) && !self.is_calm;
        let takes_ms = if slow { self.dice.between(10, 600) } else { self.dice.between(0, 6) };
        let machine = self.machines.get_mut(&node).expect("it exists");
        let newest = machine.unsynced.back().map(|&(ticket, _)| ticket);
        if let (None, Some(ticket)) = (machine.sync, newest) {
            machine.sync = Some((self.now_ms + takes_ms, ticket));
        }
    }

    fn commit(&mut self, node: NodeId, entries: &[Entry]) -> Result<(), String> {
        let machine = self.machines.get_mut(&node).expect("it exists");
        let term = machine.raft.as_ref().expect("it is up").term();
        for entry in entries {
            if entry.index != machine.state.index.next() {
                return Err(format!("{node:?} commits {entry:?} after {:?}", machine.state));
            }
            let mut entry = entry.clone();
            if let Some(forgery) = &self.forgery {
                forgery.forge(std::slice::from_mut(&mut entry));
            }
            if position(&machine.written, entry.index).is_some_and(|at| at != entry.position()) {
                return Err(format!("{node:?} commits {entry:?}, which is not in its log"));
            }
            self.judge.on_commit(term, &entry)?;
            machine.state = machine.state.after(&entry);
            self.judge.on_state(machine.state)?;
        }
        Ok(())
    }

    /// The timer of a node is set to what its core asks for; it may fire a little late.
    fn arm(&mut self, node: NodeId) {
        let late_ms = self.dice.below(6);
        let machine = self.machines.get_mut(&node).expect("it exists");
        let deadline_ms = machine.raft.as_ref().and_then(|raft| raft.deadline());
        let is_set = machine.timer_ms.is_some_and(|at_ms| {
            deadline_ms.is_some_and(|deadline_ms| (deadline_ms..deadline_ms + 6).contains(&at_ms))
        });
        if !is_set {
            machine.timer_ms = deadline_ms.map(|at_ms| at_ms.max(self.now_ms) + late_ms);
        }
    }

    /// Everything works again: before long there is one leader, and everybody has what it has.
    fn calm(&mut self) -> Result<(), String> {
        self.is_calm = true;
        self.network.calm();
        for node in self.nodes() {
            self.machines.get_mut(&node).expect("it exists").paused_until_ms = 0;
            if self.machines[&node].raft.is_none() {
                self.start(node);
            }
        }
        let calm_end_ms = self.now_ms + CALM_MAX_MS;
        let mut look_at_ms = self.now_ms + LOOK_EVERY_MS;
        let mut proposed = false;
        while self.now_ms < calm_end_ms {
            self.now_ms = self.next_ms().min(calm_end_ms);
            self.step()?;
            self.lie()?;
            if self.now_ms < look_at_ms {
                continue;
            }
            look_at_ms = self.now_ms + LOOK_EVERY_MS;
            if proposed && self.check_rest().is_ok() {
                return Ok(());
            }
            proposed = proposed || self.propose()?;
        }
        self.check_rest()
    }

    fn check_rest(&self) -> Result<(), String> {
        let newest = self.judge.committed_up_to();
        let rafts = || self.machines.values().filter_map(|machine| machine.raft.as_ref());
        let Some(leader) = rafts().find(|raft| raft.is_ready() && raft.heard(self.now_ms)) else {
            let each = |raft: &Raft| {
                let (last, config) = (raft.last(), raft.config());
                format!(
                    "\n{:?} {:?} {:?} {last:?} {config:?}",
                    raft.node(),
                    raft.term(),
                    raft.role()
                )
            };
            let all: String = rafts().map(each).collect();
            return Err(format!("nobody leads {AT_REST}: {all}"));
        };
        for member in leader.config().members() {
            let state = self.machines[&member].state;
            if state.index != newest {
                return Err(format!(
                    "{member:?} has {state:?}, not {newest:?}, {AT_REST}; {:?} knows {:?}",
                    leader.node(),
                    leader.progress()
                ));
            }
        }
        Ok(())
    }
}

/// Small messages and short tails, so that everything happens often.
fn small_options(dice: &mut Dice, defect: Defect) -> Options {
    let by_one = dice.percent(50) || defect == Defect::OldTermCounted;
    Options {
        append_bytes_max: if by_one { 1 } else { dice.pick(&[100, 2_000]).expect("some") },
        chunk_bytes_max: dice.pick(&[7, 40, 2_000]).expect("some"),
        window: u32::try_from(dice.between(1, 4)).expect("few"),
        tail_entries: dice.between(0, 5),
        uncommitted_max: dice.between(3, 40),
        caught_up_entries: 8,
        leaving_ms: 300,
        ..Options::new(NodeId(0), 0)
    }
}
