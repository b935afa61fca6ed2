//! One node: the keyspace, the log and the cores, composed.
//!
//! Dispatch, the exclusive gate, the reply gate's conditions, recovery and snapshots are here.
//! Sockets, threads and files are the shell's (the server crate): it calls a [`worker::Worker`] with
//! parsed commands and a [`log::LogDriver`] on the log thread.

pub mod config;
pub mod clients;
pub mod exclusive;
pub mod families;
pub mod handler;
#[cfg(test)]
pub(crate) mod harness;
pub mod log;
pub mod mail;
pub mod node;
pub mod recovery;
pub mod session;
pub mod settings;
mod sync;
pub mod snapshot;
pub mod table;
pub mod worker;
