//! Lines of INFO.

use std::fmt::{Display, Write as _};

/// Collects `name:value` lines under `# Title` lines.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Begins a section; an empty line stands before each but the first.
    pub(super) fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        let _infallible = write!(self.0, "# {title}\r\n");
    }

    /// A field.
    pub(super) fn field(&mut self, name: &str, value: impl Display) {
        let _infallible = write!(self.0, "{name}:{value}\r\n");
    }

    /// Bytes, once as a number and once for people.
    pub(super) fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// `1.50M` and the like, in units of 1024.
fn human(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_are_spelled_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1536, "1.50K"),
            (5 << 30, "5.00G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
