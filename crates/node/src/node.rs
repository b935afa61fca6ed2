//! What all workers share: the keyspace, the log's queue, the gates, the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trefoil_clock::{EpochTable, Identity, Lsn};
use trefoil_store::Keyspace;

use crate::agreement::Agreement;
use crate::applier::ApplyQueue;
use crate::auth;
use crate::client_counts::ClientCounts;
use crate::clients::Clients;
use crate::config::take_effect;
use crate::counters::Counters;
use crate::exclusive::{ExclusiveGate, Wake};
use crate::freshness::Sessions;
use crate::log::{Fsync, LogQueue};
use crate::mail::{Mail, Post};
use crate::pause::Pause;
use crate::pubsub::{Hub, Outbox};
use crate::replication::Replication;
use crate::session::Restrictions;
use crate::settings::Settings;
use crate::snapshot::SnapshotStatus;

/// See the module.
pub struct Node {
    /// The keyspace `default`.
    pub keyspace: Keyspace,
    /// The way to the log.
    pub log: Arc<LogQueue>,
    /// Its place among other nodes.
    pub replication: Replication,
    /// What the cluster decides, and what it is asked.
    pub agreement: Agreement,
    /// A leader's records on their way to the data.
    pub applier: ApplyQueue,
    /// What the sessions of a follower have seen.
    pub sessions: Sessions,
    /// All workers' batches, or one alone.
    pub exclusive: ExclusiveGate,
    /// The configuration in force.
    pub settings: Settings,
    /// How many connections there are.
    pub client_counts: ClientCounts,
    /// The registry of connections.
    pub clients: Clients,
    /// How workers reach each other.
    pub post: Arc<dyn Post>,
    /// Who wants a snapshot and how the last one went.
    pub snapshots: SnapshotStatus,
    /// What is counted besides the data.
    pub counters: Counters,
    /// Another one with every start: 40 hexadecimal digits.
    pub run_id: String,
    /// Reasons why commands of every session are looked at twice (a pause, for instance); 0: none.
    pub special: AtomicU64,
    /// Who listens to which channels.
    pub hub: Hub,
    /// Messages that followers' clients are to get, or (of a follower) this node's.
    pub outbox: Outbox,
    pub(crate) pause: Pause,
    /// How many workers there are.
    pub workers: usize,
}

impl Node {
    /// In [`Node::special`]: CLIENT PAUSE.
    pub const PAUSED: u64 = 1;
    /// In [`Node::special`]: this node does not lead, or too few follow it.
    pub const RESTRAINED: u64 = 2;

    /// A node around what recovery found.
    #[must_use]
    pub fn new(
        keyspace: Keyspace,
        log: Arc<LogQueue>,
        (identity, epochs): (Identity, EpochTable),
        workers: usize,
        settings: Settings,
        post: Arc<dyn Post>,
    ) -> Node {
        // Three more parties than workers: the applier, the peers thread, and snapshots.
        let exclusive = ExclusiveGate::new(workers + 3);
        let snapshots = SnapshotStatus::default();
        let applier = ApplyQueue::new(keyspace.sequencer().last_lsn());
        let node = Node {
            keyspace,
            log,
            applier,
            replication: Replication::new(identity, epochs),
            agreement: Agreement::default(),
            sessions: Sessions::default(),
            exclusive,
            settings,
            client_counts: ClientCounts::new(workers),
            clients: Clients::default(),
            post,
            snapshots,
            special: AtomicU64::new(0),
            hub: Hub::new(),
            outbox: Outbox::default(),
            pause: Pause::default(),
            workers,
            counters: Counters::new(workers),
            run_id: new_run_id(),
        };
        node.replication.observe_stream_ms(node.keyspace.sequencer().last().hlc.millis());
        take_effect(&node);
        node
    }

    /// What [`trefoil_store::txn::Writer::following_ms`] is to be: asked for inside the exclusive gate,
    /// where the role stays what it is.
    #[inline]
    #[must_use]
    pub fn following_ms(&self) -> Option<u64> {
        let replication = &self.replication;
        if replication.is_leading() { None } else { Some(replication.stream_ms()) }
    }

    /// The applier's seat at the exclusive gate, and its counters in the keyspace.
    #[must_use]
    pub fn applier_seat(&self) -> usize {
        self.workers
    }

    /// Whether commands of every session are looked at twice because of the node's role. Those of a
    /// node that does not lead always are.
    pub(crate) fn restrain(&self, restrained: bool) {
        let lapsed = self.agreement.lease.lapsed_ms().is_some();
        if restrained || lapsed || !self.replication.is_leading() {
            self.special.fetch_or(Node::RESTRAINED, Ordering::SeqCst);
        } else {
            self.special.fetch_and(!Node::RESTRAINED, Ordering::SeqCst);
        }
    }

    /// Wakes those who wait at the exclusive gate.
    pub fn wake(&self, wake: Wake) {
        match wake {
            Wake::None => {}
            Wake::One(seat) if seat < self.workers => self.post.post(seat as u32, Mail::Wake),
            Wake::One(seat) if seat == self.applier_seat() => self.applier.wake(),
            Wake::One(_) => self.post.wake_peers(),
            Wake::All => {
                for worker in 0..self.workers {
                    self.post.post(worker as u32, Mail::Wake);
                }
                self.applier.wake();
                self.post.wake_peers();
            }
        }
    }

    /// What a new session may not do yet.
    #[must_use]
    pub fn first_restrictions(&self) -> Restrictions {
        let mut restrictions = Restrictions::default();
        if auth::is_required(&self.settings) {
            restrictions.set(Restrictions::UNAUTHENTICATED);
        }
        restrictions
    }

    /// Replies may leave that depend on records up to this one.
    #[inline]
    #[must_use]
    pub fn released(&self) -> Lsn {
        if !self.agreement.lease.holds() {
            return Lsn::ZERO;
        }
        let remote = self.replication.remote();
        // What a leader that others can follow acknowledges is in its log: if its process dies, the archive
        // shows what they did not get.
        let by_log = remote < Lsn(u64::MAX) || self.agreement.lease.is_required();
        match self.log.fsync() {
            Fsync::Always => self.log.durable().min(remote),
            Fsync::Everysec | Fsync::No if !by_log => remote,
            Fsync::Everysec | Fsync::No => self.log.appended().min(remote),
        }
    }

    /// The same for replies that were given in this reign. None: it is over, and what becomes of the
    /// records that they depend on is unknown.
    #[inline]
    #[must_use]
    pub fn released_in(&self, reign: u64) -> Option<Lsn> {
        // In this order: a bound of the next reign is only seen together with that.
        let released = self.released();
        (self.replication.reign() == reign).then_some(released)
    }

    /// Whether replies wait for anything.
    #[inline]
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.log.fsync() == Fsync::Always
            || self.replication.gates()
            || self.agreement.lease.is_required()
    }

    /// Whether commands are looked at twice.
    #[inline]
    #[must_use]
    pub fn is_special(&self) -> bool {
        self.special.load(Ordering::Relaxed) != 0
    }
}

/// From the hasher's own keys, which the operating system's randomness seeds.
fn new_run_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let words: [u64; 3] = std::array::from_fn(|i| RandomState::new().hash_one(i));
    format!("{:016x}{:016x}{:08x}", words[0], words[1], words[2] as u32)
}
