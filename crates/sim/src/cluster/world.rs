//! The world of a run: nodes, net, clients, a person, faults; one thread, one seed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use trefoil_clock::{ClusterId, Hlc, Identity, NodeId};

use super::agenda::{Agenda, MS, Micros};
use super::client::{Carries, Client, Reply, Request};
use super::coverage::Met;
use super::disk::{Disk, Duty};
use super::healing::{HealPlan, Healing};
use super::network::Net;
use super::operator::Operator;
use super::plan::Plan;
use super::process::Process;
use super::sabotage::Defect;
use super::task::Task;
use super::trace::{Keep, Trace};
use crate::dice::Dice;
use crate::invariants::Judge;

/// About how long a cluster is given to form before something goes wrong.
const FORMS_WITHIN: Micros = 2_000 * MS;

/// The history that all nodes begin with.
pub(crate) const CLUSTER: ClusterId = ClusterId(77);

/// Something that is to happen.
pub(crate) enum Event {
    Arrive {
        link: usize,
        side: usize,
    },
    /// A task of a process; one of an earlier life is void.
    Task {
        slot: usize,
        life: u64,
        task: Task,
    },
    Start(usize),
    Request(usize, Request),
    /// An answer comes back to the follower that passed the request on.
    Relay(Reply),
    Reply(Reply),
    Client(usize),
    GiveUp(usize, usize),
    Operator,
    Fault,
    Heal,
    /// Between controls.
    Datagram {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    /// People do something, in a cluster that agrees on its leader.
    People,
    /// A person gives a machine a new identity.
    Renew(usize),
    Kill(usize),
    Stop(usize),
}

/// Who sets the leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Family {
    /// A person.
    ByHand,
    /// Nodes agree on it.
    Healing,
}

/// A machine: what stays when its process dies.
pub(crate) struct Node {
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Rises with each start.
    pub(crate) life: u64,
    /// Rises with each loss of the disk.
    pub(crate) generation: u64,
    /// Its clock runs faster by this many millionths.
    pub(crate) drift_ppm: i64,
    /// Its wall clock is off by this much.
    pub(crate) skew_ms: u64,
    pub(crate) paused_until: Micros,
    /// People can't get through to it until then.
    pub(crate) unseen_until: Micros,
    /// The disk takes nothing until then.
    pub(crate) full_until: Micros,
}

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) defect: Defect,
    pub(crate) dice: Dice,
    pub(crate) now: Micros,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    pub(crate) clients: Vec<Client>,
    pub(crate) sessions: u32,
    pub(crate) operator: Operator,
    pub(crate) judge: Judge,
    pub(crate) met: Met,
    /// Clients go on asking.
    pub(crate) asking: bool,
    /// Faults are over.
    pub(crate) healed: bool,
    /// Losses of data so far that count against [`Plan::losses_max`].
    pub(crate) losses: u64,
    /// Nodes agree on the leader.
    pub(crate) healing: Option<Box<Healing>>,
    log: Trace,
}

/// What a run was.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it met.
    pub met: Met,
    /// A number that equal traces have in common.
    pub trace_hash: u64,
    /// The trace, if it was to be kept.
    pub trace: Option<String>,
    /// The promise that was broken first.
    pub broken: Option<String>,
}

/// Runs a seed.
#[must_use]
pub fn run(family: Family, seed: u64, defect: Defect, keep: Keep) -> Outcome {
    let mut world = match family {
        Family::ByHand => World::by_hand(seed, defect, keep),
        Family::Healing => World::healing(seed, defect, keep),
    };
    // An invariant that a core asserts is as good as one of the judge's: the trace tells how it came.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.go())) {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.judge.broken("panic", text.unwrap_or_default());
    }
    let broken = world.judge.verdict().map(|text| format!("{:?}: {text}", world.plan));
    if let Some(text) = &broken {
        world.trace(format_args!("{text}"));
    }
    world.met.histories += world.judge.histories;
    world.met.operations += world.judge.operations.len() as u64;
    let (trace_hash, trace) = world.log.finish();
    Outcome { met: world.met, trace_hash, trace, broken }
}

impl World {
    fn go(&mut self) {
        self.begin();
        while self.judge.verdict().is_none() {
            let Some((at, event)) = self.agenda.take() else { break };
            self.now = self.now.max(at);
            self.happen(event);
            if self.is_over() {
                break;
            }
        }
        if self.judge.verdict().is_none() {
            self.judge_the_end();
        }
    }

    fn by_hand(seed: u64, defect: Defect, keep: Keep) -> World {
        let mut dice = Dice::new(seed ^ 0x7265_706c_6963_6173);
        let plan = Plan::draw(&mut dice);
        World::new(plan, dice, defect, keep)
    }

    fn healing(seed: u64, defect: Defect, keep: Keep) -> World {
        let mut dice = Dice::new(seed ^ 0x6865_616c_696e_6721);
        let (plan, heal) = HealPlan::draw(&mut dice, defect);
        let mut world = World::new(plan, dice, defect, keep);
        for (slot, node) in world.nodes.iter_mut().enumerate() {
            node.drift_ppm = heal.drift_ppm[slot];
            if slot > 0 {
                node.disk.identity.cluster = ClusterId(100 + slot as u128);
                node.disk.papers.joins = true;
            }
        }
        world.healing = Some(Box::new(Healing::new(heal, world.nodes.len())));
        world
    }

    fn new(plan: Plan, mut dice: Dice, defect: Defect, keep: Keep) -> World {
        let nodes = (0..plan.nodes)
            .map(|slot| {
                let duty =
                    if slot == 0 { Duty::Lead } else { Duty::Follow { whom: 0, adopts: false } };
                let identity = Identity { node: NodeId(slot as u128 + 1), cluster: CLUSTER };
                Node {
                    disk: Disk::format(identity, duty),
                    process: None,
                    life: 0,
                    generation: 0,
                    drift_ppm: dice.below(400) as i64 - 200,
                    skew_ms: dice.below(2_000),
                    paused_until: 0,
                    full_until: 0,
                    unseen_until: 0,
                }
            })
            .collect();
        let clients = (0..plan.clients)
            .map(|at| Client {
                node: at % plan.nodes,
                session: at as u32 + 1,
                carries: if dice.one_in(3) { Carries::Name } else { Carries::Token },
                token: None,
                open: None,
                fresh: true,
                connection: 0,
            })
            .collect();
        World {
            net: Net::new(plan.nodes),
            judge: Judge::new(&plan),
            operator: Operator::new(plan.policy),
            defect,
            dice,
            now: 0,
            agenda: Agenda::new(),
            nodes,
            sessions: plan.clients as u32,
            clients,
            met: Met::default(),
            asking: true,
            healed: false,
            losses: 0,
            healing: None,
            log: Trace::new(keep),
            plan,
        }
    }

    fn begin(&mut self) {
        let plan = self.plan.clone();
        self.trace(format_args!("{plan:?}"));
        self.trace_heal_plan();
        for slot in 0..plan.nodes {
            self.start(slot);
        }
        for client in 0..plan.clients {
            let at = (20 + self.dice.below(80)) * MS;
            self.agenda.put(at, Event::Client(client));
        }
        if self.healing.is_none() {
            self.agenda.put(100 * MS, Event::Operator);
            self.agenda.put(150 * MS + self.dice.below(plan.fault_gap), Event::Fault);
        } else {
            self.agenda.put(FORMS_WITHIN, Event::People);
            let first = FORMS_WITHIN / 2 + self.dice.below(FORMS_WITHIN);
            self.agenda.put(first, Event::Fault);
        }
        self.agenda.put(plan.heals_at, Event::Heal);
    }

    /// Adds a line to the trace.
    pub(crate) fn trace(&mut self, what: fmt::Arguments<'_>) {
        self.log.add(self.now, what);
    }

    /// A task for a process as it is now.
    pub(crate) fn task(&mut self, slot: usize, after: Micros, task: Task) {
        let life = self.nodes[slot].life;
        self.agenda.put(self.now + after, Event::Task { slot, life, task });
    }

    /// What a node's clock says that never goes back, milliseconds.
    pub(crate) fn local_ms(&self, slot: usize) -> u64 {
        let now = self.now as i64;
        let fast = now * self.nodes[slot].drift_ppm / 1_000_000;
        ((now + fast) / MS as i64) as u64 + 10_000 * (slot as u64 + 1)
    }

    /// What a node's clock says that people set.
    pub(crate) fn wall(&self, slot: usize) -> Hlc {
        Hlc::from_millis(self.local_ms(slot) + 1_000_000 + self.nodes[slot].skew_ms)
    }

    /// The process of a node that runs.
    pub(crate) fn process(&mut self, slot: usize) -> &mut Process {
        self.nodes[slot].process.as_mut().expect("only processes that run get here")
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { link, side } => self.on_arrival(link, side),
            Event::Task { slot, life, task } => {
                let node = &self.nodes[slot];
                if node.life != life || node.process.is_none() {
                    return;
                }
                if node.paused_until > self.now {
                    self.agenda.put(node.paused_until, Event::Task { slot, life, task });
                    return;
                }
                self.on_task(slot, task);
            }
            Event::Start(slot) => {
                if self.nodes[slot].process.is_none() {
                    self.start(slot);
                }
            }
            Event::Request(slot, request) => self.on_request_event(slot, request),
            Event::Relay(reply) => self.on_relay(reply),
            Event::Reply(reply) => self.on_reply(reply),
            Event::Client(client) => self.on_client(client),
            Event::GiveUp(client, operation) => self.on_give_up(client, operation),
            Event::Operator => self.on_operator(),
            Event::Fault if self.healing.is_some() => self.on_heal_fault(),
            Event::Fault => self.on_fault(),
            Event::Heal => self.heal(),
            Event::Datagram { from, to, bytes } => self.on_datagram(from, to, bytes),
            Event::People => self.on_people(),
            Event::Renew(slot) => self.on_renew_identity(slot),
            Event::Kill(slot) => self.on_kill(slot),
            Event::Stop(slot) => self.on_stop(slot),
        }
    }

    fn on_request_event(&mut self, slot: usize, request: Request) {
        let node = &self.nodes[slot];
        let broken = self.clients[request.client].connection != request.connection;
        if broken && request.via.is_none() {
            // The connection was there no more.
        } else if node.process.is_none() {
            // The connection breaks; the client sees that at once, but not whether it was in time.
            self.agenda.put(self.now + MS, Event::GiveUp(request.client, request.operation));
        } else if node.paused_until > self.now {
            self.agenda.put(node.paused_until, Event::Request(slot, request));
        } else {
            self.on_request(slot, request);
        }
    }

    /// Notes the state of the cluster as a number.
    pub(crate) fn note_state(&mut self) {
        let newest = self.nodes.iter().filter_map(|n| n.process.as_ref()).map(|p| p.end).max();
        let newest = newest.unwrap_or_default();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for node in &self.nodes {
            let part = match &node.process {
                None => 1,
                Some(process) => summary(process, newest, node.paused_until > self.now),
            };
            hash = (hash ^ part).wrapping_mul(0x0000_0100_0000_01b3);
            hash ^= hash >> 32;
        }
        self.met.states.insert(hash);
    }
}

/// What a process is doing, coarsely.
fn summary(process: &Process, newest: trefoil_clock::Position, paused: bool) -> u64 {
    use super::process::Role;
    let behind = (newest.lsn.0.saturating_sub(process.end.lsn.0)).min(8);
    let epoch = newest.epoch.0.saturating_sub(process.end.epoch.0).min(3);
    let role = match &process.role {
        Role::Leading(leading) => {
            let core = &leading.core;
            let uncommitted = (process.end.lsn.0 - leading.commit.0.min(process.end.lsn.0)).min(8);
            1 + 8 * (u64::from(core.is_blocked()) + 2 * u64::from(core.is_degraded()))
                + 64 * core.attached_in_sync() as u64
                + 512 * core.members().len() as u64
                + 4_096 * uncommitted
        }
        Role::Following(following) => {
            let state = following.core.state();
            let kind = match state {
                trefoil_replication::FollowerState::Fetching { .. } => 90,
                other => format!("{other:?}").len() as u64,
            };
            let unapplied = process.received.len().min(8) as u64;
            2 + 8 * (u64::from(following.core.is_ready()) + 2 * kind) + 4_096 * unapplied
        }
        Role::Recovering { core, .. } => 3 + 8 * core.reports().0 as u64,
        Role::Fenced => 4,
    };
    role * 1_024 + behind * 64 + epoch * 8 + u64::from(paused) * 2
}
