//! The progress line on standard error while a run lasts; nothing at all when nobody watches.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::Length;

/// A bar over requests or over time.
pub(crate) struct Progress {
    bar: ProgressBar,
    length: Length,
    warmup_ns: u64,
}

impl Progress {
    /// A bar that is drawn only on a terminal.
    pub(crate) fn new(title: &'static str, length: Length, warmup_ns: u64) -> Self {
        let bar = if stderr().is_terminal() {
            let total = match length {
                Length::Requests(requests) => requests,
                Length::Nanoseconds(ns) => (ns + warmup_ns) / 1_000_000,
            };
            ProgressBar::new(total)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{prefix} {bar:32.cyan/dim} {percent:>3}% {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(title);
        Self { bar, length, warmup_ns }
    }

    /// `replies` have come, warm-up included, and `elapsed` has passed.
    pub(crate) fn update(&self, replies: u64, elapsed: Duration) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(match self.length {
            Length::Requests(_) => replies,
            Length::Nanoseconds(_) => elapsed.as_millis() as u64,
        });
        let rate = replies as f64 / elapsed.as_secs_f64().max(0.001);
        let phase =
            if elapsed.as_nanos() < u128::from(self.warmup_ns) { "warming up, " } else { "" };
        self.bar.set_message(format!("{phase}{rate:.0} replies/s on average"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
