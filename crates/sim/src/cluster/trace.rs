//! One line per thing that happened, hashed; kept as text only if somebody wants to read it.

use std::fmt::{self, Write};

/// See the module.
pub(crate) struct Trace {
    hash: u64,
    line: String,
    kept: Option<String>,
}

impl Trace {
    pub(crate) fn new(keep: Keep) -> Trace {
        let kept = (keep == Keep::Text).then(String::new);
        Trace { hash: 0xcbf2_9ce4_8422_2325, line: String::new(), kept }
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, now: u64, what: fmt::Arguments<'_>) {
        self.line.clear();
        let written = writeln!(self.line, "{now:>9} {what}");
        debug_assert!(written.is_ok(), "strings take what is written to them");
        for byte in self.line.as_bytes() {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if let Some(kept) = &mut self.kept {
            kept.push_str(&self.line);
        }
    }

    /// A number that equal traces have in common, and the text if it was kept.
    pub(crate) fn finish(self) -> (u64, Option<String>) {
        (self.hash, self.kept)
    }
}

/// Whether the lines of a trace are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Only their hash.
    Hash,
    /// The text as well.
    Text,
}
