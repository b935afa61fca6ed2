//! Durability on demand: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, SHUTDOWN.
//!
//! There is no fork and no second format: every one of them is a snapshot, after which the log
//! before it goes. SAVE holds only its own connection, not the server (COMPATIBILITY.md).

use trefoil_commands::{Arg, ArgKind, Command, CommandError, Flags, Group, Spec};

use crate::handler::{Flow, NodeCall, NodeHandler};
use crate::snapshot::Busy;

/// The family's commands.
pub(super) const COMMANDS: &[Command<NodeHandler>] =
    &[SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, SHUTDOWN];

const IN_PROGRESS: CommandError = CommandError::Other("ERR Background save already in progress");

/// Of what takes a snapshot.
const SNAPSHOTS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING);

const SAVE: Command<NodeHandler> = Command::new(
    Spec {
        name: "save",
        arity: 1,
        flags: SNAPSHOTS.with(Flags::NO_MULTI),
        group: Group::Server,
        summary: "Takes a snapshot and answers when it is durable.",
        ..Spec::BASE
    },
    save,
);

const BGSAVE: Command<NodeHandler> = Command::new(
    Spec {
        name: "bgsave",
        arity: -1,
        flags: SNAPSHOTS,
        group: Group::Server,
        summary: "Begins a snapshot, or schedules one after the one in progress.",
        args: &[Arg::optional("schedule", "SCHEDULE", ArgKind::PureToken)],
        ..Spec::BASE
    },
    bgsave,
);

const LASTSAVE: Command<NodeHandler> = Command::new(
    Spec {
        name: "lastsave",
        arity: 1,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST).with(Flags::REVEALS),
        group: Group::Server,
        summary: "Answers when the last snapshot succeeded, or the node started: Unix seconds.",
        tips: &["nondeterministic_output"],
        ..Spec::BASE
    },
    lastsave,
);

const BGREWRITEAOF: Command<NodeHandler> = Command::new(
    Spec {
        name: "bgrewriteaof",
        arity: 1,
        flags: SNAPSHOTS,
        group: Group::Server,
        summary: "Lets the log shrink: begins a snapshot, after which the log before it goes.",
        ..Spec::BASE
    },
    bgrewriteaof,
);

const SHUTDOWN: Command<NodeHandler> = Command::new(
    Spec {
        name: "shutdown",
        arity: -1,
        flags: Flags::ADMIN
            .with(Flags::NOSCRIPT)
            .with(Flags::LOADING)
            .with(Flags::STALE)
            .with(Flags::NO_MULTI)
            .with(Flags::ALLOW_BUSY),
        group: Group::Server,
        summary: "Stops the server cleanly. What was acknowledged is in the log, with or without SAVE.",
        args: &[
            Arg::optional("save-selector", "SAVE", ArgKind::PureToken),
            Arg::optional("now", "NOW", ArgKind::PureToken),
            Arg::optional("force", "FORCE", ArgKind::PureToken),
            Arg::optional("abort", "ABORT", ArgKind::PureToken),
        ],
        ..Spec::BASE
    },
    shutdown,
);

fn save(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    match call.worker.node.snapshots.result_for(call.session.address.id) {
        Err(Busy) => return Err(IN_PROGRESS),
        Ok(None) => return Ok(Flow::Retry),
        Ok(Some(true)) => call.reply().simple("OK"),
        Ok(Some(false)) => {
            return Err(CommandError::Other("ERR the snapshot failed, the server's log says why"));
        }
    }
    Ok(Flow::Continue)
}

fn bgsave(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let schedule = match call.args.len() {
        1 => false,
        2 if call.args.get(1).eq_ignore_ascii_case(b"schedule") => true,
        _ => return Err(CommandError::Syntax),
    };
    let snapshots = &call.worker.node.snapshots;
    let text = if schedule {
        if snapshots.ask_or_schedule() { "Background saving scheduled" } else { STARTED }
    } else {
        snapshots.ask().map_err(|Busy| IN_PROGRESS)?;
        STARTED
    };
    call.reply().simple(text);
    Ok(Flow::Continue)
}

const STARTED: &str = "Background saving started";

fn lastsave(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let at = call.worker.node.snapshots.last_success_s();
    call.reply().integer(i64::try_from(at).unwrap_or(i64::MAX));
    Ok(Flow::Continue)
}

fn bgrewriteaof(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let scheduled = call.worker.node.snapshots.ask_or_schedule();
    call.reply().simple(if scheduled {
        "Background append only file rewriting scheduled"
    } else {
        "Background append only file rewriting started"
    });
    Ok(Flow::Continue)
}

/// What SHUTDOWN was told.
#[derive(Default)]
struct ShutdownOptions {
    save: bool,
    nosave: bool,
    now: bool,
    force: bool,
    abort: bool,
}

impl ShutdownOptions {
    fn parse(call: &NodeCall<'_>) -> Result<ShutdownOptions, CommandError> {
        let mut options = ShutdownOptions::default();
        for word in call.args.skip(1).iter() {
            let words = [
                ("save", &mut options.save),
                ("nosave", &mut options.nosave),
                ("now", &mut options.now),
                ("force", &mut options.force),
                ("abort", &mut options.abort),
            ];
            let found =
                words.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
            *found.ok_or(CommandError::Syntax)?.1 = true;
        }
        let abort_and_more = options.abort && call.args.len() > 2;
        if abort_and_more || (options.save && options.nosave) {
            return Err(CommandError::Syntax);
        }
        Ok(options)
    }
}

/// Stops at once, or with SAVE when the snapshot is taken. There are no followers to wait for, so
/// NOW changes nothing, and nothing is in progress that ABORT could stop but the wait for SAVE.
fn shutdown(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let options = ShutdownOptions::parse(call)?;
    let snapshots = &call.worker.node.snapshots;
    if options.abort {
        return Err(CommandError::Other("ERR No shutdown in progress."));
    }
    if options.save {
        match snapshots.result_for(call.session.address.id) {
            // A snapshot for somebody else may lack what came since: wait, then take our own.
            Err(Busy) | Ok(None) => return Ok(Flow::Retry),
            Ok(Some(false)) if !options.force => {
                let text = "ERR Errors trying to SHUTDOWN. Check logs.";
                return Err(CommandError::Other(text));
            }
            Ok(Some(_)) => {}
        }
    }
    call.worker.node.post.stop_process();
    Ok(Flow::Close)
}
