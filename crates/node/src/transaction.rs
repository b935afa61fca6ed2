//! What a session remembers between WATCH or MULTI and EXEC: watched keys and queued commands.
//!
//! It is not the execution, that is `Worker::exec`.
//!
//! Invariants: while there is a queue the session has `Restrictions::IN_MULTI`, and no command is
//! added to a queue that is broken; a queued command's database is known when it is queued, because
//! only SELECT changes it.

use std::sync::atomic::Ordering::Relaxed;

use trefoil_commands::{Flags, Group, parse_i64};
use trefoil_store::Keyspace;
use trefoil_store::txn::{StripeId, Txn};
use trefoil_wire::{Args, Span};

use crate::clients::Mark;
use crate::session::{Restrictions, Session};
use crate::table::{Entry, Locking, Run};

/// Databases that SELECT knows.
const DATABASES: i64 = 16;

/// See the module.
#[derive(Default)]
pub struct Transaction {
    watched: Vec<Watched>,
    /// The reign in which the first of them was watched: versions mean nothing in another.
    reign: u64,
    /// Keys were watched, and it is not known any more whether they are unchanged.
    watch_lost: bool,
    queue: Option<Queue>,
}

/// A key as WATCH saw it.
struct Watched {
    db: u8,
    /// Where the database's name led to then.
    table: u8,
    key: Box<[u8]>,
    /// None: it was not there, or had expired.
    version: Option<u64>,
}

/// The commands between MULTI and EXEC.
pub struct Queue {
    commands: Vec<Queued>,
    /// The arguments of all of them, one after another.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// What any of them declares.
    flags: Flags,
    /// One of them walks, or is about the server, so that EXEC has to be alone.
    needs_gate: bool,
    /// A command was refused: EXEC will only say so.
    broken: bool,
    /// The database of the next command.
    db: u8,
}

struct Queued {
    entry: &'static Entry,
    db: u8,
    /// Where its arguments begin in `bytes`, and their range of `spans`.
    bytes_start: usize,
    spans: (usize, usize),
}

/// A queued command on its way to its handler.
pub(crate) struct QueuedCall<'q> {
    pub(crate) entry: &'static Entry,
    pub(crate) db: u8,
    pub(crate) args: Args<'q>,
}

impl Session {
    /// MULTI. False: it was given already.
    pub(crate) fn begin_transaction(&mut self) -> bool {
        let db = self.db;
        let transaction = self.transaction.get_or_insert_default();
        if transaction.queue.is_some() {
            return false;
        }
        transaction.queue = Some(Queue::new(db));
        self.restrictions.set(Restrictions::IN_MULTI);
        self.record.mark(Mark::IN_MULTI);
        self.record.queued.store(0, Relaxed);
        true
    }

    /// Drops queued commands and watched keys: DISCARD, RESET, the end of a connection.
    pub fn reset_transaction(&mut self) {
        self.transaction = None;
        self.restrictions.clear(Restrictions::IN_MULTI);
        self.record.unmark(Mark::IN_MULTI);
        self.record.queued.store(-1, Relaxed);
    }

    /// The commands queued since MULTI, if it was given.
    #[must_use]
    pub fn queue(&self) -> Option<&Queue> {
        self.transaction.as_ref()?.queue.as_ref()
    }

    pub(crate) fn queue_mut(&mut self) -> Option<&mut Queue> {
        self.transaction.as_mut()?.queue.as_mut()
    }

    /// A command was refused: a transaction that is being queued will not be executed.
    pub(crate) fn break_transaction(&mut self) {
        if let Some(queue) = self.queue_mut() {
            queue.broken = true;
        }
    }

    /// How many keys are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.watched.len())
    }

    /// UNWATCH.
    pub(crate) fn unwatch(&mut self) {
        match &mut self.transaction {
            Some(transaction) if transaction.queue.is_some() => {
                transaction.watched.clear();
                transaction.watch_lost = false;
            }
            transaction => *transaction = None,
        }
    }

    /// Nobody watches any more what was watched at a leader: the next EXEC comes to nothing.
    pub fn lose_watch(&mut self) {
        self.transaction.get_or_insert_default().watch_lost = true;
    }

    /// Whether keys were watched that nobody has watched since.
    pub(crate) fn has_lost_watch(&self, reign: u64) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.has_lost_watch(reign))
    }

    /// The queue leaves for the leader; here the transaction is over.
    pub(crate) fn take_queue(&mut self) -> Option<Box<Queue>> {
        let queue = self.transaction.as_mut()?.queue.take();
        self.reset_transaction();
        queue.map(Box::new)
    }

    /// It comes back, since the leader did not execute it.
    pub fn put_queue_back(&mut self, queue: Queue) {
        self.begin_transaction();
        self.record.queued.store(queue.len() as i32, Relaxed);
        self.transaction.get_or_insert_default().queue = Some(queue);
    }
}

impl Transaction {
    /// Keys are watched from now on, in this reign.
    pub(crate) fn begin_watching(&mut self, reign: u64) {
        if self.watched.is_empty() {
            self.reign = reign;
        }
    }

    /// Whether it is not known any more if the watched keys are unchanged.
    pub(crate) fn has_lost_watch(&self, reign: u64) -> bool {
        self.watch_lost || (!self.watched.is_empty() && self.reign != reign)
    }

    /// Remembers a key as it is now. The transaction holds its stripe, and `db` is selected.
    pub(crate) fn watch(&mut self, txn: &mut Txn<'_>, db: u8, bytes: &[u8]) {
        if self.watched.iter().any(|watched| watched.db == db && *watched.key == *bytes) {
            return;
        }
        let key = txn.key(bytes);
        let version = txn.peek(&key).map(|meta| meta.version);
        let table = txn.keyspace().table_of(db);
        self.watched.push(Watched { db, table, key: bytes.into(), version });
    }

    pub(crate) fn take_queue(&mut self) -> Option<Queue> {
        self.queue.take()
    }

    /// The stripes of the watched keys.
    pub(crate) fn watched_stripes(&self, keyspace: &Keyspace, stripes: &mut Vec<StripeId>) {
        for watched in &self.watched {
            stripes.push(StripeId::of(keyspace, watched.db, &keyspace.key(&watched.key)));
        }
    }

    /// Whether all watched keys are as they were. A key that was absent and is absent is, whatever
    /// happened in between.
    pub(crate) fn is_untouched(&self, txn: &mut Txn<'_>) -> bool {
        self.watched.iter().all(|watched| {
            txn.select(watched.db);
            let key = txn.key(&watched.key);
            match (txn.peek(&key), watched.version) {
                (None, None) => true,
                // One record may have given two tables' keys the same version, and a swap their
                // places.
                (Some(meta), Some(version)) => {
                    meta.version == version && txn.keyspace().table_of(watched.db) == watched.table
                }
                _ => false,
            }
        })
    }
}

impl Queue {
    fn new(db: u8) -> Queue {
        Queue {
            commands: Vec::new(),
            bytes: Vec::new(),
            spans: Vec::new(),
            flags: Flags::NONE,
            needs_gate: false,
            broken: false,
            db,
        }
    }

    /// Adds a command. A broken queue takes no more: it will not run.
    pub(crate) fn push(&mut self, entry: &'static Entry, args: Args<'_>) {
        if self.broken {
            return;
        }
        let (bytes_start, first_span) = (self.bytes.len(), self.spans.len());
        for arg in args {
            let start = (self.bytes.len() - bytes_start) as u32;
            self.spans.push(Span { start, len: arg.len() as u32 });
            self.bytes.extend_from_slice(arg);
        }
        let spans = (first_span, self.spans.len());
        self.commands.push(Queued { entry, db: self.db, bytes_start, spans });
        self.flags = self.flags.with(entry.spec.flags);
        self.needs_gate |= match entry.run {
            Run::Data(_, locking) => matches!(locking, Locking::Walks | Locking::Exclusive),
            // It may look into stripes by itself.
            Run::Node(_) => matches!(entry.spec.group, Group::Server | Group::Cluster),
        };
        if entry.spec.name == "select"
            && let Some(db @ 0..DATABASES) = parse_i64(args.get(1))
        {
            self.db = db as u8;
        }
    }

    /// Bytes that it holds.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + size_of_val(&self.spans[..]) + size_of_val(&self.commands[..])
    }

    /// What any of the commands declares.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The database that is selected behind the commands.
    pub(crate) fn db(&self) -> u8 {
        self.db
    }

    /// The commands, in order.
    pub fn commands(&self) -> impl Iterator<Item = Args<'_>> {
        self.calls().map(|call| call.args)
    }

    /// How many commands are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether none is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn needs_gate(&self) -> bool {
        self.needs_gate
    }

    /// The commands in order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = QueuedCall<'_>> {
        self.commands.iter().map(|queued| QueuedCall {
            entry: queued.entry,
            db: queued.db,
            args: Args::new(
                &self.bytes[queued.bytes_start..],
                &self.spans[queued.spans.0..queued.spans.1],
            ),
        })
    }

    /// The stripes of all keys that the commands name.
    pub(crate) fn stripes(&self, keyspace: &Keyspace, stripes: &mut Vec<StripeId>) {
        for call in self.calls() {
            for at in call.entry.key_indexes(call.args.len()) {
                stripes.push(StripeId::of(keyspace, call.db, &keyspace.key(call.args.get(at))));
            }
        }
    }
}
