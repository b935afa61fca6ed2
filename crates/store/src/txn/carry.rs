//! Whole values on their way from one key to another: RENAME, COPY, MOVE.

use crate::entry::{Kind, SharedBytes, Value};
use crate::key::Key;

use super::{Deadline, NewString, Txn};

/// A value with its deadline, of any type, apart from its key. Large values are shared with the
/// store, small ones are copied.
#[derive(Clone, Debug)]
pub struct Carried {
    value: CarriedValue,
    deadline: Option<u64>,
}

#[derive(Clone, Debug)]
enum CarriedValue {
    Small { bytes: Vec<u8>, raw: bool },
    Large { shared: SharedBytes, raw: bool },
}

impl Txn<'_> {
    /// What a key holds, to be put down elsewhere. The key keeps it.
    pub fn pick_up(&mut self, key: &Key<'_>) -> Option<Carried> {
        let (_, entry) = self.find(key)?;
        let value = match (entry.kind(), entry.value()) {
            (Kind::String, Value::Inline(bytes)) => {
                CarriedValue::Small { bytes: bytes.to_vec(), raw: entry.is_raw() }
            }
            (Kind::String, Value::Shared(shared)) => {
                CarriedValue::Large { shared: SharedBytes::clone(shared), raw: entry.is_raw() }
            }
        };
        Some(Carried { value, deadline: entry.deadline() })
    }

    /// Makes a key hold what was picked up elsewhere, and nothing else.
    pub fn put_down(&mut self, key: &Key<'_>, carried: &Carried) {
        let deadline = carried.deadline.map_or(Deadline::None, Deadline::At);
        let new = match &carried.value {
            CarriedValue::Small { bytes, raw } => {
                NewString { value: Value::Inline(bytes), raw: *raw }
            }
            CarriedValue::Large { shared, raw } => {
                NewString { value: Value::Shared(shared), raw: *raw }
            }
        };
        self.put(key, new, deadline);
    }
}
