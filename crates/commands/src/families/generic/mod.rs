//! Keys of any type.

mod carry;
mod delete;
mod expire;
mod flush;
mod inspect;
mod memory;
mod object;
mod ttl;
mod walk;

use trefoil_store::Kind;

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::numbers::parse_i64;
use crate::spec::{Arg, ArgKind, Command};

/// The family's commands.
pub(super) const COMMANDS: &[&Command<DataHandler>] = &[
    &delete::DEL,
    &delete::UNLINK,
    &inspect::EXISTS,
    &inspect::TOUCH,
    &inspect::TYPE,
    &object::OBJECT,
    &memory::MEMORY,
    &expire::EXPIRE,
    &expire::PEXPIRE,
    &expire::EXPIREAT,
    &expire::PEXPIREAT,
    &expire::PERSIST,
    &ttl::TTL,
    &ttl::PTTL,
    &ttl::EXPIRETIME,
    &ttl::PEXPIRETIME,
    &carry::RENAME,
    &carry::RENAMENX,
    &carry::COPY,
    &carry::MOVE,
    &walk::SCAN,
    &walk::KEYS,
    &walk::RANDOMKEY,
    &walk::DBSIZE,
    &flush::FLUSHDB,
    &flush::FLUSHALL,
    &flush::SWAPDB,
];

/// How many databases there are.
const DATABASES: u8 = 16;

const KEY: Arg = Arg::required("key", ArgKind::Key(0));
const KEYS: Arg = Arg::several("key", ArgKind::Key(0));

/// As TYPE answers it.
fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
    }
}

/// The argument at `at` as the number of a database.
fn database(call: &Call<'_, '_>, at: usize) -> Result<u8, CommandError> {
    database_of(call.integer(at)?)
}

fn database_of(number: i64) -> Result<u8, CommandError> {
    u8::try_from(number).ok().filter(|&db| db < DATABASES).ok_or(CommandError::DbOutOfRange)
}

/// The same where a number that is none has an error of its own.
fn database_or(call: &Call<'_, '_>, at: usize, error: CommandError) -> Result<u8, CommandError> {
    database_of(parse_i64(call.arg(at)).ok_or(error)?)
}

/// What a container answers when it was called with none of its subcommands.
fn unknown_subcommand(call: &Call<'_, '_>, container: &str) -> CommandError {
    /// Bytes of the client's word that are shown.
    const SHOWN_LEN_MAX: usize = 128;
    if call.len() < 2 {
        return CommandError::Detailed(format!(
            "ERR wrong number of arguments for '{}' command",
            container.to_ascii_lowercase()
        ));
    }
    let word = call.arg(1);
    let word = String::from_utf8_lossy(&word[..word.len().min(SHOWN_LEN_MAX)]);
    CommandError::Detailed(format!("ERR unknown subcommand '{word}'. Try {container} HELP."))
}

/// Answers lines of help.
fn reply_help(call: &mut Call<'_, '_>, lines: &[&str]) {
    call.out.array(lines.len());
    for line in lines {
        call.out.simple(line);
    }
}
