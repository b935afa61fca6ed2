//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use trefoil_commands::{Access, Arg, ArgKind, Command, CommandError, Flags, Group, KeySpec, Spec};
use trefoil_store::txn::{StripeId, Txn};

use crate::handler::{Flow, NodeCall, NodeHandler};

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] = &[DISCARD, EXEC, MULTI, UNWATCH, WATCH];

const FLAGS: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST);

/// Of those that may end what a script that runs for too long keeps from ending.
const ALWAYS: Flags = FLAGS.with(Flags::ALLOW_BUSY);

const MULTI: Command<NodeHandler> = Command::new(
    Spec {
        name: "multi",
        arity: 1,
        flags: ALWAYS.with(Flags::NO_MULTI).with(Flags::NOT_QUEUED),
        group: Group::Transactions,
        since: "1.2.0",
        summary: "Starts a transaction: commands are queued until EXEC.",
        ..Spec::BASE
    },
    multi,
);

fn multi(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if !call.session.begin_transaction() {
        return Err(CommandError::Other("ERR MULTI calls can not be nested"));
    }
    call.reply().ok();
    Ok(Flow::Continue)
}

const EXEC: Command<NodeHandler> = Command::new(
    Spec {
        name: "exec",
        arity: 1,
        flags: Flags::NOSCRIPT
            .with(Flags::LOADING)
            .with(Flags::STALE)
            .with(Flags::SKIP_SLOWLOG)
            .with(Flags::NOT_QUEUED),
        group: Group::Transactions,
        since: "1.2.0",
        summary: "Executes the commands of a transaction.",
        complexity: "Depends on the commands",
        ..Spec::BASE
    },
    exec,
);

fn exec(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let ran = call.worker.exec(call.session, call.out)?;
    call.depends_on = ran.depends_on;
    Ok(ran.flow)
}

const DISCARD: Command<NodeHandler> = Command::new(
    Spec {
        name: "discard",
        arity: 1,
        flags: ALWAYS.with(Flags::NOT_QUEUED),
        group: Group::Transactions,
        since: "2.0.0",
        summary: "Drops the queued commands of a transaction.",
        complexity: "O(N), when N is the number of queued commands",
        ..Spec::BASE
    },
    discard,
);

fn discard(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.session.queue().is_none() {
        return Err(CommandError::Other("ERR DISCARD without MULTI"));
    }
    call.session.reset_transaction();
    call.reply().ok();
    Ok(Flow::Continue)
}

const WATCH: Command<NodeHandler> = Command::new(
    Spec {
        name: "watch",
        arity: -2,
        flags: ALWAYS.with(Flags::NO_MULTI).with(Flags::NOT_QUEUED),
        keys: &[KeySpec::to_end(1, 1, Access::Inspect)],
        group: Group::Transactions,
        since: "2.2.0",
        summary: "Makes the next EXEC depend on these keys being unchanged.",
        complexity: "O(1) for every key",
        args: &[Arg::several("key", ArgKind::Key(0))],
        ..Spec::BASE
    },
    watch,
);

fn watch(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    if call.session.queue().is_some() {
        return Err(CommandError::Other("ERR WATCH inside MULTI is not allowed"));
    }
    if !call.worker.may_touch_data() {
        return Ok(Flow::Retry);
    }
    let (db, worker) = (call.session.db, &mut *call.worker);
    let keyspace = &worker.node.keyspace;
    let transaction = call.session.transaction.get_or_insert_default();
    transaction.begin_watching(worker.node.replication.reign());
    for key in call.args.skip(1) {
        let mut stripes = vec![StripeId::of(keyspace, db, &keyspace.key(key))];
        let mut txn = Txn::several(keyspace, &mut worker.writer, db, &mut stripes);
        transaction.watch(&mut txn, db, key);
        txn.commit();
    }
    call.reply().ok();
    Ok(Flow::Continue)
}

const UNWATCH: Command<NodeHandler> = Command::new(
    Spec {
        name: "unwatch",
        arity: 1,
        flags: ALWAYS,
        group: Group::Transactions,
        since: "2.2.0",
        summary: "Forgets the watched keys.",
        ..Spec::BASE
    },
    unwatch,
);

fn unwatch(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    call.session.unwatch();
    call.reply().ok();
    Ok(Flow::Continue)
}
