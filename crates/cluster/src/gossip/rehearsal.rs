//! Many cores on a network in virtual time: for tests, and for `cargo xtask gossip`, which measures.
//!
//! Datagrams get lost, come late and come twice; nodes die, come back and are cut off. One seed, one run.

mod measure;

pub use measure::{Measured, measure};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use trefoil_clock::{ClusterId, NodeId};

use super::random::SplitMix;
use super::{
    Action, Event, Generation, Gossip, Identity, MemberState, Metadata, NodeRecord, Options,
    RecordVersion,
};

/// The cluster that all nodes belong to, or look for.
pub const CLUSTER: ClusterId = ClusterId(0x7265_6865);

/// How often a condition that is waited for is looked at.
const LOOK_MS: u64 = 20;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Lost, of a thousand.
    pub loss_per_mille: u64,
    /// Delivered twice, of a thousand.
    pub twice_per_mille: u64,
    /// Shortest way.
    pub delay_min_ms: u64,
    /// Longest way.
    pub delay_max_ms: u64,
}

impl Weather {
    /// A local network that loses so many of a thousand datagrams, and doubles every hundredth.
    #[must_use]
    pub fn losing(loss_per_mille: u64) -> Weather {
        Weather { loss_per_mille, twice_per_mille: 10, delay_min_ms: 1, delay_max_ms: 5 }
    }
}

/// What happened so often, over all nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Nodes that took on another life: while none restarts, each was falsely declared dead.
    pub renewals: u64,
    /// Times that a node took another for dead.
    pub downs: u64,
}

struct Node {
    identity: Identity,
    gossip: Option<Gossip>,
    deadline: Option<u64>,
    /// Nodes on different sides do not reach each other.
    side: u8,
}

struct Flying {
    from: usize,
    to: usize,
    datagram: Vec<u8>,
}

/// The network and the nodes on it. Nodes are numbered as they were added.
pub struct Network {
    now_ms: u64,
    weather: Weather,
    random: SplitMix,
    nodes: Vec<Node>,
    /// By arrival, then by order of sending.
    flying: BTreeMap<(u64, u64), Flying>,
    deadlines: BTreeSet<(u64, usize)>,
    tally: Tally,
}

impl Network {
    /// A network without nodes.
    #[must_use]
    pub fn new(seed: u64, weather: Weather) -> Network {
        Network {
            now_ms: 1_000,
            weather,
            random: SplitMix::new(seed),
            nodes: Vec::new(),
            flying: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// A network of nodes that know each other and have been running for a moment.
    #[must_use]
    pub fn running(nodes: usize, seed: u64, weather: Weather) -> Network {
        let mut network = Network::new(seed, weather);
        let options = Options { cluster: Some(CLUSTER), ..Options::default() };
        for _ in 0..nodes {
            network.add(options.clone());
        }
        let record = |node: &Node| node.gossip.as_ref().expect("it lives").own().clone();
        let records: Vec<NodeRecord> = network.nodes.iter().map(record).collect();
        let mut starts: Vec<(u64, usize)> = (0..nodes)
            .map(|node| (network.random.next() % options.probe_period_ms, node))
            .collect();
        starts.sort_unstable();
        let began_ms = network.now_ms;
        for (offset_ms, node) in starts {
            network.run_until_ms(began_ms + offset_ms);
            network.drive(node, |gossip, now_ms, out| gossip.introduce(now_ms, &records, out));
        }
        network.run_for(2 * options.probe_period_ms);
        network
    }

    /// Adds a node that knows nobody. Its number.
    pub fn add(&mut self, options: Options) -> usize {
        let number = self.nodes.len();
        let index = u32::try_from(number).expect("fewer nodes than addresses");
        let address = SocketAddr::from(((0x0a00_0001 + index).to_be_bytes(), 7379));
        // Ids are not in the order of the numbers, as in a real cluster.
        let id = NodeId(u128::from(self.random.next()) << 64 | u128::from(index));
        let identity = Identity { id, generation: Generation(1), address };
        self.nodes.push(Node { identity, gossip: None, deadline: None, side: 0 });
        self.start(number, options);
        number
    }

    /// Starts a node in its present generation.
    fn start(&mut self, node: usize, options: Options) {
        let record = NodeRecord::new(self.nodes[node].identity, Metadata::default());
        let gossip = Gossip::new(options, record, self.random.next(), self.now_ms);
        self.nodes[node].gossip = Some(gossip.expect("an empty record is short"));
        self.drive(node, |_, _, _| {});
    }

    /// Starts a node again, in a new generation, knowing nobody.
    pub fn restart(&mut self, node: usize, options: Options) {
        self.nodes[node].identity.generation.0 += 1;
        self.start(node, options);
    }

    /// Ends a node without a word.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].gossip = None;
        self.note_deadline(node, None);
    }

    /// Puts a node on a side of a partition.
    pub fn put_on_side(&mut self, node: usize, side: u8) {
        self.nodes[node].side = side;
    }

    /// Calls a node's core and carries out what it wants. A dead node does nothing.
    pub fn drive(&mut self, node: usize, call: impl FnOnce(&mut Gossip, u64, &mut Vec<Action>)) {
        let Some(gossip) = self.nodes[node].gossip.as_mut() else { return };
        let mut out = Vec::new();
        call(gossip, self.now_ms, &mut out);
        let deadline = gossip.deadline();
        self.note_deadline(node, deadline);
        for action in out {
            match action {
                Action::Send { to, datagram } => self.send(node, to, datagram),
                Action::Renewed { generation } => {
                    self.nodes[node].identity.generation = generation;
                    self.tally.renewals += 1;
                }
                Action::Event(Event::MemberDown(_)) => self.tally.downs += 1,
                Action::Event(_) => {}
            }
        }
    }

    fn note_deadline(&mut self, node: usize, deadline: Option<u64>) {
        let before = std::mem::replace(&mut self.nodes[node].deadline, deadline);
        if before != deadline {
            before.map(|at_ms| self.deadlines.remove(&(at_ms, node)));
            deadline.map(|at_ms| self.deadlines.insert((at_ms, node)));
        }
    }

    fn send(&mut self, from: usize, to: SocketAddr, datagram: Vec<u8>) {
        self.tally.datagrams += 1;
        self.tally.bytes += datagram.len() as u64;
        let SocketAddr::V4(address) = to else { return };
        let to = (address.ip().to_bits() - 0x0a00_0001) as usize;
        let copies = 1 + usize::from(self.random.next() % 1_000 < self.weather.twice_per_mille);
        for _ in 0..copies {
            if self.random.next() % 1_000 < self.weather.loss_per_mille {
                continue;
            }
            let spread_ms = self.weather.delay_max_ms - self.weather.delay_min_ms + 1;
            let delay_ms = self.weather.delay_min_ms + self.random.next() % spread_ms;
            let key = (self.now_ms + delay_ms, self.random.next());
            self.flying.insert(key, Flying { from, to, datagram: datagram.clone() });
        }
    }

    /// Lets everything happen up to a time.
    fn run_until_ms(&mut self, end_ms: u64) {
        loop {
            let arrival = self.flying.first_key_value().map(|(key, _)| key.0);
            let deadline = self.deadlines.first().map(|first| first.0);
            let next = arrival.into_iter().chain(deadline).min();
            let Some(next_ms) = next.filter(|at_ms| *at_ms <= end_ms) else { break };
            self.now_ms = self.now_ms.max(next_ms);
            if arrival == Some(next_ms) {
                self.deliver();
            } else if let Some((_, node)) = self.deadlines.first().copied() {
                self.drive(node, |gossip, now_ms, out| gossip.on_timeout(now_ms, out));
            }
        }
        self.now_ms = end_ms;
    }

    fn deliver(&mut self) {
        let Some((_, Flying { from, to, datagram })) = self.flying.pop_first() else { return };
        let Some(target) = self.nodes.get(to) else { return };
        if target.side == self.nodes[from].side {
            let from = self.nodes[from].identity.address;
            self.drive(to, |gossip, now_ms, out| gossip.on_datagram(now_ms, from, &datagram, out));
        }
    }

    /// Lets some time pass.
    pub fn run_for(&mut self, ms: u64) {
        self.run_until_ms(self.now_ms + ms);
    }

    /// Lets time pass until something is true. How long that took, None: it did not become true.
    pub fn run_until(&mut self, limit_ms: u64, is_true: impl Fn(&Network) -> bool) -> Option<u64> {
        let began_ms = self.now_ms;
        while !is_true(self) {
            if self.now_ms >= began_ms + limit_ms {
                return None;
            }
            self.run_for(LOOK_MS);
        }
        Some(self.now_ms - began_ms)
    }

    /// A node's core; None: it is dead.
    #[must_use]
    pub fn gossip(&self, node: usize) -> Option<&Gossip> {
        self.nodes[node].gossip.as_ref()
    }

    /// A node's name.
    #[must_use]
    pub fn identity(&self, node: usize) -> Identity {
        self.nodes[node].identity
    }

    /// What happened so often.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// All probes that failed, of nodes that live.
    #[must_use]
    pub fn probes_failed(&self) -> u64 {
        self.living().map(|gossip| gossip.counters().probes_failed).sum()
    }

    /// All cores that live.
    pub fn living(&self) -> impl Iterator<Item = &Gossip> {
        self.nodes.iter().filter_map(|node| node.gossip.as_ref())
    }

    /// Whether all others that live see a node, in its present life, in one of these states.
    #[must_use]
    pub fn all_see(&self, node: usize, states: &[MemberState]) -> bool {
        let identity = self.nodes[node].identity;
        self.others(node).all(|gossip| {
            let row = gossip.member(identity.id);
            row.is_some_and(|row| row.identity == identity && states.contains(&row.state))
        })
    }

    /// Whether all others that live hold a node's record, at least in this version.
    #[must_use]
    pub fn all_hold(&self, node: usize, version: RecordVersion) -> bool {
        let id = self.nodes[node].identity.id;
        let held = |gossip: &Gossip| gossip.member(id)?.record.map(NodeRecord::version);
        self.others(node).all(|gossip| held(gossip) >= Some(version))
    }

    /// Whether a node sees all others that live, with what they say about themselves.
    #[must_use]
    pub fn sees_all(&self, node: usize) -> bool {
        let Some(gossip) = self.gossip(node) else { return false };
        self.others(node).all(|other| {
            let row = gossip.member(other.own().identity.id);
            row.is_some_and(|row| row.state == MemberState::Alive && row.record.is_some())
        })
    }

    /// Whether any other sees a node in this state.
    #[must_use]
    pub fn any_sees(&self, node: usize, state: MemberState) -> bool {
        let id = self.nodes[node].identity.id;
        self.others(node).any(|gossip| gossip.member(id).is_some_and(|row| row.state == state))
    }

    fn others(&self, node: usize) -> impl Iterator<Item = &Gossip> {
        let id = self.nodes[node].identity.id;
        self.living().filter(move |gossip| gossip.own().identity.id != id)
    }
}
