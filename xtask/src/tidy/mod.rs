//! `cargo xtask tidy`: the house style as far as a program can see it.
//!
//! Each rule is a pure function from sources to violations, with a test that plants one. It reads
//! text, not syntax trees: cheap, without dependencies, and good enough to keep honest people
//! honest. A violation is printed as `file:line: message`.

mod arrows;
mod dead_files;
mod lengths;
mod mask;
mod source;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace;
use source::Source;

/// One thing to mend.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Violation {
        Violation { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the repository; an error when anything is to be mended.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let sources = source::load(&root)?;
    let mut violations = arrows::check(&arrows::load(&root)?);
    violations.extend(check(&sources));
    violations.sort();

    for (path, lines) in lengths::long_files(&sources) {
        println!("{path}: {lines} lines, more than {}: consider a cut", lengths::FILE_WARN);
    }
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy: {} to mend (the rules and their reasons: xtask/src/tidy)", violations.len());
    }
    println!("tidy: {} files, nothing to mend", sources.len());
    Ok(())
}

fn check(sources: &[Source]) -> Vec<Violation> {
    let mut violations = dead_files::check(sources);
    for source in sources {
        violations.extend(lengths::check(source));
        violations.extend(words::check(source));
        violations.extend(arrows::check_effects(source));
    }
    violations
}
