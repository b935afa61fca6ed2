//! The store: what a node holds in memory, and the one way to change it.
//!
//! A [`Keyspace`] is sixteen tables of 1,024 stripes; a stripe is an index of entries under one
//! lock. A [`txn::Txn`] holds stripes and offers read views and mutators; a mutator changes the value
//! and logs its effect in one go. [`apply`] plays records back through the same mutators.
//!
//! It is not a server and not a log: it never waits, reads no clock, starts no thread and knows no
//! file. Time comes in with the [`txn::Writer`] of a worker, records go out through its buffer.

pub mod access;
pub mod apply;
mod entry;
pub mod eviction;
pub mod expiry;
pub mod index;
pub mod key;
mod keyspace;
pub mod record;
mod sequencer;
pub mod slot;
mod stripe;
mod sync;
mod tally;
pub mod txn;
pub mod walk;

pub use entry::{Kind, SHARED_LEN_MIN, SharedBytes, Value, size_class};
pub use key::{Key, KeyHash, KeyHasher};
pub use keyspace::Keyspace;
pub use sequencer::Sequencer;
pub use tally::{Count, Tally};
