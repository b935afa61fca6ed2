//! Strings.

mod counters;
mod get;
mod lcs;
mod multi;
mod ranges;
mod set;

use std::sync::Arc;

use trefoil_store::Value;
use trefoil_store::txn::{Deadline, NewString, StringView, Txn};
use trefoil_store::{Key, SHARED_LEN_MIN};
use trefoil_wire::resp::Reply;

use crate::call::{Call, DataHandler};
use crate::error::CommandError;
use crate::spec::Command;

/// The family's commands.
pub(super) const COMMANDS: &[&Command<DataHandler>] = &[
    &get::GET,
    &get::GETDEL,
    &get::GETEX,
    &get::STRLEN,
    &get::DELIFEQ,
    &set::SET,
    &set::SETNX,
    &set::SETEX,
    &set::PSETEX,
    &set::GETSET,
    &multi::MGET,
    &multi::MSET,
    &multi::MSETNX,
    &counters::INCR,
    &counters::DECR,
    &counters::INCRBY,
    &counters::DECRBY,
    &counters::INCRBYFLOAT,
    &ranges::APPEND,
    &ranges::GETRANGE,
    &ranges::SUBSTR,
    &ranges::SETRANGE,
    &lcs::LCS,
];

/// Answers a string; a large one is referenced, not copied.
#[inline]
fn reply_string(out: &mut Reply<'_>, view: Option<StringView<'_>>) {
    match view {
        None => out.null(),
        Some(view) => match view.shared() {
            Some(shared) => out.bulk_shared(shared),
            None => out.bulk(view.bytes()),
        },
    }
}

/// Makes a key hold a string; one whose deadline has passed already is not stored at all.
#[inline]
fn store(txn: &mut Txn<'_>, key: &Key<'_>, value: &[u8], deadline: Deadline) {
    match deadline {
        Deadline::At(moment) if moment <= txn.now_ms() => txn.delete(key),
        _ => txn.put(key, value.into(), deadline),
    };
}

/// Stores bytes that were put together here, and that count as `raw`.
pub(super) fn store_built(txn: &mut Txn<'_>, key: &Key<'_>, bytes: Vec<u8>, deadline: Deadline) {
    if bytes.len() < SHARED_LEN_MIN {
        txn.put(key, NewString { value: Value::Inline(&bytes), raw: true }, deadline);
    } else {
        let value = Value::Shared(&Arc::new(bytes));
        txn.put(key, NewString { value, raw: true }, deadline);
    }
}

/// Refuses a string that would grow beyond `proto-max-bulk-len`.
pub(super) fn check_len(call: &Call<'_, '_>, len: Option<usize>) -> Result<(), CommandError> {
    match len {
        Some(len) if len <= call.string_len_max => Ok(()),
        _ => Err(CommandError::TooLong),
    }
}
