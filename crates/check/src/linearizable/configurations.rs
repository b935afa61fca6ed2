//! Sets of configurations: what the key may hold, and which open operations have happened already.
//!
//! Invariant: no configuration in a set is dominated by another one. A configuration dominates if it
//! has the same value, the same answered operations behind it, and fewer of those without an answer:
//! whatever can happen from the other can happen from it. Without this rule each operation without
//! an answer would double the search.

use std::collections::HashMap;

use super::model::Value;

/// A possible state of affairs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Configuration {
    pub(super) value: Value,
    /// Open operations that will be answered and have happened. Ascending.
    pub(super) answered: Vec<u32>,
    /// Operations without an answer that have happened. Ascending.
    pub(super) unanswered: Vec<u32>,
}

impl Configuration {
    /// Inserts into an ascending list.
    pub(super) fn take(list: &mut Vec<u32>, operation: u32) {
        if let Err(at) = list.binary_search(&operation) {
            list.insert(at, operation);
        }
    }
}

/// Configurations of which none dominates another.
#[derive(Default)]
pub(super) struct Configurations {
    /// By value and answered operations: what has happened without an answer.
    sets: HashMap<(Value, Vec<u32>), Vec<Vec<u32>>>,
}

impl Configurations {
    /// Adds a configuration. False: it was dominated.
    pub(super) fn insert(&mut self, new: &Configuration) -> bool {
        let known = self.sets.entry((new.value.clone(), new.answered.clone())).or_default();
        if known.iter().any(|other| is_subset(other, &new.unanswered)) {
            return false;
        }
        known.retain(|other| !is_subset(&new.unanswered, other));
        known.push(new.unanswered.clone());
        true
    }

    /// All of them, in no order.
    pub(super) fn into_vec(self) -> Vec<Configuration> {
        let mut all = Vec::new();
        for ((value, answered), sets) in self.sets {
            for unanswered in sets {
                all.push(Configuration {
                    value: value.clone(),
                    answered: answered.clone(),
                    unanswered,
                });
            }
        }
        all
    }
}

/// Whether all of one ascending list is in the other.
fn is_subset(small: &[u32], large: &[u32]) -> bool {
    if small.len() > large.len() {
        return false;
    }
    let mut rest = large.iter();
    small.iter().all(|wanted| rest.any(|have| have == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(value: &str, answered: &[u32], unanswered: &[u32]) -> Configuration {
        let value = Some(value.into());
        Configuration { value, answered: answered.to_vec(), unanswered: unanswered.to_vec() }
    }

    #[test]
    fn what_is_dominated_is_not_kept() {
        let mut set = Configurations::default();
        assert!(set.insert(&configuration("a", &[1], &[5, 7])));
        assert!(!set.insert(&configuration("a", &[1], &[5, 6, 7])));
        assert!(set.insert(&configuration("a", &[2], &[5, 6, 7])));
        assert!(set.insert(&configuration("a", &[1], &[7])));
        assert_eq!(set.into_vec().len(), 2);
    }

    #[test]
    fn subsets_are_told_apart() {
        assert!(is_subset(&[], &[1]) && is_subset(&[2, 9], &[1, 2, 9]));
        assert!(!is_subset(&[2, 8], &[1, 2, 9]) && !is_subset(&[1], &[]));
    }
}
