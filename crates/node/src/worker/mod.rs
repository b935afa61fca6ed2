//! A worker: runs the commands of its connections, one after another.
//!
//! Sans-IO: a shell reads bytes, calls [`Worker::begin_turn`], [`Worker::prepare`] and
//! [`Worker::run`] for each command, then [`Worker::end_turn`], then writes. Nothing here waits: a
//! command that cannot run now says [`Flow::Retry`].
//!
//! Invariants: data is touched only between `begin_turn` and `end_turn`, inside the shared side of
//! the exclusive gate or alone; what a turn wrote is handed to the log before any of its replies is
//! sent.

mod admission;
mod exec;
mod memory;
mod publish;
mod role;
#[cfg(test)]
mod tests;
mod tick;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_epoch::Guard;
use trefoil_clock::Lsn;
use trefoil_commands::{Call, CommandError, DataHandler, Flags};
use trefoil_store::eviction::{Policy, Pool};
use trefoil_store::index::BucketHint;
use trefoil_store::record::LogBatch;
use trefoil_store::txn::{Outcome, StripeId, Txn, Writer};
use trefoil_store::{Key, KeyHash};
use trefoil_wire::Args;
use trefoil_wire::resp::{Reply, ReplyBuf};

use crate::counters::Calls;
use crate::exclusive::Pass;
pub use crate::exclusive::Wake;
use crate::freshness::FollowerView;
use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::log::LogHealth;
use crate::node::Node;
use crate::session::Session;
use crate::table::{Entry, Locking, Run, TABLE};

use memory::Room;
use publish::Publication;
pub use role::NOT_DONE;
pub(crate) use role::{LOST, UNBLOCKED};

/// See the module.
pub struct Worker {
    /// What it shares with the others.
    pub node: Arc<Node>,
    /// Its number.
    pub index: usize,
    /// Its counters, its clock and its part of the log.
    pub writer: Writer,
    /// Calls of each command, by [`Entry::id`].
    calls: Arc<[Calls]>,
    /// Replies of this turn wait for the log.
    pub gated: bool,
    /// Its dealings with the exclusive gate.
    pass: Pass,
    /// While EXEC runs: what it publishes, sent once it is known what that depends on.
    publications: Option<Vec<Publication>>,
    stripes: Vec<StripeId>,
    spare: LogBatch,
    chores: tick::Chores,
    /// Data is served under a lease: replies wait until it was looked at.
    leased: bool,
    /// Since when commands find nobody who leads, Unix milliseconds.
    unled_since_ms: Option<u64>,
    /// [`crate::replication::Replication::changes`] before a command decided to wait for one, since this was looked at.
    pub(crate) changes_seen: Option<u64>,
    /// Bytes of data that other workers count, if it was asked for in this turn.
    others_bytes: Option<i64>,
    /// Keys that may be evicted, and the policy they were found by.
    pool: Pool,
    evicts_by: Option<Policy>,
    /// When the counters are looked at next, Unix milliseconds.
    next_sample_ms: u64,
    /// While the node does not lead: what reads are judged by in this turn.
    pub(crate) follower: FollowerView,
}

/// What a command holds while it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Locks {
    /// The stripe of its first key.
    First,
    /// Those in [`Worker::stripes`].
    Several,
    /// The exclusive gate.
    Everything,
}

/// What is known of a command before its turn comes.
#[derive(Clone, Copy, Default)]
pub struct Prepared {
    entry: Option<&'static Entry>,
    hash: Option<KeyHash>,
    bucket: Option<BucketHint>,
}

/// What running a command came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ran {
    /// What the connection does next.
    pub flow: Flow,
    /// The reply may leave once this is durable; asked for only while [`Worker::gated`].
    pub depends_on: Lsn,
}

impl Ran {
    const fn independent(flow: Flow) -> Ran {
        Ran { flow, depends_on: Lsn::ZERO }
    }
}

impl Worker {
    /// A worker; `seed` is for sampling.
    #[must_use]
    pub fn new(node: Arc<Node>, index: usize, seed: u32) -> Worker {
        Worker {
            calls: node.counters.calls(index),
            node,
            index,
            writer: Writer::new(index, seed),
            gated: false,
            pass: Pass::new(index),
            publications: None,
            stripes: Vec::new(),
            spare: LogBatch::default(),
            chores: tick::Chores::default(),
            leased: false,
            unled_since_ms: None,
            changes_seen: None,
            others_bytes: None,
            pool: Pool::default(),
            evicts_by: None,
            next_sample_ms: 0,
            follower: FollowerView::default(),
        }
    }

    /// Begins a batch of commands at this time, Unix milliseconds.
    pub fn begin_turn(&mut self, now_ms: u64) {
        self.writer.now_ms = now_ms;
        self.writer.hides_expired = self.node.held(now_ms).is_some();
        self.others_bytes = None;
        if now_ms >= self.next_sample_ms {
            self.sample(now_ms);
        }
        self.pass.begin(&self.node.exclusive);
        // Inside, where the role stays what it is: one that begins to lead has its gate by then.
        self.leased = self.node.agreement.lease.is_required();
        self.gated = self.node.is_gated();
        self.writer.following_ms = self.node.following_ms();
        if self.writer.following_ms.is_some() {
            self.follower.refresh(&self.node);
        }
        if self.unled_since_ms.is_some() {
            self.notice_leader();
        }
    }

    /// Ends it: what was written goes to the log. Says which workers are to be woken.
    pub fn end_turn(&mut self) -> Wake {
        self.publish();
        self.pass.end(&self.node.exclusive)
    }

    /// Counts what is reported as rates and peaks.
    #[cold]
    fn sample(&mut self, now_ms: u64) {
        self.next_sample_ms = now_ms + SAMPLE_EVERY_MS;
        self.node.counters.sample(now_ms, self.node.keyspace.memory());
    }

    /// Asks for a sync of everything that this worker has written so far.
    pub(crate) fn sync_soon(&mut self) {
        self.publish();
        self.node.log.want_sync();
    }

    /// A turn may write more than is good to keep.
    #[inline]
    fn publish_much(&mut self) {
        if self.writer.log.len() > UNPUBLISHED_MAX {
            self.publish();
        }
    }

    fn publish(&mut self) {
        if !self.writer.log.is_empty() {
            let spare = self.node.log.push(self.writer.log.take(std::mem::take(&mut self.spare)));
            self.spare = spare;
        }
    }

    /// Looks a command up and starts to bring its key's bucket into the cache.
    #[inline]
    pub fn prepare(&self, session: &Session, args: Args<'_>, pinned: &Guard) -> Prepared {
        let Some(entry) = TABLE.find(args.name()) else { return Prepared::default() };
        let mut prepared = Prepared { entry: Some(entry), hash: None, bucket: None };
        if let Run::Data(_, Locking::Single) = entry.run
            && args.len() > 1
        {
            let hash = self.node.keyspace.key(args.get(1)).hash();
            prepared.hash = Some(hash);
            prepared.bucket = self.node.keyspace.prefetch_bucket(session.db, hash, pinned);
        } else if !entry.subcommands.is_empty() {
            prepared.entry = entry.within(args);
        }
        prepared
    }

    /// Starts to bring the key's entry into the cache, once the bucket is there.
    #[inline]
    pub fn prefetch(&self, prepared: &Prepared, pinned: &Guard) {
        if let (Some(bucket), Some(hash)) = (prepared.bucket, prepared.hash) {
            self.node.keyspace.prefetch_entry(bucket, hash, pinned);
        }
    }

    /// Runs a command.
    #[inline]
    pub fn run(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        prepared: &Prepared,
        out: &mut ReplyBuf,
    ) -> Ran {
        let Some(entry) = prepared.entry else {
            return self.refuse_mistake(session, &unknown_command(args), out);
        };
        session.command = entry.id;
        if !entry.spec.takes(args.len()) {
            return self.refuse_mistake(session, &wrong_arity(&entry.full_name), out);
        }
        if (!session.restrictions.is_none() || self.node.is_special())
            && let Some(ran) = self.admit(session, entry, prepared, args, out)
        {
            return ran;
        }
        match entry.run {
            Run::Data(handler, locking) => {
                let may_be_alone = matches!(locking, Locking::Exclusive | Locking::Several);
                if !self.pass.is_inside() && !may_be_alone {
                    return Ran::independent(Flow::Retry);
                }
                if entry.spec.flags.has(Flags::WRITE) {
                    self.publish_much();
                    if self.node.log.is_behind() {
                        return Ran::independent(Flow::Retry);
                    }
                    if self.node.log.health() != LogHealth::Writing {
                        return self.deny(entry, session, MISCONF, out);
                    }
                }
                let limit = self.node.settings.maxmemory.load(Relaxed);
                if limit != 0
                    && self.pass.is_inside()
                    && self.make_room(limit) == Room::None
                    && entry.spec.flags.has(Flags::DENYOOM)
                {
                    return self.deny(entry, session, OUT_OF_MEMORY, out);
                }
                self.run_data(session, args, (entry, handler, locking), prepared.hash, out)
            }
            Run::Node(handler) => self.run_node(session, args, (entry, handler), out),
        }
    }

    fn run_node(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        (entry, handler): (&Entry, NodeHandler),
        out: &mut ReplyBuf,
    ) -> Ran {
        let start = out.position();
        let depends_on = Lsn::ZERO;
        let mut call = NodeCall { worker: self, session, args, out, depends_on };
        match handler(&mut call) {
            Ok(flow) => {
                let mut depends_on = call.depends_on;
                if self.leased && entry.spec.name == "exec" {
                    depends_on = depends_on.max(UNDER_LEASE);
                }
                // It may have changed the policy, for the replies behind it as well.
                self.gated |= self.node.is_gated();
                if flow != Flow::Retry {
                    self.calls[usize::from(entry.id)].run.add(1);
                }
                Ran { flow, depends_on }
            }
            Err(error) => {
                out.truncate_to(start);
                self.calls[usize::from(entry.id)].run.add(1);
                self.calls[usize::from(entry.id)].failed.add(1);
                self.refuse(session, &error.text(), out)
            }
        }
    }

    #[inline]
    fn run_data(
        &mut self,
        session: &Session,
        args: Args<'_>,
        (entry, handler, locking): (&Entry, DataHandler, Locking),
        hash: Option<KeyHash>,
        out: &mut ReplyBuf,
    ) -> Ran {
        let first_key = hash.map(|hash| Key::hashed(args.get(1), hash));
        let locks = match (locking, first_key) {
            (Locking::Single, Some(_)) => Locks::First,
            _ => match self.lock_more(session, args, entry, locking) {
                Some(locks) => locks,
                None => return Ran::independent(Flow::Retry),
            },
        };
        let node = &*self.node;
        let (keyspace, writer, db) = (&node.keyspace, &mut self.writer, session.db);
        let mut txn = match (locks, first_key) {
            (Locks::First, Some(key)) => Txn::single(keyspace, writer, db, &key),
            (Locks::Everything, _) => Txn::exclusive(keyspace, writer, db),
            (Locks::First | Locks::Several, _) => {
                Txn::several(keyspace, writer, db, &mut self.stripes)
            }
        };
        self.calls[usize::from(entry.id)].run.add(1);
        let start = out.position();
        let string_len_max = node.settings.proto_max_bulk_len.load(Relaxed) as usize;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let reply = Reply::new(out, session.protocol);
            let (db, txn) = (session.db, &mut txn);
            handler(&mut Call { args, txn, out: reply, db, string_len_max, first_key })
        }));
        let Outcome { depends_on, .. } = txn.commit();
        if locks == Locks::Everything {
            self.leave_alone();
        }
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(entry, session, &error, start, out),
            Err(_) => {
                self.fail(entry, session, &PANICKED, start, out);
            }
        }
        let depends_on = if self.leased { depends_on.max(UNDER_LEASE) } else { depends_on };
        Ran { flow: Flow::Continue, depends_on }
    }

    /// Whether replies to commands on data wait for a lease, whatever they depend on.
    #[inline]
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.leased
    }

    /// Puts the stripes of a command's keys into `self.stripes`, or makes this worker alone if that is
    /// what it needs. None: not now.
    fn lock_more(
        &mut self,
        session: &Session,
        args: Args<'_>,
        entry: &Entry,
        locking: Locking,
    ) -> Option<Locks> {
        if locking != Locking::Exclusive {
            self.stripes.clear();
            let keyspace = &self.node.keyspace;
            for at in entry.key_indexes(args.len()) {
                let key = keyspace.key(args.get(at));
                self.stripes.push(StripeId::of(keyspace, session.db, &key));
            }
            self.stripes.sort_unstable();
            self.stripes.dedup();
            if self.stripes.len() <= exec::STRIPES_MAX {
                return self.pass.is_inside().then_some(Locks::Several);
            }
        }
        if !self.pass.try_alone(&self.node.exclusive) {
            return None;
        }
        self.notice_role();
        if self.may_not_write(entry) {
            self.leave_alone();
            return None;
        }
        Some(Locks::Everything)
    }

    /// Whether stripes may be locked now. If not: [`Flow::Retry`].
    #[must_use]
    pub(crate) fn may_touch_data(&self) -> bool {
        self.pass.is_inside()
    }

    /// Whether more is applied by now than reads of this turn were judged by.
    #[must_use]
    pub fn has_seen_less_than_applied(&self) -> bool {
        self.writer.following_ms.is_some()
            && self.node.keyspace.sequencer().last_lsn() > self.follower.applied
    }

    /// Whether something has changed that a command waits for, since it decided to.
    pub fn has_missed_a_change(&mut self) -> bool {
        self.changes_seen.take().is_some_and(|seen| seen != self.node.replication.changes())
    }

    /// Whether the node has stopped to lead since the command was admitted.
    fn may_not_write(&self, entry: &Entry) -> bool {
        self.writer.following_ms.is_some() && entry.spec.flags.has(Flags::WRITE)
    }

    /// Gives the gate back and goes on as one of many.
    fn leave_alone(&mut self) {
        self.publish();
        self.pass.leave_alone(&self.node.exclusive);
        self.notice_role();
    }

    /// The gate was left for a moment, in which the role may have changed.
    fn notice_role(&mut self) {
        self.writer.following_ms = self.node.following_ms();
        self.gated |= self.node.is_gated();
    }

    fn refuse(&mut self, session: &Session, text: &str, out: &mut ReplyBuf) -> Ran {
        self.node.counters.on_error(text);
        Reply::new(out, session.protocol).error(text);
        Ran::independent(Flow::Continue)
    }

    /// The command is not run.
    #[cold]
    fn deny(&mut self, entry: &Entry, session: &Session, text: &str, out: &mut ReplyBuf) -> Ran {
        self.calls[usize::from(entry.id)].rejected.add(1);
        self.refuse(session, text, out)
    }

    /// The command ran and found a mistake.
    #[cold]
    fn fail(
        &mut self,
        entry: &Entry,
        session: &Session,
        error: &CommandError,
        start: u64,
        out: &mut ReplyBuf,
    ) {
        self.calls[usize::from(entry.id)].failed.add(1);
        out.truncate_to(start);
        self.refuse(session, &error.text(), out);
    }
}

/// What is served under a lease depends on one record at least, so that it waits.
const UNDER_LEASE: Lsn = Lsn(1);

const PANICKED: CommandError = CommandError::Other(
    "ERR the command failed inside the server; what it had done by then is logged",
);

const MISCONF: &str = "MISCONF Errors writing to the log: the disk is full or fails. Writes are \
                       refused until it can be written again, reads are served";

const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// Bytes of records that a turn hands over before it ends.
const UNPUBLISHED_MAX: usize = 1 << 20;

/// How often rates and peaks are counted.
const SAMPLE_EVERY_MS: u64 = 100;

#[cold]
fn wrong_arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// Redis's words, with at most 128 bytes of name and of arguments.
#[cold]
fn unknown_command(args: Args<'_>) -> String {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned();
    if TABLE.find(args.name()).is_some() && args.len() > 1 {
        let (container, name) = (shown(args.name()).to_ascii_uppercase(), shown(args.get(1)));
        return format!("ERR unknown subcommand '{name}'. Try {container} HELP.");
    }
    let mut text =
        format!("ERR unknown command '{}', with args beginning with: ", shown(args.name()));
    let names = text.len();
    for arg in args.skip(1).iter() {
        if text.len() - names >= 128 {
            break;
        }
        let left = 128 - (text.len() - names);
        text.push_str(&format!("'{}' ", String::from_utf8_lossy(&arg[..arg.len().min(left)])));
    }
    text
}
