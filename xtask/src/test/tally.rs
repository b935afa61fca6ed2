//! Reads a test runner's closing lines while its output passes through to the terminal.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace::show;

/// What a runner counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Tally {
    /// Sums the `test result:` lines: cargo prints one for each test program.
    pub(super) fn of_cargo_test(output: &str) -> Tally {
        let results = output.lines().filter(|line| line.starts_with("test result:"));
        results.fold(Tally::default(), |sum, line| sum.plus(line, ';'))
    }

    /// Reads pytest's last line.
    pub(super) fn of_pytest(output: &str) -> Tally {
        let last = output.lines().rev().find(|line| line.starts_with('='));
        Tally::default().plus(last.unwrap_or_default().trim_matches(['=', ' ']), ',')
    }

    /// Whether no test ran.
    pub(super) fn is_empty(&self) -> bool {
        self.passed + self.failed == 0
    }

    fn plus(mut self, line: &str, separator: char) -> Tally {
        for part in line.split(separator) {
            // "test result: ok. 12 passed" and "12 passed in 0.31s" alike.
            let words: Vec<&str> = part.split_whitespace().collect();
            for pair in words.windows(2) {
                let Ok(count) = pair[0].parse::<u64>() else { continue };
                match pair[1] {
                    "passed" | "xpassed" => self.passed += count,
                    "failed" | "error" | "errors" => self.failed += count,
                    "skipped" | "ignored" | "xfailed" => self.skipped += count,
                    _ => {}
                }
            }
        }
        self
    }
}

/// Runs a command, copies its output to ours as it comes, and returns success and all of it.
pub(super) fn run_and_read(command: &mut Command) -> Result<(bool, String)> {
    let shown = show(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut pipe = child.stdout.take().expect("the output was asked to be a pipe");
    let mut all = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let length = pipe.read(&mut chunk).with_context(|| format!("output of `{shown}`"))?;
        if length == 0 {
            break;
        }
        let mut terminal = std::io::stdout().lock();
        terminal.write_all(&chunk[..length])?;
        terminal.flush()?;
        all.extend_from_slice(&chunk[..length]);
    }
    let status = child.wait().with_context(|| format!("waiting for `{shown}`"))?;
    Ok((status.success(), String::from_utf8_lossy(&all).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_test_programs_are_summed() {
        let output = "test a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let tally = Tally::of_cargo_test(output);
        assert_eq!(tally, Tally { passed: 5, failed: 1, skipped: 1 });
    }

    #[test]
    fn the_last_line_of_pytest_is_read() {
        let output = "==== test session starts ====\n....\n\
            ==== 1 failed, 12 passed, 2 skipped in 1.25s ====\n";
        let tally = Tally::of_pytest(output);
        assert_eq!(tally.to_string(), "12 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_run_without_tests_is_empty() {
        assert!(Tally::of_pytest("==== no tests ran in 0.01s ====\n").is_empty());
        assert!(Tally::of_cargo_test("").is_empty());
    }
}
