//! What a checker found.

use std::fmt;

/// So many violations are shown; the first ones tell enough.
const SHOWN_MAX: usize = 5;

/// A promise that was broken, and the operations that show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The promise's row, as `P6`.
    pub promise: &'static str,
    /// One sentence, then the excerpt of the history that contradicts the promise.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken: {}", self.promise, self.text)
    }
}

/// The result of one or several checks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[must_use]
pub struct Findings {
    /// Histories that were judged: one per key or per session.
    pub histories: u64,
    /// Operations in them.
    pub operations: u64,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// What could not be decided within the limits given. Not a pass.
    pub undecided: Vec<String>,
}

impl Findings {
    /// Findings about one more history that kept its promise.
    pub(crate) fn count(&mut self, operations: usize) {
        self.histories += 1;
        self.operations += operations as u64;
    }

    pub(crate) fn broken(&mut self, promise: &'static str, text: String) {
        self.violations.push(Violation { promise, text });
    }

    /// Whether everything was judged and nothing was broken.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.undecided.is_empty()
    }

    /// Adds the findings of another check.
    pub fn merge(&mut self, other: Findings) {
        self.histories += other.histories;
        self.operations += other.operations;
        self.violations.extend(other.violations);
        self.undecided.extend(other.undecided);
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in self.violations.iter().take(SHOWN_MAX) {
            writeln!(f, "{violation}")?;
        }
        if self.violations.len() > SHOWN_MAX {
            writeln!(f, "and {} more of that kind", self.violations.len() - SHOWN_MAX)?;
        }
        for undecided in &self.undecided {
            writeln!(f, "UNDECIDED, not a pass: {undecided}")?;
        }
        write!(f, "{} histories, {} operations", self.histories, self.operations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_decided_is_no_pass_and_is_said_loudly() {
        let mut findings = Findings::default();
        findings.count(3);
        assert!(findings.holds());
        let undecided = vec!["key a".to_owned()];
        findings.merge(Findings { undecided, ..Findings::default() });
        assert!(!findings.holds());
        assert!(findings.to_string().contains("UNDECIDED, not a pass: key a"));
    }
}
