//! EXEC: the queued commands as one transaction, so one record: all of it or nothing, whatever
//! happens.
//!
//! The stripes of all queued and all watched keys are locked together; with more than
//! [`STRIPES_MAX`], or with a command that walks or is about the server, it runs alone. While it runs,
//! the worker has a stand-in for its writer, because the transaction has borrowed the real one:
//! commands about the connection can run in between, and the record stays one.
//!
//! Invariant: nothing of the transaction is consumed before it runs, so it can be tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use trefoil_clock::Lsn;
use trefoil_commands::{Call, CommandError, DataHandler, Flags};
use trefoil_store::record::LogBatch;
use trefoil_store::txn::Txn;
use trefoil_wire::Args;
use trefoil_wire::resp::{Reply, ReplyBuf};

use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::log::LogHealth;
use crate::session::Session;
use crate::table::{Entry, Run};
use crate::transaction::{Queue, Transaction};

use super::memory::Room;
use super::{MISCONF, OUT_OF_MEMORY, PANICKED, Ran, Worker};

/// More stripes than this are not locked one by one.
pub(super) const STRIPES_MAX: usize = 64;

/// A record that has so many bytes takes no further command's effects: the log's frames end at 4 GiB.
const RECORD_LEN_MAX: usize = if cfg!(test) { 1 << 20 } else { 1 << 30 };

const RECORD_TOO_LONG: CommandError =
    CommandError::Other("ERR the transaction has written too much for one record of the log");
const BROKEN: CommandError =
    CommandError::Other("EXECABORT Transaction discarded because of previous errors.");
const TOO_LONG: &str = "ERR the transaction is longer than client-query-buffer-limit";
const CANNOT_WAIT: CommandError =
    CommandError::Other("ERR the command would have to wait, which it can't within a transaction");

impl Worker {
    /// Queues a command of a session within MULTI, or refuses it and with it the transaction.
    pub(super) fn queue(
        &mut self,
        session: &mut Session,
        entry: &'static Entry,
        args: Args<'_>,
        out: &mut ReplyBuf,
    ) -> Ran {
        if entry.spec.flags.has(Flags::NO_MULTI) {
            return self.reject(session, "ERR Command not allowed inside a transaction", out);
        }
        if entry.spec.flags.has(Flags::WRITE) && self.node.log.health() != LogHealth::Writing {
            return self.reject(session, MISCONF, out);
        }
        // Queueing needs memory, too, whatever the command.
        if self.is_out_of_memory() {
            return self.reject(session, OUT_OF_MEMORY, out);
        }
        let bytes_max = self.node.settings.client_query_buffer_limit.load(Relaxed);
        if let Some(queue) = session.queue_mut() {
            queue.push(entry, args);
            if queue.memory() as u64 > bytes_max {
                session.reset_transaction();
                Reply::new(out, session.protocol).error(TOO_LONG);
                return Ran::independent(Flow::Close);
            }
            let queued = queue.len() as i32;
            session.record.queued.store(queued, Relaxed);
        }
        Reply::new(out, session.protocol).simple("QUEUED");
        Ran::independent(Flow::Continue)
    }

    /// Runs what was queued since MULTI and forgets it.
    pub(crate) fn exec(
        &mut self,
        session: &mut Session,
        out: &mut ReplyBuf,
    ) -> Result<Ran, CommandError> {
        let Some(queue) = session.queue() else {
            return Err(CommandError::Other("ERR EXEC without MULTI"));
        };
        if queue.is_broken() {
            session.reset_transaction();
            return Err(BROKEN);
        }
        let denies_oom = queue.flags().has(Flags::DENYOOM);
        let may_write = queue.flags().has_any(Flags::WRITE | Flags::MAY_REPLICATE);
        if may_write && self.node.held(self.writer.now_ms).is_some() {
            return Ok(Ran::independent(Flow::Retry));
        }
        if queue.flags().has(Flags::WRITE) {
            self.publish_much();
            if self.node.log.is_behind() {
                return Ok(Ran::independent(Flow::Retry));
            }
            if self.node.log.health() != LogHealth::Writing {
                session.reset_transaction();
                return Err(aborted(MISCONF));
            }
        }
        if denies_oom && self.is_out_of_memory() {
            session.reset_transaction();
            return Err(aborted(OUT_OF_MEMORY));
        }
        let alone = self.collect_stripes(session);
        let may_run = match alone {
            true => self.pass.try_alone(&self.node.exclusive),
            false => self.pass.is_inside(),
        };
        if !may_run {
            return Ok(Ran::independent(Flow::Retry));
        }
        self.notice_role();
        if self.writer.following_ms.is_some() && queue.flags().has(Flags::WRITE) {
            // The role has changed since the command was admitted.
            if alone {
                self.leave_alone();
            }
            return Ok(Ran::independent(Flow::Retry));
        }
        let mut transaction = session.transaction.take().unwrap_or_default();
        session.reset_transaction();
        let Some(queue) = transaction.take_queue() else { return Err(BROKEN) };
        let ran = self.exec_locked(session, &transaction, &queue, alone, out);
        if alone {
            self.leave_alone();
        }
        Ok(ran)
    }

    /// Whether there is no room, and none could be made by evicting.
    fn is_out_of_memory(&mut self) -> bool {
        let limit = self.node.settings.maxmemory.load(Relaxed);
        limit != 0 && self.pass.is_inside() && self.make_room(limit) == Room::None
    }

    /// Puts the stripes that are needed into `self.stripes`. Whether EXEC has to be alone.
    fn collect_stripes(&mut self, session: &Session) -> bool {
        self.stripes.clear();
        let (Some(transaction), Some(queue)) = (&session.transaction, session.queue()) else {
            return false;
        };
        transaction.watched_stripes(&self.node.keyspace, &mut self.stripes);
        queue.stripes(&self.node.keyspace, &mut self.stripes);
        self.stripes.sort_unstable();
        self.stripes.dedup();
        queue.needs_gate() || self.stripes.len() > STRIPES_MAX
    }

    fn exec_locked(
        &mut self,
        session: &mut Session,
        transaction: &Transaction,
        queue: &Queue,
        alone: bool,
        out: &mut ReplyBuf,
    ) -> Ran {
        let node = Arc::clone(&self.node);
        let mut stripes = std::mem::take(&mut self.stripes);
        let stand_in = self.writer.stand_in();
        let mut writer = std::mem::replace(&mut self.writer, stand_in);
        let mut txn = match alone {
            true => Txn::exclusive(&node.keyspace, &mut writer, session.db),
            false => Txn::several(&node.keyspace, &mut writer, session.db, &mut stripes),
        };
        let mut flow = Flow::Continue;
        self.publications = Some(Vec::new());
        let is_lost = transaction.has_lost_watch(node.replication.reign());
        if !is_lost && transaction.is_untouched(&mut txn) {
            Reply::new(out, session.protocol).array(queue.len());
            flow = self.run_queued(session, queue, &mut txn, out);
        } else {
            Reply::new(out, session.protocol).null_array();
        }
        // Still under the locks: messages come in the order of the changes.
        self.send_publications();
        let depends_on = txn.commit().depends_on;
        self.stripes = stripes;
        let mut stand_in = std::mem::replace(&mut self.writer, writer);
        if !stand_in.log.is_empty() {
            // A command about the server changed data by itself: a record of its own.
            self.node.log.push(stand_in.log.take(LogBatch::default()));
        }
        Ran { flow, depends_on }
    }

    fn run_queued(
        &mut self,
        session: &mut Session,
        queue: &Queue,
        txn: &mut Txn<'_>,
        out: &mut ReplyBuf,
    ) -> Flow {
        let mut flow = Flow::Continue;
        for call in queue.calls() {
            self.calls[usize::from(call.entry.id)].run.add(1);
            let start = out.position();
            let result = match call.entry.run {
                Run::Data(..)
                    if call.entry.spec.flags.has(Flags::WRITE)
                        && txn.record_len() >= RECORD_LEN_MAX =>
                {
                    Err(RECORD_TOO_LONG)
                }
                Run::Data(handler, _) if session.db == call.db => {
                    txn.select(call.db);
                    self.run_queued_data(handler, session, call.args, txn, out)
                }
                Run::Data(..) => {
                    debug_assert!(false, "only SELECT changes the database");
                    Err(CommandError::DbOutOfRange)
                }
                Run::Node(handler) => {
                    // It must not meet a stripe that this very thread holds.
                    txn.let_go();
                    self.run_queued_node(handler, session, call.args, out).map(|ran| {
                        if ran == Flow::Close {
                            flow = Flow::Close;
                        }
                    })
                }
            };
            if let Err(error) = result {
                self.fail(call.entry, session, &error, start, out);
            }
        }
        flow
    }

    fn run_queued_data(
        &self,
        handler: DataHandler,
        session: &Session,
        args: Args<'_>,
        txn: &mut Txn<'_>,
        out: &mut ReplyBuf,
    ) -> Result<(), CommandError> {
        let string_len_max = self.node.settings.proto_max_bulk_len.load(Relaxed) as usize;
        let db = session.db;
        catch_unwind(AssertUnwindSafe(|| {
            let out = Reply::new(out, session.protocol);
            handler(&mut Call { args, txn, out, db, string_len_max, first_key: None })
        }))
        .unwrap_or(Err(PANICKED))
    }

    fn run_queued_node(
        &mut self,
        handler: NodeHandler,
        session: &mut Session,
        args: Args<'_>,
        out: &mut ReplyBuf,
    ) -> Result<Flow, CommandError> {
        let depends_on = Lsn::ZERO;
        match handler(&mut NodeCall { worker: self, session, args, out, depends_on }) {
            Ok(Flow::Retry) => Err(CANNOT_WAIT),
            other => other,
        }
    }
}

/// EXEC itself was refused.
pub(super) fn aborted(reason: &str) -> CommandError {
    CommandError::Detailed(format!("EXECABORT Transaction discarded because of: {reason}"))
}

#[cfg(test)]
mod tests;
