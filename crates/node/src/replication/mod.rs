//! What everybody may know of replication: the role, how far writes are committed, who follows whom.
//!
//! The peers thread decides and writes here; workers, commands and metrics read. Nothing here decides.
//!
//! Invariants: `remote` never goes back within an epoch; it is `Lsn::MAX` exactly while no follower's
//! acknowledgement is waited for; a reply that depends on a record leaves only when `remote` and the own
//! log cover it.

mod follower;
mod lag;
mod order;
mod restraint;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trefoil_clock::{ClusterId, Epoch, EpochEntry, EpochTable, Identity, Lsn, NodeId};

use crate::log::Stop;

pub use follower::{FollowerRow, FollowerState, LeaderLink, LinkState};
pub use lag::{LAG_CHANNEL, LagChange, LagEvent, LagKind, LagLimits, LagWatch};
pub use order::{Order, Orders};
pub use restraint::good_followers;
// A keyspace's options are the core's own words.
pub use trefoil_replication::{AckLevel, AckPolicy, Acks, OnLost};

/// What a node is to its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Role {
    /// It numbers records and acknowledges writes.
    Leading = 0,
    /// It led, was not stopped cleanly, and asks its followers what they hold before it leads again.
    Recovering = 1,
    /// It has another node's records.
    Following = 2,
    /// It is (re)loading its data: from disk, or from a leader's snapshot.
    Loading = 3,
    /// It led until somebody proved that there is a newer epoch. It serves nothing until it is told
    /// whom to follow.
    Deposed = 4,
}

impl Role {
    const ALL: [Role; 5] =
        [Role::Leading, Role::Recovering, Role::Following, Role::Loading, Role::Deposed];

    /// How the log of a node that stops in this role ends. Only who leads or follows holds all that it
    /// ever numbered: one that recovers has still to ask its followers, and one that another node deposed
    /// must not lead on when it is started again.
    #[must_use]
    pub fn stop(self) -> Stop {
        match self {
            Role::Leading | Role::Following => Stop::Clean,
            Role::Recovering | Role::Loading | Role::Deposed => Stop::Unproven,
        }
    }

    /// As REPLICATION PROMISE and the metrics say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Leading => "leader",
            Role::Recovering => "recovering",
            Role::Following => "follower",
            Role::Loading => "loading",
            Role::Deposed => "deposed",
        }
    }
}

/// See the module.
pub struct Replication {
    role: AtomicU8,
    /// Counts changes of the role.
    reign: AtomicU64,
    /// What was committed for good when the last reign ended of its own accord: its number, and the
    /// record. Replies up to there may leave after it.
    parting: Mutex<(u64, Lsn)>,
    /// A follower's data is known to be committed, so it may be read.
    ready: AtomicBool,
    /// Replies wait for followers.
    gates: AtomicBool,
    /// Too few followers are attached, so writes are refused.
    blocked: AtomicBool,
    /// Too few followers are attached, and the own log's acknowledgement is enough by configuration.
    degraded: AtomicBool,
    remote: AtomicU64,
    commit: AtomicU64,
    /// Unix milliseconds of the leader's clock, as this follower knows it: keys expire by it.
    stream_ms: AtomicU64,
    /// When the newest probe was sent whose answer is applied, Unix milliseconds of this node's clock;
    /// for `bounded` reads.
    fresh_at_ms: AtomicU64,
    /// Replies that were given up as unknown.
    pub unknown: AtomicU64,
    /// Writes that were acknowledged while degraded.
    pub degraded_acks: AtomicU64,
    /// Times that a follower began to load a snapshot.
    pub full_syncs: AtomicU64,
    /// Times that a follower went on from its log.
    pub partial_syncs: AtomicU64,
    /// Times that a follower's lag went above a limit.
    pub lag_alerts: AtomicU64,
    /// See [`Replication::changes`].
    changes: AtomicU64,
    configuration: AtomicU64,
    /// `u64::MAX`: nobody takes configurations over.
    configured: AtomicU64,
    /// The record before the first one that the log still holds, for INFO.
    log_floor: AtomicU64,
    /// How often the epochs or the leader were told anew.
    version: AtomicU64,
    state: Mutex<State>,
    /// Where other nodes connect; 0: nowhere.
    pub peer_port: AtomicU16,
    /// What the peers thread is asked to do.
    pub orders: Orders,
}

struct State {
    identity: Identity,
    epochs: EpochTable,
    members: Vec<NodeId>,
    followers: Arc<[FollowerRow]>,
    leader: Option<LeaderLink>,
}

impl Replication {
    /// The state of a node that leads alone.
    #[must_use]
    pub fn new(identity: Identity, epochs: EpochTable) -> Replication {
        Replication {
            role: AtomicU8::new(Role::Leading as u8),
            reign: AtomicU64::new(0),
            parting: Mutex::new((u64::MAX, Lsn::ZERO)),
            ready: AtomicBool::new(true),
            gates: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            remote: AtomicU64::new(u64::MAX),
            commit: AtomicU64::new(0),
            stream_ms: AtomicU64::new(0),
            fresh_at_ms: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            degraded_acks: AtomicU64::new(0),
            full_syncs: AtomicU64::new(0),
            partial_syncs: AtomicU64::new(0),
            lag_alerts: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            configuration: AtomicU64::new(0),
            configured: AtomicU64::new(u64::MAX),
            log_floor: AtomicU64::new(0),
            version: AtomicU64::new(1),
            state: Mutex::new(State {
                identity,
                epochs,
                members: Vec::new(),
                followers: Arc::new([]),
                leader: None,
            }),
            peer_port: AtomicU16::new(0),
            orders: Orders::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The role now.
    #[inline]
    #[must_use]
    pub fn role(&self) -> Role {
        Role::ALL[usize::from(self.role.load(Ordering::Acquire))]
    }

    /// Whether writes are numbered here.
    #[inline]
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.role() == Role::Leading
    }

    /// Told by the peers thread, inside the exclusive gate or before anything is served.
    pub(crate) fn set_role(&self, role: Role) {
        if self.role.swap(role as u8, Ordering::AcqRel) != role as u8 {
            self.reign.fetch_add(1, Ordering::AcqRel);
        }
        self.on_change();
    }

    /// Another number after every change of the role. A reply that waits for a record must not outlive
    /// the reign in which it was given: the record may be cut off, and its number given to another.
    #[inline]
    #[must_use]
    pub fn reign(&self) -> u64 {
        self.reign.load(Ordering::Acquire)
    }

    /// Told by the peers thread before it gives leadership back: what is committed by now stays so,
    /// whoever leads next.
    pub(crate) fn set_parting(&self, committed: Lsn) {
        let mut parting = self.parting.lock().unwrap_or_else(PoisonError::into_inner);
        *parting = (self.reign(), committed);
    }

    /// Up to which record replies of a reign may leave that is over.
    #[must_use]
    pub fn parted_at(&self, reign: u64) -> Lsn {
        let parting = self.parting.lock().unwrap_or_else(PoisonError::into_inner);
        if parting.0 == reign { parting.1 } else { Lsn::ZERO }
    }

    /// Whether a follower's data may be read: what it holds is known to be committed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Told by the peers thread.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether replies wait for followers.
    #[inline]
    #[must_use]
    pub fn gates(&self) -> bool {
        self.gates.load(Ordering::Relaxed)
    }

    /// The last record that followers hold as the policy wants it; `Lsn(u64::MAX)` if it wants none.
    #[inline]
    #[must_use]
    pub fn remote(&self) -> Lsn {
        Lsn(self.remote.load(Ordering::Acquire))
    }

    /// Told by the peers thread. None: followers are not waited for. Whether replies may leave now
    /// that could not before.
    pub fn set_remote(&self, remote: Option<Lsn>) -> bool {
        let after = remote.map_or(u64::MAX, |lsn| lsn.0);
        // Who does not wait yet sees the bound before it may rely on it.
        self.gates.store(remote.is_some(), Ordering::SeqCst);
        self.remote.swap(after, Ordering::AcqRel) < after
    }

    /// What is committed, as far as this node knows.
    #[must_use]
    pub fn commit(&self) -> Lsn {
        Lsn(self.commit.load(Ordering::Acquire))
    }

    /// Told by the peers thread.
    pub fn set_commit(&self, commit: Lsn) {
        self.commit.store(commit.0, Ordering::Release);
    }

    /// Whether writes are refused because too few followers are attached.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Whether the own log's acknowledgement is enough because too few followers are attached.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Told by the peers thread.
    pub fn set_restrained(&self, blocked: bool, degraded: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
        self.degraded.store(degraded, Ordering::Relaxed);
    }

    /// The leader's clock as a follower knows it, Unix milliseconds: keys expire by it.
    #[must_use]
    pub fn stream_ms(&self) -> u64 {
        self.stream_ms.load(Ordering::Relaxed)
    }

    /// Raises it.
    pub fn observe_stream_ms(&self, ms: u64) {
        self.stream_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// When, Unix milliseconds of this node's clock, the probe was sent whose answer is applied.
    #[must_use]
    pub fn fresh_at_ms(&self) -> u64 {
        self.fresh_at_ms.load(Ordering::Relaxed)
    }

    /// Told by the peers thread.
    pub fn set_fresh_at_ms(&self, ms: u64) {
        self.fresh_at_ms.store(ms, Ordering::Relaxed);
    }

    /// The record before the first one that the log still holds.
    #[must_use]
    pub fn log_floor(&self) -> Lsn {
        Lsn(self.log_floor.load(Ordering::Relaxed))
    }

    /// Told by the peers thread.
    pub fn set_log_floor(&self, floor: Lsn) {
        self.log_floor.store(floor.0, Ordering::Relaxed);
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.state().identity
    }

    /// The history that this node belongs to.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.identity().cluster
    }

    /// Told by the peers thread when a node gives its history up for another.
    pub fn set_identity(&self, identity: Identity) {
        self.state().identity = identity;
    }

    /// The epochs of the shard, up to now.
    #[must_use]
    pub fn epochs(&self) -> EpochTable {
        self.state().epochs.clone()
    }

    /// Told by the peers thread.
    pub fn set_epochs(&self, epochs: EpochTable) {
        self.state().epochs = epochs;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Another one whenever [`Replication::epochs`] or [`Replication::leader`] are.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The last epoch that began; 0: none yet.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.state().epochs.last().map_or(Epoch::default(), |last: EpochEntry| last.epoch)
    }

    /// The nodes whose acknowledgements count.
    #[must_use]
    pub fn members(&self) -> Vec<NodeId> {
        self.state().members.clone()
    }

    /// Told by the peers thread, once they are on disk.
    pub fn set_members(&self, members: Vec<NodeId>) {
        self.state().members = members;
        self.on_change();
    }

    /// Who follows this node, as of the last message of each.
    #[must_use]
    pub fn followers(&self) -> Arc<[FollowerRow]> {
        Arc::clone(&self.state().followers)
    }

    /// Told by the peers thread.
    pub fn set_followers(&self, followers: Vec<FollowerRow>) {
        let mut state = self.state();
        let has_more = |row: &FollowerRow| {
            let before = state.followers.iter().find(|before| before.node == row.node);
            before
                .is_none_or(|before| (row.applied, row.flushed) != (before.applied, before.flushed))
        };
        let more = followers.iter().any(has_more);
        state.followers = followers.into();
        drop(state);
        if more {
            self.on_change();
        }
    }

    /// The configuration has changed: the peers thread is to take it over.
    pub(crate) fn ask_to_reconfigure(&self) {
        self.configuration.fetch_add(1, Ordering::AcqRel);
        self.orders.put(Order::Reconfigure);
    }

    /// Which configuration is to be in force: another number for each.
    #[must_use]
    pub(crate) fn configuration(&self) -> u64 {
        self.configuration.load(Ordering::Acquire)
    }

    /// Told by the peers thread: it has taken this configuration over, or a newer one.
    pub(crate) fn set_configured(&self, configuration: u64) {
        self.configured.store(configuration, Ordering::Release);
        self.on_change();
    }

    /// Whether the peers thread has taken over what was configured. Yes if there is none.
    #[must_use]
    pub(crate) fn is_configured(&self) -> bool {
        self.configured.load(Ordering::Acquire) >= self.configuration()
    }

    /// Something has changed that commands wait for, though it stands elsewhere.
    pub(crate) fn note_change(&self) {
        self.on_change();
    }

    fn on_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Another number whenever something has changed that a command may wait for: what followers have
    /// acknowledged, the role, the members, the leader, the configuration in force.
    #[must_use]
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whom this node follows, and how that stands. None: it leads.
    #[must_use]
    pub fn leader(&self) -> Option<LeaderLink> {
        self.state().leader.clone()
    }

    /// Told by the peers thread: nobody leads now.
    pub fn forget_leader(&self) {
        if self.leader().is_some() {
            self.set_leader(None);
        }
    }

    /// Told by the peers thread.
    pub fn set_leader(&self, leader: Option<LeaderLink>) {
        self.state().leader = leader;
        self.version.fetch_add(1, Ordering::Release);
        self.on_change();
    }
}
