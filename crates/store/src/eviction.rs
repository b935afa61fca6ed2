//! Eviction: which key goes when memory is short.
//!
//! As in Redis, an approximation: a sample of keys is ranked and the best candidates are kept in a
//! small pool from one round to the next. Each eviction is a transaction of its own, logged as a
//! delete, before the command that needs the memory takes its locks.

use crate::keyspace::Keyspace;
use crate::record::codec::{TABLES, Table};
use crate::txn::{Txn, Writer};
use crate::walk::{Met, Population, sample};

/// Candidates kept between rounds.
const POOL_LEN_MAX: usize = 16;

/// What makes a key a good one to evict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ranking {
    /// Not used for long.
    Lru,
    /// Not used often.
    Lfu,
    /// Any.
    Random,
    /// Expires soon.
    Deadline,
}

/// An eviction policy other than `noeviction`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Which keys may go.
    pub population: Population,
    /// Which of them goes first.
    pub ranking: Ranking,
}

/// The best candidates met so far, worst first.
#[derive(Default)]
pub struct Pool {
    candidates: Vec<Candidate>,
    next_table: Table,
}

struct Candidate {
    score: u64,
    table: Table,
    key: Vec<u8>,
}

impl Pool {
    /// Evicts one key, having looked at about `samples` more. False: there is nothing to evict, or
    /// that is for the leader to do.
    pub fn evict_one(
        &mut self,
        keyspace: &Keyspace,
        writer: &mut Writer,
        policy: Policy,
        samples: usize,
    ) -> bool {
        if writer.following_ms.is_some() {
            return false;
        }
        if policy.ranking == Ranking::Random {
            self.candidates.clear();
        }
        // A candidate may be gone by the time it is its turn; then look again.
        for _ in 0..64 {
            if !self.fill(keyspace, writer, policy, samples) {
                return false;
            }
            while let Some(candidate) = self.candidates.pop() {
                let key = keyspace.key(&candidate.key);
                let mut txn = Txn::single_in_table(keyspace, writer, candidate.table, &key);
                let still_may = policy.population == Population::AllKeys
                    || txn.peek(&key).is_some_and(|meta| meta.deadline.is_some());
                let evicted = still_may && txn.evict(&key);
                txn.commit();
                if evicted {
                    return true;
                }
            }
        }
        false
    }

    /// Samples keys from every table that has some. Whether there is a candidate.
    fn fill(
        &mut self,
        keyspace: &Keyspace,
        writer: &mut Writer,
        policy: Policy,
        samples: usize,
    ) -> bool {
        for _ in 0..TABLES {
            let table = self.next_table;
            self.next_table = (table + 1) % TABLES;
            let population = match policy.population {
                Population::AllKeys => keyspace.sum(|tally| tally.keys(table)),
                Population::WithDeadline => keyspace.sum(|tally| tally.deadlines(table)),
            };
            if population <= 0 {
                continue;
            }
            let (mut met, now_ms) = (0, writer.now_ms);
            for _ in 0..samples {
                if met >= samples {
                    break;
                }
                let candidates = &mut self.candidates;
                sample(keyspace, writer, table, policy.population, |key, random| {
                    met += 1;
                    let score = score(keyspace, policy.ranking, &key, now_ms, random);
                    offer(candidates, score, table, key.key);
                });
            }
            if policy.ranking == Ranking::Random && !self.candidates.is_empty() {
                return true;
            }
        }
        !self.candidates.is_empty()
    }
}

/// The higher, the sooner it goes.
fn score(keyspace: &Keyspace, ranking: Ranking, met: &Met<'_>, now_ms: u64, random: u32) -> u64 {
    match ranking {
        Ranking::Lru => keyspace.access_mode().idle_ms(met.access, now_ms),
        Ranking::Lfu => 255 - u64::from(keyspace.access_mode().frequency(met.access, now_ms)),
        Ranking::Random => u64::from(random),
        Ranking::Deadline => u64::MAX - met.deadline.unwrap_or(u64::MAX),
    }
}

fn offer(candidates: &mut Vec<Candidate>, score: u64, table: Table, key: &[u8]) {
    let full = candidates.len() == POOL_LEN_MAX;
    if full && candidates[0].score >= score
        || candidates.iter().any(|known| known.table == table && known.key == key)
    {
        return;
    }
    if full {
        candidates.remove(0);
    }
    let at = candidates.partition_point(|known| known.score < score);
    candidates.insert(at, Candidate { score, table, key: key.to_vec() });
}
