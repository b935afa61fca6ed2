//! Clients under chaos: each a thread with connections of its own, all recording what they saw.
//!
//! A client never retries. What may have been done is recorded as unknown; what was surely not done
//! is recorded as refused.

mod client;
mod logs;
mod registers;
mod sessions;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::nodes::Nodes;
use super::record::Entry;
use client::Client;
pub(super) use logs::once_value;
pub(super) use registers::{group_name, joined};

/// So many errors of a kind are kept in full.
const ERRORS_SHOWN: usize = 3;

/// Error replies of one kind.
#[derive(Clone, Default)]
pub(super) struct Errors {
    pub(super) count: u64,
    /// The first ones, in full.
    pub(super) first: Vec<String>,
}

/// What all clients share.
pub(super) struct Arena {
    pub(super) nodes: Arc<Nodes>,
    /// Whether losses are allowed at failovers, so that sessions end there.
    pub(super) lossy: bool,
    start: Instant,
    stop: AtomicBool,
    next_client: AtomicU32,
    next_transaction: AtomicU64,
    errors: Mutex<BTreeMap<String, Errors>>,
}

impl Arena {
    pub(super) fn new(nodes: Arc<Nodes>, lossy: bool) -> Arena {
        Arena {
            nodes,
            lossy,
            start: Instant::now(),
            stop: AtomicBool::new(false),
            next_client: AtomicU32::new(1),
            next_transaction: AtomicU64::new(1),
            errors: Mutex::default(),
        }
    }

    /// The history's clock.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).expect("a run is shorter than an age")
    }

    /// Asks all clients to end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// A number for a session that nobody has had.
    fn new_client(&self) -> u32 {
        self.next_client.fetch_add(1, Ordering::SeqCst)
    }

    fn new_transaction(&self) -> u64 {
        self.next_transaction.fetch_add(1, Ordering::SeqCst)
    }

    fn count_error(&self, client: u32, node: usize, text: &str) {
        let word = text.split_whitespace().next().unwrap_or("?").to_owned();
        let seconds = self.now_us() as f64 / 1e6;
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let of_word = errors.entry(word).or_default();
        of_word.count += 1;
        if of_word.first.len() < ERRORS_SHOWN {
            of_word.first.push(format!("{seconds:.6} s, client {client}, node {node}: {text}"));
        }
    }

    /// Error replies by their first word.
    pub(super) fn errors(&self) -> BTreeMap<String, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What one client does until the run is over, by its number among those of its kind.
type Body = fn(&mut Client, u64);

/// Starts all clients. Their threads return what they recorded.
pub(super) fn start(arena: &Arc<Arena>, seed: u64) -> std::io::Result<Vec<JoinHandle<Vec<Entry>>>> {
    let bodies: [(u64, Body); 4] = [
        (4, registers::run),
        (2, logs::run),
        (sessions::SESSIONS, sessions::run),
        (1, sessions::run_bounded),
    ];
    let mut threads = Vec::new();
    for (count, body) in bodies {
        for index in 0..count {
            let number = threads.len() as u64;
            let rng =
                SmallRng::seed_from_u64(seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let arena = Arc::clone(arena);
            let work = move || {
                let mut client = Client::new(arena, rng);
                body(&mut client, index);
                client.into_entries()
            };
            threads.push(thread::Builder::new().name(format!("client-{number}")).spawn(work)?);
        }
    }
    Ok(threads)
}
