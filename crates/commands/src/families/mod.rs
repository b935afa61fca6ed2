//! The families, one file or folder each, named with the user's nouns.

mod bitmap;
mod generic;
mod string;

use crate::call::DataHandler;
use crate::spec::{Command, Flags};

/// Every command that works on data.
pub fn all() -> impl Iterator<Item = &'static Command<DataHandler>> {
    [string::COMMANDS, bitmap::COMMANDS, generic::COMMANDS].into_iter().flatten().copied()
}

/// Flags of a command that reads.
const READS: Flags = Flags::READONLY;
/// Flags of a command that reads in constant time for each key.
const READS_FAST: Flags = READS.with(Flags::FAST);
/// Flags of a command that needs no more memory than there was.
const WRITES: Flags = Flags::WRITE;
/// The same in constant time.
const WRITES_FAST: Flags = WRITES.with(Flags::FAST);
/// Flags of a command that stores something.
const STORES: Flags = Flags::WRITE.with(Flags::DENYOOM);
/// The same in constant time.
const STORES_FAST: Flags = STORES.with(Flags::FAST);
