//! Clients that write: each a thread with one connection, keys of its own and a book.
//!
//! Each has a home among the nodes. When that fails it, it goes on to the next node that it can
//! reach, as a client with a list of addresses does, and comes home when it is called.

mod client;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ledger::{Outcome, Sample};
use client::Client;

/// What clients do.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// The nodes that each client can reach, by the client's number; the first one is its home.
    pub(crate) reach: Vec<Vec<usize>>,
    /// Writes per second of each client.
    pub(crate) rate: u32,
    /// A client that has waited so long for an answer gives it up.
    pub(crate) patience: Duration,
    /// A write that fails is tried again for so long; zero: never.
    pub(crate) retry_for: Duration,
}

impl Habits {
    /// Homes in turn, everybody reaches every node.
    pub(crate) fn spread(clients: usize, nodes: usize) -> Vec<Vec<usize>> {
        let from = |home: usize| (0..nodes).map(|step| (home + step) % nodes).collect();
        (0..clients).map(|client| from(client % nodes)).collect()
    }
}

/// A client's book.
#[derive(Default)]
struct Book {
    /// By the number of the write.
    outcomes: Vec<Outcome>,
    /// Since they were cleared.
    samples: Vec<Sample>,
}

/// What all clients share.
struct Shared {
    addresses: Vec<SocketAddr>,
    habits: Habits,
    start: Instant,
    is_over: AtomicBool,
    is_resting: AtomicBool,
    /// Raised to call all clients home.
    calls: AtomicU64,
    books: Vec<Mutex<Book>>,
    /// By the first word of the error, with the first one in full.
    errors: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Shared {
    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).expect("a run is shorter than an age")
    }

    fn book(&self, client: usize) -> MutexGuard<'_, Book> {
        self.books[client].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_error(&self, text: &str) {
        let word = text.split_whitespace().next().unwrap_or("?").to_owned();
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.entry(word).or_insert_with(|| (0, text.to_owned())).0 += 1;
    }
}

/// All clients. They end when it is dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients; they rest.
    pub(crate) fn start(addresses: Vec<SocketAddr>, habits: Habits) -> Result<Load> {
        let clients = habits.reach.len();
        let shared = Arc::new(Shared {
            addresses,
            habits,
            start: Instant::now(),
            is_over: AtomicBool::new(false),
            is_resting: AtomicBool::new(true),
            calls: AtomicU64::new(0),
            books: (0..clients).map(|_| Mutex::default()).collect(),
            errors: Mutex::default(),
        });
        let mut load = Load { shared, threads: Vec::new() };
        for number in 0..clients {
            let mut client = Client::new(Arc::clone(&load.shared), number);
            let thread = thread::Builder::new().name(format!("client-{number}"));
            load.threads.push(thread.spawn(move || client.run())?);
        }
        Ok(load)
    }

    pub(crate) fn clients(&self) -> usize {
        self.shared.books.len()
    }

    /// The clock of all samples, microseconds since the start.
    pub(crate) fn now_us(&self) -> u64 {
        self.shared.now_us()
    }

    /// The zero of that clock.
    pub(crate) fn start_instant(&self) -> Instant {
        self.shared.start
    }

    /// Everybody goes home and writes.
    pub(crate) fn go(&self) {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        self.shared.is_resting.store(false, Ordering::SeqCst);
    }

    /// Nobody begins another write.
    pub(crate) fn rest(&self) {
        self.shared.is_resting.store(true, Ordering::SeqCst);
    }

    /// Forgets the samples, not the outcomes.
    pub(crate) fn clear_samples(&self) {
        (0..self.clients()).for_each(|client| self.shared.book(client).samples.clear());
    }

    /// All samples since they were cleared, by the moment of the answer.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let of = |client| self.shared.book(client).samples.clone();
        let mut samples: Vec<Sample> = (0..self.clients()).flat_map(of).collect();
        samples.sort_by_key(|sample| sample.answered_us);
        samples
    }

    /// All outcomes, by client and number.
    pub(crate) fn outcomes(&self) -> Vec<Vec<Outcome>> {
        (0..self.clients()).map(|client| self.shared.book(client).outcomes.clone()).collect()
    }

    /// Errors by their first word: how many, and the first one in full.
    pub(crate) fn errors(&self) -> BTreeMap<String, (u64, String)> {
        self.shared.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("a client panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_taken_in_turn_and_everybody_reaches_everybody() {
        let reach = Habits::spread(4, 3);
        assert_eq!(reach, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }
}
