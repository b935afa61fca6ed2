//! How it looks: colours and tables on a terminal, plain lines in a pipe.

use std::io::IsTerminal as _;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use owo_colors::{OwoColorize as _, Style};

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// A terminal that takes colours.
    Colours,
    /// A terminal whose owner wants none.
    Tables,
    /// A file or a pipe: no lines, no colours.
    Plain,
}

/// What something is, so that it is seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    Good,
    Warning,
    Bad,
    /// A heading.
    Strong,
    /// Less important than the rest.
    Faint,
    Usual,
}

impl Look {
    pub(super) fn of_stdout() -> Look {
        match (std::io::stdout().is_terminal(), std::env::var_os("NO_COLOR")) {
            (false, _) => Look::Plain,
            (true, Some(_)) => Look::Tables,
            (true, None) => Look::Colours,
        }
    }

    /// The text in that tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if self != Look::Colours || tone == Tone::Usual {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => Style::new().green().bold(),
            Tone::Warning => Style::new().yellow().bold(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Usual => Style::new(),
        };
        text.style(style).to_string()
    }

    /// A table: a row of names, rows of texts and their tones. It ends with a line end.
    pub(super) fn table<const N: usize>(
        self,
        names: [&str; N],
        rows: &[[(Tone, String); N]],
    ) -> String {
        let mut table = Table::new();
        table.load_style(match self {
            Look::Plain => presets::NOTHING,
            Look::Colours | Look::Tables => presets::UTF8_FULL_CONDENSED,
        });
        match self {
            Look::Colours => {
                table.enforce_styling().set_content_arrangement(ContentArrangement::Dynamic)
            }
            Look::Tables => table.set_content_arrangement(ContentArrangement::Dynamic),
            Look::Plain => table.force_no_tty(),
        };
        table.set_header(names.map(|name| self.cell(Tone::Strong, name)));
        for row in rows {
            table.add_row(row.iter().map(|(tone, text)| self.cell(*tone, text)));
        }
        let lines = table.lines().map(|line| {
            let line =
                if self == Look::Plain { line.strip_prefix(' ').unwrap_or(&line) } else { &line };
            format!("{}\n", line.trim_end())
        });
        lines.collect()
    }

    fn cell(self, tone: Tone, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self != Look::Colours {
            return cell;
        }
        match tone {
            Tone::Good => cell.fg(Color::Green),
            Tone::Warning => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Strong => cell.add_attribute(Attribute::Bold),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
            Tone::Usual => cell,
        }
    }
}

/// A cell without a tone.
pub(super) fn usual(text: impl Into<String>) -> (Tone, String) {
    (Tone::Usual, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_neither_lines_nor_colours() {
        let rows = [[usual("a"), (Tone::Bad, "b c".to_owned())], [usual("long"), usual("")]];
        let plain = Look::Plain.table(["one", "two"], &rows);
        assert_eq!(plain, "one   two\na     b c\nlong\n");
        let coloured = Look::Colours.table(["one", "two"], &rows);
        assert!(coloured.contains("\u{1b}[") && coloured.contains('│'), "{coloured}");
        let tables = Look::Tables.table(["one", "two"], &rows);
        assert!(!tables.contains('\u{1b}') && tables.contains('│'), "{tables}");
        assert_eq!(Look::Plain.paint(Tone::Bad, "x"), "x");
    }
}
