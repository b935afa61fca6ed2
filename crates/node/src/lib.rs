//! One node: the keyspace, the log and the cores, composed.
//!
//! Dispatch, the exclusive gate, the reply gate's conditions, recovery and snapshots are here.
//! Sockets, threads and files are the shell's (the server crate): it calls a [`worker::Worker`] with
//! parsed commands and a [`log::LogDriver`] on the log thread.

pub mod agreement;
pub mod applier;
pub mod auth;
pub mod client_counts;
pub mod clients;
pub mod config;
pub mod counters;
pub mod diverged;
pub mod exclusive;
pub mod families;
pub mod freshness;
pub mod handler;
#[cfg(test)]
pub(crate) mod harness;
pub(crate) mod host;
#[cfg(all(test, shuttle))]
mod interleavings;
pub mod log;
pub mod mail;
pub mod metrics;
pub mod node;
pub mod pause;
pub mod peers;
pub mod pubsub;
pub mod readiness;
pub mod recovery;
pub mod release;
pub mod replication;
pub mod session;
pub mod settings;
pub mod snapshot;
mod sync;
pub mod table;
mod topology;
pub mod transaction;
pub mod worker;
