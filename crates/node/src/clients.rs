//! The registry of connections, for CLIENT LIST and KILL: read from any worker without stopping the
//! one that serves a connection.
//!
//! A record is written by its own worker with relaxed stores, and only when something changed; what
//! another worker reads of it may be a turn old.
//!
//! Invariant: ids are never reused, and rise in the order of arrival.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trefoil_wire::resp::Protocol;

use crate::mail::Address;

mod line;

/// Stands for "no command yet".
pub const NO_COMMAND: u16 = u16::MAX;

/// All connections of the node.
pub struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<ClientRecord>>>,
    next_id: AtomicU64,
}

impl Default for Clients {
    fn default() -> Clients {
        Clients { by_id: Mutex::default(), next_id: AtomicU64::new(1) }
    }
}

impl Clients {
    /// A connection was accepted: `slot` is its place in the worker's list, `now_ms` Unix time.
    pub fn register(
        &self,
        (worker, slot): (u32, u32),
        peer: SocketAddr,
        local: SocketAddr,
        now_ms: u64,
    ) -> Arc<ClientRecord> {
        let id = self.next_id.fetch_add(1, Relaxed);
        let address = Address { worker, slot, id };
        let record = Arc::new(ClientRecord::new(address, peer, local, now_ms));
        self.lock().insert(id, Arc::clone(&record));
        record
    }

    /// The id of the next connection.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id.load(Relaxed)
    }

    /// It is closed, or about to be.
    pub fn remove(&self, id: u64) -> Option<Arc<ClientRecord>> {
        self.lock().remove(&id)
    }

    /// The connection with this id.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<ClientRecord>> {
        self.lock().get(&id).cloned()
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ClientRecord>> {
        self.lock().values().cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientRecord>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all workers know of a connection.
pub struct ClientRecord {
    /// Where it is.
    pub address: Address,
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Since when, Unix milliseconds.
    pub created_ms: u64,
    /// Channels it is subscribed to.
    pub channels: AtomicU32,
    /// Patterns it is subscribed to.
    pub patterns: AtomicU32,
    /// Shard channels it is subscribed to.
    pub shard_channels: AtomicU32,
    /// Commands queued since MULTI; -1: no transaction.
    pub queued: AtomicI32,
    /// Bytes of replies that its peer has not taken.
    pub output_bytes: AtomicU64,
    /// When it last sent something, Unix seconds.
    last_seen_s: AtomicU32,
    /// The id of its last command in the table, or [`NO_COMMAND`].
    last_command: AtomicU16,
    marks: AtomicU16,
    db: AtomicU8,
    resp: AtomicU8,
    labels: Mutex<Labels>,
}

/// What a connection calls itself.
#[derive(Clone, Default)]
pub struct Labels {
    /// CLIENT SETNAME; empty: none.
    pub name: Box<[u8]>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Box<[u8]>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: Box<[u8]>,
}

/// A property that CLIENT LIST shows as a letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(u16);

impl Mark {
    /// Subscribed to something.
    pub const PUBSUB: Mark = Mark(1);
    /// Between MULTI and EXEC.
    pub const IN_MULTI: Mark = Mark(1 << 1);
    /// Closed once its replies are sent.
    pub const CLOSING: Mark = Mark(1 << 2);
    /// CLIENT NO-EVICT.
    pub const NO_EVICT: Mark = Mark(1 << 3);
    /// CLIENT NO-TOUCH.
    pub const NO_TOUCH: Mark = Mark(1 << 4);

    /// The letters, in Redis's order.
    const LETTERS: [(Mark, u8); 5] = [
        (Mark::PUBSUB, b'P'),
        (Mark::IN_MULTI, b'x'),
        (Mark::CLOSING, b'c'),
        (Mark::NO_EVICT, b'e'),
        (Mark::NO_TOUCH, b'T'),
    ];
}

impl ClientRecord {
    fn new(address: Address, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> ClientRecord {
        ClientRecord {
            address,
            peer,
            local,
            created_ms: now_ms,
            channels: AtomicU32::new(0),
            patterns: AtomicU32::new(0),
            shard_channels: AtomicU32::new(0),
            queued: AtomicI32::new(-1),
            output_bytes: AtomicU64::new(0),
            last_seen_s: AtomicU32::new((now_ms / 1_000) as u32),
            last_command: AtomicU16::new(NO_COMMAND),
            marks: AtomicU16::new(0),
            db: AtomicU8::new(0),
            resp: AtomicU8::new(2),
            labels: Mutex::default(),
        }
    }

    /// It ran this command last, in this second.
    pub fn seen(&self, command: u16, now_s: u32) {
        self.last_command.store(command, Relaxed);
        self.last_seen_s.store(now_s, Relaxed);
    }

    /// Seconds since it last sent something.
    #[must_use]
    pub fn idle_s(&self, now_ms: u64) -> u64 {
        (now_ms / 1_000).saturating_sub(u64::from(self.last_seen_s.load(Relaxed)))
    }

    /// Seconds since it was accepted.
    #[must_use]
    pub fn age_s(&self, now_ms: u64) -> u64 {
        (now_ms / 1_000).saturating_sub(self.created_ms / 1_000)
    }

    /// It selected this database.
    pub fn set_db(&self, db: u8) {
        self.db.store(db, Relaxed);
    }

    /// It speaks this protocol now.
    pub fn set_protocol(&self, protocol: Protocol) {
        self.resp.store(if protocol == Protocol::Resp3 { 3 } else { 2 }, Relaxed);
    }

    /// Sets a property. Only its own worker does.
    pub fn mark(&self, mark: Mark) {
        self.marks.store(self.marks.load(Relaxed) | mark.0, Relaxed);
    }

    /// Takes a property away. Only its own worker does.
    pub fn unmark(&self, mark: Mark) {
        self.marks.store(self.marks.load(Relaxed) & !mark.0, Relaxed);
    }

    /// Whether it has a property.
    #[must_use]
    pub fn is_marked(&self, mark: Mark) -> bool {
        self.marks.load(Relaxed) & mark.0 != 0
    }

    /// What it calls itself.
    #[must_use]
    pub fn labels(&self) -> Labels {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what it calls itself.
    pub fn relabel(&self, change: impl FnOnce(&mut Labels)) {
        change(&mut self.labels.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_idle_connections_cost_little() {
        assert!(size_of::<ClientRecord>() <= 208, "{}", size_of::<ClientRecord>());
    }

    #[test]
    fn connections_are_listed_in_the_order_of_arrival() {
        let clients = Clients::default();
        let end = SocketAddr::from(([127, 0, 0, 1], 1));
        let ids: Vec<u64> =
            (0..3).map(|slot| clients.register((0, slot), end, end, 0).address.id).collect();
        clients.remove(ids[1]);
        let listed: Vec<u64> = clients.all().iter().map(|record| record.address.id).collect();
        assert_eq!(listed, [ids[0], ids[2]]);
        assert!(clients.find(ids[1]).is_none());
        assert_eq!(clients.len(), 2);
    }
}
