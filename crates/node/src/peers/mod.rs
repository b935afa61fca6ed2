//! What a node does with other nodes: the replication cores, composed with log, store and links.
//!
//! Sans-IO: one thread of the shell (or a simulation) moves bytes between sockets and links, dials,
//! and calls [`Peers::step`] when something happened or [`Peers::deadline`] has come. Nothing here
//! waits: what needs the log thread is a task with a ticket, what needs all workers to stand still is
//! tried again.
//!
//! Invariants: one core at a time decides, the one of the role; messages of links are not looked at
//! while a change of role or of history is under way; the role changes only while no command runs.

mod agreed;
mod change;
mod following;
mod intact;
mod leading;
mod link;
mod recovering;
mod report;
mod saved;
mod snapshots;
mod tail;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use trefoil_clock::{Identity, Lsn, NodeId};
use trefoil_log::Disk;
use trefoil_replication::LinkId;
use trefoil_wire::peer::{
    ClusterSecret, Fence, Hello, Message, PEER_VERSIONS, Refuse, RefuseReason, SecretState,
};

use crate::exclusive::Pass;
use crate::log::SHARD;
use crate::node::Node;
use crate::replication::{AckPolicy, Acks, LagWatch, Order, Role};

use agreed::Agreed;
use change::Change;
use following::Following;
use intact::Intact;
use leading::Leading;
use link::Inbound;
pub use link::Outbound;
use recovering::Gathering;
pub use saved::{
    Door, LeaderAddress, SavedMembers, SavedRole, load_generation, load_members, load_policy,
    load_role, load_witness, save_generation, save_identity, save_members, save_policy, save_role,
    save_witness,
};
pub use snapshots::INCOMING;

/// How long a greeting may take.
const GREETING_MS_MAX: u64 = 5_000;
/// While a change is under way it is looked at this often, milliseconds.
const CHANGE_POLL_MS: u64 = 1;
/// Links that may be accepted at the same time.
const LINKS_MAX: usize = 256;
/// Links among them of nobody knows whom: their descriptors are needed for better things.
const GREETINGS_MAX: usize = 32;

/// What the shell brings along.
pub struct PeersOptions {
    /// Proves that both sides know the cluster's secret; None: there is no secret.
    pub secret: Option<ClusterSecret>,
    /// Random numbers for greetings and names.
    pub random: Box<dyn FnMut() -> [u8; 32] + Send>,
    /// The wall clock, Unix milliseconds: stamps and deadlines of keys, nothing else.
    pub wall_ms: Box<dyn Fn() -> u64 + Send>,
    /// Where clients reach this node.
    pub client_port: u16,
    /// The last stop was clean, so the last epoch goes on.
    pub clean: bool,
    /// The last stop was clean, whoever led: nothing that was in the log is missing.
    pub stopped_cleanly: bool,
    /// The name of this boot of the machine; None: it is not known.
    pub boot: Option<String>,
    /// The data is whole once this record is applied: a snapshot of another node was loaded.
    pub ready_after: Lsn,
}

/// A connection that the shell is to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dial {
    /// Where to.
    pub leader: LeaderAddress,
}

/// See the module.
pub struct Peers<D: Disk> {
    node: Arc<Node>,
    disk: D,
    options: PeersOptions,
    now_ms: u64,
    part: Part<D>,
    change: Option<Change>,
    pass: Pass,
    inbound: BTreeMap<LinkId, Inbound>,
    outbound: BTreeMap<LinkId, Outbound>,
    last_link: u64,
    role: SavedRole,
    members: SavedMembers,
    lag_watch: LagWatch,
    /// No snapshot may be taken: the data is being exchanged, or is not whole yet.
    snapshots_held: bool,
    /// The policy of the start, or the one that was written down since.
    kept_policy: AckPolicy,
    /// Members that could not be written down.
    unsaved_members: Option<Vec<NodeId>>,
    /// Until then the log is kept for followers of a former leader, from this record on.
    keeps_log: (u64, Lsn),
    /// When the metrics' and commands' view is renewed at the latest.
    report_at_ms: u64,
    /// Changes that those who wait were woken for.
    changes: u64,
    /// Followers are to be waited for once the log has this record: up to here nobody waited.
    waits_from: Option<Lsn>,
    agreed: Agreed,
    intact: Intact,
}

/// What this node does with others now.
enum Part<D: Disk> {
    /// Nothing: a change is under way, or it was deposed.
    Idle,
    Leading(Box<Leading<D>>),
    Recovering(Gathering),
    Following(Box<Following<D>>),
}

impl<D: Disk> Peers<D> {
    /// Begins with the role that was kept.
    ///
    /// # Errors
    /// Never now; the first step may fail.
    pub fn new(
        node: Arc<Node>,
        disk: D,
        options: PeersOptions,
        (role, members): (SavedRole, SavedMembers),
        now_ms: u64,
    ) -> Peers<D> {
        let seat = node.workers + 1;
        let kept_policy = node.settings.policy();
        let proven = options.stopped_cleanly || node.log.appended() == Lsn::ZERO;
        let intact = Intact::find(&disk, options.boot.clone(), proven);
        let mut peers = Peers {
            node,
            disk,
            options,
            now_ms,
            part: Part::Idle,
            change: None,
            pass: Pass::new(seat),
            inbound: BTreeMap::new(),
            outbound: BTreeMap::new(),
            last_link: 0,
            role: role.clone(),
            members,
            lag_watch: LagWatch::default(),
            snapshots_held: false,
            kept_policy,
            unsaved_members: None,
            keeps_log: (0, Lsn::ZERO),
            report_at_ms: now_ms,
            changes: 0,
            waits_from: None,
            agreed: Agreed::default(),
            intact,
        };
        if peers.node.log.appended() < peers.options.ready_after {
            peers.hold_snapshots();
        }
        match role {
            _ if peers.is_managed() => peers.begin_unled(),
            SavedRole::Follower { leader, adopts } => peers.begin_as_follower(leader, adopts),
            SavedRole::Leader if peers.members.nodes.is_empty() || peers.options.clean => {
                let known = peers.members.nodes.is_empty();
                peers.lead_on(if known { peers.log_end() } else { Lsn::ZERO });
            }
            SavedRole::Leader => peers.begin_recovering(),
        }
        let replication = &peers.node.replication;
        replication.set_configured(replication.configuration());
        peers.report();
        peers
    }

    /// Something happened, or a deadline has come.
    pub fn step(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.go_on_with_change();
        if self.change.is_none() {
            self.take_orders();
        }
        self.read_links();
        self.tell_progress();
        self.on_timeouts();
        self.go_on_with_handover();
        self.go_on_with_change();
        self.tell_parting();
        self.look_whether_intact();
        self.stand();
        self.report();
        self.wake_waiting();
    }

    /// Commands that wait for what changed look at it again.
    fn wake_waiting(&mut self) {
        let changes = self.node.replication.changes();
        let changed = std::mem::replace(&mut self.changes, changes) != changes;
        if changed && self.node.counters.waiting.load(Ordering::Relaxed) > 0 {
            self.node.post.wake_waiting();
        }
    }

    /// When [`Peers::step`] is to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let core = match &self.part {
            Part::Idle => None,
            Part::Leading(leading) => leading.deadline(),
            Part::Recovering(gathering) => gathering.deadline(),
            Part::Following(following) => following.deadline(),
        };
        let changing = self.change.is_some() || self.is_handing_over();
        let change = changing.then_some(self.now_ms + CHANGE_POLL_MS);
        let greetings = self.inbound.values().filter(|link| link.greeting.is_some());
        let greeting = greetings.map(|link| link.since_ms + GREETING_MS_MAX).min();
        [core, change, greeting, Some(self.report_at_ms)].into_iter().flatten().min()
    }

    /// The connection that is to be made now, if one is. Asked for once; the shell answers with
    /// [`Peers::on_dialled`] or [`Peers::on_dial_failed`].
    pub fn dial(&mut self) -> Option<Dial> {
        if self.change.is_some() || self.is_fenced() {
            return None;
        }
        let now_ms = self.now_ms;
        let Part::Following(following) = &mut self.part else { return None };
        following.dial(now_ms)
    }

    /// The connection is there.
    pub fn on_dialled(&mut self, leader: &LeaderAddress) -> Option<LinkId> {
        let (own, secret) = (self.hello(), self.options.secret.clone());
        let Part::Following(following) = &mut self.part else { return None };
        if following.leader != *leader || self.change.is_some() || self.agreed.is_fenced() {
            following.hang_up(self.now_ms);
            return None;
        }
        self.last_link += 1;
        let link = LinkId(self.last_link);
        following.on_connected(link);
        let mut out = Outbound::default();
        self.inbound.insert(link, Inbound::dialled(own, secret, self.now_ms, &mut out));
        self.outbound.insert(link, out);
        Some(link)
    }

    /// There is no connection, for a reason that people may want to know.
    pub fn on_dial_failed(&mut self, trouble: String) {
        if let Part::Following(following) = &mut self.part {
            following.on_trouble(self.now_ms, trouble);
        }
    }

    /// Somebody has connected. None: there are too many links.
    pub fn on_accepted(&mut self, ip: Option<IpAddr>) -> Option<LinkId> {
        let greetings = self.inbound.values().filter(|link| link.greeting.is_some()).count();
        if self.inbound.len() >= LINKS_MAX || greetings >= GREETINGS_MAX {
            return None;
        }
        self.last_link += 1;
        let link = LinkId(self.last_link);
        let (own, secret) = (self.hello(), self.options.secret.clone());
        self.inbound.insert(link, Inbound::accepted(own, secret, self.now_ms, ip));
        self.outbound.insert(link, Outbound::default());
        Some(link)
    }

    /// The connection is gone.
    pub fn on_closed(&mut self, link: LinkId) {
        self.outbound.remove(&link);
        if self.inbound.remove(&link).is_none() {
            return;
        }
        match &mut self.part {
            Part::Idle => {}
            Part::Leading(_) => self.on_follower_gone(link),
            Part::Recovering(_) => self.on_reporter_gone(link),
            Part::Following(_) => self.on_leader_gone(link),
        }
    }

    /// Where to put bytes that came over a link. None: not now (or it is gone).
    pub fn space(&mut self, link: LinkId) -> Option<&mut [u8]> {
        let busy = self.is_full();
        let inbound = self.inbound.get_mut(&link)?;
        let holds_back = busy && (inbound.dialled || matches!(self.part, Part::Recovering(_)));
        (inbound.has_room() && !holds_back).then(|| inbound.reader.space())
    }

    /// So many bytes were put there.
    pub fn filled(&mut self, link: LinkId, bytes: usize) {
        if let Some(inbound) = self.inbound.get_mut(&link) {
            inbound.heard_ms = self.now_ms;
            inbound.reader.filled(bytes);
        }
    }

    /// What is to be sent over a link. None: it is to be closed at once.
    pub fn outbound(&mut self, link: LinkId) -> Option<&mut Outbound> {
        self.outbound.get_mut(&link)
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.outbound.keys().copied()
    }

    /// Whether progress of the log and of the applier matters to anybody.
    #[must_use]
    pub fn is_interested(&self) -> bool {
        self.change.is_some() || !self.inbound.is_empty()
    }

    /// Whether log or applier are too far behind to take more of a leader's records.
    fn is_full(&self) -> bool {
        self.node.log.is_behind() || self.node.applier.is_full()
    }

    fn hello(&mut self) -> Hello {
        let Identity { node, cluster } = self.node.replication.identity();
        Hello {
            versions: PEER_VERSIONS,
            node,
            cluster,
            nonce: (self.options.random)(),
            client_port: self.options.client_port,
            secret: SecretState::Unset,
        }
    }

    /// The fence of a node that has no core to ask.
    fn own_fence(&self) -> Fence {
        let Identity { node, cluster } = self.node.replication.identity();
        Fence { cluster, shard: SHARD, epoch: self.node.replication.epoch(), sender: node }
    }

    fn log_end(&self) -> Lsn {
        self.node.log.appended()
    }

    fn take_orders(&mut self) {
        while self.change.is_none() {
            let Some(order) = self.node.replication.orders.take() else { return };
            match order {
                Order::Follow { host, port } => {
                    let door = Door::Clients;
                    self.order_follow(LeaderAddress { host, port, door });
                }
                Order::Lead => self.order_lead(),
                Order::Forget(node) => self.order_forget(node),
                Order::Reconfigure if self.is_behind_old_rule() || self.is_rule_unpublished() => {
                    self.node.replication.orders.put(Order::Reconfigure);
                    return;
                }
                Order::Reconfigure => {
                    self.keep_policy();
                    self.reconfigure();
                }
                Order::SnapshotEnded => self.on_snapshot_ended(),
                Order::Probe => self.probe(),
                Order::Agreed { cluster, directive } => self.take_directive(cluster, directive),
                Order::Published(electable) => self.on_published(&electable),
                Order::LeadOn => self.give_handover_up(),
                Order::StepDown(reason) => self.step_down(reason),
                Order::HandOver { to, within_ms } => self.begin_handover(to, within_ms),
            }
        }
    }

    fn read_links(&mut self) {
        let links: Vec<LinkId> = self.inbound.keys().copied().collect();
        for link in links {
            self.read_link(link);
        }
    }

    fn read_link(&mut self, link: LinkId) {
        let Some(mut inbound) = self.inbound.remove(&link) else { return };
        let mut alive = self.greet(link, &mut inbound);
        while alive && inbound.greeting.is_none() && self.change.is_none() {
            let next = inbound.reader.next_message();
            inbound.incomplete = matches!(next, Ok(None));
            match next {
                Ok(None) => break,
                Ok(Some((fence, message))) => self.on_message(link, &fence, &message),
                Err(error) => {
                    eprintln!("trefoil: a link to another node is dropped: {error}");
                    alive = false;
                }
            }
            alive &= self.outbound.get(&link).is_some_and(|out| !out.is_closing());
        }
        self.inbound.insert(link, inbound);
        if !alive {
            self.drop_link(link);
        }
    }

    /// Forgets a link; what was to be sent over it still is.
    fn drop_link(&mut self, link: LinkId) {
        let rest = self.outbound.remove(&link);
        self.on_closed(link);
        if let Some(mut rest) = rest {
            rest.close();
            self.outbound.insert(link, rest);
        }
    }

    /// Goes on with a greeting. Whether the link lives.
    fn greet(&mut self, link: LinkId, inbound: &mut Inbound) -> bool {
        let Some(greeting) = &mut inbound.greeting else { return true };
        let Some(out) = self.outbound.get_mut(&link) else { return false };
        let read = greeting.read(inbound.reader.unread(), out.greeting());
        match read {
            Ok(greeted) => {
                inbound.reader.consume(greeted.used);
                if let Some(peer) = greeted.peer {
                    inbound.greeting = None;
                    inbound.peer = Some(peer.node);
                    self.on_greeted(link, peer.node);
                }
                true
            }
            Err(error) => {
                if inbound.dialled {
                    self.on_dial_failed(error.to_string());
                } else {
                    eprintln!("trefoil: a node that wanted to connect was turned away: {error}");
                }
                false
            }
        }
    }

    fn on_greeted(&mut self, link: LinkId, peer: NodeId) {
        match &mut self.part {
            Part::Leading(_) => self.on_follower_link(link, peer),
            Part::Recovering(_) => self.on_reporter_link(link, peer),
            Part::Following(following) if following.is_dialled(link) => {
                self.on_leader_link(peer);
            }
            Part::Idle | Part::Following(_) => {}
        }
    }

    fn on_message(&mut self, link: LinkId, fence: &Fence, message: &Message<'_>) {
        match &self.part {
            Part::Leading(_) => self.on_follower_message(link, fence, message),
            Part::Recovering(_) => self.on_reporter_message(link, fence, message),
            Part::Following(following) if following.is_dialled(link) => {
                self.on_leader_message(fence, message);
            }
            Part::Idle | Part::Following(_) => self.turn_away(link),
        }
    }

    /// Tells a node that wants to follow us that we do not lead.
    fn turn_away(&mut self, link: LinkId) {
        let fence = self.own_fence();
        let text = match &self.role {
            SavedRole::Follower { leader, .. } => {
                format!("this node follows {}:{} itself", leader.host, leader.port)
            }
            SavedRole::Leader => "this node is not leading now".to_string(),
        };
        let reason = RefuseReason::NotLeader;
        if let Some(out) = self.outbound.get_mut(&link) {
            out.put(&fence, &Message::Refuse(Refuse { reason, text: &text }));
            out.close();
        }
    }

    fn tell_progress(&mut self) {
        if self.change.is_some() {
            return;
        }
        match &self.part {
            Part::Idle => {}
            Part::Leading(_) => self.tell_leader_progress(),
            Part::Recovering(_) => self.tell_recovering_progress(),
            Part::Following(_) => self.tell_follower_progress(),
        }
    }

    fn on_timeouts(&mut self) {
        // Nobody but a leader listens to who has connected, or gives it up.
        let leads = matches!(self.part, Part::Leading(_) | Part::Recovering(_));
        let late = |link: &Inbound| {
            let since_ms = match link.greeting {
                Some(_) => link.since_ms,
                None if leads || link.dialled => return false,
                None => link.heard_ms,
            };
            self.now_ms >= since_ms + GREETING_MS_MAX
        };
        let silent: Vec<LinkId> =
            self.inbound.iter().filter(|(_, link)| late(link)).map(|(link, _)| *link).collect();
        for link in silent {
            self.drop_link(link);
        }
        if self.change.is_some() {
            return;
        }
        match &self.part {
            Part::Idle => {}
            Part::Leading(_) => self.on_leader_timeout(),
            Part::Recovering(_) => self.on_recovering_timeout(),
            Part::Following(_) => self.on_follower_timeout(),
        }
    }

    /// Does something while no command runs and no record is applied. False: not yet.
    fn alone(&mut self, act: impl FnOnce(&Node)) -> bool {
        let gate = &self.node.exclusive;
        let alone = self.pass.try_alone(gate);
        if alone {
            act(&self.node);
            self.pass.leave_alone(gate);
        }
        let wake = self.pass.end(gate);
        self.node.wake(wake);
        alone
    }

    /// No snapshot is taken from now on. Whether none is being taken any more.
    fn hold_snapshots(&mut self) -> bool {
        self.snapshots_held = true;
        self.node.snapshots.hold()
    }

    /// Snapshots may be taken of data that is whole: of an installed one all records have come.
    fn allow_snapshots(&mut self) {
        let whole = self.node.keyspace.sequencer().last_lsn() >= self.options.ready_after;
        if self.snapshots_held && whole {
            self.snapshots_held = false;
            self.node.snapshots.release();
        }
    }

    /// Says whether sessions have to look at the role before each command.
    fn publish_role(node: &Node, role: Role) {
        // It is renewed once the node is known to lead; nothing is served before.
        match role {
            Role::Leading if node.agreement.is_managed() => node.agreement.lease.require(),
            _ => node.agreement.lease.release(),
        }
        node.replication.set_role(role);
        node.restrain(role != Role::Leading || node.replication.is_blocked());
    }

    fn save_role(&mut self, role: SavedRole) {
        if let Err(error) = save_role(&self.disk, &role) {
            eprintln!(
                "trefoil: the role of this node could not be kept, a restart would bring the old one \
                 back: {error}"
            );
        }
        self.role = role;
    }

    /// What KEYSPACE ALTER said holds after a restart, too.
    fn keep_policy(&mut self) {
        let policy = self.node.settings.policy();
        if std::mem::replace(&mut self.kept_policy, policy) == policy {
            return;
        }
        if let Err(error) = save_policy(&self.disk, &policy) {
            eprintln!(
                "trefoil: the policy of acknowledgements could not be kept, a restart would bring the \
                 old one back: {error}"
            );
        }
    }

    fn policy(&self) -> AckPolicy {
        self.node.settings.policy()
    }

    fn acks(&self) -> Acks {
        self.node.settings.policy().acks
    }
}
