//! The clocks of all sessions of a node, by the name of the client or its host.
//!
//! Bounded: the clocks that were asked for longest ago are forgotten first. That is safe, since who
//! finds no clock begins as a new session, and that asks the leader before its first read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use trefoil_clock::Position;

use super::{Clock, Probes};

/// Sessions that are remembered.
const SESSIONS_MAX: usize = 64 << 10;
/// How many are forgotten at once.
const FORGOTTEN: usize = SESSIONS_MAX / 16;

/// Whose clock it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    /// Of the connections with this name (CLIENT SETNAME).
    Name(Box<[u8]>),
    /// Of the connections without a name from this host.
    Host(IpAddr),
}

/// See the module.
#[derive(Default)]
pub struct Sessions {
    clocks: Mutex<HashMap<Key, Arc<Clock>>>,
    questions: AtomicU64,
    /// Questions to the leader where it stands.
    pub probes: Probes,
    floor: Mutex<Floor>,
    /// How often the floor was raised.
    floors: AtomicU64,
}

/// What connections have seen at least that existed when the node's data was replaced.
#[derive(Clone, Copy, Default)]
pub(super) struct Floor {
    pub(super) seen: Position,
    /// Connections with a smaller number existed.
    pub(super) before_client: u64,
    /// The number of the floor below which nothing that was seen counts: it was of another cluster.
    pub(super) anew: u64,
}

impl Sessions {
    /// The clock of a session. One that `is_lost` (what it saw is in no history any more) is replaced:
    /// connections that hold it go on saying so, new ones begin anew.
    pub(super) fn clock(&self, key: Key, is_lost: impl Fn(Position) -> bool) -> Arc<Clock> {
        let question = self.questions.fetch_add(1, Ordering::Relaxed);
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        if clocks.len() >= SESSIONS_MAX && !clocks.contains_key(&key) {
            forget_oldest(&mut clocks);
        }
        let clock = clocks.entry(key).or_default();
        if is_lost(clock.seen()) {
            *clock = Arc::default();
        }
        clock.touch(question);
        Arc::clone(clock)
    }

    /// The node's data is about to be replaced, and what it shows may go back: connections up to now
    /// (the next one will be `next_client`) have seen `applied`, and must not be shown less.
    pub fn on_data_replaced(&self, applied: Position, next_client: u64) {
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        floor.seen = applied.max(floor.seen);
        floor.before_client = next_client;
        self.floors.fetch_add(1, Ordering::Release);
    }

    /// The node's data is of another cluster now: all sessions begin anew.
    pub fn begin_anew(&self) {
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        let anew = self.floors.fetch_add(1, Ordering::Release) + 1;
        *floor = Floor { anew, ..Floor::default() };
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    #[inline]
    pub(super) fn floors(&self) -> u64 {
        self.floors.load(Ordering::Acquire)
    }

    pub(super) fn floor(&self) -> Floor {
        *self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_oldest(clocks: &mut HashMap<Key, Arc<Clock>>) {
    let mut used: Vec<u64> =
        clocks.values().map(|clock| clock.used.load(Ordering::Relaxed)).collect();
    let (_, &mut limit, _) = used.select_nth_unstable(FORGOTTEN);
    clocks.retain(|_, clock| clock.used.load(Ordering::Relaxed) >= limit);
}

#[cfg(test)]
mod tests {
    use trefoil_clock::{Epoch, Lsn};

    use super::*;

    fn at(epoch: u64, lsn: u64) -> Position {
        Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
    }

    fn named(name: String) -> Key {
        Key::Name(name.into_bytes().into())
    }

    #[test]
    fn connections_of_one_name_share_a_clock_until_it_is_lost() {
        let sessions = Sessions::default();
        let first = sessions.clock(named("a".into()), |_| false);
        first.raise(at(1, 7));
        first.raise(at(1, 5));
        assert_eq!(sessions.clock(named("a".into()), |_| false).seen(), at(1, 7));
        assert_eq!(sessions.clock(named("b".into()), |_| false).seen(), Position::default());
        let anew = sessions.clock(named("a".into()), |seen| seen == at(1, 7));
        assert_eq!((first.seen(), anew.seen()), (at(1, 7), Position::default()));
    }

    #[test]
    fn the_clocks_asked_for_longest_ago_are_forgotten() {
        let sessions = Sessions::default();
        for number in 0..SESSIONS_MAX {
            sessions.clock(named(number.to_string()), |_| false).raise(at(1, 1));
        }
        let oldest = sessions.clock(named("0".into()), |_| false);
        for number in 0..FORGOTTEN {
            let _new = sessions.clock(named(format!("new-{number}")), |_| false);
        }
        assert!(sessions.clocks.lock().expect("no panic").len() <= SESSIONS_MAX);
        assert_eq!(sessions.clock(named("0".into()), |_| false).seen(), oldest.seen());
        assert_eq!(sessions.clock(named("1".into()), |_| false).seen(), Position::default());
    }
}
