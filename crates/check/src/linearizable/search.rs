//! The search itself, over the operations of one key.

use std::collections::{BTreeSet, HashMap};

use super::configurations::{Configuration, Configurations};
use super::model::{Value, step};
use crate::history::{Action, Operation};

/// So many possible values are shown to people.
const VALUES_SHOWN: usize = 8;

/// How a search ended.
pub(super) enum Outcome {
    Explained,
    Stuck(Stuck),
    /// The limit was reached after so many answers.
    GaveUp {
        answers: usize,
    },
}

/// An answer that nothing explains.
pub(super) struct Stuck {
    /// Index of the operation.
    pub(super) operation: usize,
    /// What the key could hold before it.
    pub(super) values: Vec<Option<String>>,
}

/// A search over operations that are sorted by their requests.
pub(super) struct Search<'a> {
    operations: &'a [&'a Operation],
    /// For an operation without an answer: an equal one that was asked earlier. They are
    /// interchangeable, so the earlier one goes first.
    twins: Vec<Option<u32>>,
    /// Asked and neither answered nor, without an answer, ever over. Ascending.
    open: Vec<u32>,
    configurations: Vec<Configuration>,
    visited: u64,
    visited_max: u64,
}

/// A request or an answer; requests of the same moment come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Asked,
    Answered,
}

impl<'a> Search<'a> {
    pub(super) fn new(operations: &'a [&'a Operation], visited_max: u64) -> Search<'a> {
        let nothing = Configuration { value: None, answered: Vec::new(), unanswered: Vec::new() };
        Search {
            operations,
            twins: twins(operations),
            open: Vec::new(),
            configurations: vec![nothing],
            visited: 0,
            visited_max,
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        let mut events = Vec::new();
        for (index, operation) in (0..).zip(self.operations) {
            events.push((operation.invoked_us, What::Asked, index));
            if let Some(at_us) = operation.returned_us() {
                events.push((at_us.max(operation.invoked_us), What::Answered, index));
            }
        }
        events.sort();
        let mut answers = 0;
        for (_, what, index) in events {
            if what == What::Asked {
                self.on_asked(index);
                continue;
            }
            let before = self.values();
            if !self.on_answered(index) {
                return Outcome::GaveUp { answers };
            }
            if self.configurations.is_empty() {
                return Outcome::Stuck(Stuck { operation: index as usize, values: before });
            }
            answers += 1;
        }
        Outcome::Explained
    }

    fn on_asked(&mut self, index: u32) {
        self.open.push(index);
        let mut configurations = std::mem::take(&mut self.configurations);
        for configuration in &mut configurations {
            self.settle(configuration, &[index]);
        }
        self.configurations = configurations;
    }

    /// Keeps what explains the answer. False: the limit was reached.
    fn on_answered(&mut self, index: u32) -> bool {
        let mut explained = Configurations::default();
        let mut seen = Configurations::default();
        let mut unexplained = Vec::new();
        for configuration in std::mem::take(&mut self.configurations) {
            Self::sort_in(index, configuration, &mut explained, &mut seen, &mut unexplained);
        }
        while let Some(configuration) = unexplained.pop() {
            for &next in &self.open {
                let Some(after) = self.after(&configuration, next) else { continue };
                self.visited += 1;
                Self::sort_in(index, after, &mut explained, &mut seen, &mut unexplained);
            }
            if self.visited > self.visited_max {
                return false;
            }
        }
        self.open.retain(|&open| open != index);
        self.configurations = explained.into_vec();
        true
    }

    /// Puts a configuration to those that explain the answer, or to those that need to go on.
    fn sort_in(
        index: u32,
        mut configuration: Configuration,
        explained: &mut Configurations,
        seen: &mut Configurations,
        unexplained: &mut Vec<Configuration>,
    ) {
        if let Ok(at) = configuration.answered.binary_search(&index) {
            configuration.answered.remove(at);
            explained.insert(&configuration);
        } else if seen.insert(&configuration) {
            unexplained.push(configuration);
        }
    }

    /// The configuration after one more open operation, if that may happen now.
    fn after(&self, before: &Configuration, next: u32) -> Option<Configuration> {
        let operation = self.operations[next as usize];
        let reply = operation.reply();
        let taken = if reply.is_some() { &before.answered } else { &before.unanswered };
        if taken.binary_search(&next).is_ok() {
            return None;
        }
        let twin = self.twins[next as usize];
        if twin.is_some_and(|twin| before.unanswered.binary_search(&twin).is_err()) {
            return None;
        }
        let value = step(&before.value, &operation.action, reply)?;
        if reply.is_none() && value == before.value {
            return None;
        }
        let mut after = Configuration { value, ..before.clone() };
        let list = if reply.is_some() { &mut after.answered } else { &mut after.unanswered };
        Configuration::take(list, next);
        self.settle(&mut after, &self.open);
        Some(after)
    }

    /// Takes what changes nothing and is answered rightly at this value: sooner is never worse.
    fn settle(&self, configuration: &mut Configuration, candidates: &[u32]) {
        for &open in candidates {
            let operation = self.operations[open as usize];
            let Some(reply) = operation.reply() else { continue };
            let idle = matches!(operation.action, Action::Get | Action::Delete);
            let same = |next: Value| next == configuration.value;
            if idle && step(&configuration.value, &operation.action, Some(reply)).is_some_and(same)
            {
                Configuration::take(&mut configuration.answered, open);
            }
        }
    }

    /// What the key may hold, a few of them.
    fn values(&self) -> Vec<Option<String>> {
        let values: BTreeSet<Option<&str>> = self
            .configurations
            .iter()
            .map(|configuration| configuration.value.as_deref())
            .collect();
        values.into_iter().take(VALUES_SHOWN).map(|value| value.map(str::to_owned)).collect()
    }
}

/// For each operation without an answer the equal one before it.
fn twins(operations: &[&Operation]) -> Vec<Option<u32>> {
    let mut last: HashMap<&Action, u32> = HashMap::new();
    let mut twins = Vec::with_capacity(operations.len());
    for (index, operation) in (0..).zip(operations) {
        let unanswered = operation.reply().is_none();
        twins.push(if unanswered { last.insert(&operation.action, index) } else { None });
    }
    twins
}
