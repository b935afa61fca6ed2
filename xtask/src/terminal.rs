//! What the chores print for people: headings, warnings and tables.

use comfy_table::{Table, presets};
use owo_colors::{OwoColorize, Stream};

/// Prints a step's heading.
pub(crate) fn heading(text: &str) {
    let line = format!("\n== {text}");
    println!("{}", line.if_supports_color(Stream::Stdout, |t| t.bold()));
}

/// Prints what must not be overlooked.
pub(crate) fn warn(text: &str) {
    println!("{}", text.if_supports_color(Stream::Stdout, |t| t.yellow()));
}

/// A table with these column names.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    table
}
