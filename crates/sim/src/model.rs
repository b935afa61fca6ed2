//! What the node should hold: all transactions in the order of their LSNs, and their sum.

use std::collections::BTreeMap;

/// Databases that the simulation uses.
pub(crate) const DBS: usize = 2;

/// A value and its deadline.
pub(crate) type Held = (Vec<u8>, Option<u64>);

/// The contents of all databases.
pub(crate) type State = [BTreeMap<Vec<u8>, Held>; DBS];

/// A change of one key, or of whole databases.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(usize, Vec<u8>, Held),
    Append(usize, Vec<u8>, Vec<u8>),
    Deadline(usize, Vec<u8>, Option<u64>),
    Delete(usize, Vec<u8>),
    Flush(usize),
    Swap,
}

/// A transaction: all of it or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) lsn: u64,
    pub(crate) changes: Vec<Change>,
    /// When its worker handed it to the log, simulated milliseconds.
    pub(crate) published_ms: Option<u64>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Model {
    /// The state at the last restart.
    base: State,
    /// Transactions since, ascending.
    pub(crate) since: Vec<Transaction>,
}

impl Model {
    /// The state after all transactions up to this LSN.
    pub(crate) fn state_at(&self, lsn: u64) -> State {
        let mut state = self.base.clone();
        for transaction in self.since.iter().take_while(|transaction| transaction.lsn <= lsn) {
            transaction.changes.iter().for_each(|change| apply(&mut state, change));
        }
        state
    }

    /// What came after this LSN never happened.
    pub(crate) fn cut(&mut self, lsn: u64) {
        self.base = self.state_at(lsn);
        self.since.clear();
    }
}

fn apply(state: &mut State, change: &Change) {
    match change {
        Change::Put(db, key, held) => {
            state[*db].insert(key.clone(), held.clone());
        }
        Change::Append(db, key, suffix) => {
            if let Some((value, _)) = state[*db].get_mut(key) {
                value.extend_from_slice(suffix);
            }
        }
        Change::Deadline(db, key, deadline) => {
            if let Some(held) = state[*db].get_mut(key) {
                held.1 = *deadline;
            }
        }
        Change::Delete(db, key) => {
            state[*db].remove(key);
        }
        Change::Flush(db) => state[*db].clear(),
        Change::Swap => state.swap(0, 1),
    }
}
